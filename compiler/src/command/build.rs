//! `latchkey build`: the files of a release, in a folder.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use latchkey_engine::time::Time;
use latchkey_gate::supply::{Digest, keys};

use super::{Exit, Failure, Sound, Terminal, checked, formats, read, sound};
use crate::{
    cli::{Format, Global},
    pack::{self, Facts, Git, NotWritten, Source, SourceError},
    project::Project,
};

/// The arguments of `latchkey build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sign with this key of `latchkey keygen`; may be given several times
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// The version of the release; the number of commits on the first-parent line by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// The channel of the release
    #[arg(long, value_name = "NAME", default_value = "main")]
    channel: String,
    /// When the release ends being in force, for example 2027-03-31
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    not_after: Option<Time>,
    /// The epoch of the trust file that the release is for
    #[arg(long, value_name = "N", default_value_t = pack::FIRST_EPOCH)]
    epoch: u64,
    /// The SHA-256 of the statement of the release before this one
    #[arg(long, value_name = "DIGEST")]
    previous: Option<Digest>,
    /// Build from files that differ from the commit; the statement then names no commit
    #[arg(long)]
    allow_dirty: bool,
}

/// Checks, packs, seals and writes.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("build", global.format, &[Format::Human, Format::Json])?;
    let keys = args
        .keys
        .iter()
        .map(|path| key(path))
        .collect::<Result<Vec<_>, _>>()?;
    let checked = checked(global, None)?;
    let project = checked.project.clone();
    let project_files = match sound(checked, global, terminal)? {
        Ok(sound) => sound,
        Err(exit) => return Ok(exit),
    };
    let source = source(args, global, &project, &project_files, terminal)?;
    let version = version(args, source.as_ref())?;
    let mut files = pack::pack(&project_files.model, &project_files.sources)
        .map_err(|error| Failure::internal(error.to_string()))?;
    let facts = Facts {
        project: project_files.model.project.clone(),
        channel: args.channel.clone(),
        epoch: args.epoch,
        version,
        previous: args.previous,
        not_after: args.not_after,
        source,
    };
    pack::seal(&mut files, &facts, &project_files.sources, &keys)
        .map_err(|error| Failure::usage(error.to_string()))?;
    pack::write(&args.out, &files).map_err(|error| unwritten(&error))?;
    let signed = if args.keys.is_empty() {
        "unsigned"
    } else {
        "signed"
    };
    writeln!(
        terminal.out,
        "wrote {} files to {}: version {version}, {signed}",
        files.len(),
        args.out.display(),
    )?;
    Ok(Exit::Clean)
}

/// Reads a private key.
fn key(path: &Path) -> Result<SigningKey, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    keys::read_private(&text).map_err(|error| {
        Failure::usage(format!("`{}`: {error}", path.display()))
            .help("give the `.key` file that `latchkey keygen` wrote")
    })
}

/// The committed state; none outside Git and for a changed tree, and the author is told.
fn source(
    args: &Args,
    global: &Global,
    project: &Project,
    sound: &Sound,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Source>, Failure> {
    let Some(git) = Git::find(&global.directory) else {
        writeln!(
            terminal.err,
            "note: not in a Git commit, so the statement names none"
        )?;
        return Ok(None);
    };
    let failed = |error: SourceError| {
        let help = match error {
            SourceError::Shallow => "fetch the whole history, or say the version: `--sequence N`",
            SourceError::Failed(_) => "run the build where `git` works",
        };
        Failure::usage(error.to_string()).help(help)
    };
    let changed = git.changed().map_err(failed)?;
    // Other files of the work tree, such as the output itself, change nothing.
    let part = |path: &&String| sound.sources.find(path).is_some() || project.includes(path);
    if let Some(first) = changed.iter().find(part) {
        if !args.allow_dirty {
            return Err(Failure::usage(format!("`{first}` differs from the commit"))
                .help("commit first, so that others can rebuild it; or give `--allow-dirty`"));
        }
        writeln!(
            terminal.err,
            "note: `{first}` differs from the commit, so the statement names none"
        )?;
        return Ok(None);
    }
    git.source(args.sequence.is_none())
        .map(Some)
        .map_err(failed)
}

fn version(args: &Args, source: Option<&Source>) -> Result<u64, Failure> {
    match (args.sequence, source) {
        (Some(sequence), _) => Ok(sequence),
        (None, Some(source)) => Ok(source.sequence),
        // Good for tests only: a sidecar takes an unsigned release in development alone.
        (None, None) if args.keys.is_empty() => Ok(1),
        (None, None) => Err(Failure::usage("a signed release needs a version")
            .help("give `--sequence N`, higher than every release before; or commit first")),
    }
}

fn unwritten(error: &NotWritten) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        NotWritten::Foreign(_) => {
            failure.help("give a new folder, or one that a build has written")
        }
        NotWritten::Failed(..) => failure.help("check that the folder may be written"),
    }
}
