//! `latchkey trust`: who may release what, and how that changes.

use clap::Subcommand;

use super::{Exit, Failure, Terminal};
use crate::cli::Global;

mod draft;
mod init;
mod role;
mod rotate;
mod show;
mod weak;

pub(super) use rotate::status;

/// The arguments of `latchkey trust`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write the first trust file of a project
    Init(init::Args),
    /// Say whom a trust file believes, and what is weak in it
    Show(show::Args),
    /// Write the next version of a trust file, to be signed by the root roles of both
    Rotate(rotate::Args),
}

/// Carries out one of the three.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Init(args) => init::run(args, global, terminal),
        Verb::Show(args) => show::run(args, global, terminal),
        Verb::Rotate(args) => rotate::run(args, global, terminal),
    }
}
