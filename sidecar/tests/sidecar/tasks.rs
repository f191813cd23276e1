//! Tasks: whose they are, who may follow them, and what is said of them to whom.

use latchkey_gate::settings::{ServerSettings, Settings as _};
use serde_json::{Value, json};

use crate::{
    bundle::{Release, token},
    client::{self, Answer, Connection},
    rig::{Rig, wait_for},
};

const FORM: &str = r#"{"serverRequests":{"elicitation":{"form":true}}}"#;
const RELATED: &str = "io.modelcontextprotocol/related-task";

fn release(version: u64, bob: bool) -> Release {
    Release {
        bob,
        settings: ServerSettings::from_text(FORM).unwrap(),
        ..Release::new(version)
    }
}

fn rig() -> Rig {
    Rig::with(&release(1, true), "")
}

/// A message of the era with sessions.
fn legacy(rig: &Rig, who: &str, method: &str, params: &Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params});
    client::post(rig.sidecar.address, &token(who), &body.to_string())
}

fn modern_request(method: &str, params: &Value) -> String {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":
            {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    });
    json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params}).to_string()
}

/// A message of the stateless era.
fn modern(rig: &Rig, who: &str, method: &str, name: &str, params: &Value) -> Answer {
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", method),
        ("Mcp-Name", name),
    ];
    let body = modern_request(method, params);
    client::send(rig.sidecar.address, "POST", &token(who), &headers, &body)
}

fn task(id: &str) -> Value {
    json!({"taskId": id, "status": "working", "ttl": 60000,
        "createdAt": "2026-11-25T10:30:00Z", "lastUpdatedAt": "2026-11-25T10:30:00Z"})
}

/// Calls a tool as a task that the server names so; answers what the caller is told.
fn begin(rig: &Rig, who: &str, id: &str) -> String {
    let made = json!({"result": {"task": task(id)}});
    rig.server.script("get_issue", made);
    let params = json!({"name": "get_issue", "arguments": {"n": 1}, "task": {"ttl": 60000}});
    let answer = legacy(rig, who, "tools/call", &params).json();
    let told = answer["result"]["task"]["taskId"].as_str().unwrap();
    assert_ne!(told, id);
    told.to_owned()
}

fn last_params(rig: &Rig) -> Value {
    let seen = rig.server.seen();
    let body: Value = serde_json::from_str(&seen.last().unwrap().body).unwrap();
    body["params"].clone()
}

/// The body of an answer without the id of its event.
fn told(answer: &Answer) -> Value {
    let mut json = answer.json();
    json["error"]["data"]["request_id"] = "".into();
    json
}

#[test]
fn a_task_is_its_makers_and_a_strangers_is_one_that_never_was() {
    let rig = rig();
    let id = begin(&rig, "alice", "task-1");
    for (method, result) in [
        ("tasks/get", task("task-1")),
        ("tasks/cancel", task("task-1")),
        (
            "tasks/result",
            json!({"content": [], "_meta": {RELATED: {"taskId": "task-1"}}}),
        ),
    ] {
        rig.server.script(method, json!({"result": result}));
        let answer = legacy(&rig, "alice", method, &json!({"taskId": id})).json();
        assert_eq!(last_params(&rig)["taskId"], "task-1", "{method}");
        let result = &answer["result"];
        let shown = match method {
            "tasks/result" => &result["_meta"][RELATED]["taskId"],
            _ => &result["taskId"],
        };
        assert_eq!(*shown, json!(id), "{method}: {answer}");
        let before = rig.server.seen().len();
        let stolen = legacy(&rig, "bob", method, &json!({"taskId": id}));
        assert_eq!(stolen.status, 200);
        assert_eq!(stolen.json()["error"]["code"], -32602);
        for invented in ["task-1", "x", id.split_at(1).1] {
            for who in ["alice", "bob"] {
                let answer = legacy(&rig, who, method, &json!({"taskId": invented}));
                assert_eq!(told(&answer), told(&stolen), "{method} {invented} {who}");
            }
        }
        assert_eq!(rig.server.seen().len(), before);
        let event = rig.events().pop().unwrap();
        assert_eq!(
            (&event["reason"], &event["method"]),
            (&json!("surface_unmatched"), &json!(method))
        );
    }
}

