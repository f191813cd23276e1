//! Answers that run for long: decided again when what they were decided by changes.

use std::{thread::sleep, time::Duration};

use latchkey_gate::token::ProofRule;
use serde_json::{Value, json};

use crate::{
    bundle::{Release, minted, token},
    client::{self, Connection},
    rig::{Rig, wait_for},
};

fn release(version: u64, bob: bool) -> Release {
    Release {
        bob,
        ..Release::new(version)
    }
}

/// Puts another release in force, and lets streams look at it.
fn swap(rig: &Rig, release: &Release) {
    release.write(rig.folder.path(), &rig.server.upstream());
    let shared = rig.sidecar.shared();
    wait_for("the release to be in force", || {
        shared.active().unwrap().release.version == release.version
    });
    sleep(Duration::from_millis(1200));
}

/// A call whose answer has begun: its first event has come.
fn begun(rig: &Rig, token: &str) -> Connection {
    let progress = json!({"method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1}});
    let result = json!({"result": {"content": [{"type": "text", "text": "secret"}]}});
    rig.server.script("get_issue", json!([progress, result]));
    let mut stream = Connection::open(rig.sidecar.address, token);
    stream.post(&client::tool_call("get_issue")).unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    assert!(read(&mut stream).unwrap().contains("progress"));
    stream
}

fn read(stream: &mut Connection) -> Option<String> {
    let chunk = stream.chunk().unwrap()?;
    Some(String::from_utf8(chunk).unwrap())
}

fn rest(stream: &mut Connection) -> String {
    let mut all = String::new();
    while let Some(chunk) = read(stream) {
        all += &chunk;
    }
    all
}

/// The only message in what is left of a stream.
fn message(text: &str) -> Value {
    let mut data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let message = serde_json::from_str(data.next().unwrap()).unwrap();
    assert_eq!(data.next(), None, "{text}");
    message
}

#[test]
fn a_call_goes_on_over_a_swap_that_leaves_it_allowed() {
    let rig = Rig::with(&release(1, true), "");
    let mut stream = begun(&rig, &token("bob"));
    swap(&rig, &release(2, true));
    rig.server.go_on.notify_one();
    assert!(rest(&mut stream).contains("secret"));
    let event = rig.events().pop().unwrap();
    assert_eq!(
        (&event["reason"], &event["outcome"]),
        (&json!("ok"), &json!("success"))
    );
}

#[test]
fn a_call_ends_with_the_bundle_that_denies_it() {
    let rig = Rig::with(&release(1, true), "");
    let mut stream = begun(&rig, &token("bob"));
    swap(&rig, &release(2, false));
    let rest = rest(&mut stream);
    let last = message(&rest);
    assert_eq!(last["id"], 1, "{rest}");
    assert_eq!(last["error"]["data"]["code"], "surface_unmatched", "{rest}");
    let event = rig.events().pop().unwrap();
    assert_eq!(event["reason"], "no_permission", "{event}");
    assert_eq!(
        (&event["decision"], &event["outcome"]),
        (&json!("deny"), &json!("denied"))
    );
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.contains("decided again"), "{event}");
    assert_eq!(event["event_id"], last["error"]["data"]["request_id"]);
}

#[test]
fn a_call_ends_with_the_bundle_that_asks_for_a_proof() {
    let rig = Rig::with(&release(1, true), "");
    let mut stream = begun(&rig, &token("bob"));
    let mut strict = release(2, true);
    strict.settings.proof = ProofRule::Bound;
    swap(&rig, &strict);
    let last = message(&rest(&mut stream));
    assert_eq!(last["error"]["data"]["code"], "unauthenticated", "{last}");
    assert_eq!(rig.events().pop().unwrap()["reason"], "unauthenticated");
}

#[test]
fn a_call_ends_with_its_token() {
    let rig = Rig::start("");
    // The issuer tolerates 60 s of skew.
    let mut stream = begun(&rig, &minted("alice", -58));
    let last = message(&rest(&mut stream));
    assert_eq!(last["error"]["data"]["code"], "token_expired", "{last}");
    assert_eq!(rig.events().pop().unwrap()["reason"], "token_expired");
}

#[test]
fn a_call_ends_with_an_overlay_that_takes_it_away() {
    let rig = Rig::prepared(
        &Release::new(1),
        |folder| std::fs::write(folder.join("overlay.json"), "{}").unwrap(),
        r#"overlay = {file = "overlay.json"}"#,
    );
    let mut stream = begun(&rig, &token("alice"));
    let denied = r#"{"denied":["github/get_issue"]}"#;
    std::fs::write(rig.folder.path().join("overlay.json"), denied).unwrap();
    let last = message(&rest(&mut stream));
    let event = rig.events().pop().unwrap();
    assert_eq!(event["reason"], "denied_by_overlay", "{event} {last}");
}

/// The server of a session is told that nobody waits for the call any more.
#[test]
fn a_call_that_ends_within_a_session_is_cancelled() {
    let rig = Rig::with(&release(1, true), "");
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
    let token = token("bob");
    let opened = client::post(rig.sidecar.address, &token, initialize);
    let session = opened.header("mcp-session-id").unwrap();
    let progress = json!({"method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1}});
    rig.server
        .script("get_issue", json!([progress, {"result": {}}]));
    let call = client::tool_call("get_issue").replace("\"id\":1", "\"id\":77");
    let mut stream = Connection::open(rig.sidecar.address, &token);
    let headers = [("Mcp-Session-Id", session)];
    stream
        .send(&client::text("POST", &token, &headers, &call))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    read(&mut stream).unwrap();
    swap(&rig, &release(2, false));
    rest(&mut stream);
    let cancelled = || {
        let seen = rig.server.seen();
        let mut told = seen
            .iter()
            .filter(|it| it.body.contains("notifications/cancelled"));
        told.next().cloned()
    };
    wait_for("the server to be told", || cancelled().is_some());
    let told = cancelled().unwrap();
    assert!(told.body.contains("\"requestId\":77"), "{told:?}");
    assert_eq!(told.headers["mcp-session-id"], "session-1");
}

#[test]
fn a_stream_of_notifications_outlives_a_swap_and_ends_when_it_is_denied() {
    let rig = Rig::with(&release(1, true), "");
    let token = token("bob");
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
    let opened = client::post(rig.sidecar.address, &token, initialize);
    let headers = [("Mcp-Session-Id", opened.header("mcp-session-id").unwrap())];
    let mut stream = Connection::open(rig.sidecar.address, &token);
    stream
        .send(&client::text("GET", &token, &headers, ""))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    read(&mut stream).unwrap();
    swap(&rig, &release(2, true));
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let say = || {
        rig.server
            .lines
            .send(format!("data: {changed}\n\n"))
            .unwrap()
    };
    say();
    assert!(read(&mut stream).unwrap().contains("tools/list_changed"));
    assert_eq!(rig.server.seen().len(), 2, "nothing was opened again");
    swap(&rig, &release(3, false));
    let _ = rig.server.lines.send(format!("data: {changed}\n\n"));
    let last = rest(&mut stream);
    assert!(
        !last.contains("list_changed") && last.contains(": no_permission"),
        "{last}"
    );
    let event = rig.events().pop().unwrap();
    assert_eq!(
        (&event["method"], &event["reason"]),
        (&json!("GET"), &json!("no_permission"))
    );
}

#[test]
fn a_listening_stream_is_filtered_by_the_policy_in_force() {
    let rig = Rig::with(&release(1, true), "");
    let told = |method: &str| json!({"method": method, "params": {}});
    let method = "subscriptions/listen";
    let changed = told("notifications/tools/list_changed");
    rig.server
        .script(method, json!([changed, changed, changed]));
    let params = json!({
        "notifications": {"toolsListChanged": true},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}},
    });
    let body = json!({"jsonrpc": "2.0", "id": 4, "method": method, "params": params}).to_string();
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", method),
    ];
    let token = token("bob");
    let mut stream = Connection::open(rig.sidecar.address, &token);
    stream
        .send(&client::text("POST", &token, &headers, &body))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    assert!(read(&mut stream).unwrap().contains("tools/list_changed"));
    swap(&rig, &release(2, true));
    rig.server.go_on.notify_one();
    assert!(read(&mut stream).unwrap().contains("tools/list_changed"));
    swap(&rig, &release(3, false));
    rig.server.go_on.notify_one();
    let last = message(&rest(&mut stream));
    assert_eq!(
        (&last["id"], &last["error"]["data"]["code"]),
        (&json!(4), &json!("no_permission"))
    );
}
