//! What swapping the bundle costs the requests under way: ten swaps a second under 128
//! connections, in rounds that alternate with quiet ones, and the peak memory of swapping a large
//! slice: `swap [ROUNDS [SECONDS [FILES]]]`.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use latchkey_bench::{
    exchange,
    load::{self, Connection},
    process::{self, Failure, Folder, Guarded},
    project::{self, Size},
    table::{Table, bytes, nanoseconds, ratio},
    timing::{median, quantile},
};

const CONNECTIONS: usize = 128;
/// From one swap to the next.
const TICK: Duration = Duration::from_millis(100);
/// Bindings in each access file of the large slice.
const BINDINGS: usize = 100;
/// How often the large slice is swapped.
const LARGE_SWAPS: u64 = 3;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(12), |it| it.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |it| it.parse())?;
    let files: usize = arguments.next().map_or(Ok(1000), |it| it.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if rounds > 0 {
        runtime.block_on(under_load(rounds, Duration::from_secs(seconds)))?;
    }
    runtime.block_on(large(files))
}

/// What one round measured.
struct Round {
    count: usize,
    rate: f64,
    median: f64,
    tail: f64,
    worst: f64,
}

/// Rounds with swaps and rounds without; an answer that is not the right one ends the run.
async fn under_load(rounds: usize, time: Duration) -> Result<(), Failure> {
    let folder = Folder::new("swap")?;
    let upstream = process::free_address()?;
    let _upstream = start_upstream(&folder, upstream)?;
    let settings = exchange::build_policy(folder.path(), upstream)?;
    let swaps = rounds as u64 * (time.as_millis() / TICK.as_millis()) as u64;
    println!("building {swaps} signed releases");
    let mut mount = Mount::new(&folder)?;
    // Every other release is of another policy, so that each swap is one of bytes too.
    for version in 2..swaps + 2 {
        vary(&folder, version)?;
        build(&folder, &mount.release(version), version, true)?;
    }
    mount.show(&folder.file("bundle"))?;
    let (sidecar, address, admin) = start_sidecar(&folder, &mount, &settings)?;
    let (token, body) = (exchange::token()?, exchange::result().into_bytes());
    let request = exchange::request(address, &token, "search");
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let idle = peak(&sidecar)?;
    // Whatever is met for the first time is no cost of either kind.
    load::run(address, &request, &body, CONNECTIONS, time).await?;
    for round in 0..rounds {
        // Which kind comes first alternates, so that a drift of the machine hits both.
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let run = load::run(address, &request, &body, CONNECTIONS, time).await?;
                quiet.push(measured(&run));
                continue;
            }
            let swapping = mount.swap_for(time);
            let run = load::run(address, &request, &body, CONNECTIONS, time).await?;
            mount = swapping
                .join()
                .map_err(|_| "the swapping thread panicked")??;
            busy.push(measured(&run));
        }
    }
    report(&quiet, &busy);
    let seen = generation(admin).await?;
    let count: usize = busy.iter().chain(&quiet).map(|it| it.count).sum();
    println!(
        "\n  {} releases shown, {seen} bundles in force one after the other; 0 of {count} requests \
         failed;\n  peak resident memory {} before the load, {} after it.",
        mount.shown,
        bytes(idle),
        bytes(peak(&sidecar)?)
    );
    // A release may be replaced before it is looked at, but most are to be seen.
    if seen * 10 < mount.shown * 8 {
        return Err(format!("only {seen} of {} releases came into force", mount.shown).into());
    }
    Ok(())
}

