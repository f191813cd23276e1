//! `latchkey check`: everything that is wrong with a project.

use std::io::Write as _;

use latchkey_engine::time::Time;

use super::{Exit, Failure, Terminal, ending, folder, formats, now, style};
use crate::{
    cli::{Format, Global},
    diag::{Report, render},
    source::SourceMap,
};

/// The arguments of `latchkey check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Let warnings count as findings
    #[arg(long)]
    deny_warnings: bool,
    /// Judge dates at this time instead of now, for example 2026-12-01
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
}

/// Checks, prints, and answers whether there were findings.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("check", global.format, &[Format::Human, Format::Json])?;
    let folder = folder(global)?;
    let checked = crate::check_thoroughly(&folder, args.at.unwrap_or_else(now));
    let report = checked.sink.finish(&checked.project.levels);
    print(&report, &checked.sources, global.format, terminal)?;
    Ok(ending(&report, args.deny_warnings))
}

fn print(
    report: &Report,
    sources: &SourceMap,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let style = style(terminal);
    let out = &mut terminal.out;
    match format {
        Format::Json => writeln!(out, "{}", render::json::render(report, sources)),
        _ => write!(out, "{}", render::human::render(report, sources, style)),
    }
}
