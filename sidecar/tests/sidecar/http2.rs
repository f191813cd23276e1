//! HTTP/2: the same requests, the same events, and bounds of its own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bundle::token,
    client,
    rig::{Rig, wait_for},
    web::{Web, call, post, run},
};

const CLEARTEXT: &str = "listen = {http2 = {cleartext = true}}";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn open(rig: &Rig) -> Web {
    Web::two(TcpStream::connect(rig.sidecar.address).await.unwrap()).await
}

/// The head of a frame, and its payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not indexed, with a short name and value.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.bytes());
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value.bytes());
    field
}

fn get() -> Vec<u8> {
    [
        field(":method", "GET"),
        field(":scheme", "http"),
        field(":authority", "localhost"),
        field(":path", "/mcp"),
    ]
    .concat()
}

#[test]
fn prior_knowledge_is_taken_where_it_is_configured_and_http1_stays() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        let mut web = open(&rig).await;
        let answer = web.call(&token("alice"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "ok");
    });
    assert_eq!(rig.call(&token("alice"), "get_issue").outcome(), "ok");
    let events = rig.events();
    assert_eq!(events.len(), 2);
    // What the server sees does not depend on the version.
    let seen = rig.server.seen();
    let names = |at: usize| seen[at].headers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(0), names(1));
    assert_eq!(seen[0].headers["host"], seen[1].headers["host"]);

    let plain = Rig::start("");
    run(async {
        let mut stream = TcpStream::connect(plain.sidecar.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    });
    wait_for("the event", || plain.events().len() == 1);
}

#[test]
fn many_requests_share_a_connection() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        let Web::Two(sender) = open(&rig).await else {
            panic!("not HTTP/2")
        };
        let calls = (0..50).map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let response = sender.send_request(call(&token("alice"), "steady")).await;
                response.unwrap().status()
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), 200);
        }
    });
    assert_eq!(rig.events().len(), 50);
    assert_eq!(rig.server.seen().len(), 50);
}

#[test]
fn the_authority_is_the_host() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        for (uri, host, good) in [
            ("http://localhost/mcp", None, true),
            ("http://evil.example/mcp", None, false),
            ("http://localhost/mcp", Some("evil.example"), false),
            ("http://evil.example/mcp", Some("localhost"), false),
        ] {
            let mut request = call(&token("alice"), "get_issue");
            *request.uri_mut() = uri.parse().unwrap();
            request.headers_mut().remove("host");
            if let Some(host) = host {
                request.headers_mut().insert("host", host.parse().unwrap());
            }
            let response = open(&rig).await.send(request).await.unwrap();
            assert_eq!(response.status() == 200, good, "{uri} {host:?}");
        }
    });
    assert_eq!(rig.server.seen().len(), 1);
    assert_eq!(rig.events().len(), 4);
}

#[test]
fn a_stream_is_passed_on_event_by_event_and_ends_with_its_caller() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        let mut web = open(&rig).await;
        let response = web.send(call(&token("alice"), "stream")).await.unwrap();
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(String::from_utf8_lossy(&first).contains("progress"));
        // Others go on meanwhile.
        let answer = web.call(&token("alice"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "ok");
        drop(body);
        wait_for("the event", || rig.events().len() == 2);
        assert_eq!(rig.events()[1]["outcome"], "client_error");
        let answer = web.call(&token("alice"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "ok");
    });
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_connection_goes_on() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        let mut web = open(&rig).await;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
            "x".repeat(1 << 17)
        );
        let response = web.send(post(&token("alice"), body)).await.unwrap();
        assert_eq!(response.status(), 413);
        let answer = web.call(&token("alice"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "ok");
    });
    assert_eq!(rig.events().len(), 2);
    assert_eq!(rig.events()[0]["reason"], "payload_too_large");
}

