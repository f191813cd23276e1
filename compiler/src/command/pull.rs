//! `latchkey pull`: a release from where it was pushed to, into a folder.

use std::path::PathBuf;

use latchkey_carrier::{How, Location, publish};
use serde_json::json;

use super::supply::{self, Remote};
use super::{Exit, Failure, Terminal, formats};
use crate::cli::{Format, Global};

/// The arguments of `latchkey pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where from: a folder, `https://...`, or `oci://host/repository:tag`
    #[arg(value_name = "LOCATION")]
    from: String,
    /// The folder to write; a release that is in it is replaced
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

/// Fetches every file of the release that is offered. Nothing is verified but digests.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("pull", global.format, &[Format::Human, Format::Json])?;
    let from: Location = args.from.parse().map_err(|it| supply::failure(&it))?;
    let options = args.remote.options();
    let pull = publish::pull(&from, &args.folder, &options);
    let pulled = supply::runtime()?.block_on(pull);
    let pulled = pulled.map_err(|it| supply::failure(&it))?;
    let out = &mut terminal.out;
    if global.format == Format::Json {
        let files = pulled.subjects.iter();
        let files = files.map(|(name, how)| json!({"name": name, "how": word(*how)}));
        let report = json!({
            "version": 1,
            "from": from.to_string(),
            "statement": pulled.statement,
            "release": {"epoch": pulled.epoch, "version": pulled.version},
            "files": files.collect::<Vec<_>>(),
            "transferred": pulled.transferred,
        });
        writeln!(out, "{report}")?;
        return Ok(Exit::Clean);
    }
    for (name, how) in &pulled.subjects {
        writeln!(out, "{name}: {}", word(*how))?;
    }
    writeln!(
        out,
        "pulled version {} into {}: {} bytes; `latchkey verify` says whether to believe it",
        pulled.version,
        args.folder.display(),
        pulled.transferred
    )?;
    Ok(Exit::Clean)
}

fn word(how: How) -> &'static str {
    match how {
        How::Held => "held",
        How::Patch => "patch",
        How::Compressed => "compressed",
        How::Whole => "whole",
    }
}
