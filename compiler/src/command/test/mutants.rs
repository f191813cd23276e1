//! `latchkey test --mutate`: changes that no row notices.

use super::{
    super::{Exit, Failure, Sound, Terminal, now},
    Args, failure, replace,
};
use crate::{
    cli::{Format, Global},
    command::progress::Bar,
    matrix,
    mutate::{self, MutateError, Proposals},
    source::SourceMap,
};

pub(super) fn run(
    args: &Args,
    global: &Global,
    project: &Sound,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let at = args.at.unwrap_or_else(now);
    let proposals = {
        let mut bar = Bar::new(terminal.err, "mutants");
        let mut tell = |done, all| bar.tell(done, all);
        mutate::run(&project.model, &project.sources, at, &mut tell)
    };
    let proposals = proposals.map_err(|error| failed(error, &project.sources))?;
    match global.format {
        Format::Json => {
            let report = mutate::json(&proposals, &project.sources);
            writeln!(terminal.out, "{report}")?;
        }
        _ => write!(
            terminal.out,
            "{}",
            mutate::human(&proposals, &project.sources)
        )?,
    }
    if args.write {
        write_rows(&proposals, global, project, terminal)?;
    }
    let low = args
        .fail_under
        .is_some_and(|share| proposals.score.permille() < share);
    Ok(if low { Exit::Findings } else { Exit::Clean })
}

/// Mutants that cannot be judged.
pub(super) fn failed(error: MutateError, sources: &SourceMap) -> Failure {
    match error {
        MutateError::Pack(error) => Failure::internal(error.to_string()),
        MutateError::Run(error) => failure(error, sources),
    }
}

fn write_rows(
    proposals: &Proposals,
    global: &Global,
    project: &Sound,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let files = mutate::apply(&proposals.rows, &project.sources);
    for (path, text) in &files {
        replace(global, path, text)?;
    }
    writeln!(
        terminal.err,
        "added {} to {}; review with `git diff`",
        matrix::counted(proposals.rows.len(), "row", "rows"),
        matrix::counted(files.len(), "file", "files"),
    )?;
    Ok(())
}
