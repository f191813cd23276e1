//! A server that is a child process and speaks on its standard input and output.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use latchkey_gate::survey::{Answer, Found, Survey, SurveyError, answers, reply};

use super::{CLIENT, LIMITS, McpError, PROBE};

/// Of the environment, what every program needs; all else is given by name.
const PASSED: [&str; 9] = [
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "USER",
    "SYSTEMROOT",
];
/// How long a child may take to end after its input was closed.
const GOODBYE: Duration = Duration::from_secs(3);
/// How many lines of what the child complains about are shown.
const COMPLAINTS: usize = 8;
/// How many messages may wait to be read.
const WAITING: usize = 64;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What of the environment it gets besides what every program needs.
    pub environment: Vec<(String, String)>,
}

/// A server that runs.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    complaints: Arc<Mutex<VecDeque<String>>>,
    /// Reads what the child complains about.
    listener: Option<thread::JoinHandle<()>>,
}

/// Starts the program, asks it, and ends it.
///
/// # Errors
/// It cannot be started, ends, takes longer than `timeout`, or says something else than MCP does.
pub fn survey(program: &Program, timeout: Duration) -> Result<Found, McpError> {
    let until = Instant::now() + timeout;
    let mut running = Running::start(program)?;
    let mut survey = Survey::new(CLIENT, LIMITS);
    while let Some(ask) = survey.ask() {
        let message = match ask.id {
            None => running.send(&ask.body).map(|()| None),
            Some(id) => {
                let end = if ask.probes {
                    until.min(Instant::now() + PROBE)
                } else {
                    until
                };
                let sent = running.send(&ask.body);
                sent.and_then(|()| running.answer(id, end, timeout))
                    .map(Some)
            }
        };
        let message = match message {
            // Some servers of the other era end, or say nothing, when they are asked first.
            Err(McpError::Unreachable(_) | McpError::TimedOut(_)) if ask.probes => {
                running = Running::start(program)?;
                None
            }
            message => message?,
        };
        survey.answer(Answer {
            status: 200,
            session: None,
            message: message.as_deref(),
        })?;
    }
    Ok(survey.finish())
}

impl Running {
    fn start(program: &Program) -> Result<Self, McpError> {
        let Some((name, arguments)) = program.command.split_first() else {
            return Err(McpError::Unreachable("there is no command".to_owned()));
        };
        let kept = PASSED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(name)
            .args(arguments)
            .env_clear()
            .envs(kept)
            .envs(
                program
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| McpError::Unreachable(format!("`{name}` does not start: {error}")))?;
        let (sender, lines) = sync_channel(WAITING);
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || read_lines(output, &sender));
        }
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let listener = child.stderr.take().map(|errors| {
            let complaints = Arc::clone(&complaints);
            thread::spawn(move || keep_last(errors, &complaints))
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            lines,
            complaints,
            listener,
        })
    }

    fn send(&mut self, message: &str) -> Result<(), McpError> {
        let Some(input) = &mut self.input else {
            return Err(self.ended());
        };
        let written = writeln!(input, "{message}").and_then(|()| input.flush());
        written.map_err(|_| self.ended())
    }

    /// Waits for an answer; requests of the server that come before it are answered.
    fn answer(&mut self, id: u64, end: Instant, all: Duration) -> Result<Vec<u8>, McpError> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Err(McpError::TimedOut(all)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            };
            if line.len() > LIMITS.answer {
                return Err(SurveyError::TooMuch.into());
            }
            if answers(&line, id) {
                return Ok(line);
            }
            if let Some(reply) = reply(&line) {
                self.send(&reply)?;
            }
        }
    }

    /// What is known of a child that speaks no more.
    fn ended(&mut self) -> McpError {
        let status = self.wait(Duration::from_millis(500));
        let how = status.map_or_else(
            || "closed its output".to_owned(),
            |it| format!("ended: {it}"),
        );
        // What it said last may still be on its way; a program that it started may hold the pipe.
        let until = Instant::now() + Duration::from_millis(500);
        while self.listener.as_ref().is_some_and(|it| !it.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let said: Vec<_> = complaints
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect();
        McpError::Unreachable(format!("it {how}{}", said.concat()))
    }

    fn wait(&mut self, longest: Duration) -> Option<std::process::ExitStatus> {
        let until = Instant::now() + longest;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
                _ => return None,
            }
        }
    }
}

/// Closing its input asks a server to end; one that does not is ended.
impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        if self.wait(GOODBYE).is_none() {
            // It may have ended just now.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Hands on each line; a line over the limit is cut where it is known to be one.
fn read_lines(output: impl Read, lines: &SyncSender<Vec<u8>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        let most = LIMITS.answer as u64 + 1;
        match output.by_ref().take(most).read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            _ => return,
        }
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn keep_last(errors: impl Read, last: &Mutex<VecDeque<String>>) {
    let mut errors = BufReader::new(errors);
    loop {
        let mut line = Vec::new();
        match errors.by_ref().take(1000).read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            _ => return,
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end().replace(char::is_control, " ");
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(line);
        if last.len() > COMPLAINTS {
            last.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey_of(script: &str, timeout: Duration) -> Result<Found, McpError> {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let environment = vec![("GIVEN".to_owned(), "1".to_owned())];
        survey(
            &Program {
                command,
                environment,
            },
            timeout,
        )
    }

    #[test]
    fn a_program_that_is_no_server_is_told_of_with_what_it_says() {
        let error = survey_of("echo no such flag >&2; exit 3", Duration::from_secs(5));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no such flag"),
            "{error}"
        );
        let missing = Program {
            command: vec!["/no/such".into()],
            environment: Vec::new(),
        };
        let error = survey(&missing, Duration::from_secs(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not start"), "{error}");
    }

    #[test]
    fn a_server_that_ends_when_it_is_probed_is_started_again() {
        let script = r#"read line
            case $line in *server/discover*) exit 1;; esac
            test "$GIVEN" = 1 || exit 2
            echo this is no message
            echo '{"id":9,"method":"ping"}'
            read pong
            echo '{"id":2,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}}'
            read initialized; read list
            echo '{"id":4,"result":{"tools":[{"name":"a"}]}}'"#;
        let found = survey_of(script, Duration::from_secs(10)).unwrap();
        assert_eq!((found.revision.as_str(), found.count()), ("2025-11-25", 1));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let begun = Instant::now();
        let error = survey_of("cat >/dev/null", Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, McpError::TimedOut(_)), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(9));
    }
}
