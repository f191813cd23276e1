//! A sidecar before a real MCP server of which a test knows the names only.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use latchkey_gate::call::Stated;
use latchkey_sidecar::run::Running;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    golden::{Golden, root},
    live::{Release, Rig, trust},
    tokens::{mint, token},
    upstream::Upstream,
};

/// What a server has, and what alice may use of it; bob may use nothing.
#[derive(Debug, Default)]
pub struct Surfaces {
    /// Names of tools.
    pub tools: Vec<String>,
    /// Of these, tools that alice may not use.
    pub denied: Vec<String>,
    /// Names of prompts.
    pub prompts: Vec<String>,
    /// URIs and URI templates of resources.
    pub resources: Vec<String>,
}

/// A sidecar before a server.
#[derive(Debug)]
pub struct Front {
    /// Its folder, bundle and audit log.
    pub rig: Rig,
    /// The sidecar.
    pub running: Running,
    _project: TempDir,
}

impl Front {
    /// A sidecar before a server whose entry has these lines of YAML: where it is, or what it is
    /// started with.
    #[must_use]
    pub fn start(entry: &[String], surfaces: &Surfaces, more: &str) -> Self {
        let project = tempfile::tempdir().unwrap();
        let text = policy(entry, surfaces);
        std::fs::write(project.path().join("policy.yaml"), text).unwrap();
        let name = "[project]\nname = \"front\"\n";
        std::fs::write(project.path().join("latchkey.toml"), name).unwrap();
        let golden = Golden::open(project.path());
        let mut model = golden.model.clone();
        for (name, issuer) in model.issuers.iter_mut() {
            issuer.keys = mint(name).jwks();
        }
        let rig = Rig {
            folder: tempfile::tempdir().unwrap(),
            upstream: Upstream::start(),
            model,
            server: "it".to_owned(),
        };
        Release::new(&golden, 1).write(rig.path(), &golden, &rig.model);
        let trust = trust(&rig.model.project).to_json();
        std::fs::write(rig.path().join("trust.json"), trust).unwrap();
        let running = rig.start(more);
        assert!(running.shared().active().is_some(), "the bundle is refused");
        Self {
            rig,
            running,
            _project: project,
        }
    }

    /// A token of a principal.
    #[must_use]
    pub fn token(&self, principal: &str) -> String {
        let stated = json!({"caller": {"principal": principal, "groups": []}, "server": "it",
            "tool": "none", "arguments": {}, "at": "2026-12-01T00:00:00Z"});
        let stated: Stated = serde_json::from_value(stated).unwrap();
        token(&self.rig.model, &stated).unwrap()
    }

    /// The URL of the server, as clients reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.running.address)
    }

    /// The URL of the server for a client that can send no token: a shim on the way adds it.
    #[must_use]
    pub fn url_with_token(&self, principal: &str) -> String {
        let shim = shim(self.running.address, &self.token(principal));
        format!("http://{shim}/mcp")
    }

    /// The lines of YAML for a server that the sidecar starts.
    #[must_use]
    pub fn command(words: &[&str], environment: &[String]) -> Vec<String> {
        vec![
            "transport: mcp-stdio".to_owned(),
            format!("command: {}", json!(words)),
            format!("environment: {}", json!(environment)),
        ]
    }
}

fn policy(entry: &[String], surfaces: &Surfaces) -> String {
    let open = "risk: read, input: {type: object}";
    let mut lines: Vec<String> = vec![
        "organizations: {acme: {id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {t: {}}}}".into(),
        "issuers:\n  idp:\n    issuer: https://idp.acme.example\n    audiences: [https://it.acme.example]".into(),
        "    organizations: [acme]\n    jwks: {inline: {keys: [{kty: OKP, crv: Ed25519, alg: EdDSA, use: sig, kid: golden, x: _QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0}]}}".into(),
        "principals:\n  alice: {type: human, identity: {issuer: idp, subject: u-1}, in: acme}".into(),
        "  bob: {type: human, identity: {issuer: idp, subject: u-2}, in: acme}".into(),
        "roles: {all: {allow: {it: \"*\"}}}".into(),
        "bindings: {all: {who: [alice], roles: [all], in: acme}}".into(),
    ];
    if !surfaces.denied.is_empty() {
        lines.push(format!(
            "rules: {{no: {{effect: deny, surfaces: {{it: {}}}, message: Not here.}}}}",
            json!(surfaces.denied)
        ));
    }
    lines.push("servers:\n  it:\n    in: acme".to_owned());
    // What an MCP server may ask its client for is not what most tests are about.
    let settled = ["serverRequests:", "transport: http"];
    if !entry
        .iter()
        .any(|line| settled.iter().any(|it| line.starts_with(it)))
    {
        let asks = "sampling: true, roots: true, elicitation: {form: true}";
        lines.push(format!("    serverRequests: {{{asks}}}"));
    }
    lines.extend(entry.iter().map(|line| format!("    {line}")));
    let sections = [("tools", &surfaces.tools), ("prompts", &surfaces.prompts)];
    for (section, names) in sections.into_iter().filter(|(_, names)| !names.is_empty()) {
        lines.push(format!("    {section}:"));
        lines.extend(
            names
                .iter()
                .map(|name| format!("      {}: {{{open}}}", json!(name))),
        );
    }
    if !surfaces.resources.is_empty() {
        lines.push("    resources:".to_owned());
        let resources = surfaces.resources.iter().enumerate();
        lines.extend(
            resources.map(|(n, uri)| format!("      r{n}: {{risk: read, uri: {}}}", json!(uri))),
        );
    }
    lines.join("\n") + "\n"
}

/// The `rmcp` server of the tests, running on loopback.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    /// Where it is.
    pub address: SocketAddr,
}

impl Fixture {
    /// Builds it if need be, and starts it.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(Self::program())
            .arg("0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }

    /// The program, freshly built in a workspace of its own.
    #[must_use]
    pub fn program() -> PathBuf {
        let target = root().join(".cache/fixture");
        let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(["build", "--quiet", "--locked", "--target-dir"])
            .arg(&target)
            .current_dir(root().join("tests/fixture"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "the fixture does not build: {said}"
        );
        target.join("debug/latchkey-fixture")
    }

    /// What it has.
    #[must_use]
    pub fn surfaces() -> Surfaces {
        let text = include_str!("../fixture/src/definitions.json");
        let known: Value = serde_json::from_str(text).unwrap();
        let names = |section: &str, key: &str| -> Vec<String> {
            let all = known[section].as_array().unwrap();
            all.iter()
                .map(|it| it[key].as_str().unwrap().to_owned())
                .collect()
        };
        Surfaces {
            tools: names("tools", "name"),
            denied: Vec::new(),
            prompts: names("prompts", "name"),
            resources: [names("resources", "uri"), names("templates", "uriTemplate")].concat(),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on, and adds a token to each request; nothing else changes.
fn shim(to: SocketAddr, token: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!("Authorization: Bearer {token}\r\n");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let line = line.clone();
            std::thread::spawn(move || pass(client, to, &line));
        }
    });
    address
}

fn pass(client: TcpStream, to: SocketAddr, line: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(5)))?;
    }
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut client = BufReader::new(client);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let before = head.len();
            if client.read_line(&mut head)? == 0 {
                return server.shutdown(Shutdown::Write);
            }
            let this = head.get(before..).unwrap_or_default().to_ascii_lowercase();
            if before == 0 {
                head.push_str(line);
            } else if let Some(value) = this.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            } else if this.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        server.write_all(&[head.into_bytes(), body].concat())?;
    }
}