#[test]
fn what_the_protocol_refuses_by_itself_leaves_an_event_too() {
    let rig = Rig::start("listen = {http2 = {cleartext = true}, head_timeout = \"200ms\"}");
    run(async {
        // A head over the limit.
        let mut web = open(&rig).await;
        let mut request = call(&token("alice"), "get_issue");
        for n in 0..40 {
            let name = format!("x-{n}")
                .parse::<hyper::header::HeaderName>()
                .unwrap();
            request
                .headers_mut()
                .insert(name, "x".repeat(1000).parse().unwrap());
        }
        let response = web.send(request).await;
        assert!(response.is_err() || response.unwrap().status() == 431);
        wait_for("the event", || rig.events().len() == 1);
        // A name in capitals, and a request without a path.
        let capitals = [get(), field("X-Name", "a")].concat();
        for (count, head) in [(2, capitals), (3, field(":method", "GET"))] {
            let mut stream = TcpStream::connect(rig.sidecar.address).await.unwrap();
            stream.write_all(PREFACE).await.unwrap();
            stream.write_all(&frame(1, 5, 1, &head)).await.unwrap();
            wait_for("one more", || rig.events().len() == count);
        }
        // A head that has no end.
        let mut stream = TcpStream::connect(rig.sidecar.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(1, 1, 1, &get())).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        wait_for("one more", || rig.events().len() == 4);
    });
    for event in rig.events() {
        assert_eq!(event["reason"], "malformed_request", "{event}");
    }
    assert!(rig.server.seen().is_empty());
}

#[test]
fn too_many_headers_are_refused() {
    let rig = Rig::start("listen = {http2 = {cleartext = true}, max_headers = 20}");
    run(async {
        let mut web = open(&rig).await;
        let mut request = call(&token("alice"), "get_issue");
        for n in 0..40 {
            let name = format!("x-{n}")
                .parse::<hyper::header::HeaderName>()
                .unwrap();
            request.headers_mut().insert(name, "x".parse().unwrap());
        }
        assert_eq!(web.send(request).await.unwrap().status(), 431);
    });
    assert_eq!(rig.events().len(), 1);
    assert_eq!(rig.events()[0]["reason"], "malformed_request");
}

#[test]
fn who_takes_back_request_after_request_is_cut_off() {
    let rig = Rig::start(CLEARTEXT);
    run(async {
        let mut stream = TcpStream::connect(rig.sidecar.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        let mut sent = 0_u32;
        while sent < 100_000 {
            let stream_id = 2 * sent + 1;
            let mut both = frame(1, 5, stream_id, &get());
            both.extend(frame(3, 0, stream_id, &[0, 0, 0, 8]));
            if stream.write_all(&both).await.is_err() {
                break;
            }
            sent += 1;
        }
        assert!(sent < 100_000);
    });
    assert!(rig.server.seen().is_empty());
    assert_eq!(rig.call(&token("alice"), "get_issue").outcome(), "ok");
}

#[test]
fn an_answer_that_nobody_takes_ends_the_connection() {
    let rig = Rig::start("listen = {http2 = {cleartext = true}, write_timeout = \"300ms\"}");
    run(async {
        // No room for a single byte of any answer.
        let stream = TcpStream::connect(rig.sidecar.address).await.unwrap();
        let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let ended = tokio::spawn(connection);
        let answer = sender.send_request(call(&token("alice"), "get_issue"));
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let ended = tokio::time::timeout(Duration::from_secs(10), ended);
        assert!(ended.await.is_ok());
    });
    wait_for("the event", || rig.events().len() == 1);
}

#[test]
fn idle_connections_say_goodbye() {
    let rig = Rig::start("listen = {http2 = {cleartext = true}, idle_timeout = \"100ms\"}");
    run(async {
        let mut web = open(&rig).await;
        web.call(&token("alice"), "get_issue").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let request: Request<Full<Bytes>> = call(&token("alice"), "get_issue");
        assert!(web.send(request).await.is_err());
    });
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_drain_lets_streams_end_and_takes_no_more() {
    let rig = Rig::start(CLEARTEXT);
    let Rig {
        folder,
        server,
        sidecar,
    } = rig;
    let address = sidecar.address;
    run(async {
        let Web::Two(mut sender) = Web::two(TcpStream::connect(address).await.unwrap()).await
        else {
            panic!("not HTTP/2")
        };
        let mut slow = sender.clone();
        let slow = tokio::spawn(async move {
            let response = slow.send_request(call(&token("alice"), "slow")).await;
            response.unwrap().status()
        });
        wait_for("the call", || server.seen().len() == 1);
        let drained = std::thread::spawn(|| sidecar.drain());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let refused = sender
            .send_request(call(&token("alice"), "get_issue"))
            .await;
        assert!(refused.is_err());
        assert_eq!(slow.await.unwrap(), 200);
        assert!(drained.join().unwrap());
    });
    let events = crate::rig::events(folder.path());
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["outcome"], "success");
    assert!(client::Connection::try_open(address, "").is_err());
}