#[test]
fn a_list_of_tasks_holds_the_callers_own() {
    let rig = rig();
    let (a, b) = (begin(&rig, "alice", "t-a"), begin(&rig, "bob", "t-b"));
    let all =
        json!({"result": {"tasks": [task("t-a"), task("t-b"), task("t-x")], "nextCursor": "c"}});
    rig.server.script("tasks/list", all);
    let listed = |who: &str| legacy(&rig, who, "tasks/list", &json!({})).json()["result"].clone();
    let (of_alice, of_bob) = (listed("alice"), listed("bob"));
    assert_eq!(
        of_alice["tasks"],
        json!([{"taskId": a, "status": "working", "ttl": 60000,
        "createdAt": "2026-11-25T10:30:00Z", "lastUpdatedAt": "2026-11-25T10:30:00Z"}])
    );
    // Where the list goes on may name what is not the caller's: it is sealed, and the caller's own.
    let cursor = &of_alice["nextCursor"];
    assert!(
        cursor.is_string() && cursor != "c" && *cursor != of_bob["nextCursor"],
        "{of_alice}"
    );
    let next = |who: &str, cursor: &Value| {
        let answer = legacy(&rig, who, "tasks/list", &json!({"cursor": cursor}));
        let seen: Value = serde_json::from_str(&rig.server.seen().pop().unwrap().body).unwrap();
        (answer.outcome(), seen["params"]["cursor"].clone())
    };
    assert_eq!(next("alice", cursor), ("ok".to_owned(), json!("c")));
    for (who, cursor) in [("bob", cursor), ("alice", &json!("c"))] {
        rig.server
            .script("tools/list", json!({"result": {"tools": []}}));
        legacy(&rig, who, "tools/list", &json!({}));
        assert_eq!(next(who, cursor), ("state_invalid".to_owned(), Value::Null));
    }
    assert_eq!(of_bob["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(of_bob["tasks"][0]["taskId"], json!(b));
    rig.server.script(
        "tasks/list",
        json!({"result": {"Tasks": [task("t-b")], "tasks": []}}),
    );
    assert_eq!(legacy(&rig, "alice", "tasks/list", &json!({})).status, 502);
}

#[test]
fn who_may_no_longer_call_the_tool_may_no_longer_follow_its_task() {
    let rig = rig();
    let (a, b) = (begin(&rig, "alice", "t-a"), begin(&rig, "bob", "t-b"));
    rig.server
        .script("tasks/get", json!({"result": task("t-b")}));
    let get = |who: &str, id: &str| legacy(&rig, who, "tasks/get", &json!({"taskId": id}));
    assert_eq!(get("bob", &b).outcome(), "ok");
    release(2, false).write(rig.folder.path(), &rig.server.upstream());
    wait_for("the release to be in force", || {
        get("bob", &b).outcome() != "ok"
    });
    let before = rig.server.seen().len();
    let refused = get("bob", &b);
    assert_eq!(told(&refused), told(&get("bob", "never-was")));
    assert_eq!(rig.server.seen().len(), before);
    let event = &rig.events()[rig.events().len() - 2];
    assert_eq!(event["reason"], "no_permission", "{event}");
    assert_eq!(event["surface_id"], "github/get_issue", "{event}");
    rig.server
        .script("tasks/get", json!({"result": task("t-a")}));
    assert_eq!(get("alice", &a).outcome(), "ok");
}

#[test]
fn a_server_answers_about_the_task_that_it_was_asked_for() {
    let rig = rig();
    let id = begin(&rig, "alice", "t-a");
    rig.server
        .script("tasks/get", json!({"result": task("t-other")}));
    let answer = legacy(&rig, "alice", "tasks/get", &json!({"taskId": id}));
    assert!(!answer.body.contains("t-other"), "{answer:?}");
    assert_eq!(answer.status, 502);
}

#[test]
fn the_extension_of_the_stateless_era_has_tasks_of_its_own() {
    let rig = rig();
    let made = json!({"result": {"resultType": "task", "taskId": "m-1", "status": "working",
        "ttlMs": 60000}});
    rig.server.script("get_issue", made);
    let call = json!({"name": "get_issue", "arguments": {"n": 1}});
    let answer = modern(&rig, "alice", "tools/call", "get_issue", &call).json();
    let id = answer["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(
        id != "m-1" && answer["result"]["ttlMs"] == 60000,
        "{answer}"
    );
    let asks = |method: &str| {
        json!({"result": {"resultType": "complete", "taskId": "m-1",
        "status": "input_required",
        "inputRequests": {"q": {"method": method, "params": {"message": "?"}}}}})
    };
    let named = json!({"taskId": id});
    let get = |who: &str| modern(&rig, who, "tasks/get", &id, &named);
    rig.server.script("tasks/get", asks("elicitation/create"));
    let answer = get("alice").json();
    assert_eq!(answer["result"]["taskId"], json!(id));
    assert!(answer["result"]["inputRequests"]["q"].is_object());
    let sent = rig.server.seen().pop().unwrap();
    assert_eq!(sent.headers["mcp-name"], "m-1");
    assert_eq!(last_params(&rig)["taskId"], "m-1");
    rig.server
        .script("tasks/get", asks("sampling/createMessage"));
    let refused = get("alice");
    assert_eq!(refused.outcome(), "server_request_denied", "{refused:?}");
    assert_eq!(get("bob").json()["error"]["code"], -32602);
    let before = rig.server.seen().len();
    let responses = json!({"taskId": id, "inputResponses": {"q": {"action": "accept"}}});
    assert_eq!(
        modern(&rig, "bob", "tasks/update", &id, &responses).json()["error"]["code"],
        -32602
    );
    assert_eq!(rig.server.seen().len(), before);
    assert_eq!(
        modern(&rig, "alice", "tasks/update", &id, &responses).outcome(),
        "ok"
    );
    assert_eq!(last_params(&rig)["inputResponses"]["q"]["action"], "accept");
    // A header that names another task than the body.
    let split = modern(&rig, "alice", "tasks/get", "m-1", &named);
    assert_eq!(split.json()["error"]["code"], -32020);
}

#[test]
fn notices_of_tasks_reach_who_made_them() {
    let rig = rig();
    let made = |id: &str, who: &str| {
        rig.server.script(
            "get_issue",
            json!({"result": {"resultType": "task", "taskId": id, "status": "working"}}),
        );
        let call = json!({"name": "get_issue", "arguments": {}});
        let answer = modern(&rig, who, "tools/call", "get_issue", &call).json();
        answer["result"]["taskId"].as_str().unwrap().to_owned()
    };
    let (own, foreign) = (made("m-a", "alice"), made("m-b", "bob"));
    let notice = |id: &str| {
        json!({"method": "notifications/tasks",
        "params": {"taskId": id, "status": "completed", "result": {"content": []}}})
    };
    let method = "subscriptions/listen";
    let acknowledged = json!({"method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"taskIds": ["m-a", "m-b"]}}});
    rig.server
        .script(method, json!([acknowledged, notice("m-b"), notice("m-a")]));
    let token = token("alice");
    let mut stream = Connection::open(rig.sidecar.address, &token);
    let wanted = json!({"notifications": {"taskIds": [own, foreign, "m-b", 7]}});
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", method),
    ];
    let body = modern_request(method, &wanted);
    stream
        .send(&client::text("POST", &token, &headers, &body))
        .unwrap();
    assert_eq!(stream.head().unwrap().0, 200);
    assert_eq!(
        last_params(&rig)["notifications"],
        json!({"taskIds": ["m-a"]})
    );
    let mut next = || loop {
        let chunk = String::from_utf8(stream.chunk().unwrap().unwrap()).unwrap();
        rig.server.go_on.notify_one();
        if let Some(data) = chunk.lines().find_map(|it| it.strip_prefix("data: ")) {
            return serde_json::from_str::<Value>(data).unwrap();
        }
    };
    assert_eq!(next()["params"]["notifications"]["taskIds"], json!([own]));
    let told = next();
    assert_eq!(told["params"]["taskId"], json!(own));
    assert!(told["params"]["result"].is_object());
}

#[test]
fn only_a_call_of_a_tool_becomes_a_task() {
    let rig = rig();
    // It was not asked for one, so no client takes it for one, and it is nobody's.
    rig.server
        .script("get_issue", json!({"result": {"task": task("t")}}));
    let call = json!({"name": "get_issue", "arguments": {}});
    let answer = legacy(&rig, "alice", "tools/call", &call).json();
    assert_eq!(answer["result"]["task"]["taskId"], "t");
    let get = legacy(&rig, "alice", "tasks/get", &json!({"taskId": "t"}));
    assert_eq!(get.outcome(), "surface_unmatched");
    rig.server
        .script("tasks/list", json!({"result": {"tasks": [task("t")]}}));
    let listed = legacy(&rig, "alice", "tasks/list", &json!({})).json();
    assert_eq!(listed["result"]["tasks"], json!([]));
}
