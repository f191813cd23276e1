//! Releases to move about, and programs to move them through.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use latchkey_carrier::{Location, Options, names, publish};
use latchkey_gate::supply::{Digest, Release, Statement, Subject, dsse};
use tempfile::TempDir;

/// A release in memory.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) statement: Statement,
    pub(crate) digest: Digest,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Made {
    /// The first version: two slices that hardly compress, and the places.
    pub(crate) fn first() -> Self {
        Self::of(1, None, &noise(300_000, 1))
    }

    /// The next version, with a small change in one slice.
    pub(crate) fn next(&self) -> Self {
        let version = self.statement.release.version + 1;
        let mut slice = self.files["github.lkb"].clone();
        slice.splice(5000..5010, format!("version {version}").into_bytes());
        Self::of(version, Some(self.digest), &slice)
    }

    fn of(version: u64, previous: Option<Digest>, slice: &[u8]) -> Self {
        let mut files = BTreeMap::from([
            ("github.lkb".to_owned(), slice.to_vec()),
            ("jira.lkb".to_owned(), noise(20_000, 2)),
            ("places.lkm".to_owned(), b"access.yaml:1:1\n".repeat(500)),
        ]);
        let statement = Statement::about(
            &files,
            Release {
                previous,
                ..Release::new("acme", "main", version)
            },
        );
        let payload = statement.encode().unwrap();
        let key = SigningKey::from_bytes(&[9; 32]);
        let envelope = dsse::sign(dsse::Kind::Statement, &payload, &[key]);
        files.insert(names::RELEASE.to_owned(), envelope.into_bytes());
        Self {
            digest: Digest::of(&payload),
            statement,
            files,
        }
    }

    pub(crate) fn subject(&self, name: &str) -> Subject {
        self.statement.subject(name).unwrap().clone()
    }

    pub(crate) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    pub(crate) fn push(&self, to: &Location, options: &Options) -> publish::Pushed {
        let pushed = run(publish::push(self.folder().path(), to, options));
        pushed.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether a folder is exactly this release.
    pub(crate) fn assert_in(&self, folder: &Path) {
        let entries = fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        assert!(entries.collect::<BTreeMap<_, _>>() == self.files);
    }
}

/// Runs a future as the programs do, on one thread.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// An address on loopback that nothing listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A program of the distribution: installed, or out of its package.
pub(crate) fn packaged(package: &str, installed: &str) -> PathBuf {
    if Path::new(installed).exists() {
        return installed.into();
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let program = kept.join(installed.trim_start_matches('/'));
    if !program.exists() {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fetch = format!(
            "fetch() {{ apt-get download -q {package}; }}\n\
             fetch || {{ apt-get update -q && fetch; }} && dpkg -x {package}_*.deb x"
        );
        let fetched = Command::new("sh")
            .args(["-c", &fetch])
            .current_dir(&folder)
            .output();
        let fetched = fetched.unwrap();
        assert!(
            fetched.status.success(),
            "this test needs {package}; install it (`apt-get install {package}`), or let this \
             machine fetch the package: {}",
            String::from_utf8_lossy(&fetched.stderr)
        );
        // Another test may have been faster.
        let _ = fs::rename(folder.path().join("x"), kept);
    }
    program
}

/// A program that ends with the test.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    /// Waits until it listens.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, why: impl Fn() -> String) {
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(self.0.try_wait().unwrap().is_none(), "it ended: {}", why());
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "it does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes without repetition.
fn noise(size: usize, mut seed: u64) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}
