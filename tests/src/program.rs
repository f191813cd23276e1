//! The real programs, built as `make demo` builds them.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use crate::golden::root;

/// The path of `latchkey` or `latchkey-sidecar`, freshly built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let build = ["build", "--quiet", "--locked", "--bins", "-p", "latchkey"];
        let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args(build)
            .args(["-p", "latchkey-sidecar"])
            .current_dir(root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the programs do not build: {said}");
        // This test lies in `<target>/<profile>/deps`; the programs in `<target>/debug`.
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().join("debug")
    });
    folder.join(name)
}
