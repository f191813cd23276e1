//! What goes through, what does not, and what is left out.

use crate::{
    bundle::token,
    client,
    rig::{Rig, wait_for},
};

#[test]
fn an_allowed_call_reaches_the_server_without_its_token() {
    let rig = Rig::start("");
    let answer = rig.call(&token("alice"), "get_issue");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["result"]["content"][0]["text"], "done");
    let seen = rig.server.seen();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].headers.contains_key("authorization"));
    assert_eq!(seen[0].body, client::tool_call("get_issue"));
    let events = rig.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event_id"], *seen[0].request_id);
    assert_eq!(events[0]["decision"], "allow");
    assert_eq!(events[0]["outcome"], "success");
    assert_eq!(events[0]["principal_id"], "alice");
}

#[test]
fn a_refused_call_never_reaches_the_server() {
    let rig = Rig::start("");
    let answer = rig.call(&token("bob"), "get_issue");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json().get("error").is_some());
    assert!(rig.server.seen().is_empty());
    let events = rig.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["decision"], "deny");
    assert_eq!(events[0]["reason"], "no_permission");
    assert_eq!(events[0]["outcome"], "denied");
}

#[test]
fn a_bad_token_is_refused_and_a_good_one_is_remembered() {
    let rig = Rig::start("");
    let good = token("alice");
    let (head, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(86));
    for bad in [forged.as_str(), "nonsense", "a.b.c", good.split_at(1).1] {
        let answer = rig.call(bad, "get_issue");
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(rig.call("", "get_issue").status, 401);
    for _ in 0..3 {
        assert_eq!(rig.call(&good, "get_issue").outcome(), "ok");
    }
    let metrics = client::get(rig.sidecar.admin, "/metrics").body;
    assert!(
        metrics.contains("latchkey_token_cache_hits_total 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("latchkey_token_cache_misses_total 5"),
        "{metrics}"
    );
    assert!(metrics.contains("latchkey_allow_total 3"), "{metrics}");
    assert_eq!(rig.events().len(), 8);
}

#[test]
fn an_expired_token_is_refused_also_when_it_is_remembered() {
    let rig = Rig::start("");
    // The issuer tolerates 60 s of skew.
    let token = crate::bundle::minted("alice", -58);
    assert_eq!(rig.call(&token, "get_issue").outcome(), "ok");
    std::thread::sleep(std::time::Duration::from_millis(3100));
    assert_eq!(rig.call(&token, "get_issue").status, 401);
    assert_eq!(rig.events()[1]["reason"], "token_expired");
}

#[test]
fn two_tokens_are_none() {
    let rig = Rig::start("");
    let token = token("alice");
    let mut connection = client::Connection::open(rig.sidecar.address, "");
    let body = client::tool_call("get_issue");
    connection
        .send(&format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nAuthorization: Bearer {token}\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .unwrap();
    assert_ne!(connection.answer().unwrap().status, 200);
    assert!(rig.server.seen().is_empty());
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_page_of_another_name_is_refused() {
    let rig = Rig::start("");
    let body = client::tool_call("get_issue");
    for host in [
        "Host: evil.example",
        "Host: localhost\r\nOrigin: http://evil.example",
    ] {
        let mut connection = client::Connection::open(rig.sidecar.address, "");
        let request = format!(
            "POST /mcp HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            token("alice"),
            body.len()
        );
        connection.send(&request).unwrap();
        assert_eq!(connection.answer().unwrap().status, 400);
    }
    assert!(rig.server.seen().is_empty());
    assert!(
        rig.events()[0]["detail"]
            .as_str()
            .unwrap()
            .contains("hosts")
    );
}

#[test]
fn a_list_shows_what_its_caller_may_use() {
    let rig = Rig::start("");
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let answer = client::post(rig.sidecar.address, &token("alice"), list);
    let names: Vec<String> = answer.json()["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["get_issue", "push_files"]);
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
}

#[test]
fn a_stream_is_passed_on_event_by_event() {
    let rig = Rig::start("");
    let mut connection = client::Connection::open(rig.sidecar.address, &token("alice"));
    connection.post(&client::tool_call("stream")).unwrap();
    let (status, _) = connection.head().unwrap();
    assert_eq!(status, 200);
    let first = connection.chunk().unwrap().unwrap();
    assert!(
        String::from_utf8(first)
            .unwrap()
            .contains("notifications/progress")
    );
    // The server has not sent the second event yet: nothing waited for it.
    assert!(rig.events().is_empty());
    rig.server.go_on.notify_one();
    let second = connection.chunk().unwrap().unwrap();
    assert!(String::from_utf8(second).unwrap().contains("done"));
    assert!(connection.chunk().unwrap().is_none());
    assert_eq!(rig.events().len(), 1);
    assert_eq!(connection.call("get_issue").unwrap().outcome(), "ok");
}

#[test]
fn a_caller_that_goes_away_leaves_one_event() {
    let rig = Rig::start("");
    let mut connection = client::Connection::open(rig.sidecar.address, &token("alice"));
    connection.post(&client::tool_call("stream")).unwrap();
    connection.head().unwrap();
    connection.chunk().unwrap().unwrap();
    drop(connection);
    let mut waiting = client::Connection::open(rig.sidecar.address, &token("alice"));
    waiting.post(&client::tool_call("slow")).unwrap();
    wait_for("the call", || rig.server.seen().len() == 2);
    drop(waiting);
    wait_for("both events", || rig.events().len() == 2);
    for event in rig.events() {
        assert_eq!(event["outcome"], "client_error", "{event}");
        assert_eq!(event["decision"], "allow");
    }
}

#[test]
fn the_well_known_metadata_names_the_issuer() {
    let rig = Rig::start("");
    let answer = client::get(rig.sidecar.address, "/.well-known/oauth-protected-resource");
    assert_eq!(answer.json()["resource"], "https://tools.example");
    assert_eq!(
        answer.json()["authorization_servers"][0],
        "https://idp.example"
    );
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn operators_see_what_is_in_force() {
    let rig = Rig::start("");
    assert_eq!(client::get(rig.sidecar.admin, "/healthz").status, 200);
    assert_eq!(client::get(rig.sidecar.admin, "/readyz").status, 200);
    let status = client::get(rig.sidecar.admin, "/status").json();
    assert_eq!(status["server"], "github");
    assert_eq!(status["bundle"]["source"], "source");
    assert_eq!(status["bundle"]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(client::get(rig.sidecar.admin, "/other").status, 404);
}
