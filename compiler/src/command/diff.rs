//! `latchkey diff`: what access a change adds and takes away, exactly.

use std::path::Path;

use latchkey_engine::time::Time;

use self::side::Origin;
use super::{Exit, Failure, Terminal, formats, now};
use crate::{
    cli::{Format, Global},
    diff::{self, Report, Review, render},
};

pub(super) mod revision;
pub(super) mod side;

/// The arguments of `latchkey diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Before: a project's folder, a Git revision, a folder of bundles, an `.lkb` file; or two
    /// revisions as A..B, or as A...B for what B has done since it left A
    #[arg(value_name = "A")]
    old: String,
    /// After, in the same forms; the project of `-C` if absent
    #[arg(value_name = "B")]
    new: Option<String>,
    /// End with code 1 if there is such a change
    #[arg(long, value_enum, value_name = "CHANGE")]
    fail_on: Option<FailOn>,
    /// Compare what holds from this time on, instead of now, for example 2026-12-01
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
}

/// A kind of change that ends a run with findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// A call that was denied is allowed, or cannot be told
    Widening,
    /// The same, or an allowed call carries less
    Loosening,
    /// Anything
    Any,
}

/// Opens both sides, compares them, prints the report.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let known = [
        Format::Human,
        Format::Json,
        Format::Markdown,
        Format::Html,
        Format::Sarif,
    ];
    formats("diff", global.format, &known)?;
    let at = args.at.unwrap_or_else(now);
    let (from, to) = sides(args);
    let Some(old) = side::open(&from, at, None, (global, terminal))? else {
        return Ok(Exit::Findings);
    };
    let Some(new) = side::open(&to, at, Some(&old), (global, terminal))? else {
        return Ok(Exit::Findings);
    };
    let report = diff::compare(&old.gate, &new.gate, at);
    let names = [from.name(), to.name()];
    let names = names.each_ref().map(String::as_str);
    let review = Review::new(&report, names, [old.written(), new.written()]);
    print(
        &review,
        &to.prefix(&global.directory),
        global.format,
        terminal,
    )?;
    Ok(ending(&report, args.fail_on))
}

fn print(
    review: &Review<'_>,
    prefix: &str,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let out = &mut terminal.out;
    match format {
        Format::Json => {
            let text = serde_json::to_string(review.report);
            let text = text.map_err(|error| Failure::internal(error.to_string()))?;
            writeln!(out, "{text}")?;
        }
        Format::Sarif => {
            let log = render::sarif::render(review, prefix);
            let text = serde_json::to_string_pretty(&log);
            let text = text.map_err(|error| Failure::internal(error.to_string()))?;
            writeln!(out, "{text}")?;
        }
        Format::Markdown => write!(out, "{}", render::markdown::render(review))?,
        Format::Html => write!(out, "{}", render::html::render(review))?,
        _ => write!(out, "{}", render::human::render(review, terminal.colour))?,
    }
    Ok(())
}

/// The two sides; as with `git diff`, `A...B` is what B has done since it left A.
fn sides(args: &Args) -> (Origin, Origin) {
    let old = || Origin::Named(args.old.clone());
    if let Some(new) = &args.new {
        return (old(), Origin::Named(new.clone()));
    }
    let range = args.old.split_once("..");
    let Some((from, to)) = range.filter(|_| !Path::new(&args.old).exists()) else {
        return (old(), Origin::Project);
    };
    let named = |side: &str| {
        if side.is_empty() {
            "HEAD".to_owned()
        } else {
            side.to_owned()
        }
    };
    match to.strip_prefix('.') {
        Some(to) => (
            Origin::MergeBase(named(from), named(to)),
            Origin::Named(named(to)),
        ),
        None => (Origin::Named(named(from)), Origin::Named(named(to))),
    }
}

fn ending(report: &Report, fail_on: Option<FailOn>) -> Exit {
    let counts = match fail_on {
        None => false,
        Some(FailOn::Widening) => report.widens(),
        Some(FailOn::Loosening) => report.widens() || report.loosens(),
        Some(FailOn::Any) => report.changes(),
    };
    if counts { Exit::Findings } else { Exit::Clean }
}
