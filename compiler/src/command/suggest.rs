//! `latchkey suggest`: grants that nobody used, as a patch.

use std::path::PathBuf;

use super::{Exit, Failure, Terminal, diff::side, formats, now, replay};
use crate::{
    cli::{Format, Global},
    diag::codes,
    matrix,
    source::Folder,
    suggest::{Change, Project, Suggestions, Usage, suggest},
};

/// The arguments of `latchkey suggest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Audit logs of all sidecars in front of the servers in question; `-` is standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// Judge a server's grants only if the log has its requests over so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    min_days: u32,
}

/// Prints what nobody used, with the patch that takes it away.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("suggest", global.format, &[Format::Human, Format::Json])?;
    let Some(opened) = side::opened(None, now(), global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let Some(sound) = &opened.sound else {
        return Err(Failure::internal("a project that was compiled is gone"));
    };
    let run = matrix::run(&sound.model, &sound.sources);
    let run = run.map_err(|error| super::test::failure(error, &sound.sources))?;
    if run.counts().1 > 0 {
        return Err(Failure::usage("the matrices do not pass as they are")
            .code(&codes::NOT_NARROWED)
            .help("see `latchkey test`; only then can they tell what a narrower policy changes"));
    }
    let mut usage = Usage::new(&opened.gate);
    for log in &args.logs {
        let mut fault = None;
        replay::read(log, &mut |taken| match taken {
            Ok(recorded) => usage.take(recorded.event),
            Err(broken) => {
                fault.get_or_insert(broken);
            }
        })?;
        if let Some(broken) = fault {
            return Err(Failure::unverified(format!(
                "{}:{}: {}",
                broken.file, broken.line, broken.what
            ))
            .code(&codes::LOG_BROKEN)
            .help("a log with holes cannot show that something was never used"));
        }
    }
    let tree = Folder::new(global.directory.clone());
    let project = Project {
        tree: &tree,
        sources: &sound.sources,
        model: &sound.model,
        gate: &opened.gate,
    };
    let seconds = i64::from(args.min_days).saturating_mul(86_400);
    let found = suggest(project, &usage, seconds, now()).map_err(|error| {
        Failure::usage(error.to_string())
            .code(&codes::NOT_NARROWED)
            .help("narrow the policy by hand")
    })?;
    if global.format == Format::Json {
        let text = serde_json::to_string(&found);
        let text = text.map_err(|error| Failure::internal(error.to_string()))?;
        writeln!(terminal.out, "{text}")?;
    } else {
        write!(terminal.out, "{}", human(&found))?;
    }
    Ok(Exit::Clean)
}

/// The suggestions for people. Everything before the patch is a comment to `git apply`.
fn human(found: &Suggestions) -> String {
    let mut lines = Vec::new();
    for seen in &found.servers {
        let (Some(first), Some(last)) = (&seen.first, &seen.last) else {
            continue;
        };
        lines.push(format!(
            "{}: {} from {first} to {last}, by {}",
            seen.server,
            matrix::counted(seen.requests, "request", "requests"),
            matrix::counted(seen.sidecars, "sidecar", "sidecars"),
        ));
    }
    for change in &found.changes {
        lines.push(match change {
            Change::RemoveBinding { binding, place } => {
                format!("remove the binding {binding} ({place}): nobody used it")
            }
            Change::DropRole {
                binding,
                role,
                place,
            } => format!("take the role {role} from the binding {binding} ({place})"),
            Change::NarrowRole {
                role,
                server,
                unused,
                place,
            } => format!(
                "narrow the role {role} ({place}) on {server}: nobody used {}",
                unused.join(", ")
            ),
        });
    }
    for kept in &found.kept {
        lines.push(format!("stays: {}: {}", kept.what, kept.why));
    }
    if found.changes.is_empty() {
        lines.push("nothing to take away".to_owned());
    } else {
        lines.push(format!(
            "{} of matrices say something else with this patch; review them with it",
            matrix::counted(found.cells, "cell", "cells")
        ));
        if found.rows > 0 {
            lines.push(format!(
                "{} more deny what no matrix showed",
                matrix::counted(found.rows, "row", "rows")
            ));
        }
    }
    let notes: Vec<_> = lines.iter().map(|line| format!("# {line}\n")).collect();
    notes.concat() + &found.patch
}
