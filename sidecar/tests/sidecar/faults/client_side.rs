//! Faults of callers.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{Manner, NOT_WHOLE, Row, Scene, saw};
use crate::{
    client::{self, Connection},
    rig::wait_for,
};

/// How many are slow at a time.
const SLOW: usize = 1000;

const REFUSED: &str = "malformed_request client_error";

pub(super) const ROWS: &[Row] = &[
    Row {
        fault: "the caller sends a body that is not JSON",
        comes: &[("400 malformed_request", REFUSED)],
        inject: |scene| vec![scene.post(r#"{"jsonrpc":"2.0","id":1,"#)],
    },
    Row {
        fault: "the caller sends a head that is not HTTP",
        comes: &[("400", REFUSED)],
        inject: |scene| vec![scene.say("POST /mcp HTTP/1.1\r\nHo st: x\r\n\r\n")],
    },
    Row {
        fault: "the caller begins a body, and stops",
        comes: &[("400 malformed_request", REFUSED)],
        inject: |scene| vec![scene.say(&head("Content-Length: 100\r\n", "{\"jsonrpc\""))],
    },
    Row {
        fault: "the caller sends a body that is too large",
        comes: &[("413 payload_too_large", "payload_too_large client_error")],
        inject: |scene| vec![scene.say(&head("Content-Length: 1073741824\r\n", "{"))],
    },
    Row {
        fault: "the caller sends a body that has no end",
        comes: &[("413 payload_too_large", "payload_too_large client_error")],
        inject: |scene| {
            let chunk = format!("20000\r\n{}\r\n", " ".repeat(0x20000));
            vec![scene.say(&head("Transfer-Encoding: chunked\r\n", &chunk))]
        },
    },
    Row {
        fault: "the caller closes its half while it waits",
        comes: &[(NOT_WHOLE, "ok client_error")],
        inject: |scene| {
            let mut connection = waiting(scene);
            connection.socket().shutdown(Shutdown::Write).unwrap();
            vec![saw(&mut connection)]
        },
    },
    Row {
        fault: "the caller resets the connection while it waits",
        comes: &[(NOT_WHOLE, "ok client_error")],
        inject: |scene| {
            let connection = waiting(scene);
            let zero = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(connection.socket(), zero).unwrap();
            drop(connection);
            vec![NOT_WHOLE.to_owned()]
        },
    },
    Row {
        fault: "the caller does not read its answer",
        comes: &[(NOT_WHOLE, "ok client_error")],
        inject: |scene| {
            scene.upstream.behave(Manner::Huge);
            let mut connection = scene.connect();
            connection.post(&client::tool_call("get_issue")).unwrap();
            let (_, headers) = connection.head().unwrap();
            let cut_off = || !scene.has_connections();
            wait_for("the end of patience", cut_off);
            assert!(connection.body(&headers).is_err());
            vec![NOT_WHOLE.to_owned()]
        },
    },
    Row {
        fault: "1,000 callers send a byte at a time, and one calls as usual",
        comes: &[("200 ok", "ok success"), (NOT_WHOLE, REFUSED)],
        inject: slow_callers,
    },
];

/// The head of a request with more headers, and the beginning of its body.
fn head(more: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}\r\n{body}"
    )
}

/// A connection whose call has reached a server that says nothing.
fn waiting(scene: &Scene) -> Connection {
    scene.upstream.behave(Manner::Hang);
    let before = scene.upstream.read();
    let mut connection = scene.connect();
    connection.post(&client::tool_call("get_issue")).unwrap();
    wait_for("the call", || scene.upstream.read() > before);
    connection
}

fn slow_callers(scene: &Scene) -> Vec<String> {
    let text = head("X-Slow: 1\r\n", "");
    let mut slow: Vec<Option<TcpStream>> = (0..SLOW)
        .map(|_| Some(TcpStream::connect(scene.program.address).unwrap()))
        .collect();
    let over = AtomicBool::new(false);
    let mut all = vec![NOT_WHOLE.to_owned(); SLOW];
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut good = Vec::new();
            let mut times = Vec::new();
            while !over.load(Relaxed) {
                let began = Instant::now();
                good.push(scene.call());
                times.push(began.elapsed());
            }
            (good, times)
        });
        for byte in text.as_bytes().chunks(1) {
            for place in &mut slow {
                let sent = place.as_mut().is_some_and(|it| it.write_all(byte).is_ok());
                if !sent {
                    *place = None;
                }
            }
            if slow.iter().all(Option::is_none) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Relaxed);
        let (good, took) = good.join().unwrap();
        all.extend(good);
        times = took;
    });
    assert!(slow.iter().all(Option::is_none), "slow callers are served");
    times.sort_unstable();
    let longest = times.last().unwrap();
    let middle = times[times.len() / 2];
    println!(
        "  {} good calls meanwhile: median {middle:?}, longest {longest:?}",
        times.len()
    );
    assert!(times.len() >= 3 && *longest < Duration::from_secs(10));
    all
}
