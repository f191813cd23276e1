//! The real program, stopped politely and not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    bundle, client,
    rig::{events, settings, wait_for},
    server::ToolServer,
};

pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Program {
    pub(crate) fn start(folder: &Path, more: &str) -> Self {
        Self::logging(folder, more, "info")
    }

    /// With a log of this level in the folder's `log.txt`.
    pub(crate) fn logging(folder: &Path, more: &str, level: &str) -> Self {
        let (address, admin) = (free_port(), free_port());
        let more = format!("{more}\nlisten.address = \"{address}\"\nadmin.address = \"{admin}\"\n");
        let path = folder.join("sidecar.toml");
        std::fs::write(&path, settings(&more)).unwrap();
        let program = Self::run(folder, address, admin, level);
        wait_for("the listener", || {
            std::net::TcpStream::connect(admin).is_ok()
        });
        program
    }

    /// One more process with the settings of the first.
    pub(crate) fn again(folder: &Path, address: SocketAddr, admin: SocketAddr) -> Self {
        Self::run(folder, address, admin, "info")
    }

    fn run(folder: &Path, address: SocketAddr, admin: SocketAddr, level: &str) -> Self {
        let path = folder.join("sidecar.toml");
        // A file at its limit of size is an error then, as a full disk is, and no signal.
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\""])
            .arg(env!("CARGO_BIN_EXE_latchkey-sidecar"))
            .arg(&path)
            .env("LATCHKEY_LOG", level)
            .env("LATCHKEY_FAULTS", folder.join("faults"))
            .stderr(output(folder, "log.txt"))
            .stdout(output(folder, "stdout"))
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            admin,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the program says, in all runs in a folder.
fn output(folder: &Path, name: &str) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    options.open(folder.join(name)).unwrap()
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// How often the program is killed: `LATCHKEY_KILLS`, or a few times.
fn kills() -> usize {
    let set = std::env::var("LATCHKEY_KILLS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn killed_under_load_each_forwarded_request_has_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let answered = Arc::new(AtomicUsize::new(0));
    for round in 0..kills() {
        let program = Program::start(folder.path(), "");
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..4)
            .map(|n| {
                let (address, stop) = (program.address, Arc::clone(&stop));
                let answered = Arc::clone(&answered);
                std::thread::spawn(move || call_until(address, n, &stop, &answered))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(60 + 37 * (round as u64 % 5)));
        program.signal("KILL");
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(program.ended(), None);
    }
    let last = Program::start(folder.path(), "");
    last.signal("TERM");
    assert_eq!(last.ended(), Some(0));

    let mut recorded = BTreeMap::new();
    for event in events(folder.path()) {
        let id = event["event_id"].as_str().unwrap().to_owned();
        assert!(recorded.insert(id, event).is_none(), "an event twice");
    }
    let seen: Vec<String> = server
        .seen()
        .into_iter()
        .map(|seen| seen.request_id)
        .collect();
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "a request was forwarded twice");
    for id in &seen {
        let event = recorded
            .get(id)
            .expect("a forwarded request without an event");
        assert_eq!(event["decision"], "allow");
    }
    let mut cut_off = 0;
    for (id, event) in &recorded {
        let was_seen = distinct.contains(id);
        if event["decision"] == "deny" {
            assert!(!was_seen, "a refused request was forwarded: {event}");
        } else if event["outcome"] == "success" {
            assert!(was_seen, "an event of a request that nobody saw: {event}");
        } else {
            cut_off += 1;
        }
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > 0, "nobody was answered");
    assert!(
        recorded.len() >= answered,
        "{} of {answered}",
        recorded.len()
    );
    println!(
        "{} kills: {} events, {} requests forwarded, {answered} answered, {cut_off} cut off",
        kills(),
        recorded.len(),
        seen.len()
    );
}

