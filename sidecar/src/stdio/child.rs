//! One child process: its pipes, its limits, its end.

use std::{
    fmt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{ChildStdin, Command},
    sync::watch,
};

use crate::metrics::{ChildMetrics, CountedChild};

use super::{
    backoff::Backoff,
    desk::{Desk, Era, Heard},
    launch::{Launch, Unset},
    mailbox::Letters,
    sessions::Place,
};

/// A child, and the correspondence with it. Dropping it ends the child.
#[derive(Debug)]
pub(super) struct Child {
    /// The correspondence.
    pub(super) desk: Arc<Desk>,
    stop: watch::Sender<Wish>,
    /// What it takes up among the sessions, where it is one.
    _place: Option<Place>,
}

/// Whether a child should go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Live,
    /// Nobody needs it.
    End,
    /// It is no good.
    Fault,
}

/// Why a child was not started.
#[derive(Debug)]
pub(super) enum StartError {
    /// A variable that it needs is not set.
    Unset(Unset),
    /// The system does not start it.
    Io(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(Unset(name)) => write!(
                f,
                "the variable {name} is not set for the sidecar: set it, or take it out of the \
                 server's `environment`"
            ),
            Self::Io(error) => write!(
                f,
                "{error}: the program is looked for in the PATH of the server's `environment`"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl Child {
    /// Starts a child; it lives on the runtime that this is called on.
    pub(super) fn start(
        launch: &Launch,
        era: Era,
        place: Option<Place>,
        backoff: &Arc<Mutex<Backoff>>,
        metrics: &ChildMetrics,
    ) -> Result<Self, StartError> {
        let (program, arguments) = launch.command.split_first().ok_or_else(|| {
            StartError::Io(std::io::Error::other("the server's `command` is empty"))
        })?;
        let variables = launch.variables().map_err(StartError::Unset)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = launch.directory() {
            command.current_dir(directory);
        }
        let mut process = command.spawn().map_err(StartError::Io)?;
        let group = Group(process.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        group.limit(launch);
        let (desk, lines) = Desk::new(era, launch.room());
        let (stop, stopped) = watch::channel(Wish::Live);
        if let Some(stdin) = process.stdin.take() {
            tokio::spawn(write(lines, stdin));
        }
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(relay(stderr));
        }
        if let Some(stdout) = process.stdout.take() {
            let (desk, stop) = (Arc::clone(&desk), stop.clone());
            let most = launch.message;
            tokio::spawn(async move {
                let why = hear(stdout, &desk, most).await;
                tracing::debug!(target: "stdio", why, "nothing more comes from a tool server");
                stop.send_if_modified(|wish| {
                    let live = *wish == Wish::Live;
                    *wish = if live { Wish::Fault } else { *wish };
                    live
                });
            });
        }
        let attendant = Attendant {
            group,
            desk: Arc::clone(&desk),
            grace: launch.within.grace.0,
            backoff: Arc::clone(backoff),
            since: Instant::now(),
            counted: metrics.started(),
        };
        tokio::spawn(attendant.attend(process, stopped));
        Ok(Self {
            desk,
            stop,
            _place: place,
        })
    }

    /// Ends it because it is no good.
    pub(super) fn condemn(&self) {
        self.stop.send_replace(Wish::Fault);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop.send_replace(Wish::End);
    }
}

/// The process group of a child: whatever it has started ends with it.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(id) = self.0 {
            // It has ended already, perhaps.
            let _ = kill_process_group(id, signal);
        }
    }

