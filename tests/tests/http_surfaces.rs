//! Plain HTTP surfaces on the wire: what is read and what passes, which paths mean what, what becomes
//! a WebSocket and for how long, and how much may come back.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "http_surfaces/api.rs"]
mod api;

use std::{
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use api::Api;
use latchkey_gate::call::Stated;
use latchkey_sidecar::run::Running;
use latchkey_tests::{
    golden::Golden,
    live::{Release, Rig, trust, wait_for},
    node::Packages,
    tokens::{mint, seconds, token},
    upstream::Upstream,
};
use serde_json::{Value, json};

const POLICY: &str = r#"
organizations: {acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {t: {}}}}
issuers:
  idp:
    issuer: https://idp.acme.example
    audiences: [https://it.acme.example]
    organizations: [acme]
    jwks: {inline: {keys: [{kty: OKP, crv: Ed25519, alg: EdDSA, use: sig, kid: golden, x: _QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0}]}}
principals:
  alice: {type: human, identity: {issuer: idp, subject: u-1}, in: acme}
  bob: {type: human, identity: {issuer: idp, subject: u-2}, in: acme}
roles: {all: {allow: {it: "*"}}, live: {allow: {it: [live]}}}
bindings:
  alice: {who: [alice], roles: [all], in: acme}
  bob: {who: [bob], roles: [live], in: acme}
servers:
  it:
    in: acme
    transport: http
    upstream: http://UPSTREAM
    limits: {body: 64KiB LIMITS}
    routes:
      upload: {method: PUT, path: "/files/{name}", risk: write, body: {stream: [application/octet-stream, "image/*"], limit: 512MiB}}
      small-upload: {method: PUT, path: "/small/{name}", risk: write, body: {stream: [application/octet-stream], limit: 100KiB}}
      echo: {method: POST, path: /echo, risk: write, body: {stream: ["*/*"]}}
      live: {method: GET, path: /live, risk: read, webSocket: true}
      events: {method: GET, path: /events, risk: read}
      endless: {method: GET, path: /endless, risk: read}
      sized: {method: GET, path: /sized, risk: read}
      small: {method: GET, path: /small, risk: read}
      big: {method: GET, path: /big, risk: read}
      user: {method: GET, path: "/users/{id}", risk: read}
      remove-user: {method: DELETE, path: "/users/{id}", risk: destructive, unlock: grant}
      admin: {method: GET, path: /users/admin, risk: read}
      note: {method: POST, path: "/users/{id}", risk: write}
"#;

/// A sidecar before the API.
struct Front {
    rig: Rig,
    running: Option<Running>,
    api: Arc<Api>,
    golden: Golden,
}

fn golden(api: SocketAddr, limits: &str, change: &dyn Fn(String) -> String) -> Golden {
    let project = tempfile::tempdir().unwrap();
    let text = POLICY.replace("UPSTREAM", &api.to_string());
    let text = change(text.replace(" LIMITS", limits));
    std::fs::write(project.path().join("policy.yaml"), text).unwrap();
    let name = "[project]\nname = \"front\"\n";
    std::fs::write(project.path().join("latchkey.toml"), name).unwrap();
    Golden::open(project.path())
}

impl Front {
    fn new(limits: &str) -> Self {
        let api = Api::start();
        Self::before(api.address, api, limits)
    }

    /// Before a server that may be another than the API.
    fn before(server: SocketAddr, api: Arc<Api>, limits: &str) -> Self {
        let golden = golden(server, limits, &|text| text);
        let mut front = Self {
            rig: Rig {
                folder: tempfile::tempdir().unwrap(),
                upstream: Upstream::start(),
                model: golden.model.clone(),
                server: "it".to_owned(),
            },
            running: None,
            api,
            golden,
        };
        front.release(1);
        let trust = trust(&front.rig.model.project).to_json();
        std::fs::write(front.rig.path().join("trust.json"), trust).unwrap();
        front
    }

    fn start(limits: &str, more: &str) -> Self {
        Self::new(limits).run(more)
    }

    fn run(mut self, more: &str) -> Self {
        let running = self.rig.start(more);
        assert!(running.shared().active().is_some(), "the bundle is refused");
        self.running = Some(running);
        self
    }

    /// Releases what the model says.
    fn release(&mut self, version: u64) {
        let mut model = self.golden.model.clone();
        for (name, issuer) in model.issuers.iter_mut() {
            issuer.keys = mint(name).jwks();
        }
        Release::new(&self.golden, version).write(self.rig.path(), &self.golden, &model);
        self.rig.model = model;
    }

    /// Releases a changed policy, and waits until it is in force.
    fn change(&mut self, version: u64, change: &dyn Fn(String) -> String) {
        self.golden = golden(self.api.address, "", change);
        self.release(version);
        let shared = Arc::clone(self.running.as_ref().unwrap().shared());
        wait_for("the swap", || {
            shared
                .active()
                .is_some_and(|it| it.release.version == version)
        });
    }

    fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    fn token(&self, principal: &str) -> String {
        let stated = json!({"caller": {"principal": principal, "groups": []}, "server": "it",
            "tool": "none", "arguments": {}, "at": "2026-12-01T00:00:00Z"});
        let stated: Stated = serde_json::from_value(stated).unwrap();
        token(&self.rig.model, &stated).unwrap()
    }

    /// Alice's request with these header lines, and a body.
    fn ask(&self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let mut wire = Wire::open(self.address());
        let _ = wire.send(&self.head(line, headers));
        let _ = wire.send(body);
        wire.answer()
    }

    fn head(&self, line: &str, headers: &str) -> Vec<u8> {
        let token = self.token("alice");
        head(line, &token, headers)
    }

    /// The event of the last request, once there are so many.
    fn event(&self, count: usize) -> Value {
        wait_for("the event", || self.rig.events().len() >= count);
        let mut events = self.rig.events();
        assert_eq!(events.len(), count, "{events:#?}");
        events.pop().unwrap()
    }
}

fn head(line: &str, token: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n")
        .into_bytes()
}

/// A plain connection.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Whether the body came to the end that its head promised.
    whole: bool,
}

