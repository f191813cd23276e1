//! `latchkey completions`: what a shell completes, from the command line itself.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Exit, Failure, Terminal, formats};
use crate::cli::{Cli, Format, Global};

/// The arguments of `latchkey completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("completions", global.format, &[Format::Human])?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "latchkey", &mut script);
    terminal.out.write_all(&script)?;
    Ok(Exit::Clean)
}
