//! `latchkey test`: golden matrices on the compiled bundle.

use std::io::Write as _;

use super::{Exit, Failure, Sound, Terminal, checked, formats, sound};
use crate::{
    cli::{Format, Global},
    matrix::{self, Run, RunError},
    source::SourceMap,
};

/// The arguments of `latchkey test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rewrite the cells that are not as expected to say what happens; review the change
    #[arg(long)]
    bless: bool,
}

/// Runs every matrix, prints what is not as expected, and answers whether anything was.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats(
        "test",
        global.format,
        &[Format::Human, Format::Json, Format::Junit],
    )?;
    let project = match sound(checked(global, None)?, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(exit),
    };
    let run = matrix::run(&project.model, &project.sources);
    let run = run.map_err(|error| failure(error, &project.sources))?;
    if args.bless {
        return bless(&run, &project, global, terminal);
    }
    print(&run, &project, global.format, terminal)?;
    Ok(ending(&run))
}

/// A matrix that cannot be run.
pub(super) fn failure(error: RunError, sources: &SourceMap) -> Failure {
    match error {
        RunError::Pack(error) => Failure::internal(error.to_string()),
        RunError::Stated(what, span) => Failure {
            exit: Exit::Findings,
            what: format!("{}: {what}", sources.place(span)),
            help: None,
            code: None,
        }
        .help("correct the matrix"),
    }
}

fn ending(run: &Run) -> Exit {
    if run.counts().1 == 0 {
        Exit::Clean
    } else {
        Exit::Mismatch
    }
}

fn print(
    run: &Run,
    project: &Sound,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let (out, sources) = (&mut terminal.out, &project.sources);
    match format {
        Format::Json => writeln!(out, "{}", matrix::json(run, sources)),
        Format::Junit => write!(out, "{}", matrix::junit(run, sources)),
        _ => write!(out, "{}", matrix::human(run, sources)),
    }
}

/// Rewrites the cells. Statements about others are for their author to change.
fn bless(
    run: &Run,
    project: &Sound,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let edits = matrix::bless(run, &project.sources);
    for (path, text) in &edits.files {
        let path = global.directory.join(path);
        let aside = super::with_suffix(&path, ".new");
        let written = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, &path));
        written.map_err(|error| Failure::file("write", &path, &error))?;
    }
    let rest = Run {
        cells: run
            .cells
            .iter()
            .filter(|cell| cell.passed)
            .cloned()
            .collect(),
        others: run.others.clone(),
    };
    print(&rest, project, global.format, terminal)?;
    writeln!(
        terminal.err,
        "rewrote {} in {}; review with `git diff`",
        matrix::counted(edits.cells, "cell", "cells"),
        matrix::counted(edits.files.len(), "file", "files"),
    )?;
    Ok(ending(&rest))
}
