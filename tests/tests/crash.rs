//! Killed at any point of fetching, verifying, persisting and swapping, a sidecar starts again with
//! a verified release at or above its floor, and no version ever goes down.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use latchkey_gate::supply::{Change, Floor, Offer, Required, Subject, TrustRoot, accept, heed};
use latchkey_tests::{
    client,
    golden::{Golden, root},
    live::{Rig, wait_for},
    program::program,
    publisher::Publisher,
    tokens::seconds,
    web::Web,
};

/// How often the program is killed: `LATCHKEY_KILLS`, or 200 times.
fn kills() -> u64 {
    let set = std::env::var("LATCHKEY_KILLS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[test]
fn killed_at_any_point_it_starts_again_with_what_it_accepted() {
    let begin = Instant::now();
    let place = Place::new();
    let source = Source::start(&place);
    let chance = RandomState::new();
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut highest, mut starts) = (Floor::default(), 0);
    for round in 0..kills() {
        let mut child = place.spawn(round % 2 == 0);
        let random = chance.hash_one(round);
        // Every third is killed while it starts; the others once they are at work.
        if round % 3 != 0 {
            let version = place.version_once_up();
            assert!(version >= highest.version, "{version} after {highest:?}");
            starts += 1;
        }
        std::thread::sleep(Duration::from_micros(random % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        *tally.entry(place.killed_while()).or_default() += 1;
        let floor = place.check();
        assert!(
            floor.version >= highest.version && floor.pointer_version >= highest.pointer_version,
            "{floor:?} after {highest:?}"
        );
        highest = floor;
    }
    let last = source.stop();
    let mut child = place.spawn(true);
    wait_for("the last release", || place.version() == Some(last));
    child.kill().unwrap();
    child.wait().unwrap();
    println!(
        "{} kills in {:.1} s over {last} releases; {starts} starts came up at or above the floor",
        kills(),
        begin.elapsed().as_secs_f64()
    );
    println!("killed while: {tally:?}");
}

/// A folder with everything, and where the program is reached.
struct Place {
    rig: Rig,
    web: Arc<Web>,
    admin: std::net::SocketAddr,
    program: PathBuf,
    trust: TrustRoot,
}

impl Place {
    fn new() -> Self {
        let golden = Golden::open(&root().join("tests/golden/scope-map"));
        let rig = Rig::new(&golden, "git");
        let bundle = rig.path().join("bundle");
        fs::remove_dir_all(&bundle).unwrap();
        let publisher = Publisher::new(&golden, &rig.model, &bundle);
        let trust = publisher.trust(1, |_| {}).to_string();
        fs::write(rig.path().join("trust.json"), &trust).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            web: Web::start(bundle),
            rig,
            admin: listener.local_addr().unwrap(),
            program: program("latchkey-sidecar"),
            trust: TrustRoot::parse(trust.as_bytes()).unwrap(),
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.rig.path().join("state").join(name)
    }

    /// Starts the program on the folder or on the web server.
    fn spawn(&self, local: bool) -> Child {
        let source = if local {
            "bundle".to_owned()
        } else {
            self.web.url()
        };
        let more = format!(
            "bundle.source = {source:?}\nbundle.poll = \"10ms\"\nadmin.address = \"{}\"",
            self.admin
        );
        let path = self.rig.path().join("sidecar.toml");
        fs::write(&path, self.rig.settings(&more)).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(path);
        let log = fs::File::create(self.rig.path().join("log.txt")).unwrap();
        command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// The version in force, when the program answers.
    fn version(&self) -> Option<u64> {
        std::net::TcpStream::connect(self.admin).ok()?;
        let status = client::get(self.admin, "/status").json();
        status.get("bundle")?.get("version")?.as_u64()
    }

    fn version_once_up(&self) -> u64 {
        for _ in 0..5000 {
            if let Some(version) = self.version() {
                return version;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!(
            "{}",
            fs::read_to_string(self.rig.path().join("log.txt")).unwrap()
        );
    }

    /// What it was at when it was killed, by what it left behind.
    fn killed_while(&self) -> &'static str {
        let entries = |name| {
            fs::read_dir(self.state(name))
                .into_iter()
                .flatten()
                .flatten()
        };
        let is_aside =
            |entry: &fs::DirEntry| entry.path().extension().is_some_and(|it| it == "new");
        if entries("last-good").any(|entry| is_aside(&entry)) {
            "writing files"
        } else if self.state("floor.new").exists() {
            "writing the floor"
        } else if entries("last-good").count() > 1 {
            "between files and floor, or before the old are removed"
        } else if entries("pointers").count() > 1 {
            "between pointer and floor"
        } else {
            "anything else"
        }
    }

    /// Proves that what the floor names is there, whole and accepted.
    fn check(&self) -> Floor {
        let Ok(bytes) = fs::read(self.state("floor.json")) else {
            return Floor::default();
        };
        let floor = Floor::parse(&bytes).unwrap();
        let now = latchkey_engine::time::Time(seconds());
        if let Some(pointer) = floor.pointer {
            let envelope = fs::read(self.state(&format!("pointers/{pointer}.json"))).unwrap();
            heed(&self.trust, &floor, None, &envelope, now).unwrap();
        }
        let Some(statement) = floor.statement else {
            return floor;
        };
        let folder = self.state(&format!("last-good/{statement}"));
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let envelope = read("release.dsse.json");
        let accepted = accept(&self.trust, &floor, &Offer::new(&envelope), now).unwrap();
        assert_eq!(accepted.change, Change::Same);
        let files = ["git.lkb", "places.lkm"].map(|name| Subject::of(name, &read(name)));
        accepted
            .check_files(&files, Required::File("git.lkb"))
            .unwrap();
        floor
    }
}

/// Releases that arrive as fast as they can be read.
struct Source {
    stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Source {
    fn start(place: &Place) -> Self {
        let golden = Golden::open(&root().join("tests/golden/scope-map"));
        let bundle = place.rig.path().join("bundle");
        let mut publisher = Publisher::new(&golden, &place.rig.model, &bundle);
        let (stop, published) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (ended, count) = (Arc::clone(&stop), Arc::clone(&published));
        publisher.publish(&publisher.draft(1));
        let thread = std::thread::spawn(move || {
            for version in 2.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                publisher.publish(&publisher.draft(version));
                tidy(&bundle);
                count.store(version, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(15));
            }
        });
        Self {
            stop,
            published,
            thread,
        }
    }

    /// Ends it; answers the version that was published last.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.published.load(Ordering::Relaxed)
    }
}

/// Keeps the statements by digest to a few, so that the folder stays small.
fn tidy(bundle: &Path) {
    let entries = fs::read_dir(bundle.join("releases")).unwrap();
    let mut all: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (fs::metadata(&path).unwrap().modified().unwrap(), path))
        .collect();
    all.sort();
    let old = all.len().saturating_sub(20);
    for (_, path) in all.into_iter().take(old) {
        fs::remove_file(path).unwrap();
    }
}
