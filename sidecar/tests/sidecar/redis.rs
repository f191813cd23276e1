//! The Redis of the distribution, on a socket of its own.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    certificates::{Authority, put},
    rig::wait_for,
};

/// A running Redis that ends with the test.
pub(crate) struct Redis {
    folder: tempfile::TempDir,
    server: Child,
    /// Where it speaks TLS, if it does.
    port: Option<u16>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = run(folder.path(), None);
        Self {
            folder,
            server,
            port: None,
        }
    }

    /// One that speaks TLS and asks for a certificate; `tls.pem`, `tls.key` and `ca.pem` are made in its
    /// folder, and `client.pem` and `client.key` for who calls it.
    pub(crate) fn start_tls(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority.server().write(folder.path());
        put(&folder.path().join("ca.pem"), &authority.pem);
        let client = authority.sign(&["sidecar"], &[], 3600);
        put(&folder.path().join("client.pem"), &client.certificate);
        put(&folder.path().join("client.key"), &client.key);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = run(folder.path(), Some(port));
        Self {
            folder,
            server,
            port: Some(port),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it is, as settings say it.
    pub(crate) fn url(&self) -> String {
        match self.port {
            Some(port) => format!("rediss://localhost:{port}"),
            None => format!("unix:{}", socket(self.folder.path()).display()),
        }
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
        self.server = run(self.folder.path(), self.port);
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

fn run(folder: &Path, tls: Option<u16>) -> Child {
    let (program, libraries) = installed();
    let _ = fs::remove_file(socket(folder));
    let port = tls.unwrap_or_default().to_string();
    let under_tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        "tls.pem",
        "--tls-key-file",
        "tls.key",
    ];
    let certificates = ["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes"];
    let tls = tls.map(|_| under_tls.into_iter().chain(certificates));
    let server = Command::new(program)
        .env("LD_LIBRARY_PATH", libraries)
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(socket(folder))
        .args(tls.into_iter().flatten())
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
