//! Audit logs that a live sidecar wrote, and projects to try on them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_gate::call::Stated;
use latchkey_tests::{
    client::{self, Connection},
    golden::{Golden, root},
    live::{Rig, wait_for},
    program::program,
};

/// What was sent through a sidecar, one call for each event of its log.
pub(crate) struct Recording {
    pub(crate) rig: Rig,
    pub(crate) calls: Vec<Stated>,
}

/// Sends every call of the matrices of `policies/` for one server that `wanted` lets through.
pub(crate) fn record(server: &str, wanted: &dyn Fn(&Stated) -> bool) -> Recording {
    let golden = Golden::open(&root().join("policies"));
    let calls: Vec<Stated> = golden
        .cells()
        .into_iter()
        .map(|cell| cell.stated)
        .filter(|stated| stated.server == server && wanted(stated))
        .collect();
    let rig = Rig::new(&golden, server);
    let sidecar = rig.start("");
    wait_for("readiness", || {
        client::get(sidecar.admin, "/readyz").status == 200
    });
    let mut connection = Connection::open(sidecar.address).unwrap();
    for stated in &calls {
        let _ = rig.send(&mut connection, stated);
    }
    sidecar.drain();
    assert_eq!(rig.events().len(), calls.len(), "one event for each call");
    Recording { rig, calls }
}

impl Recording {
    pub(crate) fn log(&self) -> PathBuf {
        self.rig.path().join("audit.jsonl")
    }

    pub(crate) fn baseline(&self) -> PathBuf {
        self.rig.path().join("bundle")
    }
}

/// A copy of `policies/` with a few texts replaced, each of which must be there.
pub(crate) fn edited(folder: &Path, edits: &[(&str, &str, &str)]) -> PathBuf {
    let project = folder.join("project");
    let _ = fs::remove_dir_all(&project);
    copy(&root().join("policies"), &project);
    for (file, from, to) in edits {
        let path = project.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
    }
    project
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs `latchkey`: its exit code, standard output and standard error.
pub(crate) fn latchkey(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output: Output = Command::new(program("latchkey"))
        .current_dir(directory)
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}
