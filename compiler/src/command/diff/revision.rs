//! A project as it stands in a Git revision, read into memory.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use super::super::Failure;
use crate::source::{MAX_FILE_BYTES, Memory};

/// Reads what the folder holds in a revision. Nothing is checked out.
pub(super) fn read(folder: &Path, revision: &str) -> Result<Memory, Failure> {
    if revision.is_empty() || revision.starts_with('-') || revision.contains(':') {
        return Err(unknown(revision, "it is neither a path nor a Git revision"));
    }
    let listed = git(folder)
        .args(["ls-tree", "-r", "-z", revision, "--", "."])
        .output();
    let listed = listed.map_err(|error| unknown(revision, &format!("git: {error}")))?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(unknown(
            revision,
            said.lines().next().unwrap_or("git knows no such revision"),
        ));
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let entries: Vec<_> = text.split('\0').filter_map(entry).collect();
    let blobs =
        blobs(folder, &entries).map_err(|error| unknown(revision, &format!("git: {error}")))?;
    let paths = entries.into_iter().map(|(_, path)| path.to_owned());
    Ok(paths.zip(blobs).collect())
}

fn unknown(revision: &str, why: &str) -> Failure {
    Failure::usage(format!("`{revision}` cannot be compared: {why}"))
        .help("give a project's folder, a folder of bundles, an `.lkb` file, or a Git revision")
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder);
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
    let input = ids.join(
        "
",
    ) + "
";
    let stdin = child.stdin.take();
    // Written beside the reading: both pipes are short.
    let writer = std::thread::spawn(move || match stdin {
        Some(mut stdin) => stdin.write_all(input.as_bytes()),
        None => Ok(()),
    });
    let mut blobs = Vec::with_capacity(entries.len());
    if let Some(stdout) = child.stdout.take() {
        let mut out = BufReader::new(stdout);
        for _ in entries {
            blobs.push(blob(&mut out)?);
        }
    }
    let written = writer
        .join()
        .unwrap_or_else(|_| Err(std::io::ErrorKind::BrokenPipe.into()));
    written?;
    child.wait()?;
    Ok(blobs)
}

/// `<id> blob <size>\n<bytes>\n`
fn blob(out: &mut BufReader<std::process::ChildStdout>) -> std::io::Result<Vec<u8>> {
    let malformed = || std::io::Error::other("unexpected output of `git cat-file`");
    let mut head = String::new();
    out.read_line(&mut head)?;
    let size = head
        .trim_end()
        .rsplit(' ')
        .next()
        .and_then(|size| size.parse::<u64>().ok());
    let size = size.ok_or_else(malformed)?;
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
        Err(malformed())
    }
}
