//! A tool server that the sidecar runs itself.

use std::{collections::BTreeSet, path::Path, time::Duration};

use latchkey_sidecar::run::Running;
use serde_json::{Value, json};

use crate::{
    bundle::{Release, token},
    client::{self, Answer, Connection},
    rig::{events, sidecar, wait_for},
};

/// A sidecar that runs a child which is of an era, and misbehaves so.
struct Rig {
    folder: tempfile::TempDir,
    sidecar: Running,
}

impl Rig {
    fn start(era: &str, mode: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        release(1, era, mode).write(folder.path(), "");
        let sidecar = sidecar(folder.path(), more).unwrap();
        Self { folder, sidecar }
    }

    fn open(&self, who: &str) -> Caller {
        Caller {
            connection: Connection::open(self.sidecar.address, ""),
            token: token(who),
            session: None,
            accept: None,
        }
    }

    /// Whether this line is among the metrics.
    fn counts(&self, line: &str) -> bool {
        let metrics = client::get(self.sidecar.admin, "/metrics").body;
        metrics.lines().any(|it| it == line)
    }

    /// The reasons of all requests so far: one event for each.
    fn reasons(&self) -> Vec<String> {
        let events = events(self.folder.path());
        let reason = |event: &Value| event["reason"].as_str().unwrap().to_owned();
        events.iter().map(reason).collect()
    }
}

fn release(version: u64, era: &str, mode: &str) -> Release {
    let child = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sidecar/stdio/child.py");
    Release {
        timeout: 1500,
        command: vec!["python3".to_owned(), child.to_str().unwrap().to_owned()],
        environment: vec![
            ("PATH".to_owned(), None),
            ("ERA".to_owned(), Some(era.to_owned())),
            ("MODE".to_owned(), Some(mode.to_owned())),
        ],
        ..Release::new(version)
    }
}

struct Caller {
    connection: Connection,
    token: String,
    session: Option<String>,
    /// What it takes, unless all that a client of MCP must.
    accept: Option<&'static str>,
}

impl Caller {
    fn post(&mut self, headers: &str, message: &Value) -> Answer {
        self.ask("POST", headers, &message.to_string());
        self.connection.answer().unwrap()
    }

    fn ask(&mut self, method: &str, headers: &str, body: &str) {
        let session = self.session.as_ref();
        let session = session.map_or(String::new(), |it| format!("Mcp-Session-Id: {it}\r\n"));
        let content = if body.is_empty() {
            String::new()
        } else {
            let length = body.len();
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
        };
        let accept = self.accept.unwrap_or("application/json, text/event-stream");
        self.connection
            .send(&format!(
                "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\
                 Authorization: Bearer {}\r\n{session}{headers}{content}\r\n{body}",
                self.token,
            ))
            .unwrap();
    }

    /// A call of the stateless era.
    fn modern(&mut self, id: &Value, tool: &str) -> Answer {
        let (headers, message) = modern(id, tool);
        self.post(&headers, &message)
    }

    /// A call within a session.
    fn legacy(&mut self, id: &Value, tool: &str) -> Answer {
        self.post(LEGACY, &legacy(id, tool))
    }

    /// Takes a call within a session back.
    fn cancel(&mut self, id: &Value) -> Answer {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": id}});
        self.post(LEGACY, &message)
    }

    fn initialize(&mut self) -> Answer {
        let answer = self.post("", &initialize("test"));
        self.session = answer.header("mcp-session-id").map(str::to_owned);
        answer
    }
}

const LEGACY: &str = "MCP-Protocol-Version: 2025-11-25\r\n";

fn legacy(id: &Value, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": id}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn initialize(client: &str) -> Value {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": client, "version": "1"}});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn modern(id: &Value, tool: &str) -> (String, Value) {
    let headers = format!(
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
    );
    let params = json!({"name": tool, "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": id}});
    let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    (headers, message)
}

/// What the child says of itself in an answer to this id.
fn said(answer: &Answer, id: &Value) -> Value {
    let json = answer.json();
    assert_eq!(json["id"], *id, "{answer:?}");
    let text = json["result"]["content"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("{answer:?}"))).unwrap()
}

