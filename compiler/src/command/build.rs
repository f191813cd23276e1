//! `latchkey build`: the files of a release, in a folder.

use std::path::{Path, PathBuf};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{Digest, FIRST_EPOCH, Statement};
use serde_json::json;

use super::{Exit, Failure, Sound, Terminal, checked, formats, read, sound, supply, test};
use crate::{
    cli::{Format, Global},
    matrix::{self, Run},
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
    #[arg(long, value_name = "N", default_value_t = FIRST_EPOCH)]
    epoch: u64,
    /// The release before this one: the SHA-256 of its statement, its folder, or its envelope
    #[arg(long, value_name = "DIGEST|PATH")]
    previous: Option<String>,
    /// When the release is issued; the time of the commit by default
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    issued_at: Option<Time>,
    /// Build from files that differ from the commit; the statement then names no commit
    #[arg(long)]
    allow_dirty: bool,
    /// Sign although a golden matrix is not as expected
    #[arg(long)]
    allow_failing_tests: bool,
}

/// Checks, packs, tests, seals and writes.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("build", global.format, &[Format::Human, Format::Json])?;
    let keys = supply::signing_keys(&args.keys)?;
    let checked = checked(global, None)?;
    let project = checked.project.clone();
    let sound = match sound(checked, global, terminal)? {
        Ok(sound) => sound,
        Err(exit) => return Ok(exit),
    };
    let source = source(args, global, &project, &sound, terminal)?;
    let version = version(args, source.as_ref())?;
    let mut files = pack::pack(&sound.model, &sound.sources)
        .map_err(|error| Failure::internal(error.to_string()))?;
    let run = matrix::run_on(&sound.model, &files);
    let run = run.map_err(|error| test::failure(error, &sound.sources))?;
    if !may_sign(args, &run, &sound, terminal)? {
        return Ok(Exit::Mismatch);
    }
    let facts = Facts {
        project: sound.model.project.clone(),
        channel: args.channel.clone(),
        epoch: args.epoch,
        version,
        previous: previous(args, version)?,
        issued_at: args.issued_at,
        not_after: args.not_after,
        source,
        tests: matrix::digest(&run, &sound.sources),
    };
    let (statement, digest) = pack::seal(&mut files, &facts, &sound.sources, &keys)
        .map_err(|error| Failure::usage(error.to_string()))?;
    pack::write(&args.out, &files).map_err(|error| unwritten(&error))?;
    print(args, &statement, digest, global.format, terminal)?;
    Ok(Exit::Clean)
}

fn print(
    args: &Args,
    statement: &Statement,
    digest: Digest,
    format: Format,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let (out, folder) = (&mut terminal.out, args.out.display());
    let version = statement.release.version;
    let files = statement.subjects.len();
    if format == Format::Json {
        return writeln!(
            out,
            "{}",
            json!({
                "version": 1,
                "out": folder.to_string(),
                "statement": digest,
                "signatures": args.keys.len(),
                "release": statement.release,
                "files": files,
            })
        );
    }
    let signed = if args.keys.is_empty() {
        "unsigned"
    } else {
        "signed"
    };
    writeln!(
        out,
        "wrote {} files to {folder}: version {version}, {signed}",
        files + 1
    )?;
    writeln!(out, "statement {digest}")
}

/// Whether the outcome of the matrices lets the release be signed; what is not as expected is told.
fn may_sign(
    args: &Args,
    run: &Run<'_>,
    sound: &Sound,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<bool> {
    if run.counts().1 == 0 {
        return Ok(true);
    }
    write!(terminal.err, "{}", matrix::human(run, &sound.sources))?;
    if args.keys.is_empty() || args.allow_failing_tests {
        writeln!(
            terminal.err,
            "note: the release does not do what its matrices say"
        )?;
        return Ok(true);
    }
    writeln!(
        terminal.err,
        "error: what is not as expected is not signed\n  help: correct the policy or the matrix, \
         or give `--allow-failing-tests`"
    )?;
    Ok(false)
}

/// The digest of the statement before.
fn previous(args: &Args, version: u64) -> Result<Option<Digest>, Failure> {
    let Some(text) = &args.previous else {
        return Ok(None);
    };
    if let Ok(digest) = text.parse() {
        return Ok(Some(digest));
    }
    let path = Path::new(text);
    let (statement, digest) = if path.is_dir() {
        supply::statement_of(path)?
    } else {
        supply::statement(path, &read(path)?)?
    };
    let before = &statement.release;
    let earlier = (before.epoch, before.version) < (args.epoch, version);
    if !earlier || before.channel != args.channel {
        return Err(Failure::usage(format!(
            "`{text}` is version {} of epoch {} on channel {}, and cannot come before version \
             {version} of epoch {} on channel {}",
            before.version, before.epoch, before.channel, args.epoch, args.channel
        ))
        .help("versions only rise; give a higher `--sequence`, or the release before"));
    }
    Ok(Some(digest))
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
    let committed = git.committed().map_err(failed)?;
    let read = sound.sources.files().map(|(_, file)| file.path());
    let mut aside = read.filter(|path| !committed.contains(*path));
    let found = match (changed.iter().find(part), aside.next()) {
        (Some(path), _) => (
            format!("`{path}` differs from the commit"),
            "commit first, so that others can rebuild it; or give `--allow-dirty`",
        ),
        (None, Some(path)) => (
            format!(
                "`{path}` is read and not in the commit: Git ignores it, or it lies in a submodule"
            ),
            "commit it, so that others can rebuild it, or let `include` of `latchkey.toml` leave it \
             out; or give `--allow-dirty`",
        ),
        (None, None) => {
            return git
                .source(args.sequence.is_none())
                .map(Some)
                .map_err(failed);
        }
    };
    let (what, help) = found;
    if !args.allow_dirty {
        return Err(Failure::usage(what).help(help));
    }
    writeln!(
        terminal.err,
        "note: {what}, so the statement names no commit"
    )?;
    Ok(None)
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
