//! A web server that misbehaves on demand, and releases to move about.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Result, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use latchkey_gate::supply::{Digest, Release, Statement, Subject};
use tokio::runtime::{Builder, Runtime};

use crate::{Location, names};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// Runs a future on the one runtime of the test.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// How a name is answered, where not with its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// The head, then a few bytes every so often.
    Trickle(Duration, usize),
    /// The connection is closed; the next request is answered as it should be.
    DropOnce,
    /// Chunks without end.
    Endless,
    /// A length of this many bytes is announced, and fewer are sent.
    Short(usize),
    /// Somewhere else.
    Redirect(String),
    /// This status.
    Status(u16),
    /// No answer at all.
    Silence,
}

/// A web server on loopback.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    address: std::net::SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    manners: BTreeMap<String, Manner>,
    requests: Vec<String>,
    token: Option<String>,
    challenge: Option<String>,
    holds: bool,
    tags: bool,
}

struct Request {
    method: String,
    name: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            tags: true,
            ..State::default()
        };
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = serving.clone();
                thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        server
    }

    pub(crate) fn location(&self) -> Location {
        format!("http://{}/policy", self.address).parse().unwrap()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/policy/{name}", self.address)
    }

    pub(crate) fn set(&self, name: &str, bytes: &[u8]) {
        self.with(|state| state.files.insert(name.to_owned(), bytes.to_vec()));
        self.state.1.notify_all();
    }

    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|state| state.files.get(name).cloned())
    }

    pub(crate) fn remove(&self, prefix: &str) {
        self.with(|state| state.files.retain(|name, _| !name.starts_with(prefix)));
    }

    pub(crate) fn behave(&self, name: &str, manner: Manner) {
        self.with(|state| state.manners.insert(name.to_owned(), manner));
    }

    pub(crate) fn want(&self, token: &str) {
        self.with(|state| state.token = Some(token.to_owned()));
    }

    /// Says where a token is to be had.
    pub(crate) fn challenge(&self, challenge: &str) {
        self.with(|state| state.challenge = Some(challenge.to_owned()));
    }

    pub(crate) fn hold(&self) {
        self.with(|state| state.holds = true);
    }

    pub(crate) fn without_tags(&self) {
        self.with(|state| state.tags = false);
    }

    /// The requests since this was asked last, as `METHOD name status`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.requests))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.0.lock().unwrap())
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read(&mut reader) {
            if self.answer(&request, reader.get_mut()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, stream: &mut TcpStream) -> Result<()> {
        let name = request.name.clone();
        let token = self.with(|state| state.token.clone());
        let sent = request.headers.get("authorization");
        let token = token.filter(|_| !name.starts_with("/token"));
        if token.is_some_and(|token| sent != Some(&format!("Bearer {token}"))) {
            self.note(request, 401);
            let challenge = self.with(|state| state.challenge.clone());
            let challenge = challenge.map(|it| format!("www-authenticate: {it}\r\n"));
            let challenge = challenge.unwrap_or_default();
            return write!(
                stream,
                "HTTP/1.1 401 x\r\ncontent-length: 0\r\n{challenge}\r\n"
            );
        }
        let manner = self.with(|state| state.manners.get(&name).cloned());
        if let Some(manner) = manner.filter(|_| request.method == "GET") {
            self.misbehave(request, stream, &manner)?;
            // These two are whole answers; after the others only closing ends the body.
            return match manner {
                Manner::Redirect(_) | Manner::Status(_) => Ok(()),
                _ => Err(std::io::ErrorKind::ConnectionAborted.into()),
            };
        }
        if request.method == "PUT" {
            self.set(&name, &request.body);
            return self.plain(request, stream, 201, b"", None);
        }
        let known = request.headers.get("if-none-match").cloned();
        let hold = request.headers.get("prefer");
        let hold = hold.and_then(|it| it.strip_prefix("wait=")?.parse().ok());
        let hold = hold.filter(|_| self.with(|state| state.holds));
        let until = Instant::now() + Duration::from_secs(hold.unwrap_or(0));
        loop {
            let (state, changed) = &*self.state;
            let state = state.lock().unwrap();
            let bytes = state.files.get(&name).cloned();
            let tags = state.tags;
            let tag = bytes.as_ref().filter(|_| tags);
            let tag = tag.map(|bytes| format!("\"{}\"", Digest::of(bytes)));
            let same = tag.is_some() && tag == known;
            let left = until.saturating_duration_since(Instant::now());
            if same && !left.is_zero() {
                drop(changed.wait_timeout(state, left).unwrap());
                continue;
            }
            drop(state);
            return match bytes {
                None => self.plain(request, stream, 404, b"not here", None),
                Some(_) if same => self.plain(request, stream, 304, b"", tag),
                Some(bytes) => self.plain(request, stream, 200, &bytes, tag),
            };
        }
    }

    fn plain(
        &self,
        request: &Request,
        stream: &mut TcpStream,
        status: u16,
        body: &[u8],
        tag: Option<String>,
    ) -> Result<()> {
        self.note(request, status);
        let tag = tag.map_or(String::new(), |tag| format!("etag: {tag}\r\n"));
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n{tag}\r\n");
        stream.write_all(head.as_bytes())?;
        if request.method != "HEAD" && status != 304 {
            stream.write_all(body)?;
        }
        Ok(())
    }

    fn misbehave(&self, request: &Request, stream: &mut TcpStream, manner: &Manner) -> Result<()> {
        self.note(request, 0);
        match manner {
            Manner::Silence => thread::sleep(Duration::from_secs(20)),
            Manner::Status(status) => {
                write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
                )?;
            }
            Manner::Redirect(to) => write!(
                stream,
                "HTTP/1.1 302 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
            )?,
            Manner::Short(length) => {
                write!(
                    stream,
                    "HTTP/1.1 200 x\r\ncontent-length: {length}\r\n\r\nab"
                )?;
            }
            Manner::DropOnce => {
                self.with(|state| state.manners.remove(&request.name));
            }
            Manner::Trickle(pause, size) => {
                let length = 1000 * size;
                write!(stream, "HTTP/1.1 200 x\r\ncontent-length: {length}\r\n\r\n")?;
                for _ in 0..1000 {
                    stream.write_all(&vec![b'a'; *size])?;
                    thread::sleep(*pause);
                }
            }
            Manner::Endless => {
                stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n")?;
                loop {
                    stream.write_all(b"4000\r\n")?;
                    stream.write_all(&[b'a'; 0x4000])?;
                    stream.write_all(b"\r\n")?;
                }
            }
        }
        Ok(())
    }

    fn note(&self, request: &Request, status: u16) {
        let line = format!("{} {} {status}", request.method, request.name);
        self.with(|state| state.requests.push(line));
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap().to_owned();
    let path = words.next().unwrap();
    let name = path.strip_prefix("/policy/").unwrap_or(path).to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        name,
        headers,
        body,
    }))
}

