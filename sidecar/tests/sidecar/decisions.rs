//! What the decision point says is what would become of the call here.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use latchkey_gate::settings::PinMode;
use latchkey_sidecar::run::Running;
use serde_json::{Value, json};

use crate::{
    bundle::token,
    client::{self, Answer},
    pins::{lists, release, reviewed, tool},
    rig::{Rig, wait_for},
};

/// The settings of a decision point with all of its doors.
pub(crate) const DECISION: &str = r#"decision = {address = "127.0.0.1:0", lines = "lines.sock"}"#;

/// By which door a question comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    AuthZen,
    ExtAuthz,
    Lines,
}

impl Door {
    pub(crate) const ALL: [Self; 3] = [Self::AuthZen, Self::ExtAuthz, Self::Lines];
}

/// The reason for what is decided of a call of a tool by alice.
pub(crate) fn decided(sidecar: &Running, door: Door, tool: &str) -> String {
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{value}"))
            .to_owned()
    };
    match door {
        Door::AuthZen => {
            let answer = ask(sidecar, "evaluation", &question(tool));
            text(&answer["context"]["reason"])
        }
        Door::ExtAuthz => {
            let answer = post(sidecar, "/ext_authz/mcp", &client::tool_call(tool));
            if answer.status == 200 {
                return "ok".to_owned();
            }
            answer.outcome()
        }
        Door::Lines => text(&line(sidecar, tool)["reason"]),
    }
}

fn question(tool: &str) -> Value {
    json!({
        "subject": {"type": "principal", "id": "alice"}, "action": {"name": "call"},
        "resource": {"type": "tool", "id": tool},
    })
}

fn ask(sidecar: &Running, endpoint: &str, body: &Value) -> Value {
    let answer = post(
        sidecar,
        &format!("/access/v1/{endpoint}"),
        &body.to_string(),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn post(sidecar: &Running, path: &str, body: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         MCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        token("alice"),
        body.len()
    );
    let mut connection = client::Connection::open(sidecar.decision.unwrap(), "");
    connection.send(&request).unwrap();
    connection.answer().unwrap()
}

fn line(sidecar: &Running, tool: &str) -> Value {
    let config = sidecar.shared().config.decision.as_ref().unwrap();
    let mut stream = UnixStream::connect(config.lines.as_ref().unwrap()).unwrap();
    let call = json!({
        "caller": {"principal": "alice"}, "server": "github", "tool": tool, "arguments": {},
    });
    writeln!(stream, "{call}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// The tools that a search finds for alice.
fn found(sidecar: &Running) -> Vec<String> {
    let mut question = question("get_issue");
    question["resource"] = json!({"type": "tool"});
    let answer = ask(sidecar, "search/resource", &question);
    let results = answer["results"].as_array().unwrap();
    let ids = results.iter().map(|it| it["id"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

#[test]
fn a_tool_that_is_not_the_reviewed_one_is_not_allowed() {
    let settings = format!("{DECISION}\nupstream = {{pins_check = \"1s\"}}");
    let rig = Rig::with(&release(1, PinMode::Enforce), &settings);
    rig.server.script("tools/list", lists(&reviewed()));
    for door in Door::ALL {
        assert_eq!(decided(&rig.sidecar, door, "get_issue"), "ok", "{door:?}");
    }
    assert!(found(&rig.sidecar).iter().any(|it| it == "get_issue"));
    let [_, push_files] = reviewed();
    let changed = lists(&[tool("get_issue", "Reads more."), push_files]);
    rig.server.script("tools/list", changed);
    wait_for("the refusal", || {
        decided(&rig.sidecar, Door::AuthZen, "get_issue") == "tool_changed"
    });
    for door in Door::ALL {
        let refused = decided(&rig.sidecar, door, "get_issue");
        assert_eq!(refused, "tool_changed", "{door:?}");
        let event = rig.events().pop().unwrap();
        assert_eq!(event["reason"], "tool_changed", "{event}");
        assert_eq!(event["detail"], "description changed", "{event}");
        assert_eq!(decided(&rig.sidecar, door, "push_files"), "ok", "{door:?}");
    }
    assert!(found(&rig.sidecar).iter().all(|it| it != "get_issue"));
}

#[test]
fn a_batch_waits_for_a_server_that_says_nothing_as_long_as_one_question() {
    let rig = Rig::with(&release(1, PinMode::Enforce), DECISION);
    let nothing = json!({"error": {"code": -32603, "message": "no"}});
    rig.server.script("tools/list", nothing);
    let items = vec![question("get_issue"); 40];
    let asked = Instant::now();
    let answer = ask(&rig.sidecar, "evaluations", &json!({"evaluations": items}));
    let decisions = answer["evaluations"].as_array().unwrap();
    assert_eq!(decisions.len(), 40);
    assert!(
        decisions
            .iter()
            .all(|it| it["context"]["reason"] == "tool_changed")
    );
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}
