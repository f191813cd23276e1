//! `latchkey replay`: what a candidate would have made of recorded traffic.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::{
    Exit, Failure, Terminal,
    diff::side::{self, Opened},
    formats, now,
};
use crate::{
    cli::{Format, Global},
    replay::{Events, Policy, Recorded, Replay, Report},
};

mod human;

/// The arguments of `latchkey replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Audit logs that a sidecar wrote, oldest first; `-` is standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// The policy to try: a project's folder, a Git revision, a folder of bundles, or an `.lkb`
    /// file; the project of -C if absent
    #[arg(long, value_name = "WHERE")]
    candidate: Option<String>,
    /// The policy that decided when the log was written, in the same forms: what it and the
    /// candidate say alike needs no logged values
    #[arg(long, value_name = "WHERE")]
    baseline: Option<String>,
    /// End with code 1 if there is such a change
    #[arg(long, value_enum, value_name = "CHANGE")]
    fail_on: Option<FailOn>,
}

/// A kind of change that ends a run with findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// A call that was denied would be allowed, or it cannot be told
    Widening,
    /// Any call would have another outcome, or it cannot be told
    Any,
}

/// Replays the logs, and prints what would have been different.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("replay", global.format, &[Format::Human, Format::Json])?;
    let Some(candidate) = side::opened(args.candidate.as_deref(), now(), global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let baseline = match &args.baseline {
        None => None,
        Some(name) => match side::opened(Some(name), now(), global, terminal)? {
            Some(opened) => Some(opened),
            None => return Ok(Exit::Findings),
        },
    };
    let report = replay(&args.logs, &candidate, baseline.as_ref())?;
    match global.format {
        Format::Json => {
            let text = serde_json::to_string(&report);
            let text = text.map_err(|error| Failure::internal(error.to_string()))?;
            writeln!(terminal.out, "{text}")?;
        }
        _ => write!(terminal.out, "{}", human::render(&report, terminal.colour))?,
    }
    Ok(ending(&report, args.fail_on))
}

fn replay(
    logs: &[PathBuf],
    candidate: &Opened,
    baseline: Option<&Opened>,
) -> Result<Report, Failure> {
    let slices = candidate.slices()?;
    let before = baseline.map(Opened::slices).transpose()?;
    let policy = Policy {
        gate: &candidate.gate,
        slices: &slices,
    };
    let before = baseline
        .zip(before.as_deref())
        .map(|(opened, slices)| Policy {
            gate: &opened.gate,
            slices,
        });
    let mut replay = Replay::new(policy, before);
    for log in logs {
        read(log, &mut |taken| match taken {
            Ok(recorded) => replay.take(&recorded),
            Err(broken) => replay.broken(broken),
        })?;
    }
    Ok(replay.finish())
}

/// What is done with each event of a log, and with each fault of it.
pub(super) type Take<'t> = dyn FnMut(Result<Recorded<'_>, crate::replay::Broken>) + 't;

/// Reads a log to its end.
pub(super) fn read(log: &Path, take: &mut Take<'_>) -> Result<(), Failure> {
    let from: Box<dyn BufRead> = if log == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(log).map_err(|error| Failure::file("read", log, &error))?;
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let name = log.display().to_string();
    let mut events = Events::new(from, &name);
    loop {
        let next = events.next_line();
        let next = next.map_err(|error| Failure::file("read", log, &error))?;
        let Some(taken) = next else {
            return Ok(());
        };
        if let Some(event) = &taken.event {
            take(Ok(Recorded {
                file: &name,
                line: taken.line,
                event,
            }));
        }
        if let Some(broken) = taken.broken {
            take(Err(broken));
        }
    }
}

/// A log that was tampered with proves nothing, whatever it says.
fn ending(report: &Report, fail_on: Option<FailOn>) -> Exit {
    let found = match fail_on {
        None => false,
        Some(FailOn::Widening) => report.widens(),
        Some(FailOn::Any) => report.changes(),
    };
    if report.summary.broken > 0 {
        Exit::Unverified
    } else if found {
        Exit::Findings
    } else {
        Exit::Clean
    }
}
