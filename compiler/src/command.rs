//! The commands, one file each, and what they share.

use std::{
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use latchkey_engine::time::Time;

use crate::{
    Checked,
    cli::{Cli, Color, Format, Global, Verb},
    diag::{Report, render},
    model::Model,
    source::Folder,
};

mod access;
pub mod build;
pub mod check;
pub mod completions;
pub mod dev;
pub mod diff;
pub mod eval;
mod exit;
pub mod explain;
mod failure;
pub mod import;
pub mod init;
pub mod inspect;
pub mod keygen;
pub mod log;
pub mod lsp;
pub mod man;
pub mod matrix;
pub(crate) mod progress;
pub mod pull;
pub mod push;
pub mod rebuild;
pub mod release;
pub mod replay;
pub mod schema;
pub mod show;
pub mod sign;
pub mod suggest;
mod supply;
pub mod test;
pub mod trust;
pub mod verify;
mod watch;
pub mod what_can;
pub mod who_can;

pub use exit::Exit;
pub use failure::Failure;

/// Where a command writes, and how.
pub struct Terminal<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// What went wrong, and what is worth knowing besides.
    pub err: &'a mut dyn Write,
    /// Whether `out` is to be coloured.
    pub colour: bool,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal")
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

/// Carries out a command line. The answer is how the process ends; why a command could not be
/// carried out goes to standard error.
pub fn run(cli: &Cli, terminal: &mut Terminal<'_>) -> Exit {
    let global = &cli.global;
    let done = match &cli.verb {
        Verb::Init(args) => init::run(args, global, terminal),
        Verb::Import(args) => import::run(args, global, terminal),
        Verb::Check(args) => check::run(args, global, terminal),
        Verb::Test(args) => test::run(args, global, terminal),
        Verb::Matrix(args) => matrix::run(args, global, terminal),
        Verb::Dev(args) => dev::run(args, global, terminal),
        Verb::Build(args) => build::run(args, global, terminal),
        Verb::Eval(args) => eval::run(args, global, terminal),
        Verb::Diff(args) => diff::run(args, global, terminal),
        Verb::WhoCan(args) => who_can::run(args, global, terminal),
        Verb::WhatCan(args) => what_can::run(args, global, terminal),
        Verb::Replay(args) => replay::run(args, global, terminal),
        Verb::Suggest(args) => suggest::run(args, global, terminal),
        Verb::Explain(args) => explain::run(args, global, terminal),
        Verb::Show(args) => show::run(args, global, terminal),
        Verb::Keygen(args) => keygen::run(args, global, terminal),
        Verb::Trust(args) => trust::run(args, global, terminal),
        Verb::Sign(args) => sign::run(args, global, terminal),
        Verb::Release(args) => release::run(args, global, terminal),
        Verb::Verify(args) => verify::run(args, global, terminal),
        Verb::Inspect(args) => inspect::run(args, global, terminal),
        Verb::Log(args) => log::run(args, global, terminal),
        Verb::Rebuild(args) => rebuild::run(args, global, terminal),
        Verb::Push(args) => push::run(args, global, terminal),
        Verb::Pull(args) => pull::run(args, global, terminal),
        Verb::Schema(args) => schema::run(args, global, terminal),
        Verb::Lsp(args) => lsp::run(args, global, terminal),
        Verb::Completions(args) => completions::run(args, global, terminal),
        Verb::Man(args) => man::run(args, global, terminal),
    };
    let done = done.and_then(|exit| Ok(terminal.out.flush().map(|()| exit)?));
    done.unwrap_or_else(|failure| {
        if !failure.what.is_empty() {
            // Nobody is left to tell when standard error is gone as well.
            let _ = writeln!(terminal.err, "{failure}");
        }
        failure.exit
    })
}

/// Whether standard output is to be coloured.
pub fn wants_colour(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::io::stdout().is_terminal()
        }
    }
}

/// Refuses a form of output that a command does not have.
fn formats(verb: &str, format: Format, known: &[Format]) -> Result<(), Failure> {
    if known.contains(&format) {
        return Ok(());
    }
    let names: Vec<_> = known.iter().map(|format| format.name()).collect();
    Err(Failure::usage(format!(
        "`latchkey {verb}` has no format `{}`",
        format.name()
    ))
    .help(format!("its formats are {}", names.join(", "))))
}

/// Reads and checks the project in the folder of `-C`.
fn checked(global: &Global, at: Option<Time>) -> Result<Checked, Failure> {
    Ok(crate::check(&folder(global)?, at.unwrap_or_else(now)))
}

/// The folder of `-C`.
fn folder(global: &Global) -> Result<Folder, Failure> {
    let folder = &global.directory;
    if !folder.is_dir() {
        return Err(
            Failure::usage(format!("`{}` is no folder", folder.display()))
                .help("give the folder with `latchkey.toml` after `-C`"),
        );
    }
    Ok(Folder::new(folder.clone()))
}

/// The current time: the one clock of the compiler, read for lints about dates and for nothing
/// else.
pub(crate) fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(
        since
            .ok()
            .and_then(|it| i64::try_from(it.as_secs()).ok())
            .unwrap_or(0),
    )
}

/// Reads a time on the command line.
fn time(text: &str) -> Result<Time, String> {
    Time::parse(text)
        .ok_or_else(|| "write a date as 2026-12-01, or a time as 2026-12-01T10:00:00Z".to_owned())
}

/// The project when it has no errors; otherwise they are printed, and this is how the run ends.
fn sound(
    checked: Checked,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Result<Sound, Exit>, Failure> {
    let Checked {
        sources,
        project,
        model,
        sink,
        syntax,
    } = checked;
    leave(syntax);
    let report = sink.finish(&project.levels);
    match model {
        Some(model) if !report.has_errors() => Ok(Ok(Sound { model, sources })),
        _ => {
            let human = render::human::render(&report, &sources, style(terminal));
            match global.format {
                Format::Json => {
                    writeln!(terminal.out, "{}", render::json::render(&report, &sources))?;
                }
                _ => write!(terminal.err, "{human}")?,
            }
            Ok(Err(Exit::Findings))
        }
    }
}

/// Leaves memory to the end of the process: to take a large project apart takes longer than it
/// is worth.
fn leave<T>(rest: T) {
    std::mem::forget(rest);
}

/// A project without errors.
struct Sound {
    model: Model,
    sources: crate::source::SourceMap,
}

/// How people are shown things.
fn style(terminal: &Terminal<'_>) -> render::human::Style {
    render::human::Style {
        colour: terminal.colour,
        ..render::human::Style::default()
    }
}

/// The findings that count against a run.
fn ending(report: &Report, deny_warnings: bool) -> Exit {
    let warnings = report.count(crate::diag::Severity::Warning) > 0;
    if report.has_errors() || deny_warnings && warnings {
        Exit::Findings
    } else {
        Exit::Clean
    }
}

/// Reads a whole file.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::file("read", path, &error))
}

/// A path with something appended to its last part.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
