//! The Redis of the distribution, on a socket of its own.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::rig::wait_for;

/// A running Redis that ends with the test.
pub(crate) struct Redis {
    folder: tempfile::TempDir,
    server: Child,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = run(folder.path());
        Self { folder, server }
    }

    /// Where it is, as settings say it.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", socket(self.folder.path()).display())
    }

    /// Sends a signal: `STOP`, `CONT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.server.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Another one in the place of one that was killed; it remembers nothing.
    pub(crate) fn restart(&mut self) {
        self.server.wait().unwrap();
        self.server = run(self.folder.path());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

fn run(folder: &Path) -> Child {
    let (program, libraries) = installed();
    let _ = fs::remove_file(socket(folder));
    let server = Command::new(program)
        .env("LD_LIBRARY_PATH", libraries)
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(socket(folder))
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("Redis", || UnixStream::connect(socket(folder)).is_ok());
    server
}

/// The program, and where its libraries are: the machine's, or the distribution's packages, fetched
/// once into the build folder.
fn installed() -> (PathBuf, PathBuf) {
    let installed = Path::new("/usr/bin/redis-server");
    if installed.exists() {
        return (installed.into(), PathBuf::new());
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-server");
    if !kept.exists() {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fetch = "fetch() { apt-get download -q redis-server redis-tools libjemalloc2 liblzf1; }\n\
                     fetch || { apt-get update -q && fetch; } || exit 1\n\
                     for package in *.deb; do dpkg -x \"$package\" x || exit 1; done";
        let fetched = Command::new("sh")
            .args(["-c", fetch])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(
            fetched.status.success(),
            "this test needs redis-server; install it (`apt-get install redis-server`), or let \
             this machine fetch the package: {}",
            String::from_utf8_lossy(&fetched.stderr)
        );
        // Another test may have been faster.
        let _ = fs::rename(folder.path().join("x"), &kept);
    }
    let libraries = fs::read_dir(kept.join("usr/lib")).unwrap();
    let libraries = libraries
        .map(|it| it.unwrap().path())
        .find(|it| it.join("liblzf.so.1").exists());
    (kept.join("usr/bin/redis-server"), libraries.unwrap())
}
