//! One process takes over from another while callers call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    bundle::{self, token},
    client,
    crash::Program,
    rig::{events, wait_for},
    server::ToolServer,
};

const CALLERS: usize = 8;

/// Calls until told to stop: on a connection for each call, or on one for as long as it is kept.
fn call(
    address: std::net::SocketAddr,
    keeps: bool,
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<client::Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        let connection = kept.take().map_or_else(
            || client::Connection::try_open(address, &token("alice")),
            Ok,
        );
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        match connection.call("steady") {
            Ok(answer) if answer.outcome() == "ok" => {
                answered.fetch_add(1, Ordering::Relaxed);
                let closes = answer.header("connection") == Some("close");
                kept = Some(connection).filter(|_| keeps && !closes);
            }
            Ok(answer) => failures.push(format!("{answer:?}")),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

#[test]
fn no_request_fails_while_one_process_replaces_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let more = "listen.handover = true";
    let mut running = Program::start(folder.path(), more);
    let (address, admin) = (running.address, running.admin);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || call(address, n % 2 == 0, &stop, &answered))
        })
        .collect();
    for _ in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        wait_for("answers", || answered.load(Ordering::Relaxed) > before + 50);
        let next = Program::again(folder.path(), address, admin);
        assert_eq!(running.ended(), Some(0));
        running = next;
    }
    let before = answered.load(Ordering::Relaxed);
    wait_for("answers", || answered.load(Ordering::Relaxed) > before + 50);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Vec::<String>::new());
    }
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0));
    let answered = answered.load(Ordering::Relaxed);
    let events = events(folder.path());
    assert_eq!(events.len(), answered);
    assert!(events.iter().all(|event| event["outcome"] == "success"));
    assert_eq!(server.seen().len(), answered);
}

#[test]
fn a_call_in_flight_ends_before_the_next_process_begins() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let first = Program::start(folder.path(), "listen.handover = true");
    let (address, admin) = (first.address, first.admin);
    let slow = std::thread::spawn(move || client::call(address, &token("alice"), "slow"));
    wait_for("the call", || server.seen().len() == 1);
    let second = Program::again(folder.path(), address, admin);
    // It waits in the queue of the socket, however long that takes.
    assert_eq!(
        client::call(address, &token("alice"), "get_issue").outcome(),
        "ok"
    );
    assert_eq!(slow.join().unwrap().outcome(), "ok");
    assert_eq!(first.ended(), Some(0));
    second.signal("TERM");
    assert_eq!(second.ended(), Some(0));
    assert_eq!(events(folder.path()).len(), 2);
}

#[test]
fn without_the_setting_a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let first = Program::start(folder.path(), "");
    let second = Program::again(folder.path(), first.address, first.admin);
    assert_eq!(second.ended(), Some(1));
    assert!(std::fs::metadata(folder.path().join("state/handover.sock")).is_err());
    std::thread::sleep(Duration::from_millis(50));
    let answer = client::call(first.address, &token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
    first.signal("TERM");
    assert_eq!(first.ended(), Some(0));
}
