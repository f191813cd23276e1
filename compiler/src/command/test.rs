//! `latchkey test`: golden matrices on the compiled bundle, and what they leave untested.

use std::io::Write as _;

use latchkey_engine::time::Time;

use super::{Exit, Failure, Sound, Terminal, checked, formats, sound};
use crate::{
    cli::{Format, Global},
    matrix::{self, Run, RunError},
    source::SourceMap,
};

mod covered;
mod mutants;

/// The arguments of `latchkey test`.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag on the command line"
)]
pub struct Args {
    /// Rewrite the cells that are not as expected to say what happens; review the change
    #[arg(long, conflicts_with_all = ["mutate", "coverage"])]
    bless: bool,
    /// Print every row, with what decided it
    #[arg(long, conflicts_with_all = ["mutate", "coverage"])]
    rows: bool,
    /// Say what of the policy no row exercises
    #[arg(long, conflicts_with = "mutate")]
    coverage: bool,
    /// Change the policy in small ways, and say which changes no row notices
    #[arg(long)]
    mutate: bool,
    /// With `--mutate`: add the rows that would notice to the matrices; review the change
    #[arg(long, requires = "mutate")]
    write: bool,
    /// With `--coverage` or `--mutate`: end with code 1 below this share, in percent
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    fail_under: Option<usize>,
    /// With `--coverage` or `--mutate`: the time of calls to servers that have no matrix yet,
    /// instead of now
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
}

/// Runs every matrix, prints what is not as expected, and answers whether anything was.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let known: &[Format] = match (args.mutate, args.coverage) {
        (true, _) => &[Format::Human, Format::Json],
        (_, true) => &[Format::Human, Format::Json, Format::Lcov],
        _ => &[Format::Human, Format::Json, Format::Junit],
    };
    formats("test", global.format, known)?;
    if !args.mutate && !args.coverage && (args.fail_under.is_some() || args.at.is_some()) {
        let what = "`--fail-under` and `--at` are for `--coverage` and `--mutate`";
        return Err(Failure::usage(what).help("add one of them; a matrix states its own time"));
    }
    let project = match sound(checked(global, None)?, global, terminal)? {
        Ok(project) => project,
        Err(exit) => return Ok(exit),
    };
    let run = matrix::run(&project.model, &project.sources);
    let run = run.map_err(|error| failure(error, &project.sources))?;
    if args.bless {
        return bless(&run, &project, global, terminal);
    }
    if args.mutate || args.coverage {
        if run.counts().1 > 0 {
            // Rows that fail already notice everything, and prove nothing.
            write!(terminal.err, "{}", matrix::human(&run, &project.sources))?;
            return Ok(Exit::Mismatch);
        }
        return if args.coverage {
            covered::run(args, global, (&project, &run), terminal)
        } else {
            mutants::run(args, global, &project, terminal)
        };
    }
    if args.rows && global.format == Format::Human {
        write!(terminal.out, "{}", matrix::rows(&run, &project.sources))?;
    }
    print(&run, &project, global.format, terminal)?;
    let ending = ending(&run);
    super::leave(run);
    super::leave(project);
    Ok(ending)
}

/// Tenths of a percent.
fn share(text: &str) -> Result<usize, String> {
    let help = || "write a percentage from 0 to 100, such as 95 or 99.5".to_owned();
    let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
    let number = |text: &str| text.parse::<usize>().map_err(|_| help());
    let share = number(whole)?
        .saturating_mul(10)
        .saturating_add(number(tenth)?);
    if tenth.len() == 1 && share <= 1000 {
        Ok(share)
    } else {
        Err(help())
    }
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

fn ending(run: &Run<'_>) -> Exit {
    if run.counts().1 == 0 {
        Exit::Clean
    } else {
        Exit::Mismatch
    }
}

fn print(
    run: &Run<'_>,
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

/// Replaces a file of the project whole.
fn replace(global: &Global, path: &str, text: &str) -> Result<(), Failure> {
    let path = global.directory.join(path);
    let aside = super::with_suffix(&path, ".new");
    let written = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, &path));
    written.map_err(|error| Failure::file("write", &path, &error))
}

/// Rewrites the cells. Statements about others are for their author to change.
fn bless(
    run: &Run<'_>,
    project: &Sound,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let edits = matrix::bless(run, &project.sources);
    for (path, text) in &edits.files {
        replace(global, path, text)?;
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
