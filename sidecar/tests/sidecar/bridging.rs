//! Callers of one era before a server of the other.

use latchkey_gate::settings::{Era, ServerSettings};
use serde_json::{Value, json};

use crate::{
    bundle::{Release, token},
    client::{self, Answer},
    rig::Rig,
};

fn rig(era: Era) -> Rig {
    let release = Release {
        bob: true,
        settings: ServerSettings {
            era: Some(era),
            ..ServerSettings::default()
        },
        ..Release::new(1)
    };
    Rig::with(&release, "")
}

fn legacy(rig: &Rig, method: &str, params: &Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params});
    client::post(rig.sidecar.address, &token("alice"), &body.to_string())
}

fn modern(rig: &Rig, who: &str, method: &str, name: &str, params: &Value) -> Answer {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        "progressToken": 3,
    });
    let mut headers = vec![
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", method),
    ];
    if !name.is_empty() {
        headers.push(("Mcp-Name", name));
    }
    let body = json!({"jsonrpc": "2.0", "id": "m-9", "method": method, "params": params});
    client::send(
        rig.sidecar.address,
        "POST",
        &token(who),
        &headers,
        &body.to_string(),
    )
}

/// What the server saw of one method, in order: headers and parameters.
fn seen(rig: &Rig, method: &str) -> Vec<(std::collections::BTreeMap<String, String>, Value)> {
    let seen = rig.server.seen();
    let read = seen.into_iter().filter_map(|it| {
        let body: Value = serde_json::from_str(&it.body).ok()?;
        (body["method"] == method).then(|| (it.headers, body["params"].clone()))
    });
    read.collect()
}

#[test]
fn a_caller_with_a_handshake_is_served_by_a_stateless_server() {
    let rig = rig(Era::Modern);
    let info = json!({"name": "s", "version": "1"});
    rig.server.script(
        "server/discover",
        json!({"result": {
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 9,
            "cacheScope": "public", "capabilities": {"tools": {"listChanged": true}, "prompts": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": info}, "instructions": "Be brief.",
        }}),
    );
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"sampling": {}},
        "clientInfo": {"name": "c", "version": "1"}});
    let opened = legacy(&rig, "initialize", &params);
    assert_eq!(opened.header("mcp-session-id"), None);
    assert_eq!(
        opened.json(),
        json!({"jsonrpc": "2.0", "id": 5, "result": {
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info,
            "instructions": "Be brief.",
        }})
    );
    assert_eq!(legacy(&rig, "ping", &json!({})).json()["result"], json!({}));
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(
        client::post(rig.sidecar.address, &token("alice"), ready).status,
        202
    );
    let listed = legacy(&rig, "tools/list", &json!({})).json();
    assert_eq!(
        listed["result"]["tools"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
    let call = json!({"name": "get_issue", "arguments": {"n": 1}});
    assert_eq!(legacy(&rig, "tools/call", &call).outcome(), "ok");
    let (headers, params) = seen(&rig, "tools/call").pop().unwrap();
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "get_issue"),
    ] {
        assert_eq!(headers[name], value);
    }
    let meta = &params["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({})
    );
    assert_eq!(params["arguments"], json!({"n": 1}));
    assert_eq!(rig.server.seen().len(), 3, "the rest was answered here");
    let refused = legacy(&rig, "resources/subscribe", &json!({"uri": "x:y"}));
    assert!(refused.json().get("error").is_some());
    let denied = json!({"name": "delete_repository"});
    assert_eq!(
        legacy(&rig, "tools/call", &denied).outcome(),
        "surface_unmatched"
    );
    // What waits for input cannot be told in this era.
    rig.server.script(
        "get_issue",
        json!({"result": {"resultType": "input_required",
        "inputRequests": {"q": {"method": "roots/list"}}}}),
    );
    let waits = legacy(&rig, "tools/call", &call).json();
    assert_eq!(waits["error"]["code"], -32603, "{waits}");
    rig.server.script(
        "get_issue",
        json!([{"result": {"resultType": "task", "taskId": "t"}}]),
    );
    let streamed = legacy(&rig, "tools/call", &call);
    assert!(streamed.body.contains("-32603"), "{streamed:?}");
    assert!(
        rig.events()
            .iter()
            .all(|event| event["method"] != "__unmatched__")
    );
}

