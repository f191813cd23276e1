//! What is found does not depend on what is kept.

use std::sync::Arc;

use latchkey_engine::time::Time;

use crate::{
    diag::render::json,
    findings_of,
    source::{Lasting, Memory, Tree},
};

const PROJECT: &str = "[project]\nname = \"p\"\n";
const TODAY: Time = Time(1_790_000_000);

fn found(tree: &Lasting, large: usize) -> (String, usize) {
    let found = findings_of(tree, TODAY, large);
    let report = found.sink.finish(&found.project.levels);
    let said = json::render(&report, &found.sources);
    (said.to_string(), report.diagnostics.len())
}

#[test]
fn texts_that_are_set_aside_change_no_finding() {
    for policy in [
        "organizations:\n  acme: {}\nroles:\n  idle: {allow: {tools: [a]}}\n",
        "organizations:\n  acme: {id: x}\nprincipals:\n  \"é\": {in: \"acme/nowhere\"}\n",
        "organizations:\n  acme: {}\n# latchkey: allow(unused-role)\nkey: ghp_0123456789abcdefghij0123456789\n",
        "bindings:\n  a:\n    who: [\"group:none\", 'nobody']\n    roles: [none]\n    in: nowhere\n",
    ] {
        let files = [("latchkey.toml", PROJECT), ("a.yaml", policy)];
        let tree: Lasting = Arc::new(Memory::from_iter(files));
        let (kept, count) = found(&tree, usize::MAX);
        assert!(count > 0, "{policy}");
        assert_eq!(found(&tree, 0).0, kept, "{policy}");
    }
}

/// Every file is another one when it is read again.
#[derive(Debug)]
struct Fickle(Memory, std::sync::atomic::AtomicUsize);

impl Tree for Fickle {
    fn paths(&self) -> std::io::Result<Vec<String>> {
        self.0.paths()
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let mut bytes = self.0.read(path)?;
        let before = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The project file is read first, and once more with the others.
        if before > 2 {
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

#[test]
fn a_file_that_changes_while_it_is_checked_is_reported() {
    let policy = "bindings:\n  a: {who: [nobody], roles: [none], in: nowhere}\n";
    let files = Memory::from_iter([("latchkey.toml", PROJECT), ("a.yaml", policy)]);
    let tree: Lasting = Arc::new(Fickle(files, 0.into()));
    let (said, _) = found(&tree, 0);
    assert!(
        said.contains("`a.yaml` cannot be read: it changed while it was checked"),
        "{said}"
    );
}
