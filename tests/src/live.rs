//! A live sidecar on loopback in front of a small tool server, enforcing a golden project.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use ed25519_dalek::SigningKey;
use latchkey::{
    model::Model,
    pack::{self, Facts, Files},
};
use latchkey_engine::time::Time;
use latchkey_gate::{
    call::Stated,
    supply::{FIRST_EPOCH, TrustRoot},
};
use latchkey_sidecar::{config::Config, run::Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{self, Connection, Response},
    golden::Golden,
    program::program,
    tokens::{mint, token},
    upstream::Upstream,
};

/// A release of a golden project for one tool server.
#[derive(Debug, Clone)]
pub struct Release {
    /// The project's name.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The version.
    pub version: u64,
    /// When it ends.
    pub not_after: Option<Time>,
    /// Whose key signs: 9 is trusted, 0 signs nothing.
    pub signer: u8,
}

impl Release {
    /// A good release.
    #[must_use]
    pub fn new(golden: &Golden, version: u64) -> Self {
        Self {
            project: golden.model.project.clone(),
            channel: "main".to_owned(),
            version,
            not_after: None,
            signer: 9,
        }
    }

    /// The files of the release.
    #[must_use]
    pub fn files(&self, golden: &Golden, model: &Model) -> Files {
        let mut files = pack::pack(model, &golden.sources).unwrap();
        let facts = Facts {
            project: self.project.clone(),
            channel: self.channel.clone(),
            epoch: FIRST_EPOCH,
            version: self.version,
            previous: None,
            issued_at: None,
            not_after: self.not_after,
            tests: None,
            source: None,
        };
        let key = SigningKey::from_bytes(&[self.signer; 32]);
        let keys = if self.signer == 0 { vec![] } else { vec![key] };
        pack::seal(&mut files, &facts, &golden.sources, &keys).unwrap();
        files
    }

    /// Writes the release into `folder/bundle`: each file renamed into place, the statement last.
    pub fn write(&self, folder: &Path, golden: &Golden, model: &Model) {
        let directory = folder.join("bundle");
        std::fs::create_dir_all(&directory).unwrap();
        for (name, bytes) in self.files(golden, model) {
            let aside = directory.join(format!(".{name}"));
            std::fs::write(&aside, bytes).unwrap();
            std::fs::rename(&aside, directory.join(name)).unwrap();
        }
    }
}

/// The trust file of all tests: one key, channel `main`.
#[must_use]
pub fn trust(project: &str) -> TrustRoot {
    let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
    TrustRoot::of_one_key(project, "main", "ci", key)
}

/// The model with the tests' keys, and with all servers where the test's own one is. That one has
/// no definitions of tools, so nothing is pinned; programs are servers like any other.
#[must_use]
pub fn relocated(model: &Model, upstream: &Upstream) -> Model {
    let mut model = model.clone();
    for (name, issuer) in model.issuers.iter_mut() {
        issuer.keys = mint(name).jwks();
    }
    for server in model.servers.values_mut() {
        server.upstream = match server.transport {
            latchkey_engine::index::Transport::Mcp => format!("http://{}/mcp", upstream.address),
            latchkey_engine::index::Transport::Http => format!("http://{}", upstream.address),
        };
        server.settings.command.clear();
        server.settings.environment.clear();
        for surface in server.surfaces.values_mut() {
            surface.settings.pin = None;
        }
    }
    model
}

/// A folder with a release and a trust file, and the tool server that it is for.
#[derive(Debug)]
pub struct Rig {
    /// The folder.
    pub folder: TempDir,
    /// The tool server.
    pub upstream: Arc<Upstream>,
    /// What is released.
    pub model: Model,
    /// The server that the sidecar stands in front of.
    pub server: String,
}

