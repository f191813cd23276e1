//! A sidecar between a tool server and the test.

use std::{path::Path, sync::Arc};

use latchkey_sidecar::{config::Config, run::Running};

use crate::{bundle, client, server};

/// A sidecar, the server behind it, and the folder that holds its bundle and state.
pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Arc<server::ToolServer>,
    pub(crate) sidecar: Running,
}

impl Rig {
    /// A sidecar with a good bundle; `more` is added to its settings.
    pub(crate) fn start(more: &str) -> Self {
        Self::with(&bundle::Release::new(1), more)
    }

    /// A sidecar with this release.
    pub(crate) fn with(release: &bundle::Release, more: &str) -> Self {
        Self::prepared(release, |_| {}, more)
    }

    /// The same, once its folder holds what the settings name.
    pub(crate) fn prepared(
        release: &bundle::Release,
        prepare: impl FnOnce(&Path),
        more: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = server::ToolServer::start();
        prepare(folder.path());
        release.write(folder.path(), &server.upstream());
        let sidecar = sidecar(folder.path(), more).unwrap();
        Self {
            folder,
            server,
            sidecar,
        }
    }

    pub(crate) fn call(&self, token: &str, tool: &str) -> client::Answer {
        client::call(self.sidecar.address, token, tool)
    }

    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        events(self.folder.path())
    }
}

/// Starts a sidecar on the bundle and state of a folder.
pub(crate) fn sidecar(folder: &Path, more: &str) -> Result<Running, Box<dyn std::error::Error>> {
    let config = Config::parse(&settings(more), folder)?;
    Ok(Running::start(config)?)
}

/// The settings of a test, with tables or keys of `more` in place of the usual ones.
pub(crate) fn settings(more: &str) -> String {
    let mut table: toml::Table = toml::from_str(
        r#"
        bundle = {source = "bundle", server = "github", poll = "20ms"}
        trust = {file = "trust.json"}
        listen = {address = "127.0.0.1:0"}
        admin = {address = "127.0.0.1:0"}
        state = {directory = "state"}
        audit = {file = "audit.jsonl"}
        "#,
    )
    .unwrap();
    let more: toml::Table = toml::from_str(more).unwrap();
    for (name, value) in more {
        let entry = table.entry(name).or_insert(toml::Table::new().into());
        let entry = entry.as_table_mut().unwrap();
        entry.extend(value.as_table().unwrap().clone());
    }
    table.to_string()
}

/// The events of requests in a folder, after checking the chain of all.
pub(crate) fn events(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    latchkey_gate::event::verify_chain(text.lines()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event_type"] == "request")
        .collect()
}

/// Waits until something holds, for up to ten seconds.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} did not come to pass");
}
