//! Audit logs that are moved away, cut short, or wanted by two.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

use crate::{
    bundle::{self, token},
    client,
    crash::Program,
    rig::{Rig, events, sidecar, wait_for},
    server::ToolServer,
};

/// The events in some logs, after checking that their chain goes through all of them.
fn chained(folder: &Path, names: &[&str]) -> Vec<Value> {
    let read = |name: &&str| std::fs::read_to_string(folder.join(name)).unwrap();
    let text: String = names.iter().map(read).collect();
    latchkey_gate::event::verify_chain(text.lines()).unwrap();
    parsed(&text)
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The outcome of each request; none may have two events.
fn outcomes(events: &[Value]) -> BTreeMap<String, String> {
    let mut outcomes = BTreeMap::new();
    for event in events.iter().filter(|it| it["event_type"] == "request") {
        let word = |key: &str| event[key].as_str().unwrap().to_owned();
        let before = outcomes.insert(word("event_id"), word("outcome"));
        assert!(before.is_none(), "twice: {event}");
    }
    outcomes
}

fn start(folder: &Path) -> (std::sync::Arc<ToolServer>, Program) {
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder, &server.upstream());
    let program = Program::start(folder, "");
    (server, program)
}

fn call(program: &Program) {
    let answer = client::call(program.address, &token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
}

/// Has one call answered and one in flight, and kills the program. Answers the id of the latter.
fn killed(folder: &Path) -> String {
    let (server, program) = start(folder);
    call(&program);
    let mut open = client::Connection::open(program.address, &token("alice"));
    open.post(&client::tool_call("slow")).unwrap();
    wait_for("the call", || server.seen().len() == 2);
    program.signal("KILL");
    assert_eq!(program.ended(), None);
    server.seen().pop().unwrap().request_id
}

/// Starts again and stops.
fn again(folder: &Path) {
    let program = Program::start(folder, "");
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
}

#[test]
fn a_log_that_is_moved_after_a_clean_stop_leaves_no_event_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, program) = start(folder.path());
    for _ in 0..5 {
        call(&program);
    }
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
    let log = folder.path().join("audit.jsonl");
    std::fs::rename(&log, folder.path().join("moved")).unwrap();
    again(folder.path());
    let events = chained(folder.path(), &["moved", "audit.jsonl"]);
    let outcomes = outcomes(&events);
    assert_eq!(outcomes.len(), 5);
    assert!(outcomes.values().all(|it| it == "success"), "{outcomes:?}");
}

#[test]
fn a_log_that_is_moved_after_a_kill_is_still_searched() {
    let folder = tempfile::tempdir().unwrap();
    let cut_off = killed(folder.path());
    let (log, moved) = ("audit.jsonl", "audit.jsonl.1");
    std::fs::rename(folder.path().join(log), folder.path().join(moved)).unwrap();
    again(folder.path());
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let outcomes = outcomes(&parsed(&(text(moved) + &text(log))));
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[&cut_off], "internal");
}

#[test]
fn of_a_log_that_is_gone_after_a_kill_nothing_false_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let in_flight = killed(folder.path());
    std::fs::remove_file(folder.path().join("audit.jsonl")).unwrap();
    again(folder.path());
    assert_eq!(events(folder.path()), Vec::<Value>::new());
    let events = chained(folder.path(), &["audit.jsonl"]);
    let unsettled: Vec<&Value> = events
        .iter()
        .filter(|event| event["event_type"] == "request_unsettled")
        .collect();
    let last = unsettled.last().unwrap();
    assert_eq!(last["request_id"], in_flight.as_str());
    assert_ne!(last["event_id"], in_flight.as_str());
}

#[test]
fn what_was_written_a_while_before_a_kill_needs_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, program) = start(folder.path());
    call(&program);
    let journal = folder.path().join("state/audit.journal");
    wait_for("the note", || {
        std::fs::read_to_string(&journal)
            .unwrap()
            .contains("\"closed\"")
    });
    program.signal("KILL");
    program.ended();
    std::fs::remove_file(folder.path().join("audit.jsonl")).unwrap();
    again(folder.path());
    let events = chained(folder.path(), &["audit.jsonl"]);
    let of_requests = |event: &&Value| event["event_type"].as_str().unwrap().starts_with("request");
    assert_eq!(events.iter().filter(of_requests).count(), 0);
}

#[test]
fn a_running_sidecar_goes_on_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, program) = start(folder.path());
    let log = folder.path().join("audit.jsonl");
    call(&program);
    for (moved, hang_up) in [("one", true), ("two", false)] {
        std::fs::rename(&log, folder.path().join(moved)).unwrap();
        if hang_up {
            program.signal("HUP");
        }
        wait_for("the new file", || log.exists());
        call(&program);
    }
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
    assert_eq!(events(folder.path()).len(), 1);
    let events = chained(folder.path(), &["one", "two", "audit.jsonl"]);
    assert_eq!(outcomes(&events).len(), 3);
}

#[test]
fn a_log_that_is_cut_short_gets_no_hole() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, program) = start(folder.path());
    for _ in 0..20 {
        call(&program);
    }
    let log = std::fs::File::options()
        .write(true)
        .open(folder.path().join("audit.jsonl"))
        .unwrap();
    log.set_len(0).unwrap();
    // What is written in part is taken back, to where the file ends now.
    let limit = |most: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args([
            format!("--fsize={most}:"),
            format!("--pid={}", program.id()),
        ]);
        assert!(prlimit.status().unwrap().success());
    };
    limit("100");
    let answer = client::call(program.address, &token("bob"), "get_issue");
    assert_eq!(answer.outcome(), "audit_unavailable");
    limit("unlimited");
    wait_for("room", || {
        client::get(program.admin, "/readyz").status == 200
    });
    call(&program);
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));
    assert_eq!(events(folder.path()).len(), 2);
}

#[test]
fn a_second_sidecar_is_refused_the_log() {
    let rig = Rig::start("");
    let error = sidecar(rig.folder.path(), "state = {directory = \"other\"}").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("audit.jsonl is locked"), "{error}");
    assert!(error.contains("give each its own"), "{error}");
}

#[test]
fn what_was_written_to_see_whether_there_is_room_is_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, program) = start(folder.path());
    call(&program);
    program.signal("KILL");
    assert_eq!(program.ended(), None);
    let path = folder.path().join("audit.jsonl");
    let before = std::fs::read_to_string(&path).unwrap();
    // Killed before it was taken back.
    std::fs::write(&path, before.clone() + &" ".repeat(3000)).unwrap();
    again(folder.path());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(&before));
    assert_eq!(outcomes(&chained(folder.path(), &["audit.jsonl"])).len(), 1);
    let cut = std::fs::read_dir(folder.path().join("state")).unwrap();
    let cut = cut.filter(|it| {
        it.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("cut")
    });
    assert_eq!(cut.count(), 0);
}
