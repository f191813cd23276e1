//! `latchkey lsp`: a language server over stdio.

use super::{Exit, Failure, Terminal, formats};
use crate::{
    cli::{Format, Global},
    lsp,
};

/// The arguments of `latchkey lsp`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What editors pass to every server: the only way there is
    #[arg(long)]
    stdio: bool,
}

/// Serves one editor until it says that it is done.
pub fn run(args: &Args, global: &Global, _terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("lsp", global.format, &[Format::Human])?;
    // Standard output is the protocol's, with the argument and without.
    let Args { stdio: _ } = args;
    lsp::stdio(&global.directory).map_err(Failure::usage)?;
    Ok(Exit::Clean)
}
