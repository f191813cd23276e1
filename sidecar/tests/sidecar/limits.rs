//! Bounds of number, size and time.

use std::time::{Duration, Instant};

use latchkey_engine::index::{Obligation, Pool, Reach};
use latchkey_gate::settings::Breaker;

use crate::{
    bundle,
    bundle::token,
    client,
    rig::{Rig, wait_for},
};

#[test]
fn a_rate_is_enforced_and_says_when_to_come_back() {
    let rig = Rig::start("");
    for _ in 0..3 {
        assert_eq!(rig.call(&token("alice"), "paced").outcome(), "ok");
    }
    let answer = rig.call(&token("alice"), "paced");
    assert_eq!(answer.outcome(), "rate_limited");
    assert!(
        answer.json()["error"]["data"]["retry_after"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert!(
        answer
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 0
    );
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"caller-3-3600\";q=3;w=3600")
    );
    assert!(
        answer
            .header("ratelimit")
            .unwrap()
            .starts_with("\"caller-3-3600\";r=0;t=")
    );
    assert_eq!(rig.server.seen().len(), 3);
    // What is used up outlives a swap.
    let mut release = bundle::Release::new(2);
    release.bob = true;
    release.write(rig.folder.path(), &rig.server.upstream());
    wait_for("the swap", || {
        rig.call(&token("bob"), "get_issue")
            .json()
            .get("result")
            .is_some()
    });
    assert_eq!(rig.call(&token("alice"), "paced").outcome(), "rate_limited");
    assert_eq!(rig.events().last().unwrap()["reason"], "rate_limited");
}

#[test]
fn one_pool_is_used_up_by_all_who_are_in_it() {
    let mut release = bundle::Release::new(1);
    let limit = Obligation::Rate {
        pool: Pool::Organization,
        reach: Reach::Server,
        count: 3,
        seconds: 3600,
    };
    release.limits = vec![("paced", limit), ("get_issue", limit)];
    release.bob = true;
    let rig = Rig::with(&release, "");
    for (who, tool) in [
        ("alice", "paced"),
        ("bob", "get_issue"),
        ("alice", "get_issue"),
    ] {
        assert_eq!(rig.call(&token(who), tool).outcome(), "ok", "{who} {tool}");
    }
    let answer = rig.call(&token("bob"), "get_issue");
    assert_eq!(answer.outcome(), "rate_limited");
    let event = rig.events().pop().unwrap();
    assert_eq!(event["reason"], "rate_limited", "{event}");
    assert_eq!(rig.server.seen().len(), 3);
}

#[test]
fn no_more_calls_at_a_time_than_are_allowed() {
    let mut release = bundle::Release::new(1);
    let limit = Obligation::Concurrency {
        pool: Pool::Caller,
        reach: Reach::Surface,
        count: 1,
    };
    release.limits = vec![("slow", limit)];
    let rig = Rig::with(&release, "");
    let alice = token("alice");
    let mut first = client::Connection::open(rig.sidecar.address, &alice);
    first.post(&client::tool_call("slow")).unwrap();
    wait_for("the first call", || rig.server.seen().len() == 1);
    let second = rig.call(&alice, "slow");
    assert_eq!(second.outcome(), "rate_limited");
    assert_eq!(second.json()["error"]["data"]["retry_after"], 1);
    assert_eq!(rig.server.seen().len(), 1);
    // A caller who goes away gives the place back.
    drop(first);
    wait_for("a place", || {
        let mut next = client::Connection::open(rig.sidecar.address, &alice);
        next.post(&client::tool_call("slow")).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        rig.server.seen().len() == 2
    });
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let rig = Rig::start("");
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
        "x".repeat(1 << 16)
    );
    let answer = client::post(rig.sidecar.address, &token("alice"), &body);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(rig.events()[0]["reason"], "payload_too_large");
}

#[test]
fn a_head_over_a_limit_is_refused_and_recorded() {
    let rig = Rig::start("listen = {max_headers = 20}");
    let many = "X-A: b\r\n".repeat(40);
    let huge = format!("X-A: {}\r\n", "b".repeat(64 * 1024));
    for (count, headers) in [(1, many), (2, huge)] {
        let mut connection = client::Connection::open(rig.sidecar.address, "");
        let sent = connection.send(&format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ));
        if sent.is_ok()
            && let Ok((status, _)) = connection.head()
        {
            assert_eq!(status, 431);
        }
        wait_for("the event", || rig.events().len() == count);
    }
    assert!(
        rig.events()
            .iter()
            .all(|event| event["reason"] == "malformed_request")
    );
}

#[test]
fn what_is_not_http_is_recorded() {
    let rig = Rig::start("");
    let mut connection = client::Connection::open(rig.sidecar.address, "");
    connection.send("\u{16}\u{3}\u{1} hello\r\n\r\n").unwrap();
    assert_eq!(connection.head().unwrap().0, 400);
    wait_for("the event", || rig.events().len() == 1);
    assert_eq!(rig.events()[0]["reason"], "malformed_request");
}