fn is_alive(process: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn callers_share_a_child_under_ids_of_their_own() {
    let rig = Rig::start("modern", "", "");
    let ask = |who: &'static str, id: Value, tool: &'static str| {
        let mut caller = rig.open(who);
        std::thread::spawn(move || said(&caller.modern(&id, tool), &id))
    };
    // The same id from two callers at once, one of them slow.
    let slow = ask("alice", json!("same"), "slow");
    let fast = ask("alice", json!("same"), "get_issue");
    let (slow, fast) = (slow.join().unwrap(), fast.join().unwrap());
    assert_eq!(slow["pid"], fast["pid"]);
    assert_ne!(slow["id"], fast["id"]);
    assert!(slow["id"].is_u64() && fast["id"].is_u64());
    assert_eq!(
        rig.open("bob").modern(&json!(1), "get_issue").outcome(),
        "surface_unmatched"
    );
    assert_eq!(rig.reasons(), ["ok", "ok", "no_permission"]);
}

#[test]
fn a_child_gets_the_environment_and_folder_that_it_is_declared_and_nothing_else() {
    let rig = Rig::start("modern", "", "stdio.directory = \"/\"");
    let said = said(&rig.open("alice").modern(&json!(1), "get_issue"), &json!(1));
    let names = said["env"].as_array().unwrap();
    for (name, passed) in [
        ("PATH", true),
        ("ERA", true),
        ("CARGO", false),
        ("HOME", false),
    ] {
        assert!(std::env::var_os(name).is_some() || name == "ERA", "{name}");
        assert_eq!(names.contains(&json!(name)), passed, "{name}: {names:?}");
    }
    assert_eq!(said["cwd"], "/");
}

#[test]
fn progress_comes_as_events_under_the_callers_token() {
    let rig = Rig::start("modern", "", "");
    let answer = rig.open("alice").modern(&json!("mine"), "stream");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let messages: Vec<Value> = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(messages.len(), 4, "{answer:?}");
    for message in &messages[..3] {
        assert_eq!(message["params"]["progressToken"], "mine");
    }
    assert_eq!(messages[3]["id"], "mine");
}

#[test]
fn a_caller_that_goes_away_takes_its_request_back() {
    let rig = Rig::start("modern", "", "");
    let mut caller = rig.open("alice");
    let number = said(&caller.modern(&json!(1), "get_issue"), &json!(1))["id"]
        .as_u64()
        .unwrap();
    let mut other = rig.open("alice");
    let (headers, message) = modern(&json!(2), "steady");
    other.ask("POST", &headers, &message.to_string());
    std::thread::sleep(Duration::from_millis(200));
    drop(other);
    wait_for("the cancellation", || {
        let seen = &said(&caller.modern(&json!(3), "get_issue"), &json!(3))["seen"];
        let expected = json!(["notifications/cancelled", number + 1]);
        seen.as_array().unwrap().contains(&expected)
    });
}

#[test]
fn a_child_that_is_killed_is_started_again() {
    let rig = Rig::start("modern", "", "");
    let mut caller = rig.open("alice");
    let first = said(&caller.modern(&json!(1), "get_issue"), &json!(1))["pid"].clone();
    let mut waiting = rig.open("alice");
    let (headers, message) = modern(&json!(2), "steady");
    waiting.ask("POST", &headers, &message.to_string());
    std::thread::sleep(Duration::from_millis(100));
    let killed = std::process::Command::new("kill")
        .args(["-9", &first.to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(
        waiting.connection.answer().unwrap().outcome(),
        "upstream_unavailable"
    );
    let second = said(&caller.modern(&json!(3), "get_issue"), &json!(3))["pid"].clone();
    assert_ne!(first, second);
    assert!(!is_alive(&first));
    assert_eq!(rig.reasons(), ["ok", "upstream_unavailable", "ok"]);
    for line in [
        "latchkey_children 1",
        "latchkey_children_started_total 2",
        "latchkey_children_failed_total 1",
    ] {
        wait_for(line, || rig.counts(line));
    }
}

#[test]
fn a_program_that_cannot_be_started_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut release = release(1, "modern", "");
    release.command = vec!["/nowhere/server".to_owned()];
    release.write(folder.path(), "");
    let sidecar = sidecar(folder.path(), "").unwrap();
    let rig = Rig { folder, sidecar };
    let answer = rig.open("alice").modern(&json!(1), "get_issue");
    assert_eq!(answer.outcome(), "upstream_unavailable");
    assert!(rig.counts("latchkey_children_failed_total 1"));
    assert!(rig.counts("latchkey_children_started_total 0"));
}

#[test]
fn whatever_a_child_does_its_callers_get_an_answer_and_one_event_each() {
    for (mode, expected) in [
        ("die", "upstream_unavailable"),
        ("close", "upstream_unavailable"),
        ("long", "upstream_unavailable"),
        ("flood", "upstream_unavailable"),
        ("rubbish", "ok"),
        ("strange", "ok"),
    ] {
        let rig = Rig::start("modern", mode, "stdio.grace = \"50ms\"");
        let mut caller = rig.open("alice");
        let first = said(&caller.modern(&json!(0), "get_issue"), &json!(0))["pid"].clone();
        let answer = caller.modern(&json!(1), "push_files");
        assert_eq!(answer.outcome(), expected, "{mode}");
        // The next call is served, by a new child where the old one was no good.
        let next = said(&caller.modern(&json!(2), "get_issue"), &json!(2));
        assert_eq!(next["pid"] == first, expected == "ok", "{mode}");
        if expected != "ok" {
            wait_for("the end of the old child", || !is_alive(&first));
        }
        assert_eq!(rig.reasons(), ["ok", expected, "ok"], "{mode}");
    }
}

#[test]
fn a_child_that_hangs_is_ended_and_started_again() {
    let rig = Rig::start("modern", "hang", "stdio.grace = \"50ms\"");
    let mut caller = rig.open("alice");
    assert_eq!(
        caller.modern(&json!(1), "get_issue").outcome(),
        "upstream_timeout"
    );
    // No sign of life for five seconds more.
    std::thread::sleep(Duration::from_secs(6));
    let log = "hangs again";
    assert_eq!(
        caller.modern(&json!(2), "get_issue").outcome(),
        "upstream_timeout",
        "{log}"
    );
    assert_eq!(rig.reasons(), ["upstream_timeout", "upstream_timeout"]);
}

#[test]
fn a_program_that_does_not_start_is_tried_ever_less_often() {
    let rig = Rig::start("modern", "stillborn", "");
    let mut caller = rig.open("alice");
    for id in 0..5 {
        assert_eq!(
            caller.modern(&json!(id), "get_issue").outcome(),
            "upstream_unavailable"
        );
    }
    let rig = Rig::start("modern", "", "stdio.open_files = 16");
    let ids = (0..3).map(|id| rig.open("alice").modern(&json!(id), "get_issue").outcome());
    assert_eq!(
        ids.collect::<BTreeSet<_>>(),
        BTreeSet::from(["ok".to_owned()])
    );
}

#[test]
fn a_session_is_a_child_of_its_own_and_its_openers_alone() {
    let rig = Rig::start("legacy", "", "");
    let (mut first, mut second) = (rig.open("alice"), rig.open("alice"));
    assert_eq!(first.initialize().outcome(), "ok");
    assert_eq!(second.initialize().outcome(), "ok");
    let id = json!(1);
    let (one, two) = (
        said(&first.legacy(&id, "get_issue"), &id),
        said(&second.legacy(&id, "get_issue"), &id),
    );
    assert_ne!(one["pid"], two["pid"]);
    // Who knows the session of another has nothing of it.
    let mut thief = rig.open("bob");
    thief.session.clone_from(&first.session);
    let ping = json!({"jsonrpc": "2.0", "id": 9, "method": "ping"});
    let stolen = thief.post(LEGACY, &ping);
    assert!(stolen.json().get("result").is_none(), "{stolen:?}");
    // Without a session there is no child to ask.
    let mut lost = rig.open("alice");
    assert_eq!(lost.legacy(&id, "get_issue").status, 400);
    first.ask("DELETE", LEGACY, "");
    assert_eq!(first.connection.answer().unwrap().status, 200);
    assert_eq!(first.legacy(&json!(2), "get_issue").status, 404);
    wait_for("the end of the child", || !is_alive(&one["pid"]));
    assert!(is_alive(&two["pid"]));
}

#[test]
fn a_caller_with_too_many_sessions_loses_its_oldest_and_nobody_elses() {
    let rig = Rig::start("legacy", "", "stdio = {sessions = 3, sessions_each = 2}");
    let mut callers: Vec<Caller> = (0..3).map(|_| rig.open("alice")).collect();
    for caller in &mut callers {
        assert_eq!(caller.initialize().outcome(), "ok");
    }
    assert_eq!(callers[0].legacy(&json!(1), "get_issue").status, 404);
    assert_eq!(callers[1].legacy(&json!(1), "get_issue").outcome(), "ok");
    assert_eq!(callers[2].legacy(&json!(1), "get_issue").outcome(), "ok");
}

#[test]
fn sessions_that_are_opened_at_once_keep_to_their_limit() {
    let rig = Rig::start("legacy", "", "stdio = {sessions = 3, sessions_each = 2}");
    // None of them is answered before the last of them has come.
    let open = |mut caller: Caller| {
        std::thread::spawn(move || caller.post("", &initialize("mute")).outcome())
    };
    let opened: Vec<_> = (0..6).map(|_| open(rig.open("alice"))).collect();
    let mut outcomes: Vec<_> = opened.into_iter().map(|it| it.join().unwrap()).collect();
    outcomes.sort();
    assert_eq!(outcomes[..2], ["upstream_timeout"; 2]);
    assert_eq!(outcomes[2..], ["upstream_unavailable"; 4]);
    assert!(rig.counts("latchkey_children_started_total 2"));
    wait_for("a place", || {
        rig.open("alice").initialize().outcome() == "ok"
    });
}

#[test]
fn who_goes_away_while_its_session_is_opened_gives_its_place_back() {
    let rig = Rig::start("legacy", "", "stdio = {sessions = 1, sessions_each = 1}");
    let mut caller = rig.open("alice");
    caller.ask("POST", "", &initialize("mute").to_string());
    wait_for("a child", || rig.counts("latchkey_children 1"));
    assert_eq!(
        rig.open("alice").initialize().outcome(),
        "upstream_unavailable"
    );
    drop(caller);
    wait_for("the place", || {
        rig.open("alice").initialize().outcome() == "ok"
    });
}

#[test]
fn a_session_that_was_ended_keeps_its_place_until_its_last_call_has() {
    let rig = Rig::start("legacy", "", "stdio = {sessions = 1, sessions_each = 1}");
    let (mut caller, mut waiting) = (rig.open("alice"), rig.open("alice"));
    assert_eq!(caller.initialize().outcome(), "ok");
    waiting.session.clone_from(&caller.session);
    waiting.ask("POST", LEGACY, &legacy(&json!(1), "steady").to_string());
    std::thread::sleep(Duration::from_millis(200));
    caller.ask("DELETE", LEGACY, "");
    assert_eq!(caller.connection.answer().unwrap().status, 200);
    let mut next = rig.open("alice");
    assert_eq!(next.initialize().outcome(), "upstream_unavailable");
    drop(waiting);
    wait_for("the place", || next.initialize().outcome() == "ok");
}

#[test]
fn an_idle_session_ends() {
    let rig = Rig::start("legacy", "", "stdio.idle_timeout = \"1s\"");
    let mut caller = rig.open("alice");
    assert_eq!(caller.initialize().outcome(), "ok");
    let pid = said(&caller.legacy(&json!(1), "get_issue"), &json!(1))["pid"].clone();
    wait_for("the end of the session", || !is_alive(&pid));
    assert_eq!(caller.legacy(&json!(2), "get_issue").status, 404);
}

#[test]
fn a_call_that_is_cancelled_ends_without_an_answer_and_is_forgotten() {
    let rig = Rig::start(
        "legacy",
        "",
        "stdio = {requests = 2, idle_timeout = \"2s\"}",
    );
    let mut caller = rig.open("alice");
    assert_eq!(caller.initialize().outcome(), "ok");
    for (id, accept, status) in [
        ("a", "", 200),
        ("b", "", 200),
        // Who takes no events has no other way to hear nothing.
        ("c", "application/json", 202),
    ] {
        let id = json!(id);
        let mut waiting = rig.open("alice");
        waiting.session.clone_from(&caller.session);
        waiting.accept = Some(accept).filter(|it| !it.is_empty());
        waiting.ask("POST", LEGACY, &legacy(&id, "steady").to_string());
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(caller.cancel(&id).status, 202);
        let answer = waiting.connection.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{id}");
    }
    let said = said(&caller.legacy(&json!(1), "get_issue"), &json!(1));
    let cancelled = json!(["notifications/cancelled", said["id"].as_u64().unwrap() - 1]);
    assert!(said["seen"].as_array().unwrap().contains(&cancelled));
    assert_eq!(rig.reasons(), ["ok"; 8]);
    wait_for("the end of the session", || !is_alive(&said["pid"]));
}

#[test]
fn a_call_that_nobody_waits_for_is_worked_on_and_forgotten_in_time() {
    let rig = Rig::start(
        "legacy",
        "late",
        "stdio = {requests = 2, idle_timeout = \"3s\"}",
    );
    let mut caller = rig.open("alice");
    assert_eq!(caller.initialize().outcome(), "ok");
    // Its answer comes after all, and is nobody's.
    assert_eq!(
        caller.legacy(&json!("late"), "push_files").outcome(),
        "upstream_timeout"
    );
    for id in ["a", "b"] {
        let mut gone = rig.open("alice");
        gone.session.clone_from(&caller.session);
        gone.ask("POST", LEGACY, &legacy(&json!(id), "steady").to_string());
        std::thread::sleep(Duration::from_millis(600));
    }
    let mut said_last = Value::Null;
    wait_for("room for another call", || {
        let answer = caller.legacy(&json!(1), "get_issue");
        let served = answer.outcome() == "ok";
        if served {
            said_last = said(&answer, &json!(1));
        }
        served
    });
    let seen = said_last["seen"].as_array().unwrap();
    assert_eq!(seen.iter().filter(|it| **it == "tools/call").count(), 4);
    assert!(!seen.iter().any(Value::is_array), "{seen:?}");
    wait_for("the end of the session", || !is_alive(&said_last["pid"]));
}

#[test]
fn a_stateless_request_for_a_program_with_sessions_says_which_revisions_it_speaks() {
    let rig = Rig::start("legacy", "", "");
    let answer = rig.open("alice").modern(&json!(1), "get_issue");
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!(-32022))
    );
    assert_eq!(answer.json()["error"]["data"]["supported"][0], "2025-11-25");
}

