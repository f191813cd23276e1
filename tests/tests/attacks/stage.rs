//! A sidecar under attack: the real program, its source, its state, and a caller.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use latchkey_engine::time::Time;
use latchkey_gate::call::Stated;
use latchkey_tests::{
    client::{self, Connection},
    golden::{Golden, root},
    live::{Program, Rig, wait_for},
    program::program,
    publisher::{Draft, Publisher},
    tokens::seconds,
    web::Web,
};
use serde_json::Value;

/// A sidecar that serves version 5, signed by `ci`, under a pointer that has an hour to live.
pub(crate) struct Stage {
    pub(crate) publisher: Publisher,
    pub(crate) web: Arc<Web>,
    rig: Rig,
    stated: Stated,
    sidecar: Option<Program>,
    source: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let golden = Golden::open(&root().join("tests/golden/scope-map"));
        let rig = Rig::new(&golden, "git");
        let bundle = rig.path().join("bundle");
        fs::remove_dir_all(&bundle).unwrap();
        let publisher = Publisher::new(&golden, &rig.model, &bundle);
        let cells = golden.cells();
        let cell = cells
            .into_iter()
            .find(|it| it.caller == "alice" && it.call == "exact");
        let mut stage = Self {
            publisher,
            web: Web::start(bundle),
            rig,
            stated: cell.unwrap().stated,
            sidecar: None,
            source: "bundle".to_owned(),
        };
        stage.install(&stage.publisher.trust(1, |_| {}));
        stage.publish(5, |_| {});
        stage.restart("");
        stage.await_version(5);
        assert!(stage.call());
        stage
    }

    /// Publishes a release, which the attack may have changed, and an honest pointer at it.
    pub(crate) fn publish(&mut self, version: u64, change: impl FnOnce(&mut Draft)) {
        let mut draft = self.publisher.draft(version);
        change(&mut draft);
        self.publisher.publish(&draft);
    }

    /// Publishes a release under a pointer that has ended.
    pub(crate) fn publish_ended(&mut self, version: u64) {
        let draft = self.publisher.draft(version);
        let mut pointing = self.publisher.pointing(&draft);
        pointing.pointer.issued_at = Time(seconds() - 7200);
        pointing.pointer.expires = Time(seconds() - 3600);
        self.publisher.put_release(&draft);
        self.publisher.put_pointer(&pointing);
    }

    /// The source goes on handing out a pointer that ends.
    pub(crate) fn freeze(&mut self) {
        let mut pointing = self.publisher.pointing(&self.publisher.draft(5));
        pointing.pointer.expires = Time(seconds() + 2);
        self.publisher.put_pointer(&pointing);
        self.wait("the end of the pointer", |status| status["stale"] == true);
    }

    /// Publishes the next trust root, signed as it must be.
    pub(crate) fn rotate(&mut self, version: u64, change: impl FnOnce(&mut Value)) {
        let next = self.publisher.trust(version, change);
        self.publisher.put_trust(version, &next, &["root"]);
        self.wait("the trust root", |status| {
            status["trust"]["version"] == version
        });
    }

    /// Goes on with a trust root that wants two signatures, and a version 6 that has them.
    pub(crate) fn with_threshold_of_two(&mut self) {
        self.publish(6, |draft| draft.signers.push("ops"));
        self.await_version(6);
        self.rotate(2, |root| {
            root["roles"]["release"]["main"]["threshold"] = serde_json::json!(2);
        });
    }

    /// Suspends principals through a newer pointer, and no others.
    pub(crate) fn deny(&mut self, suspended: &[&str]) {
        let mut pointing = self.publisher.pointing(&self.publisher.draft(5));
        let names = suspended.iter().map(|name| (*name).to_owned());
        pointing.pointer.urgent_deny.suspended = names.collect();
        self.publisher.put_pointer(&pointing);
    }

    /// Starts over on a channel that follows no pointer.
    pub(crate) fn without_freshness(&mut self) {
        self.stop();
        fs::remove_dir_all(self.state()).unwrap();
        self.publisher.remove("pointer.dsse.json");
        self.install(&self.publisher.trust(1, |root| {
            root["roles"]["freshness"] = serde_json::json!({});
        }));
        self.restart("");
        self.await_version(5);
    }

    /// Goes on with the web server as the source.
    pub(crate) fn over_http(&mut self, more: &str) {
        self.source = self.web.url();
        self.restart(more);
    }

    /// Ends the sidecar as `kill -9` does.
    pub(crate) fn stop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.kill();
        }
    }

    /// Starts it again, with these settings besides the usual ones.
    pub(crate) fn restart(&mut self, more: &str) {
        self.stop();
        let more = format!("bundle.source = {:?}\n{}", self.source, dotted(more));
        self.sidecar = Some(self.rig.spawn(&more));
    }

    /// Begins a new state by command.
    pub(crate) fn init(&self) {
        let mut init = Command::new(program("latchkey-sidecar"));
        init.arg("--config")
            .arg(self.rig.path().join("sidecar.toml"));
        assert!(init.arg("--init").status().unwrap().success());
    }

    pub(crate) fn remove_state(&self, name: &str) {
        fs::remove_file(self.state().join(name)).unwrap();
    }

    pub(crate) fn damage_state(&self, name: &str) {
        fs::write(self.state().join(name), "{\"project\": ").unwrap();
    }

    /// Flips one byte of the slice in the copy of what was good last.
    pub(crate) fn damage_last_good(&self) {
        let release = fs::read_dir(self.state().join("last-good")).unwrap();
        let slice = release.map(|entry| entry.unwrap().path().join("git.lkb"));
        for path in slice {
            let mut bytes = fs::read(&path).unwrap();
            bytes[100] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }

    /// Writing the floor fails from now on as it does on a full disk.
    pub(crate) fn fill_disk(&self) {
        let aside = self.state().join("floor.new");
        std::os::unix::fs::symlink("/dev/full", aside).unwrap();
    }

    pub(crate) fn make_room(&self) {
        self.remove_state("floor.new");
    }

    pub(crate) fn status(&self) -> Value {
        client::get(self.sidecar().admin, "/status").json()
    }

    pub(crate) fn metrics(&self) -> String {
        client::get(self.sidecar().admin, "/metrics").body
    }

    /// Has the source asked at once.
    pub(crate) fn ask_for_poll(&self) {
        let mut connection = Connection::open(self.sidecar().admin).unwrap();
        let answer = connection.send("POST", "/poll", None, "").unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Whether a call that policy allows is allowed.
    pub(crate) fn call(&self) -> bool {
        let mut connection = Connection::open(self.sidecar().address).unwrap();
        self.rig.send(&mut connection, &self.stated).is_allowed()
    }

    /// How long it takes until the call is allowed, or refused.
    pub(crate) fn time_until_call_is(&self, allowed: bool) -> Duration {
        let begin = Instant::now();
        wait_for("the change", || self.call() == allowed);
        begin.elapsed()
    }

    pub(crate) fn await_version(&self, version: u64) {
        self.wait("the version", |status| {
            status["bundle"]["version"] == version
        });
    }

    pub(crate) fn await_pointer(&self, version: u64) {
        self.wait("the pointer", |status| {
            status["pointer"]["version"] == version
        });
    }

    /// Waits until a metric has a value.
    pub(crate) fn await_metric(&self, name: &str) {
        wait_for(name, || self.metrics().contains(name));
    }

    /// Waits until something is refused under this word.
    pub(crate) fn await_word(&self, what: &str, word: &str) {
        self.wait(&format!("{what}: {word}"), |status| {
            status["last_error_word"] == word
        });
    }

    /// What is served: what the report says, proved by a call.
    pub(crate) fn served(&self) -> String {
        let status = self.status();
        let bundle = &status["bundle"];
        let served = match bundle["version"].as_u64() {
            _ if status["state"] != "ready" => "nothing: every call is refused".to_owned(),
            Some(version) => format!("version {version} of epoch {}", bundle["epoch"]),
            None => panic!("ready without a bundle: {status}"),
        };
        assert_eq!(self.call(), status["state"] == "ready", "{status}");
        served
    }

    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        for _ in 0..1000 {
            last = self.status();
            if holds(&last) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "{what} did not come to pass: {last:#}\n{}",
            self.sidecar().log()
        );
    }

    fn install(&self, trust: &Value) {
        fs::write(self.rig.path().join("trust.json"), trust.to_string()).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.rig.path().join("state")
    }

    fn sidecar(&self) -> &Program {
        self.sidecar.as_ref().unwrap()
    }
}

/// Inline tables as dotted keys, which can stand beside others of the same table.
fn dotted(more: &str) -> String {
    let tables: toml::Table = toml::from_str(more).unwrap();
    let rows = tables.iter().flat_map(|(name, table)| {
        let entries = table.as_table().unwrap().iter();
        entries.map(move |(key, value)| format!("{name}.{key} = {value}\n"))
    });
    rows.collect()
}