impl Rig {
    /// A rig for one server of a project.
    #[must_use]
    pub fn new(golden: &Golden, server: &str) -> Self {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let rig = Self {
            model: relocated(&golden.model, &upstream),
            folder,
            upstream,
            server: server.to_owned(),
        };
        Release::new(golden, 1).write(rig.path(), golden, &rig.model);
        std::fs::write(
            rig.path().join("trust.json"),
            trust(&golden.model.project).to_json(),
        )
        .unwrap();
        rig
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The settings, with `more` tables in place of the usual ones.
    #[must_use]
    pub fn settings(&self, more: &str) -> String {
        let mut table: toml::Table = toml::from_str(&format!(
            r#"
            bundle = {{source = "bundle", server = "{}", poll = "20ms"}}
            trust = {{file = "trust.json"}}
            listen = {{address = "127.0.0.1:0"}}
            admin = {{address = "127.0.0.1:0"}}
            state = {{directory = "state"}}
            audit = {{file = "audit.jsonl"}}
            "#,
            self.server
        ))
        .unwrap();
        let more: toml::Table = toml::from_str(more).unwrap();
        for (name, value) in more {
            let entry = table.entry(name).or_insert(toml::Table::new().into());
            let entry = entry.as_table_mut().unwrap();
            entry.extend(value.as_table().unwrap().clone());
        }
        table.to_string()
    }

    /// Starts a sidecar in this process.
    #[must_use]
    pub fn start(&self, more: &str) -> Running {
        let config = Config::parse(&self.settings(more), self.path()).unwrap();
        Running::start(config).unwrap()
    }

    /// Starts the real program.
    #[must_use]
    pub fn spawn(&self, more: &str) -> Program {
        Program::start(self, more)
    }

    /// The events of requests, after checking the chain of all.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.lines("audit.jsonl")
    }

    /// The events of requests in a file, after checking the chain of all.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        latchkey_gate::event::verify_chain(text.lines()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|event| event["event_type"] == "request")
            .collect()
    }

    /// Sends a stated call as a real request.
    #[must_use]
    pub fn send(&self, connection: &mut Connection, stated: &Stated) -> Response {
        let token = token(&self.model, stated);
        let (method, target, body) = request(stated);
        connection
            .send(&method, &target, token.as_deref(), &body)
            .unwrap()
    }
}

/// The method, target and body of a stated call.
#[must_use]
pub fn request(stated: &Stated) -> (String, String, String) {
    if let (Some(method), Some(path)) = (&stated.method, &stated.path) {
        let body = stated.body.as_ref().map_or("", |it| it.get());
        return (method.clone(), path.clone(), body.to_owned());
    }
    let (method, key, name) = match (&stated.tool, &stated.prompt, &stated.resource) {
        (Some(tool), ..) => ("tools/call", "name", tool),
        (_, Some(prompt), _) => ("prompts/get", "name", prompt),
        (_, _, Some(uri)) => ("resources/read", "uri", uri),
        _ => panic!("nothing is called: {stated:?}"),
    };
    let name = Value::from(name.as_str());
    let arguments = stated.arguments.as_ref();
    let arguments = arguments.map_or(String::new(), |it| format!(",\"arguments\":{}", it.get()));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"{key}":{name}{arguments}}}}}"#
    );
    ("POST".to_owned(), "/mcp".to_owned(), body)
}

/// The real program, running.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where callers are served.
    pub address: SocketAddr,
    /// Where operators are served.
    pub admin: SocketAddr,
    log: PathBuf,
}

impl Program {
    fn start(rig: &Rig, more: &str) -> Self {
        let any = "listen.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"\n";
        let path = rig.path().join("sidecar.toml");
        std::fs::write(&path, rig.settings(&format!("{more}\n{any}"))).unwrap();
        let log = rig.path().join("log.txt");
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(&log).unwrap();
        let before = usize::try_from(file.metadata().unwrap().len()).unwrap();
        let child = Command::new(program("latchkey-sidecar"))
            .arg("--config")
            .arg(&path)
            .stderr(file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut addresses = None;
        wait_for("the listener", || {
            let text = std::fs::read_to_string(&log).unwrap();
            addresses = text.get(before..).and_then(serving);
            addresses.is_some()
        });
        let [address, admin] = addresses.unwrap();
        let program = Self {
            child,
            address,
            admin,
            log,
        };
        // Operators are answered once the source has been looked at. A test that writes the next
        // release before that would have the sidecar start from a folder half written.
        assert_eq!(client::get(admin, "/healthz").status, 200);
        program
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits for its exit code.
    #[must_use]
    pub fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already, as a rule; a failed test must leave nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses that a sidecar says it serves on, callers first.
fn serving(log: &str) -> Option<[SocketAddr; 2]> {
    let (said, _) = log.rsplit_once('\n')?;
    let line = said.lines().find(|line| line.contains("serving"))?;
    let mut addresses = line.match_indices("127.0.0.1:").map(|(at, _)| {
        let rest = line.get(at..).unwrap();
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        rest.get(..end.unwrap_or(rest.len()))
            .unwrap()
            .parse()
            .unwrap()
    });
    Some([addresses.next()?, addresses.next()?])
}

/// An address on loopback that nobody listens on.
#[must_use]
pub fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits until something holds, for up to a minute.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come to pass");
}
