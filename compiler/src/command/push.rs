//! `latchkey push`: a release to where sidecars fetch it.

use std::path::PathBuf;

use latchkey_carrier::{Location, publish};
use serde_json::json;

use super::supply::{self, Remote};
use super::{Exit, Failure, Terminal, formats};
use crate::cli::{Format, Global};

/// The arguments of `latchkey push`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a signed release
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where to: a folder, `https://...`, or `oci://host/repository:tag`
    #[arg(value_name = "LOCATION")]
    to: String,
    #[command(flatten)]
    remote: Remote,
}

/// Publishes every file, with patches from the versions before; what changes goes last.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("push", global.format, &[Format::Human, Format::Json])?;
    supply::statement_of(&args.folder)?;
    let to: Location = args.to.parse().map_err(|it| supply::failure(&it))?;
    let options = args.remote.options();
    let push = publish::push(&args.folder, &to, &options);
    let pushed = supply::runtime()?.block_on(push);
    let pushed = pushed.map_err(|it| supply::failure(&it))?;
    let out = &mut terminal.out;
    if global.format == Format::Json {
        let written = pushed.written.iter();
        let written = written.map(|it| json!({"name": it.name, "bytes": it.bytes}));
        let report = json!({
            "version": 1,
            "to": to.to_string(),
            "statement": pushed.statement,
            "release": {"epoch": pushed.epoch, "version": pushed.version},
            "written": written.collect::<Vec<_>>(),
            "present": pushed.present,
            "waits_for_pointer": pushed.waits_for_pointer,
        });
        writeln!(out, "{report}")?;
    } else {
        for file in &pushed.written {
            writeln!(out, "wrote {} ({} bytes)", file.name, file.bytes)?;
        }
        let (version, present) = (pushed.version, pushed.present);
        writeln!(
            out,
            "pushed version {version} to {to}; {present} files were there already"
        )?;
    }
    if let Some(before) = &pushed.waits_for_pointer {
        writeln!(
            terminal.err,
            "note: the pointer there still names {before}; `latchkey release` and push again, or \
             sidecars stay with it"
        )?;
    }
    Ok(Exit::Clean)
}
