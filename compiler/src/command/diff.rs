//! `latchkey diff`: what access a change adds and takes away, exactly.

use latchkey_engine::time::Time;
use latchkey_gate::gate::Gate;

use super::{Exit, Failure, Terminal, formats, now};
use crate::{
    cli::{Format, Global},
    diff::{self, Report},
};

mod markdown;
mod revision;
mod side;

/// The arguments of `latchkey diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Before: a project's folder, a Git revision, a folder of bundles, an `.lkb` file; or two
    /// revisions as A..B
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
    let known = [Format::Human, Format::Json, Format::Markdown];
    formats("diff", global.format, &known)?;
    let at = args.at.unwrap_or_else(now);
    let (old, new) = sides(args)?;
    let Some(old) = side::open(old.as_deref(), at, global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let Some(new) = side::open(new.as_deref(), at, global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let report = compare(&old, &new, at);
    match global.format {
        Format::Json => {
            let text = serde_json::to_string(&report);
            let text = text.map_err(|error| Failure::internal(error.to_string()))?;
            writeln!(terminal.out, "{text}")?;
        }
        Format::Markdown => write!(terminal.out, "{}", markdown::render(&report))?,
        _ => write!(terminal.out, "{}", diff::human(&report, terminal.colour))?,
    }
    Ok(ending(&report, args.fail_on))
}

fn compare(old: &Gate, new: &Gate, at: Time) -> Report {
    diff::compare(old, new, at)
}

/// The two sides by name; none is the project of `-C`.
fn sides(args: &Args) -> Result<(Option<String>, Option<String>), Failure> {
    if let Some(new) = &args.new {
        return Ok((Some(args.old.clone()), Some(new.clone())));
    }
    let Some((old, new)) = args.old.split_once("..") else {
        return Ok((Some(args.old.clone()), None));
    };
    if std::path::Path::new(&args.old).exists() {
        return Ok((Some(args.old.clone()), None));
    }
    if new.starts_with('.') {
        return Err(
            Failure::usage(format!("`{}` is a symmetric range", args.old))
                .help("write A..B, with two dots: what B has and A has not"),
        );
    }
    let named = |side: &str| {
        if side.is_empty() {
            "HEAD".to_owned()
        } else {
            side.to_owned()
        }
    };
    Ok((Some(named(old)), Some(named(new))))
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