#[test]
fn a_stateless_caller_is_served_by_a_server_with_sessions() {
    let rig = rig(Era::Legacy);
    let found = modern(&rig, "alice", "server/discover", "", &json!({})).json();
    assert_eq!(found["id"], "m-9");
    let result = &found["result"];
    assert_eq!(
        result["supportedVersions"],
        json!(["2026-07-28"]),
        "{found}"
    );
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    assert_eq!(result["resultType"], "complete");
    let listed = modern(&rig, "alice", "tools/list", "", &json!({})).json();
    assert_eq!(
        listed["result"]["tools"].as_array().unwrap().len(),
        2,
        "{listed}"
    );
    assert_eq!(listed["result"]["cacheScope"], "private");
    let call = json!({"name": "get_issue", "arguments": {"n": 1}});
    let answer = modern(&rig, "alice", "tools/call", "get_issue", &call).json();
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(answer["id"], "m-9");
    let (headers, params) = seen(&rig, "tools/call").pop().unwrap();
    assert_eq!(headers["mcp-session-id"], "session-1");
    assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
    assert_eq!(headers.get("mcp-method"), None);
    let first = params["_meta"]["progressToken"]
        .as_str()
        .unwrap()
        .to_owned();
    // Two requests of one session have names of their own, whatever their callers call them.
    modern(&rig, "alice", "tools/call", "get_issue", &call);
    let (_, params) = seen(&rig, "tools/call").pop().unwrap();
    assert_ne!(params["_meta"]["progressToken"], json!(first));
    let sent = rig.server.seen();
    let names = sent.iter().filter(|it| it.body.contains("tools/call"));
    let names: Vec<Value> = names
        .map(|it| serde_json::from_str::<Value>(&it.body).unwrap()["id"].clone())
        .collect();
    assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
    // One session for each caller, opened once and made ready.
    modern(&rig, "bob", "tools/call", "get_issue", &call);
    let (headers, _) = seen(&rig, "tools/call").pop().unwrap();
    assert_ne!(headers["mcp-session-id"], "session-1");
    assert_eq!(seen(&rig, "initialize").len(), 2);
    assert_eq!(seen(&rig, "notifications/initialized").len(), 2);
    // On a stream, too.
    let progress = json!({"method": "notifications/progress", "params": {"progressToken": 3}});
    rig.server
        .script("get_issue", json!([{"result": {"content": []}}]));
    let streamed = modern(&rig, "alice", "tools/call", "get_issue", &call);
    assert!(
        streamed.body.contains("\"resultType\":\"complete\""),
        "{streamed:?} {progress}"
    );
    let method = "subscriptions/listen";
    let listen = modern(&rig, "alice", method, "", &json!({"notifications": {}})).json();
    assert_eq!(listen["error"]["code"], -32601);
    let told = listen["error"]["message"].as_str().unwrap();
    assert!(
        told.contains("2025-11-25") && told.contains(method),
        "{told}"
    );
    let denied = modern(
        &rig,
        "bob",
        "tools/call",
        "push_files",
        &json!({"name": "push_files"}),
    );
    assert_eq!(denied.outcome(), "surface_unmatched");
}

#[test]
fn callers_of_the_servers_own_era_pass_as_they_are() {
    let rig = rig(Era::Legacy);
    let opened = legacy(
        &rig,
        "initialize",
        &json!({"protocolVersion": "2025-11-25"}),
    );
    assert!(opened.header("mcp-session-id").is_some());
    let call = json!({"name": "get_issue", "arguments": {}});
    assert_eq!(
        legacy(&rig, "tools/call", &call).json()["result"].get("resultType"),
        None
    );
}

#[test]
fn a_session_that_was_not_opened_or_is_lost_is_opened_again() {
    let rig = rig(Era::Legacy);
    let call = json!({"name": "get_issue", "arguments": {}});
    let outcome = || modern(&rig, "alice", "tools/call", "get_issue", &call).outcome();
    for nothing in [
        json!({"error": {"code": -32603, "message": "not now"}}),
        json!({"result": {"protocolVersion": "none"}}),
    ] {
        rig.server.script("initialize", nothing);
        assert_eq!(outcome(), "upstream_unavailable");
    }
    rig.server.as_usual("initialize");
    assert_eq!(outcome(), "ok");
    let session = || seen(&rig, "tools/call").pop().unwrap().0["mcp-session-id"].clone();
    let first = session();
    rig.server.script(
        "get_issue",
        json!({"status": 404, "media": "text/plain", "body": "gone"}),
    );
    assert_eq!(outcome(), "upstream_unavailable");
    rig.server.as_usual("get_issue");
    assert_eq!(outcome(), "ok");
    assert_ne!(session(), first);
}

#[test]
fn requests_that_come_at_once_open_one_session() {
    let rig = rig(Era::Legacy);
    let call = json!({"name": "get_issue", "arguments": {}});
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let answer = modern(&rig, "alice", "tools/call", "get_issue", &call);
                assert_eq!(
                    (answer.outcome().as_str(), &answer.json()["id"]),
                    ("ok", &json!("m-9"))
                );
            });
        }
    });
    assert_eq!(seen(&rig, "initialize").len(), 1);
}
