//! Writing a release into a folder that somebody may be reading.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Files, PLACES, POINTER, SIGNED, UNSIGNED, is_slice};

/// Why files could not be written.
#[derive(Debug)]
pub enum NotWritten {
    /// The folder holds something that no build has written.
    Foreign(PathBuf),
    /// An operation of the file system failed.
    Failed(PathBuf, io::Error),
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(path) => write!(f, "`{}` is not part of a release", path.display()),
            Self::Failed(path, error) => write!(f, "cannot write `{}`: {error}", path.display()),
        }
    }
}

impl std::error::Error for NotWritten {}

/// Writes the files of a release. A folder that does not exist appears at once and whole. In one
/// that exists each file is replaced whole, the statement last: until then its digests refuse a
/// mixture, so a reader keeps what it has. Files of servers that are gone are removed.
pub fn write(folder: &Path, files: &Files) -> Result<(), NotWritten> {
    if folder.exists() {
        let stale = stale(folder, files)?;
        replace(folder, files)?;
        for path in stale {
            fs::remove_file(&path).map_err(|error| NotWritten::Failed(path, error))?;
        }
        return Ok(());
    }
    let aside = aside(folder);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| NotWritten::Failed(path, error)
    };
    fs::create_dir_all(&aside).map_err(failed(&aside))?;
    let done =
        replace(&aside, files).and_then(|()| fs::rename(&aside, folder).map_err(failed(folder)));
    if done.is_err() {
        // What was begun is of no use to anybody.
        let _ = fs::remove_dir_all(&aside);
    }
    done
}

/// Files of an older release that this one does not have; refuses a folder of other things.
fn stale(folder: &Path, files: &Files) -> Result<Vec<PathBuf>, NotWritten> {
    let failed = |error| NotWritten::Failed(folder.to_owned(), error);
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let built = is_slice(name) || [PLACES, SIGNED, UNSIGNED].contains(&name);
        if kept(name) {
            continue;
        }
        if !built && !is_aside(name) && !is_countersignature(name) {
            return Err(NotWritten::Foreign(path));
        }
        if !files.contains_key(name) {
            stale.push(path);
        }
    }
    stale.sort();
    Ok(stale)
}

/// What outlives a release: the pointer, which the next one is counted from, and the trust roots.
fn kept(name: &str) -> bool {
    name == POINTER || is_json("trust.", name)
}

/// A Sigstore bundle over the statement of the release before.
fn is_countersignature(name: &str) -> bool {
    is_json("release.sigstore.", name)
}

fn is_json(begin: &str, name: &str) -> bool {
    name.starts_with(begin) && Path::new(name).extension().is_some_and(|it| it == "json")
}

fn replace(folder: &Path, files: &Files) -> Result<(), NotWritten> {
    let is_statement = |name: &&String| [SIGNED, UNSIGNED].contains(&name.as_str());
    let content = files.iter().filter(|(name, _)| !is_statement(name));
    let statements = files.iter().filter(|(name, _)| is_statement(name));
    for (name, bytes) in content.chain(statements) {
        let path = folder.join(name);
        put(&path, bytes).map_err(|error| NotWritten::Failed(path, error))?;
    }
    // The names are durable once the folder is.
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| NotWritten::Failed(folder.to_owned(), error))
}

/// Replaces one file whole.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let mut file = fs::File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// The name that something has until it is whole.
fn aside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("release");
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn is_aside(name: &str) -> bool {
    name.starts_with('.') && Path::new(name).extension().is_some_and(|it| it == "new")
}
