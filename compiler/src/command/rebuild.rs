//! `latchkey rebuild`: the files of a release, built again by somebody else.

use std::path::PathBuf;

use latchkey_gate::supply::{Digest, Statement, Subject};
use serde::Serialize;
use serde_json::json;

use super::{Exit, Failure, Sound, Terminal, formats, sound, supply, test};
use crate::{
    cli::{Format, Global},
    matrix,
    pack::{self, Git},
    project,
    source::Folder,
};

mod compare;
mod scratch;

use compare::Section;
use scratch::Scratch;

/// The arguments of `latchkey rebuild`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the release, signed or not; without its files there is nothing to compare
    /// section by section
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The project's folder in a clone that has the commit; the clone stays as it is
    #[arg(long, value_name = "PATH")]
    repo: PathBuf,
}

/// One file, as it was signed and as it was built here.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    same: bool,
    signed: Option<Digest>,
    built: Option<Digest>,
    sections: Vec<Section>,
}

/// Checks the commit out aside, builds, and compares with what was signed.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("rebuild", global.format, &[Format::Human, Format::Json])?;
    let (statement, digest) = supply::statement_of(&args.folder)?;
    let commit = commit(&statement)?;
    let scratch = check_out(args, &commit)?;
    let tree = Folder::new(scratch.path().join("tree"));
    let Ok(built) = sound(crate::check(&tree, super::now()), global, terminal)? else {
        return Err(Failure::unverified(format!(
            "commit {commit} does not compile, so the release cannot come from it"
        )));
    };
    same_input(&statement, &built, args)?;
    let files = pack::pack(&built.model, &built.sources)
        .map_err(|error| Failure::internal(error.to_string()))?;
    let compared = compared(args, &statement, &files)?;
    let tests = tests(&built, &files)?;
    let tested = tests == statement.release.tests;
    let same = tested && compared.iter().all(|it| it.same);
    if global.format == Format::Json {
        let report = json!({
            "version": 1,
            "same": same,
            "statement": digest,
            "commit": commit,
            "files": compared,
            "tests": {"same": tested, "signed": statement.release.tests, "built": tests},
        });
        writeln!(terminal.out, "{report}")?;
    } else {
        human(&compared, tested, terminal)?;
    }
    if same {
        if global.format != Format::Json {
            let version = statement.release.version;
            writeln!(
                terminal.out,
                "the same bytes: version {version} is commit {commit}"
            )?;
        }
        return Ok(Exit::Clean);
    }
    Err(
        Failure::unverified(format!("the release is not what commit {commit} builds"))
            .help("ask who built it, and from what; do not run it until that is explained"),
    )
}

/// The commit, if this program can rebuild the release at all.
fn commit(statement: &Statement) -> Result<String, Failure> {
    let release = &statement.release;
    let Some(source) = &release.source else {
        return Err(
            Failure::unverified("the statement names no commit, so nobody can rebuild it")
                .help("ask for a release that was built from a clean commit"),
        );
    };
    let own = env!("CARGO_PKG_VERSION");
    if release.compiler != own {
        let wanted = &release.compiler;
        return Err(Failure::usage(format!(
            "the release was built by latchkey {wanted}, and this is {own}"
        ))
        .help(format!(
            "the files are a function of commit and compiler: check out the tag v{wanted} of \
             latchkey, `cargo build --release --locked -p latchkey`, and rebuild with that"
        )));
    }
    Ok(source.commit.clone())
}

fn check_out(args: &Args, commit: &str) -> Result<Scratch, Failure> {
    let path = args.repo.display();
    let git = Git::find(&args.repo).ok_or_else(|| {
        Failure::usage(format!("`{path}` is no folder of a Git clone"))
            .help("give the project's folder in a clone: `--repo clone/policies`")
    })?;
    let scratch = Scratch::new()?;
    git.check_out(commit, scratch.path()).map_err(|error| {
        Failure::usage(format!("`{path}` cannot give commit {commit}: {error}"))
            .help("fetch it, and give the project's folder as it lies in the clone")
    })?;
    if !scratch.path().join("tree").join(project::FILE).is_file() {
        return Err(
            Failure::usage(format!("`{path}` holds no project in commit {commit}"))
                .help("give the folder with `latchkey.toml`: `--repo clone/policies`"),
        );
    }
    Ok(scratch)
}

/// What went in must be what was signed, whatever comes out.
fn same_input(statement: &Statement, built: &Sound, args: &Args) -> Result<(), Failure> {
    let signed = statement.release.source.as_ref().map(|it| it.tree_sha256);
    let found = pack::tree_digest(&built.sources);
    if signed == Some(found) {
        return Ok(());
    }
    let signed = signed.map_or_else(String::new, |it| it.to_string());
    Err(Failure::unverified(format!(
        "the input in `{}` has the digest {found}, and the statement says {signed}",
        args.repo.display()
    ))
    .help("give the folder of the project itself; if it is that, the commit is not what was built"))
}

fn compared(args: &Args, statement: &Statement, files: &pack::Files) -> Result<Vec<File>, Failure> {
    let mut compared = Vec::new();
    for signed in &statement.subjects {
        let bytes = files.get(&signed.name);
        let built = bytes.map(|bytes| Subject::of(&signed.name, bytes));
        let same = built.as_ref() == Some(signed);
        let there = args.folder.join(&signed.name);
        let sections = match bytes {
            Some(bytes) if !same && there.is_file() => {
                compare::sections(&signed.name, &super::read(&there)?, bytes)
            }
            _ => Vec::new(),
        };
        compared.push(File {
            name: signed.name.clone(),
            same,
            signed: Some(signed.sha256),
            built: built.map(|it| it.sha256),
            sections,
        });
    }
    let unsigned = files
        .iter()
        .filter(|(name, _)| statement.subject(name).is_none());
    compared.extend(unsigned.map(|(name, bytes)| File {
        name: name.clone(),
        same: false,
        signed: None,
        built: Some(Digest::of(bytes)),
        sections: Vec::new(),
    }));
    Ok(compared)
}

fn tests(built: &Sound, files: &pack::Files) -> Result<Option<Digest>, Failure> {
    let run = matrix::run_on(&built.model, files);
    let run = run.map_err(|error| test::failure(error, &built.sources))?;
    Ok(matrix::digest(&run, &built.sources))
}

fn human(files: &[File], tested: bool, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let out = &mut terminal.out;
    for file in files {
        match (file.signed, file.built) {
            (Some(signed), _) if file.same => writeln!(out, "ok      {} {signed}", file.name)?,
            (Some(signed), Some(built)) => {
                writeln!(out, "FAILED  {}: signed {signed}, built {built}", file.name)?;
            }
            (Some(_), None) => {
                writeln!(out, "FAILED  {}: the commit builds no such file", file.name)?;
            }
            (None, _) => writeln!(out, "FAILED  {}: built, and not in the release", file.name)?,
        }
        for section in &file.sections {
            writeln!(out, "          {section}")?;
        }
    }
    let word = if tested { "ok    " } else { "FAILED" };
    writeln!(out, "{word}  test result")
}
