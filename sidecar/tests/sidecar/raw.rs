//! Raw bytes against a sidecar: any bytes on a caller's connection, any bytes as the tool server's
//! answer. What reaches the tool server is read by a reader of its own and judged by a short list.
//!
//! One thread runs all of it, over Unix sockets, through the function that serves every accepted
//! connection; the fuzz target `serve` includes this file.

#[path = "raw/bytes.rs"]
mod bytes;
#[path = "raw/server.rs"]
mod server;
#[path = "raw/strict.rs"]
mod strict;
#[path = "raw/tail.rs"]
mod tail;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use latchkey_sidecar::{
    config::Config,
    identity::Callers,
    listen::{self, Peer},
    run::{Running, Worker},
    socket::Socket,
    upstream::Upstream,
};
use serde_json::Value;
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::bundle;

use self::{
    bytes::{find, replace, split},
    server::{HIDDEN, Server, serve},
    tail::{JournalTail, LogTail},
};

/// What stands between the caller's bytes and the tool server's.
const ANSWER: &[u8] = b"\n=== answer ===\n";
/// Where the caller waits until nothing moves any more.
const PAUSE: &[u8] = b"{pause}";
/// Each pause costs time: a few are as good as many.
const MOST_PARTS: usize = 8;
/// After so many turns of the event loop in which nothing moved, nothing will.
const STILL: u32 = 24;
/// How long an end may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A sidecar, the tool server behind it, and what has passed between them.
pub(crate) struct Wire {
    runtime: Runtime,
    worker: Arc<Worker>,
    server: Arc<Server>,
    log: LogTail,
    journal: JournalTail,
    tokens: Tokens,
    session: String,
    /// Last, so that the folder goes after those that use it.
    _sidecar: Running,
    _folder: tempfile::TempDir,
}

/// What became of some bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// Everything that the caller got.
    pub(crate) received: Vec<u8>,
    /// The audit events, in order.
    pub(crate) events: Vec<Value>,
    /// How many requests reached the tool server.
    pub(crate) forwarded: usize,
}

impl Wire {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let socket = at.join("upstream.sock");
        let mut release = bundle::Release::new(1);
        release.bob = true;
        release.write(at, &format!("unix:{}:/mcp", socket.display()));
        let config = Config::parse(SETTINGS, at).unwrap();
        let sidecar = Running::start(config).unwrap();
        let shared = sidecar.shared();
        let worker = Arc::new(Worker {
            callers: Callers::new(shared.config.bounds.tokens),
            upstream: Arc::new(Upstream::new(
                &shared.config.upstream,
                Arc::clone(&shared.trusted),
            )),
            shared: Arc::clone(shared),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let server = Arc::new(Server::default());
        let listener = {
            let _inside = runtime.enter();
            // A fuzz target starts without Rust's own start, which ignores this signal.
            let _ = signal(SignalKind::pipe()).unwrap();
            UnixListener::bind(&socket).unwrap()
        };
        runtime.spawn(serve(Arc::clone(&server), listener));
        let mut wire = Self {
            runtime,
            worker,
            server,
            log: LogTail::of(at.join("audit.jsonl")),
            journal: JournalTail::of(at.join("state/audit.journal")),
            tokens: Tokens::fresh(),
            session: String::new(),
            _sidecar: sidecar,
            _folder: folder,
        };
        wire.session = wire.open_session();
        wire
    }

    /// Sends bytes as a caller would, and checks all that must hold whatever they are. In them,
    /// `{alice}` and `{bob}` are tokens, `{session}` is a session of alice, `{length}` what follows the
    /// head, `{pause}` a pause; what
    /// follows a line `=== answer ===` is what the tool server answers, whatever it is asked.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Outcome {
        let (said, answer) = match find(bytes, ANSWER) {
            None => (bytes, None),
            Some(at) => (&bytes[..at], Some(bytes[at + ANSWER.len()..].to_vec())),
        };
        self.tokens.renew();
        *self.server.answer.lock().unwrap() = answer;
        let mut parts = Vec::new();
        for part in split(said, PAUSE).into_iter().take(MOST_PARTS) {
            parts.push(self.filled(part));
        }
        let received = self.talk(&parts);
        let outcome = Outcome {
            received,
            events: self.log.requests(),
            forwarded: self.server.seen.lock().unwrap().len(),
        };
        self.judge(bytes, &outcome);
        outcome
    }

    fn open_session(&mut self) -> String {
        let outcome = self.send(INITIALIZE);
        let text = String::from_utf8_lossy(&outcome.received).into_owned();
        let (_, rest) = text.split_once("mcp-session-id: ").expect("no session");
        rest.lines().next().unwrap().to_owned()
    }

    fn filled(&self, part: &[u8]) -> Vec<u8> {
        let mut filled = part.to_vec();
        for (name, value) in [
            ("{alice}", &self.tokens.alice),
            ("{bob}", &self.tokens.bob),
            ("{session}", &self.session),
        ] {
            filled = replace(&filled, name.as_bytes(), value.as_bytes());
        }
        let body = find(&filled, b"\r\n\r\n").map_or(0, |end| filled.len() - end - 4);
        replace(&filled, b"{length}", body.to_string().as_bytes())
    }

