//! A disk or a pipe that gets full while the sidecar runs, and has room again later.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Read,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    bundle, client,
    crash::Program,
    rig::{events, wait_for},
    server::ToolServer,
};

const CALLERS: usize = 8;

/// Limits how long the files of a program may get, in bytes.
fn limit(program: &Program, most: &str) {
    let status = Command::new("prlimit")
        .arg(format!("--fsize={most}:"))
        .args(["--pid", &program.id().to_string()])
        .status()
        .expect("this test needs `prlimit`, of util-linux");
    assert!(status.success());
}

fn length(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

/// Calls until the audit log is told to be unavailable, at most this often; answers how often.
fn call_until_refused(program: &Program, most: usize) -> usize {
    let mut connection = client::Connection::open(program.address, &bundle::token("alice"));
    for count in 1..=most {
        // An answer that has begun can only break off.
        let Ok(answer) = connection.call("get_issue") else {
            return count;
        };
        match answer.outcome().as_str() {
            "ok" => {}
            "audit_unavailable" => return count,
            other => panic!("{other}"),
        }
    }
    panic!("the disk did not get full");
}

#[test]
fn a_disk_that_gets_full_refuses_and_recovers_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::start(folder.path(), "");
    let token = bundle::token("alice");
    let (log, journal) = (
        folder.path().join("audit.jsonl"),
        folder.path().join("state/audit.journal"),
    );
    let mut calls = 0;
    // First the log is the longer of both, then the journal: either may be what does not fit.
    for padding in [20, 0] {
        for _ in 0..=padding {
            assert_eq!(
                client::call(program.address, &token, "steady").outcome(),
                "ok"
            );
            let denied = client::call(program.address, &bundle::token("bob"), "get_issue");
            assert_eq!(denied.outcome(), "surface_unmatched");
            calls += 2;
        }
        let room = length(&log).max(length(&journal)) + 20_000;
        limit(&program, &room.to_string());
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    made.fetch_add(call_until_refused(&program, 100), Ordering::Relaxed);
                });
            }
        });
        calls += made.into_inner();
        // Nothing is forwarded any more, and everybody is told; the bundle stays in force.
        let forwarded = server.seen().len();
        calls += call_until_refused(&program, 1);
        assert_eq!(server.seen().len(), forwarded);
        assert_eq!(client::get(program.admin, "/readyz").status, 503);
        let status = client::get(program.admin, "/status").json();
        assert_eq!(status["state"], "the audit log cannot be written");
        assert_eq!(status["bundle"]["version"], 1);

        limit(&program, "unlimited");
        wait_for("room", || {
            client::get(program.admin, "/readyz").status == 200
        });
        let answer = client::call(program.address, &token, "get_issue");
        assert_eq!(answer.outcome(), "ok");
        calls += 1;
    }
    program.signal("TERM");
    assert_eq!(program.ended(), Some(0));

    // One event for each request, the refused ones included, in one chain.
    let events = events(folder.path());
    let ids: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| event["event_id"].as_str())
        .collect();
    assert_eq!((ids.len(), events.len()), (calls, calls));
    for seen in server.seen() {
        assert!(ids.contains(seen.request_id.as_str()), "forwarded unseen");
    }
}

#[test]
fn a_disk_with_no_room_for_an_intent_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::start(folder.path(), "audit = {file = \"/dev/null\"}");
    let token = bundle::token("alice");
    let call = || client::call(program.address, &token, "get_issue").outcome();
    assert_eq!(call(), "ok");
    let room = length(&folder.path().join("state/audit.journal")) + 600;
    limit(&program, &room.to_string());
    assert_eq!(call(), "audit_unavailable");
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(client::get(program.admin, "/readyz").status, 503);
        std::thread::sleep(Duration::from_millis(20));
    }
    limit(&program, "unlimited");
    wait_for("room", || {
        client::get(program.admin, "/readyz").status == 200
    });
    assert_eq!(call(), "ok");
}

#[test]
fn who_stops_reading_the_log_stops_calls_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let program = Program::start(
        folder.path(),
        "audit = {file = \"pipe\"}\nlisten.workers = 1",
    );
    let calls = call_until_refused(&program, 1000);
    let since = Instant::now();
    assert_eq!(call_until_refused(&program, 1), 1);
    assert_eq!(client::get(program.admin, "/readyz").status, 503);
    assert!(since.elapsed() < Duration::from_secs(3));
    // The first of those refused was let through on its intent, and its event waits.
    assert_eq!(server.seen().len(), calls);

    let wanted = calls + 2;
    let lines = std::thread::spawn(move || {
        let (mut text, mut bytes) = (String::new(), [0; 4096]);
        while text.lines().count() < wanted || !text.ends_with('\n') {
            let count = reader.read(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        text
    });
    wait_for("the reader", || {
        client::get(program.admin, "/readyz").status == 200
    });
    let answer = client::call(program.address, &bundle::token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
    let lines = lines.join().unwrap();
    latchkey_gate::event::verify_chain(lines.lines()).unwrap();
    assert_eq!(lines.lines().count(), wanted);
}
