//! `latchkey check`: everything that is wrong with a project.

use std::sync::Arc;

use latchkey_engine::time::Time;

use super::{Exit, Failure, Terminal, diff::revision, ending, folder, formats, now, style};
use crate::{
    Findings,
    cli::{Format, Global},
    diag::{Report, render},
    source::Lasting,
};

mod dirty;
mod fix;
mod watch;

/// The arguments of `latchkey check`.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Args {
    /// Let warnings count as findings
    #[arg(long)]
    deny_warnings: bool,
    /// Judge dates at this time instead of now, for example 2026-12-01
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    at: Option<Time>,
    /// Apply the fixes that are sure, then say what is left; comments and layout stay
    #[arg(long)]
    fix: bool,
    /// Apply guesses as well, such as the closest name there is: look at the difference afterwards
    #[arg(long, requires = "fix")]
    guesses: bool,
    /// Apply fixes also in lines with changes that are neither committed nor staged
    #[arg(long, requires = "fix")]
    allow_dirty: bool,
    /// Check again whenever a file is saved, and say what is new and what is settled
    #[arg(long, conflicts_with = "fix")]
    watch: bool,
}

impl Args {
    fn today(&self) -> Time {
        self.at.unwrap_or_else(now)
    }
}

/// Checks, prints, and answers whether there were findings.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    if args.watch {
        formats("check --watch", global.format, &[Format::Human])?;
        return watch::run(args, global, terminal);
    }
    let known = [
        Format::Human,
        Format::Json,
        Format::Sarif,
        Format::Github,
        Format::Junit,
    ];
    formats("check", global.format, &known)?;
    let folder = folder(global)?;
    let said = if args.fix {
        Some(fix::run(args, global)?)
    } else {
        None
    };
    let Findings {
        sources,
        project,
        sink,
    } = crate::findings(&(Arc::new(folder) as Lasting), args.today());
    let report = sink.finish(&project.levels);
    print(&report, &sources, global, terminal)?;
    if let Some(said) = said {
        writeln!(terminal.err, "{said}")?;
    }
    Ok(ending(&report, args.deny_warnings))
}

fn print(
    report: &Report,
    sources: &crate::source::SourceMap,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let style = style(terminal);
    let out = &mut terminal.out;
    let prefix = || revision::prefix(&global.directory);
    match global.format {
        Format::Json => writeln!(out, "{}", render::json::render(report, sources)),
        Format::Junit => write!(out, "{}", render::junit::render(report, sources)),
        Format::Sarif => writeln!(out, "{}", render::sarif::render(report, sources, &prefix())),
        Format::Github => write!(
            out,
            "{}",
            render::github::render(report, sources, &prefix())
        ),
        _ => write!(out, "{}", render::human::render(report, sources, style)),
    }
}