impl Answer {
    fn code(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or("none").to_owned()
    }
}

impl Wire {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn more(&mut self) -> bool {
        let mut block = vec![0; 1 << 16];
        let count = self.stream.read(&mut block).unwrap_or(0);
        self.read.extend_from_slice(&block[..count]);
        count > 0
    }

    /// Waits for so many bytes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more(), "{:?}", String::from_utf8_lossy(&self.read));
        }
        self.read.drain(..count).collect()
    }

    /// Reads the next head; interim ones are skipped.
    fn take_head(&mut self) -> (u16, String) {
        loop {
            if let Some(at) = self.read.windows(4).position(|it| it == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                if status != 100 {
                    return (status, head);
                }
            } else {
                assert!(
                    self.more(),
                    "no head: {:?}",
                    String::from_utf8_lossy(&self.read)
                );
            }
        }
    }

    fn answer(&mut self) -> Answer {
        let (status, head) = self.take_head();
        let value = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let (mut body, mut whole) = (Vec::new(), true);
        if let Some(length) = value("content-length:") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length && whole {
                whole = self.more();
            }
            body = self.read.drain(..length.min(self.read.len())).collect();
        } else if value("transfer-encoding:").is_some() {
            whole = loop {
                let Some(at) = self.read.windows(2).position(|it| it == b"\r\n") else {
                    if self.more() {
                        continue;
                    }
                    break false;
                };
                let size = std::str::from_utf8(&self.read[..at]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                while self.read.len() < at + 4 + size && self.more() {}
                if self.read.len() < at + 4 + size {
                    break false;
                }
                body.extend_from_slice(&self.read[at + 2..at + 2 + size]);
                self.read.drain(..at + 4 + size);
                if size == 0 {
                    break true;
                }
            };
        }
        Answer {
            status,
            body,
            whole,
        }
    }

    /// Whether the other side ends the connection, within ten seconds.
    fn is_ended(&mut self) -> bool {
        self.stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        loop {
            match self.stream.read(&mut [0; 1024]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

#[test]
fn a_body_that_nobody_reads_passes_as_it_comes() {
    let front = Front::start("", "");
    let mut wire = Wire::open(front.address());
    let halves: [(&str, &[u8], &[u8]); 2] = [
        ("Content-Length: 6", b"\xff\x00a", b"bcd"),
        (
            "Transfer-Encoding: chunked",
            b"3\r\n\xff\x00a\r\n",
            b"3\r\nbcd\r\n0\r\n\r\n",
        ),
    ];
    for (n, (framing, first, second)) in halves.into_iter().enumerate() {
        let before = front.api.bytes.load(SeqCst);
        let headers = format!("{OCTETS}{framing}\r\n");
        wire.send(&front.head("PUT /files/a", &headers)).unwrap();
        wire.send(first).unwrap();
        // The first half is there before the second is sent.
        wait_for("the first half", || {
            front.api.bytes.load(SeqCst) == before + 3
        });
        wire.send(second).unwrap();
        let answer = wire.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, br#"{"done":true,"bytes":6}"#);
        let event = front.event(n + 1);
        assert_eq!(event["bytes_in"], 6, "{event}");
        assert_eq!(event["reason"], "ok", "{event}");
    }
    // Both framings went on, and both requests came over one connection of the caller.
    let heads = front.api.heads.lock().unwrap();
    assert!(heads[0].contains("content-length: 6\r\n"), "{heads:?}");
    assert!(
        heads[1].contains("transfer-encoding: chunked\r\n"),
        "{heads:?}"
    );
}

#[test]
fn other_bodies_are_read_or_refused() {
    let front = Front::start("", "");
    for (line, media, body, status) in [
        // JSON is read, strictly, also where other bodies pass.
        ("PUT /files/a", "application/json", "{\"a\":1}", 200),
        ("PUT /files/a", "application/json", "{\"a\":1,\"a\":2}", 400),
        ("PUT /files/a", "image/png", "{\"a\":", 200),
        ("PUT /files/a", "text/plain", "a", 415),
        (
            "PUT /files/a",
            "application/octet-stream, image/png",
            "a",
            415,
        ),
        ("POST /users/7", "application/octet-stream", "a", 415),
        ("POST /users/7", "application/json", "{\"a\":1}", 200),
        (
            "POST /users/7",
            "application/json",
            "{\"_method\":\"DELETE\"}",
            400,
        ),
        (
            "POST /users/7",
            "application/json",
            "{\"_Method\":\"DELETE\"}",
            400,
        ),
    ] {
        let headers = format!(
            "Content-Type: {media}\r\nContent-Length: {}\r\n",
            body.len()
        );
        let answer = front.ask(line, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{line} {media} {body}: {answer:?}");
    }
    assert_eq!(front.api.lines().len(), 3, "{:?}", front.api.lines());
}

#[test]
fn a_body_that_passes_has_a_limit_and_a_pace() {
    let front = Front::start("", "listen = {body_timeout = \"300ms\"}");
    // Said in the head: nothing goes on.
    let headers = format!("{OCTETS}Content-Length: 200000\r\n");
    let answer = front.ask("PUT /small/a", &headers, b"");
    assert_eq!(
        (answer.status, answer.code()),
        (413, "payload_too_large".to_owned())
    );
    assert_eq!(front.event(1)["reason"], "payload_too_large");
    assert_eq!(front.api.lines().len(), 0);
    // Found on the way: what has gone on has no end.
    let mut body = Vec::new();
    for _ in 0..3 {
        body.extend_from_slice(b"c000\r\n");
        body.extend_from_slice(&vec![b'x'; 0xc000]);
        body.extend_from_slice(b"\r\n");
    }
    let headers = format!("{OCTETS}Transfer-Encoding: chunked\r\n");
    let answer = front.ask("PUT /small/a", &headers, &body);
    assert_eq!(
        (answer.status, answer.code()),
        (413, "payload_too_large".to_owned())
    );
    assert_eq!(front.event(2)["reason"], "payload_too_large");
    // A caller who stops in the middle.
    let headers = format!("{OCTETS}Content-Length: 10\r\n");
    let answer = front.ask("PUT /small/a", &headers, b"abc");
    assert_eq!(answer.status, 400, "{answer:?}");
    let event = front.event(3);
    assert_eq!(event["reason"], "malformed_request", "{event}");
    // A caller who goes away.
    let mut wire = Wire::open(front.address());
    wire.send(&front.head("PUT /small/a", &headers)).unwrap();
    wire.send(b"abc").unwrap();
    wire.stream.shutdown(Shutdown::Both).unwrap();
    front.event(4);
    assert_eq!(front.api.whole.load(SeqCst), 0);
}

#[test]
fn an_answer_may_begin_before_the_body_has_ended() {
    let front = Front::start("", "");
    let mut wire = Wire::open(front.address());
    let headers = format!("{OCTETS}Transfer-Encoding: chunked\r\n");
    wire.send(&front.head("POST /echo", &headers)).unwrap();
    wire.send(b"3\r\nabc\r\n").unwrap();
    let (status, _) = wire.take_head();
    assert_eq!(status, 200);
    assert_eq!(wire.take(8), b"3\r\nabc\r\n");
    wire.send(b"2\r\nde\r\n0\r\n\r\n").unwrap();
    assert_eq!(wire.take(12), b"2\r\nde\r\n0\r\n\r\n");
    let event = front.event(1);
    assert_eq!(
        (&event["bytes_in"], &event["bytes_out"]),
        (&json!(5), &json!(5)),
        "{event}"
    );
}

#[test]
fn memory_stays_bounded_under_bodies_far_larger() {
    const MIB: usize = 1 << 20;
    let front = Front::new("");
    let program = front.rig.spawn("");
    let token = front.token("alice");
    // The most memory that the process ever had, in KiB.
    let peak = || -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    };
    let ask = |wire: &mut Wire, line: &str, headers: &str| {
        wire.send(&head(line, &token, headers)).unwrap();
    };
    let mut wire = Wire::open(program.address);
    ask(&mut wire, "GET /small", "");
    assert_eq!(wire.answer().status, 200);
    let before = peak();
    let headers = format!("{OCTETS}Content-Length: {}\r\n", 192 * MIB);
    ask(&mut wire, "PUT /files/large", &headers);
    for _ in 0..192 {
        wire.send(&vec![b'z'; MIB]).unwrap();
    }
    let answer = wire.answer();
    let expected = json!({"done": true, "bytes": 192 * MIB});
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        expected
    );
    ask(&mut wire, "GET /big", "");
    let (status, head) = wire.take_head();
    assert_eq!(status, 200);
    assert!(
        head.contains(&format!("content-length: {}\r\n", 192 * MIB)),
        "{head}"
    );
    for _ in 0..192 {
        wire.take(MIB);
    }
    let grown = peak() - before;
    assert!(grown < 16 << 10, "{grown} KiB more for bodies of 192 MiB");
    assert_eq!(program.stop(), Some(0));
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\n";

/// A tunnel through which something has passed each way.
fn tunnel(front: &Front, token: &str) -> Wire {
    let mut wire = Wire::open(front.address());
    wire.send(&head("GET /live", token, UPGRADE)).unwrap();
    let (status, head) = wire.take_head();
    assert_eq!(status, 101, "{head}");
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-accept: yes",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(wire.take(5), b"hello");
    wire.send(b"abc").unwrap();
    assert_eq!(wire.take(3), b"ABC");
    wire
}

#[test]
fn a_web_socket_is_refused_unless_the_surface_says_otherwise() {
    let front = Front::start("", "");
    for (n, headers) in [
        UPGRADE,
        "Connection: upgrade\r\nUpgrade: h2c, WebSocket\r\n",
        "Upgrade: websocket\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = front.ask("GET /small", headers, b"");
        assert_eq!(
            (answer.status, answer.code()),
            (403, "upgrade_denied".to_owned())
        );
        assert_eq!(front.event(n + 1)["reason"], "upgrade_denied");
    }
    // Who may not call the surface learns nothing of it.
    let mut wire = Wire::open(front.address());
    wire.send(&head("GET /small", &front.token("bob"), UPGRADE))
        .unwrap();
    assert_eq!(wire.answer().status, 404);
    assert_eq!(front.event(4)["reason"], "no_permission");
    assert_eq!(front.api.lines().len(), 0);
    // Another protocol is no question: the server never hears of it.
    let answer = front.ask("GET /small", "Connection: upgrade\r\nUpgrade: h2c\r\n", b"");
    assert_eq!(answer.status, 200);
    let heads = front.api.heads.lock().unwrap();
    assert!(!heads[0].contains("upgrade"), "{heads:?}");
}

#[test]
fn a_tunnel_passes_both_ways_and_leaves_one_event() {
    let front = Front::start("", "");
    let wire = tunnel(&front, &front.token("alice"));
    drop(wire);
    let event = front.event(1);
    assert_eq!(event["reason"], "ok", "{event}");
    assert_eq!(event["status"], 101, "{event}");
    assert_eq!(
        (&event["bytes_in"], &event["bytes_out"]),
        (&json!(3), &json!(8)),
        "{event}"
    );
    let heads = front.api.heads.lock().unwrap();
    for line in [
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "sec-websocket-key: a2v5",
    ] {
        assert!(heads[0].contains(line), "{heads:?}");
    }
    assert!(!heads[0].contains("authorization"), "{heads:?}");
}

#[test]
fn a_tunnel_ends_with_the_decision_that_let_it_begin() {
    let mut front = Front::start("", "overlay = {file = \"overlay.json\"}");
    let overlay = front.rig.path().join("overlay.json");
    let write = |text: &str| {
        let aside = overlay.with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(&aside, &overlay).unwrap();
    };
    write("{}");
    let shared = Arc::clone(front.running.as_ref().unwrap().shared());
    wait_for("the overlay", || shared.overlay_is_known());
    // A swap that takes nothing from its caller lets it go on.
    let mut alice = tunnel(&front, &front.token("alice"));
    let mut bob = tunnel(&front, &front.token("bob"));
    front.change(2, &|text| {
        text.replace("  bob: {who: [bob], roles: [live], in: acme}\n", "")
    });
    assert!(bob.is_ended());
    let event = front.event(1);
    assert_eq!(event["reason"], "no_permission", "{event}");
    std::thread::sleep(Duration::from_millis(1500));
    alice.send(b"abc").unwrap();
    assert_eq!(alice.take(3), b"ABC");
    write(r#"{"suspended": ["alice"]}"#);
    assert!(alice.is_ended());
    let event = front.event(2);
    assert_eq!(event["reason"], "principal_suspended", "{event}");
}

#[test]
fn a_tunnel_ends_with_its_token_its_time_and_the_sidecar() {
    let front = Front::start("", "");
    let entry = front.rig.model.issuers.get("idp").unwrap();
    // A token is good for as long as its issuer's clock may be behind.
    let now = seconds() - i64::from(entry.clock_skew);
    let claims = json!({"iss": entry.url.value, "sub": "u-1", "aud": "https://it.acme.example",
        "client_id": "tests", "iat": now - 240, "exp": now + 3, "jti": "short"});
    let short = mint("idp").sign(claims.as_object().unwrap());
    let mut wire = tunnel(&front, &short);
    assert!(wire.is_ended());
    let event = front.event(1);
    assert_eq!(event["reason"], "token_expired", "{event}");

    let front = Front::start(", streamDuration: 2s", "");
    let mut wire = tunnel(&front, &front.token("alice"));
    assert!(wire.is_ended());
    let event = front.event(1);
    assert_eq!(event["reason"], "stream_ended", "{event}");

    let mut front = Front::start("", "listen = {drain_timeout = \"5s\"}");
    let mut wire = tunnel(&front, &front.token("alice"));
    let running = front.running.take().unwrap();
    assert!(running.drain(), "the tunnel was cut off");
    assert!(wire.is_ended());
    assert_eq!(front.event(1)["reason"], "ok");
}

/// A program of `tests/peers/websocket.mjs`, and what it says.
struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(arguments: &[&str]) -> Self {
        let packages = Packages::install("websocket", &["ws@8.23.0"]);
        let mut child = Command::new(packages.node())
            .arg(packages.peer("websocket.mjs"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn says(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn is_told(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_client_and_server_are_told_why_a_web_socket_ends() {
    let mut server = Peer::start(&["server"]);
    let port = u16::try_from(server.says()["port"].as_u64().unwrap()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let start = |limits: &str| Front::before(address, Api::start(), limits).run("");
    let connect = |front: &Front, principal: &str| {
        let url = format!("ws://{}/live", front.address());
        let mut client = Peer::start(&["client", &url, &front.token(principal)]);
        assert_eq!(client.says(), json!({"said": "hello"}));
        client
    };

    let mut front = start("");
    let mut bob = connect(&front, "bob");
    front.golden = golden(address, "", &|text| {
        text.replace("  bob: {who: [bob], roles: [live], in: acme}\n", "")
    });
    front.release(2);
    let denied = json!({"code": 1008, "reason": "no_permission"});
    assert_eq!(bob.says(), denied);
    // The server is not told what its caller was denied for.
    let gone = json!({"code": 1001, "reason": ""});
    assert_eq!(server.says(), gone);
    assert_eq!(front.event(1)["reason"], "no_permission");

    let mut alice = connect(&front, "alice");
    alice.is_told("leave");
    let broken = json!({"code": 1006, "reason": ""});
    assert_eq!(server.says(), broken);
    assert_eq!(alice.says(), broken);
    let mut alice = connect(&front, "alice");
    alice.is_told("reset");
    assert_eq!(server.says(), broken);
    let reset = json!({"code": 1014, "reason": "upstream_unavailable"});
    assert_eq!(alice.says(), reset);

    let mut alice = connect(&front, "alice");
    assert!(front.running.take().unwrap().drain(), "it was cut off");
    let stops = json!({"code": 1001, "reason": "the sidecar stops"});
    assert_eq!(alice.says(), stops);
    assert_eq!(server.says(), gone);

    let front = start(", streamDuration: 2s");
    let ended = json!({"code": 1008, "reason": "stream_ended"});
    assert_eq!(connect(&front, "alice").says(), ended);
}

#[test]
fn a_path_has_one_meaning_or_none() {
    let front = Front::start("", "");
    for (target, status) in [
        ("/users/7", 200),
        ("/users/admin", 200),
        ("/users/a%20b", 200),
        ("/users/%C3%A9", 200),
        ("/users/%c3%a9", 200),
        ("/users/7?x=1", 200),
        ("http://localhost/users/7", 200),
        ("//users/7", 400),
        ("/users//7", 400),
        ("/./users/7", 400),
        ("/users/./7", 400),
        ("/users/../small", 400),
        ("/users/..", 400),
        ("/users/%2e%2e/small", 400),
        ("/users/%2E%2e/small", 400),
        ("/users/.%2e", 400),
        ("/users%2f7", 400),
        ("/users%2F7", 400),
        ("/users/7%2Fx", 400),
        ("/users/7%5cx", 400),
        ("/users/7\\x", 400),
        ("/users/7;admin=1", 400),
        ("/users/7%3badmin=1", 400),
        ("/users/%252e%252e", 400),
        ("/users/%00", 400),
        ("/users/%0d%0a", 400),
        ("/users/%", 400),
        ("/users/%zz", 400),
        // Overlong, a surrogate, and not UTF-8.
        ("/users/%c0%ae", 400),
        ("/users/%e0%80%af", 400),
        ("/users/%ed%a0%80", 400),
        ("/users/%ff", 400),
        ("/users/\u{e9}", 400),
        ("/users/7%23x", 400),
        ("/users/7?x=1&x=2", 400),
        ("/users/7?_method=DELETE", 400),
        ("*", 400),
        // What a lenient server would take for another route means nothing.
        ("/users/7/", 404),
        ("/users/admin/", 404),
        ("/users/ADMIN", 404),
        ("/users/%41dmin", 404),
        ("/Users/7", 404),
        ("/users", 404),
        ("/users/", 404),
    ] {
        let before = front.api.lines().len();
        let answer = front.ask(&format!("GET {target}"), "", b"");
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        let reached = front.api.lines().len() - before;
        assert_eq!(reached == 1, status == 200, "{target}");
        if let Some(line) = front.api.lines().last().filter(|_| reached == 1) {
            let path = target.trim_start_matches("http://localhost");
            assert_eq!(*line, format!("get {path} http/1.1").to_ascii_lowercase());
        }
    }
}

#[test]
fn the_literal_route_goes_before_the_template() {
    let front = Front::start("", "");
    for (target, surface) in [
        ("/users/admin", "it/admin"),
        ("/users/%61dmin", "it/admin"),
        ("/users/administrator", "it/user"),
    ] {
        let before = front.rig.events().len();
        assert_eq!(front.ask(&format!("GET {target}"), "", b"").status, 200);
        assert_eq!(front.event(before + 1)["surface_id"], surface, "{target}");
    }
}

#[test]
fn no_header_makes_another_request_of_it() {
    let front = Front::start("", "");
    let body = "{}";
    for header in [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /users/8",
        "X-Rewrite-URL: /users/8",
    ] {
        let headers =
            format!("{header}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n");
        let answer = front.ask("POST /users/7", &headers, body.as_bytes());
        assert_eq!(answer.status, 400, "{header}: {answer:?}");
    }
    assert_eq!(front.api.lines().len(), 0);
    // These would be nothing but a claim: they go no further.
    let headers = "X_HTTP_Method_Override: DELETE\r\nX-Override-URL: /users/8\r\n\
                   X-Forwarded-Prefix: /users/8\r\nForwarded: for=1.2.3.4\r\n\
                   Baggage: user=root\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n";
    assert_eq!(
        front.ask("POST /users/7", headers, body.as_bytes()).status,
        200
    );
    let heads = front.api.heads.lock().unwrap();
    for gone in ["override", "forwarded", "baggage"] {
        assert!(!heads[0].contains(gone), "{gone}: {heads:?}");
    }
}

#[test]
fn an_answer_has_a_limit() {
    let front = Front::start(", response: 2KiB", "");
    assert_eq!(front.ask("GET /small", "", b"").status, 200);
    let answer = front.ask("GET /sized", "", b"");
    assert_eq!(
        (answer.status, answer.code()),
        (502, "response_too_large".to_owned())
    );
    assert_eq!(front.event(2)["reason"], "response_too_large");
    // One whose head does not say how large it is: what comes is no more than that, and has no end.
    let mut wire = Wire::open(front.address());
    wire.send(&front.head("GET /endless", "")).unwrap();
    while wire.more() {}
    assert!(wire.read.len() <= 2048 + 512, "{}", wire.read.len());
    assert!(!wire.read.ends_with(b"0\r\n\r\n"));
    let event = front.event(3);
    assert_eq!(event["reason"], "response_too_large", "{event}");
    assert_eq!(event["outcome"], "upstream_error", "{event}");
}

#[test]
fn an_event_stream_lasts_as_long_as_the_policy_says() {
    let front = Front::start(", streamDuration: 1s, response: 1KiB", "");
    let answer = front.ask("GET /events", "", b"");
    // It ends as if the server had ended it, so that the client begins again.
    assert!(answer.whole, "{answer:?}");
    assert!(answer.body.starts_with(b"data: x\n\n"), "{answer:?}");
    let event = front.event(1);
    assert_eq!(event["reason"], "stream_ended", "{event}");
    assert_eq!(event["outcome"], "timeout", "{event}");
}

#[test]
fn an_event_stream_ends_with_the_decision_that_let_it_begin() {
    let mut front = Front::start("", "");
    let begun = |front: &Front| {
        let mut wire = Wire::open(front.address());
        wire.send(&front.head("GET /events", "")).unwrap();
        let (status, _) = wire.take_head();
        assert_eq!(status, 200);
        wire
    };
    let mut wire = begun(&front);
    // A swap that leaves it allowed lets it go on.
    front.change(2, &|text| {
        text.replace("  bob: {who: [bob], roles: [live], in: acme}\n", "")
    });
    let mut other = begun(&front);
    front.change(3, &|text| {
        text.replace("all: {allow: {it: \"*\"}}", "all: {allow: {it: [live]}}")
    });
    for wire in [&mut wire, &mut other] {
        while wire.more() {}
        let text = String::from_utf8_lossy(&wire.read).into_owned();
        assert!(text.contains("data: x\n\n"), "{text}");
        let (_, last) = text.rsplit_once("\n\n: ").unwrap();
        assert!(last.ends_with("\n\n\r\n0\r\n\r\n"), "{last:?}");
    }
    for event in front.rig.events() {
        assert_eq!(event["reason"], "no_permission", "{event}");
        assert_eq!(event["outcome"], "denied", "{event}");
    }
}

#[test]
fn a_caller_has_so_many_streams_and_no_more() {
    let front = Front::start(", streams: 2", "");
    let open = || {
        let mut wire = Wire::open(front.address());
        wire.send(&front.head("GET /events", "")).unwrap();
        let (status, _) = wire.take_head();
        (status, wire)
    };
    let (first, second) = (open(), tunnel(&front, &front.token("alice")));
    assert_eq!(first.0, 200);
    let (status, third) = open();
    assert_eq!(status, 429);
    assert_eq!(front.event(1)["reason"], "rate_limited");
    // Another caller has streams of its own.
    drop(tunnel(&front, &front.token("bob")));
    // Each that ends gives its place back.
    drop((first, second, third));
    wait_for("a place", || open().0 == 200);
}

/// What the compiler says of a change of the policy.
fn findings(from: &str, to: &str) -> String {
    let project = tempfile::tempdir().unwrap();
    let text = POLICY
        .replace("UPSTREAM", "127.0.0.1:1")
        .replace(" LIMITS", "");
    assert!(text.contains(from), "{from}");
    std::fs::write(project.path().join("policy.yaml"), text.replace(from, to)).unwrap();
    std::fs::write(
        project.path().join("latchkey.toml"),
        "[project]\nname = \"front\"\n",
    )
    .unwrap();
    let folder = latchkey::source::Folder::new(project.path());
    let checked = latchkey::check(&folder, latchkey_engine::time::Time(1_796_119_200));
    let errors = checked.model.is_none();
    assert!(errors || from == to, "it is no error: {to}");
    format!("{:#?}", checked.sink)
}

#[test]
fn the_compiler_refuses_what_could_not_be_enforced() {
    for (from, to, said) in [
        (
            "path: /small, risk: read",
            "path: /small, risk: read, body: {stream: [\"*/*\"]}",
            "a body comes with",
        ),
        (
            "stream: [\"*/*\"]",
            "stream: [\"Text\"]",
            "is not a media type",
        ),
        (
            "path: \"/users/{id}\", risk: write",
            "path: \"/users/{id}\", risk: write, webSocket: true",
            "a WebSocket begins with GET",
        ),
        (
            "path: /echo, risk: write",
            "path: /echo, risk: write, input: {type: object, properties: {body: {type: object}}}",
            "passes bodies unread",
        ),
        (
            "    routes:",
            "    arguments: {body.kind: {only: [a]}}\n    routes:",
            "passes bodies unread",
        ),
        // Each of two sidecars would count alone.
        (
            "    limits: {body: 64KiB}",
            "    replicas: 2\n    limits: {body: 64KiB, rate: 5/m}",
            "would count limits and used tokens alone",
        ),
        (
            "    limits: {body: 64KiB}",
            "    replicas: 2\n    limits: {body: 64KiB, streams: 5}",
            "would count limits and used tokens alone",
        ),
        (
            "    limits: {body: 64KiB}",
            "    replicas: 2\n    token: {exchange: true}",
            "would count limits and used tokens alone",
        ),
    ] {
        let findings = findings(from, to);
        assert!(findings.contains(said), "{to}: {findings}");
    }
}