#[test]
fn a_bundle_with_another_command_ends_the_child_of_the_old_one() {
    let rig = Rig::start("modern", "", "");
    let mut caller = rig.open("alice");
    let first = said(&caller.modern(&json!(1), "get_issue"), &json!(1))["pid"].clone();
    // Another version of the same policy keeps it.
    let swapped = |version: u64| {
        wait_for("the new bundle", || {
            rig.sidecar
                .shared()
                .active()
                .is_some_and(|it| it.release.version == version)
        });
    };
    release(2, "modern", "").write(rig.folder.path(), "");
    swapped(2);
    assert_eq!(
        said(&caller.modern(&json!(2), "get_issue"), &json!(2))["pid"],
        first
    );
    release(3, "modern", "other").write(rig.folder.path(), "");
    swapped(3);
    let second = said(&caller.modern(&json!(3), "get_issue"), &json!(3))["pid"].clone();
    assert_ne!(first, second);
    wait_for("the end of the old child", || !is_alive(&first));
    assert!(is_alive(&second));
}

#[test]
fn children_end_with_the_sidecar_whether_they_want_or_not() {
    for mode in ["", "stubborn"] {
        let rig = Rig::start("modern", mode, "stdio.grace = \"100ms\"");
        let mut caller = rig.open("alice");
        let pid = said(&caller.modern(&json!(1), "get_issue"), &json!(1))["pid"].clone();
        drop(caller);
        assert!(is_alive(&pid));
        let Rig { sidecar, folder } = rig;
        assert!(sidecar.drain());
        assert!(!is_alive(&pid), "{mode}");
        drop(folder);
    }
}

#[test]
fn a_program_that_is_no_server_is_the_fault_of_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let release = Release {
        command: vec!["/no/such/program".to_owned()],
        ..Release::new(1)
    };
    release.write(folder.path(), "");
    let sidecar = sidecar(folder.path(), "").unwrap();
    let mut caller = Caller {
        connection: Connection::open(sidecar.address, ""),
        token: token("alice"),
        session: None,
        accept: None,
    };
    assert_eq!(
        caller.modern(&json!(1), "get_issue").outcome(),
        "upstream_unavailable"
    );
    // A command and an upstream: the bundle contradicts itself and is not put in force.
    let folder = tempfile::tempdir().unwrap();
    release.write(folder.path(), "http://127.0.0.1:1/mcp");
    let sidecar = crate::rig::sidecar(folder.path(), "").unwrap();
    assert!(sidecar.shared().active().is_none());
}
