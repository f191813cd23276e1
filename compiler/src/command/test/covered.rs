//! `latchkey test --coverage`: what no row exercises.

use super::{
    super::{Exit, Failure, Sound, Terminal, now},
    Args, mutants,
};
use crate::{
    cli::{Format, Global},
    command::progress::Bar,
    coverage,
    matrix::Run,
};

pub(super) fn run(
    args: &Args,
    global: &Global,
    (project, run): (&Sound, &Run<'_>),
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let (model, sources) = (&project.model, &project.sources);
    let at = args.at.unwrap_or_else(now);
    let measured = {
        let mut bar = Bar::new(terminal.err, "points");
        let mut tell = |done, all| bar.tell(done, all);
        coverage::measure(model, sources, run, at, &mut tell)
    };
    let coverage = measured.map_err(|error| mutants::failed(error, sources))?;
    match global.format {
        Format::Json => writeln!(terminal.out, "{}", coverage::json(&coverage, sources))?,
        Format::Lcov => write!(terminal.out, "{}", coverage::lcov(&coverage, sources))?,
        _ => write!(terminal.out, "{}", coverage::human(&coverage, sources))?,
    }
    let low = args
        .fail_under
        .is_some_and(|share| coverage.permille() < share);
    Ok(if low { Exit::Findings } else { Exit::Clean })
}