    /// From here on; what the program does before is bounded by what the sidecar itself may do.
    fn limit(&self, launch: &Launch) {
        let within = &launch.within;
        let limits = [
            (Resource::Core, Some(0)),
            (Resource::Nofile, Some(within.open_files)),
            (Resource::As, within.memory),
            (Resource::Cpu, within.cpu.map(|cpu| cpu.0.as_secs().max(1))),
        ];
        for (resource, most) in limits {
            let Some(most) = most else { continue };
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            if let Err(error) = prlimit(self.0, resource, limit) {
                tracing::warn!(target: "stdio", %error, ?resource, "a limit was not set");
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Who waits for the end of a child, or brings it about.
struct Attendant {
    group: Group,
    desk: Arc<Desk>,
    grace: Duration,
    backoff: Arc<Mutex<Backoff>>,
    since: Instant,
    /// Counts the child for as long as it runs.
    counted: CountedChild,
}

impl Attendant {
    async fn attend(self, mut process: tokio::process::Child, mut stopped: watch::Receiver<Wish>) {
        let ended = tokio::select! {
            biased;
            status = process.wait() => Some(status),
            _ = stopped.wait_for(|wish| *wish != Wish::Live) => None,
        };
        // A sender that is gone is a child that was dropped.
        let wanted = ended.is_none() && *stopped.borrow() == Wish::End;
        // Nobody waits for what will not be answered; a caller can ask again at once.
        self.desk.end();
        // One caller's session that ends early says nothing of the next.
        let failed = match self.desk.era() {
            Era::Shared => true,
            Era::Session => !self.desk.was_heard_since(self.since),
        };
        if !wanted {
            self.counted.failed();
        }
        if !wanted && failed {
            let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
            backoff.ended(self.since.elapsed());
        }
        let status = match ended {
            Some(status) => status,
            None => self.stop(&mut process).await,
        };
        told(status.ok(), wanted);
    }

    /// Its input has ended; waits, asks, waits, kills.
    async fn stop(&self, process: &mut tokio::process::Child) -> std::io::Result<ExitStatus> {
        for signal in [Signal::TERM, Signal::KILL] {
            if let Ok(status) = tokio::time::timeout(self.grace, process.wait()).await {
                return status;
            }
            self.group.signal(signal);
        }
        process.wait().await
    }
}

fn told(status: Option<ExitStatus>, wanted: bool) {
    let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
    if wanted {
        tracing::info!(target: "stdio", status, "a tool server was stopped");
    } else {
        tracing::warn!(target: "stdio", status, "a tool server has ended");
    }
}

/// Writes what waits for a child; its input ends with this.
async fn write(mut lines: Letters, mut stdin: ChildStdin) {
    while let Some(Ok(line)) = lines.next().await {
        let line = [&line[..], b"\n"].concat();
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Takes a child's messages until its output ends; answers why.
async fn hear(stdout: impl AsyncRead + Unpin, desk: &Desk, most: usize) -> &'static str {
    let mut lines = Lines::new(stdout, most);
    let mut patience = Patience::new();
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return "its output ended",
            Err(why) => {
                tracing::error!(target: "stdio", most, why, "a tool server is ended");
                return why;
            }
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let heard = desk.hear(&line);
        if !patience.bears(heard, &line) {
            let why = "it floods its output with what is no message, or nobody's";
            tracing::error!(target: "stdio", why, "a tool server is ended");
            return why;
        }
    }
}

/// How many useless lines a child may write in a time: one that is no message counts as many.
#[derive(Debug)]
struct Patience {
    since: Instant,
    points: u32,
    told: u32,
}

impl Patience {
    const PERIOD: Duration = Duration::from_secs(10);
    const POINTS: u32 = 20_000;
    const RUBBISH: u32 = 100;
    /// The most lines that are shown to operators in a period.
    const SHOWN: u32 = 5;

    fn new() -> Self {
        Self {
            since: Instant::now(),
            points: 0,
            told: 0,
        }
    }

    fn bears(&mut self, heard: Heard, line: &[u8]) -> bool {
        if heard == Heard::Passed {
            return true;
        }
        if self.since.elapsed() > Self::PERIOD {
            *self = Self::new();
        }
        if heard == Heard::Rubbish {
            self.points += Self::RUBBISH;
            self.told += 1;
            if self.told <= Self::SHOWN {
                let bytes = line.len();
                // Not the line itself: it may be an answer, and hold anything.
                tracing::warn!(
                    target: "stdio", bytes,
                    "a line of a tool server's output is no message and was dropped"
                );
            }
        } else {
            self.points += 1;
        }
        self.points <= Self::POINTS
    }
}

/// Shows operators what a child says on its standard error: bounded in length and rate.
async fn relay(stderr: impl AsyncRead + Unpin) {
    const MOST: usize = 1024;
    const A_SECOND: u32 = 20;
    let mut lines = Lines::cut(stderr, MOST);
    let (mut since, mut shown, mut kept) = (Instant::now(), 0, 0_u64);
    while let Ok(Some(line)) = lines.next().await {
        if since.elapsed() > Duration::from_secs(1) {
            if kept > 0 {
                tracing::warn!(target: "stdio", lines = kept, "a tool server says too much");
            }
            (since, shown, kept) = (Instant::now(), 0, 0);
        }
        shown += 1;
        if shown > A_SECOND {
            kept += 1;
            continue;
        }
        let said = String::from_utf8_lossy(&line);
        tracing::info!(target: "stdio", said = ?said.trim_end(), "a tool server says");
    }
}

/// Lines of bounded length.
#[derive(Debug)]
struct Lines<R> {
    source: R,
    read: BytesMut,
    most: usize,
    /// Whether a longer line is cut, rather than an error.
    cut: bool,
    /// Whether the rest of a line that was cut is still to come.
    skipping: bool,
}

const TOO_LONG: &str = "a line of its output is too long";

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(source: R, most: usize) -> Self {
        Self {
            source,
            read: BytesMut::new(),
            most,
            cut: false,
            skipping: false,
        }
    }

    fn cut(source: R, most: usize) -> Self {
        Self {
            cut: true,
            ..Self::new(source, most)
        }
    }

    /// The next line, without its end; `None` at the end of the output. What stands after the last
    /// line end is no line.
    async fn next(&mut self) -> Result<Option<BytesMut>, &'static str> {
        let mut looked = 0;
        loop {
            let fresh = self.read.get(looked..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self.read.split_to(looked + at);
                self.read.advance(1);
                if std::mem::take(&mut self.skipping) {
                    looked = 0;
                    continue;
                }
                if line.len() > self.most && !self.cut {
                    return Err(TOO_LONG);
                }
                line.truncate(self.most);
                return Ok(Some(line));
            }
            looked = self.read.len();
            if looked > self.most {
                if !self.cut {
                    return Err(TOO_LONG);
                }
                let line = self.read.split_to(self.most);
                self.read.clear();
                looked = 0;
                if !std::mem::replace(&mut self.skipping, true) {
                    return Ok(Some(line));
                }
            }
            self.read.reserve(8 * 1024);
            let read = self.source.read_buf(&mut self.read).await;
            if read.is_err() || matches!(read, Ok(0)) {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut lines: Lines<&[u8]>) -> (Vec<String>, bool) {
        let mut all = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => all.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => return (all, true),
                Err(_) => return (all, false),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_bounded() {
        let text: &[u8] = b"a\n\nbcd\r\nlonger\nx\nrest";
        let (lines, well) = read(Lines::new(text, 6)).await;
        assert_eq!((lines.len(), well), (5, true), "{lines:?}");
        let long = [b"a\n".to_vec(), vec![b'x'; 100], b"\nb\n".to_vec()].concat();
        assert_eq!(
            read(Lines::new(&long, 6)).await,
            (vec!["a".to_owned()], false)
        );
    }

    #[tokio::test]
    async fn what_operators_see_is_cut() {
        let long = [b"a\n".to_vec(), vec![b'x'; 100_000], b"\nb\n".to_vec()].concat();
        let (lines, _) = read(Lines::cut(&long, 6)).await;
        assert_eq!(lines, ["a", "xxxxxx", "b"]);
    }

    #[test]
    fn patience_ends_with_rubbish_first() {
        let mut patience = Patience::new();
        let rubbish = (0..1000).take_while(|_| patience.bears(Heard::Rubbish, b"x"));
        assert_eq!(rubbish.count(), 200);
        let mut patience = Patience::new();
        assert!((0..10_000).all(|_| patience.bears(Heard::Dropped, b"x")));
        assert!((0..100_000).all(|_| patience.bears(Heard::Passed, b"x")));
    }
}
