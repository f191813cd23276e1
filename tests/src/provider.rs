//! A real identity provider and a real client of it, before a sidecar that fetches its keys.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};

use latchkey::model::Model;
use latchkey_gate::settings::RemoteKeys;
use latchkey_sidecar::run::Running;
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    golden::Golden,
    live::{Release, Rig, free_port, trust, wait_for},
    node::Packages,
    upstream::Upstream,
};

/// The certified provider, and the client by the same hand.
const PACKAGES: [&str; 2] = ["oidc-provider@9.13.3", "oauth4webapi@3.8.8"];

/// An identity provider on loopback, by https, for as long as the test runs.
#[derive(Debug)]
pub struct Provider {
    child: Child,
    wishes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its certificate and key, and the authority that signed them: `tls.pem`, `tls.key`, `ca.pem`.
    pub folder: TempDir,
}

impl Provider {
    /// Starts it on a free port.
    #[must_use]
    pub fn start() -> Self {
        let packages = Packages::install("oidc-provider", &PACKAGES);
        let folder = tempfile::tempdir().unwrap();
        certify(&folder);
        let at = |name: &str| folder.path().join(name);
        let port = free_port().port();
        let mut child = Command::new(packages.node())
            .arg(packages.peer("provider.mjs"))
            .arg(port.to_string())
            .args([at("tls.pem"), at("tls.key")])
            .env("NODE_EXTRA_CA_CERTS", at("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(at("log.txt")).unwrap())
            .spawn()
            .unwrap();
        let wishes = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        let provider = Self {
            child,
            wishes: Mutex::new(wishes),
            issuer: format!("https://127.0.0.1:{port}"),
            folder,
        };
        provider.answer();
        provider
    }

    /// Has it do something.
    pub fn ask(&self, wish: &Value) -> Value {
        writeln!(self.wishes.lock().unwrap().0, "{wish}").unwrap();
        let said = self.answer();
        assert!(said["error"].is_null(), "{wish}: {said}");
        said
    }

    /// The access token of a program.
    #[must_use]
    pub fn token(&self, wish: &Value) -> String {
        let mut whole = json!({"do": "token"});
        for (name, value) in wish.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let said = self.ask(&whole);
        said["access_token"].as_str().unwrap().to_owned()
    }

    /// How it behaves from now on: `up`, `away`, `hang`, `error` or `garbage`.
    pub fn becomes(&self, mode: &str) {
        self.ask(&json!({"do": "become", "mode": mode}));
    }

    /// How often its key set was asked for.
    #[must_use]
    pub fn fetches(&self) -> u64 {
        self.ask(&json!({"do": "asked"}))["jwks"].as_u64().unwrap()
    }

    fn answer(&self) -> Value {
        let mut line = String::new();
        self.wishes.lock().unwrap().1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.folder.path().join("log.txt"));
            panic!("{error}: {line:?}: {log:?}")
        })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sidecar whose callers log in with a provider. It is served by TLS where its audience says.
#[derive(Debug)]
pub struct Gate {
    /// Its folder, bundle and audit log.
    pub rig: Rig,
    /// Where it is, and the audience of its tokens.
    pub resource: String,
    more: String,
    _project: TempDir,
}

impl Gate {
    /// What a sidecar needs: lines of YAML for the issuer and for the server, and how often keys
    /// are fetched and how long they are used, in seconds.
    #[must_use]
    pub fn new(provider: &Provider, issuer: &str, server: &str, keys: (u32, u32)) -> Self {
        let address = free_port();
        let resource = format!("https://{address}/mcp");
        let upstream = Upstream::start();
        let text = policy(provider, &resource, &upstream, issuer, server);
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join("policy.yaml"), text).unwrap();
        let name = "[project]\nname = \"login\"\n";
        fs::write(project.path().join("latchkey.toml"), name).unwrap();
        let golden = Golden::open(project.path());
        let rig = Rig {
            folder: tempfile::tempdir().unwrap(),
            upstream,
            model: hurried(&golden.model, keys),
            server: "it".to_owned(),
        };
        Release::new(&golden, 1).write(rig.path(), &golden, &rig.model);
        let trust = trust(&rig.model.project).to_json();
        fs::write(rig.path().join("trust.json"), trust).unwrap();
        Self {
            rig,
            resource,
            more: settings(provider, address),
            _project: project,
        }
    }

    /// Starts a sidecar, once it has keys if `ready`.
    #[must_use]
    pub fn start(&self, ready: bool) -> Running {
        let running = self.rig.start(&self.more);
        assert!(running.shared().active().is_some(), "the bundle is refused");
        if ready {
            wait_for("the keys", || status(&running)["keys"] != 0);
        }
        running
    }

    /// Calls the tool with a token; what happened, by the audit log.
    pub fn call(&self, provider: &Provider, token: &str) -> String {
        self.call_with(provider, token, None);
        let event = self.rig.events().pop().unwrap();
        event["reason"].as_str().unwrap().to_owned()
    }

    /// Calls the tool with a token, and with a proof by a key of this name.
    pub fn call_with(&self, provider: &Provider, token: &str, key: Option<&str>) -> Value {
        provider.ask(&json!({
            "do": "call", "url": self.resource, "token": token, "tool": "look", "proof": key,
        }))
    }
}

/// What `/status` says of the issuer's keys.
#[must_use]
pub fn status(running: &Running) -> Value {
    let status = crate::client::get(running.admin, "/status").json();
    status["issuers"][0].clone()
}

fn policy(
    provider: &Provider,
    resource: &str,
    upstream: &Upstream,
    issuer: &str,
    server: &str,
) -> String {
    format!(
        r#"
organizations: {{acme: {{id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01, teams: {{t: {{}}}}}}}}
issuers:
  idp:
    issuer: {}
    audiences: ["{resource}"]
    organizations: [acme]
    jwks: {{discovery: true, refresh: 30s, maxAge: 60s}}
{issuer}
principals:
  alice: {{type: human, identity: {{issuer: idp, subject: alice}}, in: acme}}
  agent: {{type: service, identity: {{issuer: idp, subject: agent}}, in: acme}}
roles: {{all: {{allow: {{it: "*"}}}}}}
bindings: {{all: {{who: [alice, agent], roles: [all], in: acme}}}}
servers:
  it:
    in: acme
    upstream: http://{}/mcp
{server}
    tools:
      look: {{risk: read, input: {{type: object}}}}
"#,
        provider.issuer, upstream.address
    )
}

/// The model with times that a test can wait for; a policy has longer ones.
fn hurried(model: &Model, (refresh, max_age): (u32, u32)) -> Model {
    let mut model = model.clone();
    for issuer in model.issuers.values_mut() {
        issuer.settings.jwks = Some(RemoteKeys {
            uri: None,
            refresh,
            max_age,
        });
    }
    model
}

fn settings(provider: &Provider, address: SocketAddr) -> String {
    let folder = provider.folder.path().display();
    format!(
        r#"
        listen = {{address = "{address}", tls = {{certificate = "{folder}/tls.pem", key = "{folder}/tls.key"}}}}
        identity = {{ca_file = "{folder}/ca.pem", private_networks = ["127.0.0.0/8"], timeout = "500ms"}}
        "#
    )
}

/// Writes an authority, and a certificate of it for loopback.
fn certify(folder: &TempDir) {
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "the authority");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    write("tls.pem", leaf.signed_by(&key, &authority).unwrap().pem());
    write("tls.key", key.serialize_pem());
}
