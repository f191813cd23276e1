//! Stateless calls that wait for input, and streams of notifications.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use latchkey_gate::settings::{ServerSettings, Settings as _};
use serde_json::{Value, json};

use crate::{
    bundle::{Release, token},
    client::{self, Answer, Connection},
    rig::Rig,
};

const FORM: &str = r#"{"serverRequests":{"elicitation":{"form":true}}}"#;

fn rig() -> Rig {
    let release = Release {
        bob: true,
        settings: ServerSettings::from_text(FORM).unwrap(),
        ..Release::new(1)
    };
    Rig::with(&release, "")
}

fn request(method: &str, name: &str, params: &Value) -> String {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}, "elicitation": {"form": {}}},
    });
    if !name.is_empty() {
        params["name"] = name.into();
    }
    json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params}).to_string()
}

fn headers<'a>(method: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", method),
    ];
    if !name.is_empty() {
        headers.push(("Mcp-Name", name));
    }
    headers
}

fn call(rig: &Rig, who: &str, params: &Value) -> Answer {
    let name = "get_issue";
    let (body, headers) = (
        request("tools/call", name, params),
        headers("tools/call", name),
    );
    client::send(rig.sidecar.address, "POST", &token(who), &headers, &body)
}

fn asks(method: &str) -> Value {
    json!({"result": {
        "resultType": "input_required", "requestState": "secret-state",
        "inputRequests": {"q": {"method": method, "params": {"message": "?"}}},
    }})
}

#[test]
fn a_state_works_for_the_call_and_caller_that_it_was_given_to() {
    let rig = rig();
    rig.server.script("get_issue", asks("elicitation/create"));
    let first = json!({"arguments": {"n": 1}});
    let waiting = call(&rig, "alice", &first).json();
    assert!(
        waiting["result"]["inputRequests"]["q"].is_object(),
        "{waiting}"
    );
    let state = &waiting["result"]["requestState"];
    assert_ne!(state, "secret-state");
    let said: Value = serde_json::from_str(&rig.server.seen()[0].body).unwrap();
    let kept = &said["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(*kept, json!({"elicitation": {"form": {}}}));
    let retry = |arguments: Value, state: &Value| json!({"arguments": arguments, "requestState": state, "inputResponses": {"q": {}}});
    let before = rig.server.seen().len();
    for (who, params) in [
        ("bob", retry(json!({"n": 1}), state)),
        ("alice", retry(json!({"n": 2}), state)),
        ("alice", retry(json!({"n": 1}), &json!("secret-state"))),
        ("alice", retry(json!({"n": 1}), &json!(7))),
    ] {
        assert_eq!(
            call(&rig, who, &params).outcome(),
            "state_invalid",
            "{who} {params}"
        );
    }
    assert_eq!(rig.server.seen().len(), before);
    assert_eq!(rig.events().last().unwrap()["reason"], "state_invalid");
    rig.server.script(
        "get_issue",
        json!({"result": {"resultType": "complete", "content": []}}),
    );
    assert_eq!(
        call(&rig, "alice", &retry(json!({"n": 1}), state)).outcome(),
        "ok"
    );
    let retried: Value = serde_json::from_str(&rig.server.seen().last().unwrap().body).unwrap();
    assert_eq!(retried["params"]["requestState"], "secret-state");
}

#[test]
fn a_call_that_asks_for_what_the_server_may_not_ask_ends() {
    let rig = rig();
    rig.server
        .script("get_issue", asks("sampling/createMessage"));
    let answer = call(&rig, "alice", &json!({}));
    assert_eq!(answer.outcome(), "server_request_denied", "{answer:?}");
    assert_eq!(answer.json()["id"], 9);
    let event = &rig.events()[0];
    assert_eq!(event["reason"], "server_request_denied");
    assert!(
        event["detail"].as_str().unwrap().contains("sampling"),
        "{event}"
    );
    rig.server.script("get_issue", json!([asks("roots/list")]));
    let answer = call(&rig, "alice", &json!({}));
    assert!(answer.body.contains("server_request_denied"), "{answer:?}");
    assert!(!answer.body.contains("roots/list"), "{answer:?}");
}

#[test]
fn a_stream_of_notifications_holds_what_its_caller_sees() {
    let rig = rig();
    let told = |method: &str| json!({"method": method, "params": {}});
    let messages = [
        told("notifications/prompts/list_changed"),
        told("notifications/tools/list_changed"),
        json!({"method": "notifications/resources/updated", "params": {"uri": "file:///x"}}),
    ];
    rig.server
        .script("subscriptions/listen", messages[1..2].to_vec().into());
    let wanted = json!({"notifications": {
        "toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["file:///x"], "vendor": true,
    }});
    let method = "subscriptions/listen";
    let token = token("alice");
    let mut stream = Connection::open(rig.sidecar.address, &token);
    let body = request(method, "", &wanted);
    stream
        .send(&client::text("POST", &token, &headers(method, ""), &body))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    let chunk = String::from_utf8(stream.chunk().unwrap().unwrap()).unwrap();
    assert!(chunk.contains("tools/list_changed"), "{chunk}");
    let said: Value = serde_json::from_str(&rig.server.seen()[0].body).unwrap();
    let asked = &said["params"]["notifications"];
    assert_eq!(
        *asked,
        json!({"toolsListChanged": true, "resourceSubscriptions": []})
    );
}