#[test]
fn what_is_not_http_is_recorded_also_behind_a_request_in_one_piece() {
    let rig = Rig::start("");
    let body = client::tool_call("get_issue");
    let mut connection = client::Connection::open(rig.sidecar.address, "");
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}\u{16}\u{3}\u{1} hello\r\n\r\n",
        token("alice"),
        body.len()
    );
    connection.send(&request).unwrap();
    assert_eq!(connection.answer().unwrap().outcome(), "ok");
    assert_eq!(connection.head().unwrap().0, 400);
    wait_for("both events", || rig.events().len() == 2);
    let reasons: Vec<_> = rig.events().iter().map(|e| e["reason"].clone()).collect();
    assert_eq!(reasons, ["ok", "malformed_request"]);
}

#[test]
fn slow_callers_are_let_go_and_recorded() {
    let rig = Rig::start(r#"listen = {head_timeout = "200ms", body_timeout = "200ms"}"#);
    let started = Instant::now();
    let mut head = client::Connection::open(rig.sidecar.address, "");
    head.send("POST /mcp HTTP/1.1\r\nHost").unwrap();
    assert!(head.head().is_err());
    let mut body = client::Connection::open(rig.sidecar.address, "");
    body.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        .unwrap();
    assert_eq!(body.head().unwrap().0, 400);
    assert!(started.elapsed() < Duration::from_secs(5));
    wait_for("both events", || rig.events().len() == 2);
    for event in rig.events() {
        assert_eq!(event["reason"], "malformed_request", "{event}");
    }
}

#[test]
fn idle_connections_are_closed_without_an_event() {
    let rig = Rig::start(r#"listen = {idle_timeout = "100ms"}"#);
    let mut connection = client::Connection::open(rig.sidecar.address, "");
    assert!(connection.head().is_err());
    assert!(rig.events().is_empty());
}

#[test]
fn connections_over_the_limit_are_closed() {
    let rig = Rig::start("listen = {max_connections = 2}");
    let token = token("alice");
    let mut first = client::Connection::open(rig.sidecar.address, &token);
    let mut second = client::Connection::open(rig.sidecar.address, &token);
    assert!(first.call("get_issue").is_ok());
    assert!(second.call("get_issue").is_ok());
    let mut third = client::Connection::open(rig.sidecar.address, &token);
    assert!(third.call("get_issue").is_err());
    drop(first);
    wait_for("a place", || {
        client::Connection::open(rig.sidecar.address, &token)
            .call("get_issue")
            .is_ok()
    });
}

#[test]
fn a_server_that_is_slow_or_gone_has_a_reason() {
    let rig = Rig::start("");
    let mut release = bundle::Release::new(2);
    release.timeout = 200;
    release.write(rig.folder.path(), &rig.server.upstream());
    wait_for("the swap", || {
        rig.sidecar.shared().active().unwrap().generation == 2
    });
    assert_eq!(
        rig.call(&token("alice"), "slow").outcome(),
        "upstream_timeout"
    );
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    bundle::Release::new(3).write(rig.folder.path(), &format!("http://{address}/mcp"));
    wait_for("the swap", || {
        rig.sidecar.shared().active().unwrap().generation == 3
    });
    let answer = rig.call(&token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "upstream_unavailable");
    let outcomes: Vec<_> = rig.events().iter().map(|e| e["outcome"].clone()).collect();
    assert_eq!(outcomes, ["timeout", "upstream_error"]);
}

#[test]
fn a_server_that_does_not_answer_is_left_alone_for_a_while() {
    let mut release = bundle::Release::new(1);
    release.settings.breaker = Some(Breaker {
        failures: 2,
        pause: 300,
    });
    release.timeout = 100;
    let rig = Rig::with(&release, "");
    let alice = token("alice");
    for _ in 0..2 {
        assert_eq!(rig.call(&alice, "slow").outcome(), "upstream_timeout");
    }
    let left_alone = rig.call(&alice, "get_issue");
    assert_eq!(left_alone.outcome(), "upstream_unavailable");
    assert_eq!(left_alone.header("retry-after"), Some("1"));
    assert_eq!(rig.server.seen().len(), 2);
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(rig.call(&alice, "get_issue").outcome(), "ok");
    assert_eq!(rig.call(&alice, "get_issue").outcome(), "ok");
}

#[test]
fn one_request_too_many_is_refused_at_once_and_recorded() {
    let rig = Rig::start("listen = {max_in_flight = 1}");
    let alice = token("alice");
    let mut first = client::Connection::open(rig.sidecar.address, &alice);
    first.post(&client::tool_call("slow")).unwrap();
    wait_for("the first call", || rig.server.seen().len() == 1);
    let started = Instant::now();
    let answer = rig.call(&alice, "get_issue");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(rig.events()[0]["reason"], "overloaded");
    // Operators are served all the same.
    assert_eq!(client::get(rig.sidecar.admin, "/readyz").status, 200);
    assert_eq!(first.answer().unwrap().outcome(), "ok");
}
