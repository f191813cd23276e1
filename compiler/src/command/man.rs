//! `latchkey man`: the manual pages, from the command line itself.

use std::path::PathBuf;

use clap::{Command, CommandFactory as _};

use super::{Exit, Failure, Terminal, formats};
use crate::cli::{Cli, Format, Global};

/// The arguments of `latchkey man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write them into, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes `latchkey.1`, and `latchkey-check.1` and so on for the commands.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("man", global.format, &[Format::Human])?;
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    let command = Cli::command().disable_help_subcommand(true);
    let pages = count(&command);
    clap_mangen::generate_to(command, folder)
        .map_err(|error| Failure::file("write into", folder, &error))?;
    writeln!(terminal.out, "wrote {pages} pages to {}", folder.display())?;
    Ok(Exit::Clean)
}

fn count(command: &Command) -> usize {
    1 + command.get_subcommands().map(count).sum::<usize>()
}
