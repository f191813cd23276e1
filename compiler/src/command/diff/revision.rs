//! A project as it stands in a Git revision, read into memory. Nothing is checked out or fetched.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Component, Path},
    process::{Command, Output, Stdio},
};

use super::super::Failure;
use crate::{
    diag::{Code, codes},
    project,
    source::{MAX_FILE_BYTES, Memory},
};

/// Reads what the folder holds in a revision.
pub(super) fn read(folder: &Path, revision: &str) -> Result<Memory, Failure> {
    let commit = commit(folder, revision)?;
    let listed = run(folder, &["ls-tree", "-r", "-z", &commit, "--", "."])?;
    if !listed.status.success() {
        return Err(incomplete(revision, &said(&listed)));
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let entries: Vec<_> = text.split('\0').filter_map(entry).collect();
    if !entries.iter().any(|(_, path)| *path == project::FILE) {
        let what = format!("`{revision}` has no `{}` in this folder", project::FILE);
        return Err(failure(&codes::NOT_IN_REVISION, what)
            .help("give the folder that holds the project in that revision, with `-C`"));
    }
    let blobs = blobs(folder, &entries);
    let blobs = blobs.map_err(|error| incomplete(revision, &error.to_string()))?;
    let paths = entries.into_iter().map(|(_, path)| path.to_owned());
    Ok(paths.zip(blobs).collect())
}

/// The commit that two revisions have in common last.
pub(super) fn merge_base(folder: &Path, old: &str, new: &str) -> Result<String, Failure> {
    let (first, second) = (commit(folder, old)?, commit(folder, new)?);
    let found = run(folder, &["merge-base", &first, &second])?;
    let base = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if found.status.success() && !base.is_empty() {
        return Ok(base);
    }
    let what = format!("`{old}` and `{new}` have no commit in common here");
    Err(failure(&codes::UNKNOWN_REVISION, what).help(where_to_look(folder)))
}

/// The way from the root of the repository to the folder, with `/` at its end; the way from the
/// current folder when it is in no repository.
pub(in crate::command) fn prefix(folder: &Path) -> String {
    let said = run(folder, &["rev-parse", "--show-prefix"]);
    if let Ok(said) = said
        && said.status.success()
    {
        let text = String::from_utf8_lossy(&said.stdout);
        return text.trim_end_matches('\n').to_owned();
    }
    let parts = folder.components().filter_map(|part| match part {
        Component::Normal(name) => Some(format!("{}/", name.to_string_lossy())),
        _ => None,
    });
    if folder.is_absolute() {
        String::new()
    } else {
        parts.collect()
    }
}

/// The id of the commit that a revision names.
fn commit(folder: &Path, revision: &str) -> Result<String, Failure> {
    let sane = !revision.is_empty() && !revision.starts_with('-') && !revision.contains(':');
    let inside = run(folder, &["rev-parse", "--git-dir"])?;
    if !inside.status.success() {
        let what = format!(
            "`{revision}` is no path, and `{}` is in no Git repository: {}",
            folder.display(),
            said(&inside)
        );
        return Err(failure(&codes::GIT_UNAVAILABLE, what).help(FORMS));
    }
    let wanted = format!("{revision}^{{commit}}");
    let args = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &wanted,
    ];
    let found = if sane {
        Some(run(folder, &args)?)
    } else {
        None
    };
    if let Some(found) = found.filter(|it| it.status.success()) {
        return Ok(String::from_utf8_lossy(&found.stdout).trim().to_owned());
    }
    let what =
        format!("`{revision}` cannot be compared: it is neither a path nor a Git revision here");
    Err(failure(&codes::UNKNOWN_REVISION, what).help(where_to_look(folder)))
}

const FORMS: &str =
    "give a project's folder, a folder of bundles, an `.lkb` file, or a Git revision";

fn where_to_look(folder: &Path) -> &'static str {
    let shallow = run(folder, &["rev-parse", "--is-shallow-repository"]);
    if shallow.is_ok_and(|it| it.stdout.starts_with(b"true")) {
        "this clone is shallow; fetch the history: `fetch-depth: 0` of actions/checkout, or \
         `git fetch --unshallow`"
    } else {
        FORMS
    }
}

fn failure(code: &'static Code, what: String) -> Failure {
    Failure::usage(what).code(code)
}

fn incomplete(revision: &str, why: &str) -> Failure {
    let what = format!("`{revision}` is not here as a whole: {why}");
    failure(&codes::REVISION_INCOMPLETE, what)
        .help("fetch what is missing, for example with `git fetch --refetch --no-filter`")
}

/// The first line of what a failed `git` said.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().next().unwrap_or("git said nothing").to_owned()
}

fn run(folder: &Path, args: &[&str]) -> Result<Output, Failure> {
    git(folder).args(args).output().map_err(|error| {
        failure(
            &codes::GIT_UNAVAILABLE,
            format!("`git` does not run: {error}"),
        )
        .help(FORMS)
    })
}

pub(in crate::command) fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    // Reading changes nothing, and asks no server for what a partial clone left out.
    git.env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .arg("-C")
        .arg(folder);
    git
}

/// Id and path of a file that may belong to a project: `<mode> blob <id>\t<path>`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split(' ');
    let (mode, kind, id) = (words.next()?, words.next()?, words.next()?);
    // A link is not followed: it may lead out of the revision.
    let file = kind == "blob" && mode != "120000";
    let wanted = ["yaml", "yml", "json", "toml"];
    let extension = path.rsplit('.').next()?;
    (file && wanted.contains(&extension)).then_some((id, path))
}

/// The bytes of each entry, in order, from one `git` process.
fn blobs(folder: &Path, entries: &[(&str, &str)]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut child = git(folder)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let ids: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
    let input = ids.join("\n") + "\n";
    let stdin = child.stdin.take();
    // Written beside the reading: both pipes are short.
    let writer = std::thread::spawn(move || match stdin {
        Some(mut stdin) => stdin.write_all(input.as_bytes()),
        None => Ok(()),
    });
    let read = child.stdout.take().map(|stdout| {
        let mut out = BufReader::new(stdout);
        let each = entries.iter().map(|(_, path)| blob(&mut out, path));
        each.collect::<std::io::Result<Vec<_>>>()
    });
    // With its pipe closed the writer ends, also when reading stopped early.
    let written = writer.join();
    child.wait()?;
    let blobs = read.unwrap_or_else(|| Err(std::io::ErrorKind::BrokenPipe.into()))?;
    written.unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()))?;
    Ok(blobs)
}

/// `<id> blob <size>\n<bytes>\n`, or `<id> missing`.
fn blob(out: &mut BufReader<std::process::ChildStdout>, path: &str) -> std::io::Result<Vec<u8>> {
    let failed = |what: &str| std::io::Error::other(format!("{path}: {what}"));
    let mut head = String::new();
    out.read_line(&mut head)?;
    if head.trim_end().ends_with(" missing") {
        return Err(failed("its content is missing"));
    }
    let size = head.trim_end().rsplit(' ').next();
    let size = size.and_then(|size| size.parse::<u64>().ok());
    let size = size.ok_or_else(|| failed("unexpected output of `git cat-file`"))?;
    let mut bytes = Vec::new();
    // One byte past the limit is enough for the check to refuse the file.
    let kept = size.min(MAX_FILE_BYTES as u64 + 1);
    out.by_ref().take(kept).read_to_end(&mut bytes)?;
    std::io::copy(
        &mut out.by_ref().take(size - kept + 1),
        &mut std::io::sink(),
    )?;
    if bytes.len() as u64 == kept {
        Ok(bytes)
    } else {
        Err(failed("it ends too early"))
    }
}