/// Swaps of a slice of a hundred bindings a file, without load: what they need of memory at their peak.
async fn large(files: usize) -> Result<(), Failure> {
    let folder = Folder::new("swap-large")?;
    println!(
        "\nbuilding {} releases of {} bindings",
        LARGE_SWAPS + 1,
        files * BINDINGS
    );
    project::write(&folder.file("policy"), Size::new(files, BINDINGS))?;
    let mut mount = Mount::new(&folder)?;
    for version in 1..=LARGE_SWAPS + 1 {
        // Another binding each time: no two slices are the same.
        let more = format!(
            "bindings:\n  b-swap: {{who: [p-{version:06}], roles: [role-01], in: platform}}\n"
        );
        fs::write(folder.file("policy/access/swap.yaml"), more)?;
        build(&folder, &mount.release(version), version, false)?;
    }
    mount.show(&mount.release(1))?;
    let settings =
        "[bundle]\nsource = \"MOUNT\"\nserver = \"tools\"\n[profile]\ndevelopment = true\n";
    let settings = settings.replace("MOUNT", &mount.path.display().to_string());
    let (sidecar, _, admin) = start_sidecar(&folder, &mount, &settings)?;
    std::thread::sleep(Duration::from_secs(2));
    let slice = fs::metadata(mount.release(1).join("tools.lkb"))?.len();
    let mut table = Table::new(&[
        "swap of a large slice",
        "slice",
        "memory before",
        "peak",
        "after",
    ]);
    for version in 2..=LARGE_SWAPS + 1 {
        let before = process::memory(sidecar.id())?;
        fs::write(format!("/proc/{}/clear_refs", sidecar.id()), "5")?;
        let generations = generation(admin).await?;
        mount.show(&mount.release(version))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while generation(admin).await? == generations {
            if Instant::now() > deadline {
                return Err("a large slice does not come into force".into());
            }
            std::thread::sleep(TICK);
        }
        std::thread::sleep(Duration::from_secs(1));
        table.row([
            format!("{} bindings, version {version}", files * BINDINGS),
            bytes(slice as f64),
            bytes(before as f64),
            bytes(peak(&sidecar)?),
            bytes(process::memory(sidecar.id())? as f64),
        ]);
    }
    table.print("Memory at the swap: resident at the peak, proportional before and after");
    Ok(())
}

/// A folder as Kubernetes mounts one: its files are links through a link to the release, and that
/// one is replaced.
struct Mount {
    path: PathBuf,
    releases: PathBuf,
    /// How many releases have been shown.
    shown: u64,
}

impl Mount {
    fn new(folder: &Folder) -> Result<Self, Failure> {
        let (path, releases) = (folder.file("mount"), folder.file("releases"));
        fs::create_dir_all(&path)?;
        fs::create_dir_all(&releases)?;
        Ok(Self {
            path,
            releases,
            shown: 0,
        })
    }

    fn release(&self, version: u64) -> PathBuf {
        self.releases.join(version.to_string())
    }

    /// Puts a release in the place of the one that is there.
    fn show(&mut self, release: &Path) -> Result<(), Failure> {
        let next = self.path.join("..data_tmp");
        symlink(release, &next)?;
        fs::rename(&next, self.path.join("..data"))?;
        for file in fs::read_dir(release)? {
            let name = file?.file_name();
            let link = self.path.join(&name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(&name), link)?;
            }
        }
        self.shown += 1;
        Ok(())
    }

    /// Shows the next release every tick for this long, on a thread of its own.
    fn swap_for(mut self, time: Duration) -> std::thread::JoinHandle<Result<Self, String>> {
        std::thread::spawn(move || {
            let start = Instant::now();
            for tick in 0.. {
                let next = TICK * tick;
                if next >= time {
                    break;
                }
                std::thread::sleep((start + next).saturating_duration_since(Instant::now()));
                let release = self.release(self.shown + 1);
                self.show(&release).map_err(|error| error.to_string())?;
            }
            Ok(self)
        })
    }
}

/// Writes the policy of a version: what one rule denies comes and goes.
fn vary(folder: &Folder, version: u64) -> Result<(), Failure> {
    let text = format!(
        "rules:\n  version:\n    effect: deny\n    surfaces: {{tickets: [search]}}\n    \
         when: args.limit == {}\n    message: Not that many.\n",
        90 + version % 10
    );
    Ok(fs::write(folder.file("policy/version.yaml"), text)?)
}