    /// One connection, from its first byte to the end of everything that it has set off.
    fn talk(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let (worker, server) = (Arc::clone(&self.worker), Arc::clone(&self.server));
        let in_flight = || self.worker.shared.metrics.in_flight.get();
        self.runtime.block_on(async move {
            let (mut client, accepted) = UnixStream::pair().unwrap();
            let peer = Peer {
                address: Some([127, 0, 0, 1].into()),
                on_loopback: true,
                client_certificate: None,
            };
            let serving = tokio::spawn(async move {
                listen::connection(&worker, Socket::Unix(accepted), peer).await;
            });
            let mut received = Vec::new();
            for part in parts {
                Box::pin(exchange(&mut client, part, &mut received, &server)).await;
            }
            drop(client);
            let ended = tokio::time::timeout(PATIENCE, serving).await;
            ended
                .expect("a connection whose caller is gone does not end")
                .expect("serving a connection panicked");
            let deadline = Instant::now() + PATIENCE;
            let mut still = 0;
            let mut steps = server.steps.load(Relaxed);
            while still < STILL || in_flight() > 0 {
                assert!(Instant::now() < deadline, "a request does not end");
                tokio::task::yield_now().await;
                let now = server.steps.load(Relaxed);
                still = if now == steps { still + 1 } else { 0 };
                steps = now;
            }
            received
        })
    }

    /// What must hold, whatever was sent.
    fn judge(&mut self, bytes: &[u8], outcome: &Outcome) {
        let seen = std::mem::take(&mut *self.server.seen.lock().unwrap());
        let faults = std::mem::take(&mut *self.server.faults.lock().unwrap());
        assert!(faults.is_empty(), "what reached the server: {faults:?}");
        let mut events: BTreeMap<&str, &Value> = BTreeMap::new();
        for event in &outcome.events {
            let id = event["event_id"].as_str().unwrap();
            assert!(events.insert(id, event).is_none(), "an event twice: {id}");
        }
        let (intents, rotated) = self.journal.intents();
        let mut forwarded = BTreeSet::new();
        for request in &seen {
            let message = request.message();
            let id = request.header("x-request-id").expect("no request id");
            assert!(forwarded.insert(id), "forwarded twice: {request:?}");
            let event = events.get(id);
            if event.is_none() && is_own_answer(message.as_ref()) {
                continue;
            }
            let event = event.unwrap_or_else(|| panic!("no event of {request:?}"));
            let reason = event["reason"].as_str().unwrap();
            let failed_later = LATER.contains(&reason);
            assert!(
                event["decision"] == "allow" || failed_later,
                "{request:?} {event}"
            );
            let count = intents.iter().filter(|it| *it == id).count();
            assert!(
                count == 1 || rotated && count > 0,
                "{count} intents of {request:?}"
            );
            request.judge(event, message.as_ref());
        }
        if outcome.received.starts_with(b"HTTP/1.1") {
            assert!(!events.is_empty(), "an answer without an event");
        }
        let hidden = HIDDEN.as_bytes();
        if find(bytes, hidden).is_none() {
            let leak = find(&outcome.received, hidden);
            let text = String::from_utf8_lossy(&outcome.received);
            assert!(leak.is_none(), "what is hidden is shown: {text}");
        }
    }
}

/// What can still become of a request that was forwarded.
const LATER: [&str; 3] = [
    "server_request_denied",
    "upstream_timeout",
    "upstream_unavailable",
];

const SETTINGS: &str = r#"
bundle = {source = "bundle", server = "github", poll = "1h"}
trust = {file = "trust.json"}
listen = {address = "unix:listen.sock", http2 = {cleartext = true}}
admin = {address = "127.0.0.1:0"}
state = {directory = "state"}
audit = {file = "audit.jsonl"}
"#;

const INITIALIZE: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
    Authorization: Bearer {alice}\r\nContent-Length: {length}\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}";

/// Tokens that are good for a while.
struct Tokens {
    alice: String,
    bob: String,
    since: Instant,
}

impl Tokens {
    fn fresh() -> Self {
        Self {
            alice: bundle::token("alice"),
            bob: bundle::token("bob"),
            since: Instant::now(),
        }
    }

    fn renew(&mut self) {
        if self.since.elapsed() > Duration::from_mins(5) {
            *self = Self::fresh();
        }
    }
}

/// Says something and hears what comes back, until nothing moves any more.
async fn exchange(
    client: &mut UnixStream,
    mut rest: &[u8],
    received: &mut Vec<u8>,
    server: &Server,
) {
    let mut still = 0;
    let mut steps = server.steps.load(Relaxed);
    let mut block = [0; 1 << 14];
    while still < STILL {
        let mut moved = false;
        if !rest.is_empty() {
            match client.try_write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    moved = true;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => rest = &[],
            }
        }
        if let Ok(count) = client.try_read(&mut block)
            && count > 0
        {
            received.extend_from_slice(&block[..count]);
            moved = true;
        }
        let now = server.steps.load(Relaxed);
        moved |= now != steps;
        steps = now;
        still = if moved { 0 } else { still + 1 };
        tokio::task::yield_now().await;
    }
}

/// What the sidecar itself tells a server that asks its client for what it may not.
fn is_own_answer(message: Option<&Value>) -> bool {
    message.is_some_and(|it| it.get("method").is_none() && it.get("error").is_some())
}

#[test]
fn the_fuzz_corpus_replays() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/serve");
    let mut wire = Wire::start();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 40);
    let (mut sent, mut forwarded) = (0, 0);
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let outcome = wire.send(&bytes);
        let text = String::from_utf8_lossy(&outcome.received).into_owned();
        // What a seed is called says whether something of it is forwarded.
        let passes = name.starts_with("pass-");
        if (outcome.forwarded > 0) != passes {
            wrong.push(format!("{name}: {text}"));
        }
        // Small accidents to each seed, the same in every run.
        let mut at = 0x9e37_79b9_u64;
        for _ in 0..40 {
            let mut bent = bytes.clone();
            at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let place = usize::try_from(at >> 33).unwrap() % bent.len();
            bent[place] = at.to_le_bytes()[3];
            forwarded += wire.send(&bent).forwarded;
            sent += 1;
        }
    }
    println!("{sent} sent, {forwarded} forwarded");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(forwarded > sent / 8);
}
