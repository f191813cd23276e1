//! What operators meet: refusals to start that say what to change, settings from three places, and
//! `latchkey dev`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use latchkey_sidecar::{config::Config, run::Running};
use latchkey_tests::{
    client::Connection,
    golden::{Golden, root},
    live::{Rig, wait_for},
    program::program,
    upstream::Upstream,
};
use serde_json::json;

fn rig() -> Rig {
    let golden = Golden::open(&root().join("tests/golden/design"));
    Rig::new(&golden, "github")
}

/// Why a sidecar with these settings does not start.
fn refusal(rig: &Rig, settings: &str) -> String {
    match Config::parse(settings, rig.path()) {
        Err(error) => error.to_string(),
        Ok(config) => match Running::start(config) {
            Err(error) => error.to_string(),
            Ok(running) => {
                running.drain();
                panic!("it starts:\n{settings}");
            }
        },
    }
}

/// Each refusal names the key that it is about, and says what to do.
#[test]
#[expect(clippy::too_many_lines, reason = "one list of cases")]
fn every_refusal_to_start_says_what_to_change() {
    let rig = rig();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    fs::write(rig.path().join("file"), "").unwrap();
    fs::create_dir(rig.path().join("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(rig.path().join("used.sock")).unwrap();
    let taken_calls = format!("listen.address = \"{taken}\"");
    let taken_admin = format!("admin.address = \"{taken}\"");
    let taken_point = format!("decision.address = \"{taken}\"");
    let table: [(&str, &str, &str); 29] = [
        ("bundle.server = \"\"", "[bundle] server", "empty"),
        ("bundle.source = \"ftp://x/y\"", "source", "scheme"),
        ("bundle.poll = \"1ms\"", "[bundle] poll", "at least 10ms"),
        ("bundle.poll = \"soon\"", "poll", "write a whole number"),
        ("bundle.token_env = \"T\"", "token_env", "remove them"),
        ("bundle.long_poll = true", "long_poll", "remove it"),
        (
            "bundle.serve_expired_for = \"800h\"",
            "serve_expired_for",
            "release more often",
        ),
        ("bundle.on_stale = \"maybe\"", "on_stale", "expected"),
        (
            "bundle.timeout = \"1ms\"",
            "[bundle] timeout",
            "write a longer time",
        ),
        (
            "listen.workers = 0",
            "[listen] workers",
            "between 1 and 256",
        ),
        ("listen.adress = \"x\"", "adress", "expected one of"),
        ("liste.address = \"x\"", "liste", "expected one of"),
        (&taken_calls, "[listen] address", "choose one"),
        (&taken_admin, "[admin] address", "choose one"),
        (&taken_point, "[decision] address", "choose a free address"),
        ("bounds.tokens = 1", "[bounds] tokens", "between 16"),
        (
            "state.directory = \"file\"",
            "[state] directory",
            "may write to",
        ),
        ("audit.file = \"folder\"", "[audit] file", "may write to"),
        ("decision.max_page = 5", "[decision]", "set one of them"),
        ("decision.address = \"here\"", "address", "unix:PATH"),
        (
            "decision.address = \"0.0.0.0:1\"",
            "[decision] address",
            "token_file",
        ),
        (
            "decision.lines = \"used.sock\"",
            "[decision] lines",
            "another path",
        ),
        (
            "decision.lines = \"no/such/x.sock\"",
            "[decision] lines",
            "may write to",
        ),
        (
            "decision.address = \"unix:a.sock\"\ndecision.url = \"http://x\"",
            "[decision] url",
            "https",
        ),
        (
            "telemetry.endpoint = \"collector\"",
            "[telemetry] endpoint",
            "such as",
        ),
        (
            "telemetry.sample = 2.0",
            "[telemetry] sample",
            "from 0 to 1",
        ),
        (
            "telemetry.token_file = \"t\"",
            "[telemetry] token_file",
            "set it, or remove",
        ),
        (
            "log.level = \"=,=\"",
            "[log] level",
            "or targets with levels",
        ),
        ("log.format = \"xml\"", "format", "expected"),
    ];
    for (change, key, advice) in table {
        let said = refusal(&rig, &rig.settings(change));
        assert!(said.contains(key), "{change}: {said}");
        assert!(said.contains(advice), "{change}: {said}");
    }
    let settings: toml::Table = toml::from_str(&rig.settings("")).unwrap();
    for section in ["bundle", "trust", "listen", "admin", "state", "audit"] {
        let mut less = settings.clone();
        less.remove(section);
        let said = refusal(&rig, &less.to_string());
        assert!(said.contains(section), "{section}: {said}");
    }
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn sidecar(arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let output = Command::new(program("latchkey-sidecar"))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn check_config_checks_all_and_shows_where_each_setting_comes_from() {
    let rig = rig();
    let path = rig.path().join("sidecar.toml");
    fs::write(&path, rig.settings("")).unwrap();
    let file = path.to_str().unwrap();
    let good = sidecar(
        &[
            "--config",
            file,
            "--check-config",
            "--set",
            "listen.workers=2",
        ],
        &[
            ("LATCHKEY_LISTEN_HEAD_TIMEOUT", "3s"),
            ("LATCHKEY_SERVICE_HOST", "10.0.0.1"),
        ],
    );
    assert_eq!(good.code, Some(0), "{}", good.err);
    for line in [
        "workers = 2  # --set listen.workers".to_owned(),
        "head_timeout = \"3s\"  # LATCHKEY_LISTEN_HEAD_TIMEOUT".to_owned(),
        format!("server = \"github\"  # {file}"),
    ] {
        assert!(good.out.contains(&line), "{line} is not in\n{}", good.out);
    }
    let wrong = sidecar(
        &["--config", file, "--check-config"],
        &[
            ("LATCHKEY_BUNDLE_SOURCE", "nowhere"),
            ("LATCHKEY_TRUST_FILE", "no-trust.json"),
            ("LATCHKEY_OVERLAY_FILE", "no-overlay.json"),
        ],
    );
    assert_eq!(wrong.code, Some(1));
    for part in ["[bundle] source", "[trust] file", "[overlay] file"] {
        assert!(wrong.err.contains(part), "{part} is not in\n{}", wrong.err);
    }
    let misspelt = sidecar(
        &["--config", file, "--check"],
        &[("LATCHKEY_LISTEN_ADRESS", "x")],
    );
    assert_eq!(misspelt.code, Some(2));
    assert!(
        misspelt.err.contains("LATCHKEY_LISTEN_ADRESS"),
        "{}",
        misspelt.err
    );
    assert!(
        !rig.path().join("state").exists(),
        "a check changes nothing"
    );
}

/// What no machine can bind or write to is found without trying.
#[test]
fn check_config_finds_places_that_cannot_be() {
    let rig = rig();
    fs::create_dir(rig.path().join("folder")).unwrap();
    fs::write(rig.path().join("root.json"), "{\"garbage\": 1}").unwrap();
    let path = rig.path().join("sidecar.toml");
    let more = "
        audit.file = \"folder\"
        trust.sigstore_root = \"root.json\"
        listen.address = [\"127.0.0.1:1\", \"unix:none/calls.sock\"]
        admin.address = \"127.0.0.1:1\"";
    fs::write(&path, rig.settings(more)).unwrap();
    let said = sidecar(&["--config", path.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for part in [
        "folder is a folder: name a file in it",
        "root.json: ",
        "127.0.0.1:1 is named twice",
        "calls.sock: there is no folder",
    ] {
        assert!(said.err.contains(part), "{part} is not in\n{}", said.err);
    }
}

/// Keys and certificates are read as they would be at the start.
#[test]
fn check_config_reads_keys_and_certificates() {
    let rig = rig();
    let write = |name: &str, text: &str| fs::write(rig.path().join(name), text).unwrap();
    write(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    write("bad.key", "no key");
    let path = rig.path().join("sidecar.toml");
    let more = "
        listen.tls = {certificate = \"bad.pem\", key = \"bad.key\"}
        upstream = {ca = \"none.pem\"}
        handles = {key_file = \"bad.key\"}
        token = {key_file = \"none.key\"}
        store = {redis = \"rediss://localhost:1\", ca = \"bad.key\", password_file = \"none\"}
        identity = {ca_file = \"bad.key\", development_issuer = {name = \"x\", jwks = \"bad.key\"}}
        profile = {development = true}
        [decision]
        address = \"127.0.0.1:0\"
        tls = {certificate = \"none.pem\", key = \"bad.key\"}";
    fs::write(&path, rig.settings(more)).unwrap();
    let said = sidecar(&["--config", path.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for key in [
        "[listen.tls] ",
        "[decision.tls] ",
        "[upstream] ",
        "[handles] key_file",
        "[token] key_file",
        "[store] password_file",
        "[store] ",
        "[identity] ca_file",
        "[identity] development_issuer",
    ] {
        let line = said.err.lines().find(|line| line.contains(key));
        let line = line.unwrap_or_else(|| panic!("{key} is not in\n{}", said.err));
        assert!(line.contains("bad.") || line.contains("none"), "{line}");
    }
    assert!(!said.err.contains("no key\n"), "{}", said.err);
    assert!(
        !rig.path().join("state").exists(),
        "a check changes nothing"
    );
}

/// `latchkey dev`, running.
struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        // A failed test must leave nothing behind, and a sidecar ends with its parent's signal.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn dev_enforces_each_save_and_keeps_what_runs_when_one_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (project, log) = (folder.path().join("project"), folder.path().join("log"));
    copy(&root().join("tests/golden/design"), &project);
    let upstream = Upstream::start();
    let (listen, admin) = (free(), free());
    // Both programs are built, one beside the other.
    let _ = program("latchkey-sidecar");
    let child = Command::new(program("latchkey"))
        .arg("-C")
        .arg(&project)
        .args(["dev", "--as", "alice", "--group", "gh-payments-maint"])
        .args(["--upstream", &format!("http://{}/mcp", upstream.address)])
        .args([
            "--listen",
            &listen.to_string(),
            "--admin",
            &admin.to_string(),
        ])
        .arg("--state")
        .arg(folder.path().join("state"))
        .stdout(File::create(&log).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let dev = Dev(child);
    let said = || fs::read_to_string(&log).unwrap();
    wait_for("the sidecar", || TcpStream::connect(listen).is_ok());
    wait_for("a token", || said().contains("token of alice: "));
    let text = said();
    let token = text.split("token of alice: ").nth(1).unwrap();
    let token = token.lines().next().unwrap().to_owned();
    let push = json!({"owner": "acme", "repo": "ledger", "branch": "topic", "files": []});
    let allowed = || {
        let mut connection = Connection::open(listen).unwrap();
        let answer = connection.call(&token, "push_files", &push).unwrap();
        answer.is_allowed()
    };
    wait_for("an allowed call", allowed);
    assert_eq!(upstream.count(), 1);
    wait_for("the log of decisions", || said().contains("allow ok"));

    let access = project.join("access/payments.yaml");
    let text = fs::read_to_string(&access).unwrap();
    let narrower = text.replace("roles: [github-maintainer]", "roles: [github-triager]");
    assert_ne!(text, narrower);
    fs::write(&access, &narrower).unwrap();
    wait_for("a refused call", || !allowed());
    fs::write(&access, format!("{narrower}\nbindings: [")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert!(!allowed(), "a broken project leaves in force what was");
    fs::write(&access, &text).unwrap();
    wait_for("an allowed call", allowed);
    drop(dev);
    wait_for("its end", || TcpStream::connect(listen).is_err());
}

#[test]
fn dev_serves_this_machine_only() {
    let output = Command::new(program("latchkey"))
        .arg("-C")
        .arg(root().join("tests/golden/design"))
        .args(["dev", "--listen", "0.0.0.0:8080"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not a loopback address"), "{said}");
}