/// Builds the project of a folder.
fn build(folder: &Folder, out: &Path, version: u64, signed: bool) -> Result<(), Failure> {
    let (project, key) = (folder.file("policy"), folder.file("release.key"));
    let version = version.to_string();
    let mut command = vec![
        OsStr::new("-C"),
        project.as_os_str(),
        "build".as_ref(),
        "--sequence".as_ref(),
        version.as_ref(),
        "--out".as_ref(),
        out.as_os_str(),
    ];
    if signed {
        command.extend(["--key".as_ref(), key.as_os_str()]);
    }
    process::run(&process::beside("latchkey")?, &command)?;
    Ok(())
}

/// Load and upstream share one processor where there are two; the sidecar has the other.
fn processor(number: usize) -> Result<Option<usize>, Failure> {
    Ok((std::thread::available_parallelism()?.get() >= 2).then_some(number))
}

fn start_upstream(folder: &Folder, address: SocketAddr) -> Result<Guarded, Failure> {
    let (program, text) = (process::beside("upstream")?, address.to_string());
    let log = folder.file("upstream.log");
    let command = [program.as_os_str(), text.as_ref()];
    let mut upstream = Guarded::start(&command, &log, processor(0)?)?;
    upstream.await_port(address, &log)?;
    Ok(upstream)
}

/// The sidecar on the mount, its address and that of its administration.
fn start_sidecar(
    folder: &Folder,
    mount: &Mount,
    bundle: &str,
) -> Result<(Guarded, SocketAddr, SocketAddr), Failure> {
    let (address, admin) = (process::free_address()?, process::free_address()?);
    let direct = format!("{:?}", folder.file("bundle"));
    let bundle = bundle.replace(&direct, &format!("{:?}", mount.path));
    let text = format!(
        "{bundle}[listen]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n\
         [state]\ndirectory = \"state\"\n[audit]\nfile = \"audit.jsonl\"\n"
    );
    fs::create_dir_all(folder.file("state"))?;
    let settings = folder.file("sidecar.toml");
    fs::write(&settings, text)?;
    let program = process::beside("latchkey-sidecar")?;
    let log = folder.file("sidecar.log");
    let command = [
        program.as_os_str(),
        "--config".as_ref(),
        settings.as_os_str(),
    ];
    let mut sidecar = Guarded::start(&command, &log, processor(1)?)?;
    sidecar.await_port(address, &log)?;
    Ok((sidecar, address, admin))
}

/// How many bundles the sidecar has had in force.
async fn generation(admin: SocketAddr) -> Result<u64, Failure> {
    let mut connection = Connection::open(admin).await?;
    let request = format!("GET /status HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    let answer = connection.exchange(request.as_bytes()).await?;
    let status: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let generation = status["bundle"]["generation"].as_u64();
    generation.ok_or_else(|| format!("a status without generation: {status}").into())
}

/// The most memory that a process has had resident, in bytes.
fn peak(process: &Guarded) -> Result<f64, Failure> {
    let text = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.ok_or("no peak in the process's status")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0)
}

fn measured(run: &load::Run) -> Round {
    Round {
        count: run.latencies.len(),
        rate: run.latencies.len() as f64 / run.elapsed.as_secs_f64(),
        median: quantile(&run.latencies, 0.5),
        tail: quantile(&run.latencies, 0.99),
        worst: quantile(&run.latencies, 1.0),
    }
}

fn report(quiet: &[Round], busy: &[Round]) {
    let mut table = Table::new(&["rounds", "requests/s", "p50", "p99", "worst", "p99 ratio"]);
    let ratios: Vec<f64> = busy
        .iter()
        .zip(quiet)
        .map(|(a, b)| a.tail / b.tail)
        .collect();
    for (name, rounds, against) in [
        ("without swaps", quiet, "1.00x".to_owned()),
        ("10 swaps a second", busy, ratio(median(&ratios))),
    ] {
        let of = |figure: fn(&Round) -> f64| median(&rounds.iter().map(figure).collect::<Vec<_>>());
        table.row([
            name.to_owned(),
            format!("{:.0}", of(|it| it.rate)),
            nanoseconds(of(|it| it.median)),
            nanoseconds(of(|it| it.tail)),
            nanoseconds(of(|it| it.worst)),
            against,
        ]);
    }
    table.print(&format!(
        "Swaps under {CONNECTIONS} connections: medians of the rounds; the ratio within a round"
    ));
}
