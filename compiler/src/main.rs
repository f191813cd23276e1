//! The `latchkey` program: arguments in, an exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use latchkey::{
    cli::Cli,
    command::{self, Exit, Terminal},
};

/// A project is many small texts and maps, made on all cores.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    let colour = command::wants_colour(cli.global.color);
    // Not locked: a language server writes from a thread of its own.
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut err = std::io::stderr().lock();
    let mut terminal = Terminal {
        out: &mut out,
        err: &mut err,
        colour,
    };
    ExitCode::from(command::run(&cli, &mut terminal).code())
}

/// Help and version are what was asked for; anything else is a wrong command line.
fn told(error: &clap::Error) -> ExitCode {
    // A closed pipe is the reader's choice.
    let _ = error.print();
    let exit = if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Clean
    };
    ExitCode::from(exit.code())
}