/// A release of a project, signed by nobody that matters.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) statement: Statement,
    pub(crate) digest: Digest,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Made {
    /// A release with two subjects.
    pub(crate) fn new(version: u64, previous: Option<Digest>, content: &[u8]) -> Self {
        let mut files = BTreeMap::from([
            ("github.lkb".to_owned(), content.to_vec()),
            ("places.lkm".to_owned(), b"places".to_vec()),
        ]);
        let statement = Statement::about(
            &files,
            Release {
                previous,
                ..Release::new("acme", "main", version)
            },
        );
        let payload = statement.encode().unwrap();
        files.insert(names::RELEASE.to_owned(), envelope(&payload));
        Self {
            digest: Digest::of(&payload),
            statement,
            files,
        }
    }

    /// With a pointer to a statement.
    pub(crate) fn pointing(mut self, version: u64, statement: Digest) -> Self {
        let payload = serde_json::json!({
            "project": "acme",
            "channel": "main",
            "statement": statement,
            "pointer_version": version,
        });
        let payload = payload.to_string();
        let pointer = envelope(payload.as_bytes());
        self.files.insert(names::POINTER.to_owned(), pointer);
        self
    }

    /// With a Sigstore bundle over it.
    pub(crate) fn keyless(mut self) -> Self {
        let envelope = String::from_utf8(self.files[names::RELEASE].clone()).unwrap();
        let bundle = format!(r#"{{"mediaType":"x","dsseEnvelope":{envelope}}}"#);
        self.files.insert(names::sigstore(1), bundle.into_bytes());
        self
    }

    /// With a file more, which the statement does not list.
    pub(crate) fn with(mut self, name: &str, bytes: &[u8]) -> Self {
        self.files.insert(name.to_owned(), bytes.to_vec());
        self
    }

    /// Writes it into a new folder.
    pub(crate) fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    pub(crate) fn subject(&self, name: &str) -> Subject {
        self.statement.subject(name).unwrap().clone()
    }
}

/// A DSSE envelope with one signature.
pub(crate) fn envelope(payload: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let signature = SigningKey::from_bytes(&[7; 32]).sign(payload).to_bytes();
    let (payload, signature) = (base64.encode(payload), base64.encode(signature));
    format!(r#"{{"payload":"{payload}","payloadType":"x","signatures":[{{"sig":"{signature}"}}]}}"#)
        .into_bytes()
}

/// Text without repetition.
pub(crate) fn noise(size: usize, mut seed: u64) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}
