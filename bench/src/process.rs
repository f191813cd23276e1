//! Child processes: their life, CPU time and memory.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What a benchmark ends with when it cannot run; slow figures are no failure.
pub type Failure = Box<dyn std::error::Error>;

/// A child that ends with its guard.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts a command with its output in a file, on one processor if so wanted.
    pub fn start(
        command: &[&OsStr],
        log: &Path,
        processor: Option<usize>,
    ) -> Result<Self, Failure> {
        let pinned = processor.map(|processor| processor.to_string());
        let mut words: Vec<&OsStr> = Vec::new();
        if let Some(processor) = &pinned {
            words.extend(["taskset", "-c", processor].map(OsStr::new));
        }
        words.extend(command);
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let output = fs::File::create(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self(child))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<(), Failure> {
        let process = self.0.id().to_string();
        run(Path::new("kill"), &["-INT".as_ref(), process.as_ref()])?;
        self.0.wait()?;
        Ok(())
    }

    /// Waits until it listens.
    pub fn await_port(&mut self, address: SocketAddr, log: &Path) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if self.0.try_wait()?.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("nothing listens on {address}:\n{said}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A loopback address that nobody listens on now.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// CPU time of a process and its children since they began, in nanoseconds.
pub fn cpu_nanoseconds(process: u32) -> Result<u64, Failure> {
    let mut total = 0;
    for task in tasks(process)? {
        // A task may end while we look.
        let Ok(text) = fs::read_to_string(task.join("schedstat")) else {
            continue;
        };
        let spent = text.split(' ').next().ok_or("an empty schedstat")?;
        total += spent.parse::<u64>()?;
    }
    Ok(total)
}

/// CPU time of all children that have ended, in nanoseconds, exact to a hundredth of a second.
pub fn children_cpu() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything; the times are 12 and 13 fields behind it.
    let (_, fields) = text.rsplit_once(')').ok_or("no name in stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let times = fields.get(13..15).ok_or("stat is too short")?;
    let mut ticks = 0.0;
    for time in times {
        ticks += time.parse::<f64>()?;
    }
    // Linux counts in hundredths here, whatever its own clock does.
    Ok(ticks * 1e7)
}

/// Proportional set size of a process and its children, in bytes.
pub fn memory(process: u32) -> Result<u64, Failure> {
    rolled_up(process, "Pss:")
}

/// Of that, what is in no file: no other process can share it.
pub fn private_memory(process: u32) -> Result<u64, Failure> {
    rolled_up(process, "Anonymous:")
}

/// The most memory that a process has had so far, in bytes; nothing when it has ended.
pub fn highest(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|it| it.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kibibytes.unwrap_or(0.0) * 1024.0
}

/// How many files a process that is started here may open.
pub fn open_files() -> Result<usize, Failure> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text
        .lines()
        .find_map(|it| it.strip_prefix("Max open files"));
    let soft = line.and_then(|it| it.split_whitespace().next());
    let soft = soft.ok_or("limits has no open files")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}

/// One line of what a process and its children map, in bytes.
fn rolled_up(process: u32, name: &str) -> Result<u64, Failure> {
    let mut total = 0;
    for process in family(process)? {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.ok_or("smaps_rollup lacks a line")?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        total += kibibytes * 1024;
    }
    Ok(total)
}

fn tasks(process: u32) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for process in family(process)? {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            all.push(task?.path());
        }
    }
    Ok(all)
}

/// A process and all below it.
fn family(process: u32) -> Result<Vec<u32>, Failure> {
    let mut all = vec![process];
    let mut at = 0;
    while let Some(process) = all.get(at).copied() {
        at += 1;
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let children = fs::read_to_string(task?.path().join("children"))?;
            for child in children.split_whitespace() {
                all.push(child.parse()?);
            }
        }
    }
    Ok(all)
}

/// A folder that goes away with its guard, unless it was asked for.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    /// A new, empty folder.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("latchkey-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)?;
        Ok(Self { path, stays: false })
    }

    /// The folder that the program's first argument names, with what it has, to be used again; a
    /// new one where there is no argument.
    pub fn asked_for(name: &str) -> Result<Self, Failure> {
        let Some(path) = std::env::args_os().nth(1) else {
            return Self::new(name);
        };
        fs::create_dir_all(&path)?;
        let path = fs::canonicalize(path)?;
        Ok(Self { path, stays: true })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of it is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A program built beside this one.
pub fn beside(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing: run bench/run", path.display()).into())
}

/// CPU in nanoseconds, time in nanoseconds, peak memory in bytes.
pub type Spent = (f64, f64, f64);

/// Runs a command to its end, feeding its input; it must end with a code up to `most`, and no other
/// child may end meanwhile.
pub fn measured(
    command: &mut Command,
    most: i32,
    feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send,
) -> Result<Spent, Failure> {
    let (before, start) = (children_cpu()?, Instant::now());
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let mut peak = 0.0_f64;
    let status = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || feed(&mut stdin));
        let status = loop {
            peak = peak.max(highest(child.id()));
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // A child that has ended early has its own say.
        let _ = feeder.join();
        Ok::<_, std::io::Error>(status)
    })?;
    if status.code().is_none_or(|code| code > most) {
        return Err(format!("{command:?} ended with {status}").into());
    }
    let wall = start.elapsed().as_nanos() as f64;
    Ok((children_cpu()? - before, wall, peak))
}

/// Runs a command to its end; it must end well.
pub fn run(program: &Path, arguments: &[&OsStr]) -> Result<String, Failure> {
    let done = Command::new(program).args(arguments).output()?;
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        let said = String::from_utf8_lossy(&done.stdout);
        return Err(format!("{} failed:\n{said}{errors}", program.display()).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}