/// Calls, allowed and refused in turn, until the connection breaks.
fn call_until(address: SocketAddr, n: usize, stop: &AtomicBool, answered: &AtomicUsize) {
    let subject = if n == 3 { "bob" } else { "alice" };
    let Ok(mut connection) = client::Connection::try_open(address, &bundle::token(subject)) else {
        // Killed before this caller came.
        return;
    };
    let tools = ["get_issue", "steady"];
    for tool in tools.iter().cycle() {
        if stop.load(Ordering::Relaxed) || connection.call(tool).is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_line_that_was_cut_short_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let token = bundle::token("alice");
    let first = Program::start(folder.path(), "");
    client::call(first.address, &token, "get_issue");
    first.signal("KILL");
    first.ended();
    let path = folder.path().join("audit.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"schema_version\":1,\"eve");
    std::fs::write(&path, text).unwrap();
    let second = Program::start(folder.path(), "");
    client::call(second.address, &token, "get_issue");
    second.signal("TERM");
    assert_eq!(second.ended(), Some(0));
    assert_eq!(events(folder.path()).len(), 2);
    let aside = std::fs::read_dir(folder.path().join("state")).unwrap();
    let names: Vec<String> = aside
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("audit.cut-")),
        "{names:?}"
    );
}

#[test]
fn on_standard_output_the_chain_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let token = bundle::token("alice");
    for kill in [true, false] {
        let program = Program::start(folder.path(), "audit = {file = \"-\"}");
        client::call(program.address, &token, "get_issue");
        let mut open = client::Connection::open(program.address, &token);
        if kill {
            open.post(&client::tool_call("slow")).unwrap();
            wait_for("the call", || server.seen().len() == 2);
        }
        program.signal(if kill { "KILL" } else { "TERM" });
        program.ended();
    }
    std::fs::copy(
        folder.path().join("stdout"),
        folder.path().join("audit.jsonl"),
    )
    .unwrap();
    let mut outcomes: Vec<_> = events(folder.path())
        .iter()
        .map(|event| event["outcome"].as_str().unwrap().to_owned())
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["internal", "success", "success"]);
}

#[test]
fn a_hang_up_looks_at_the_directory_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::start(folder.path(), "bundle = {poll = \"1h\"}");
    let version = || client::get(program.admin, "/status").json()["bundle"]["version"].clone();
    assert_eq!(version(), 1);
    bundle::Release::new(2).write(folder.path(), &server.upstream());
    program.signal("HUP");
    wait_for("the swap", || version() == 2);
    program.signal("INT");
    assert_eq!(program.ended(), Some(0));
}

#[test]
fn a_stop_lets_requests_in_flight_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::start(folder.path(), "");
    let mut connection = client::Connection::open(program.address, &bundle::token("alice"));
    connection.post(&client::tool_call("slow")).unwrap();
    wait_for("the call", || server.seen().len() == 1);
    let started = Instant::now();
    program.signal("TERM");
    wait_for("the end of accepting", || {
        std::net::TcpStream::connect(program.address).is_err()
            || client::get(program.admin, "/readyz").status == 503
    });
    assert_eq!(connection.answer().unwrap().outcome(), "ok");
    assert_eq!(program.ended(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(events(folder.path())[0]["outcome"], "success");
}

#[test]
fn what_a_stop_cuts_off_is_not_blamed_on_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let program = Program::start(folder.path(), "listen.drain_timeout = \"50ms\"");
    let mut connection = client::Connection::open(program.address, &bundle::token("alice"));
    connection.post(&client::tool_call("slow")).unwrap();
    wait_for("the call", || server.seen().len() == 1);
    program.signal("TERM");
    assert_eq!(program.ended(), Some(3));
    let log = std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    assert!(log.contains("clean=false"), "{log}");
    let events = events(folder.path());
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["outcome"], "internal");
    let detail = "cut_off: the sidecar stopped before the answer ended";
    assert_eq!(events[0]["detail"], detail);
}

#[test]
fn a_log_level_that_there_is_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidecar.toml");
    std::fs::write(&path, settings("")).unwrap();
    for (flag, variable, says) in [
        ("log.level=warning", None, "[log] level is `warning`"),
        ("log.level=info", Some("INFOO"), "LATCHKEY_LOG is `INFOO`"),
    ] {
        for then in ["--check-config", "--check"] {
            let output = Command::new(env!("CARGO_BIN_EXE_latchkey-sidecar"))
                .arg("--config")
                .arg(&path)
                .args([then, "--set", flag])
                .envs(variable.map(|value| ("LATCHKEY_LOG", value)))
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2));
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(says) && error.contains("`warn`"), "{error}");
        }
    }
}

#[test]
fn bad_settings_are_told_before_anything_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sidecar.toml");
    for (text, code, says) in [
        ("", 2, "bundle"),
        ("[bundle]\nsource = 1\nserver = \"x\"", 2, "source"),
        ("= ", 2, "sidecar.toml"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_latchkey-sidecar"))
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(says), "{error}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey-sidecar"))
        .arg("--nonsense")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
