//! A folder: plain files, swapped symbolic links and all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_gate::supply::Digest;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::lock;
use crate::carrier::Options;
use crate::error::{CarrierError, Kind};
use crate::names;

/// A writer touches several files one after the other; they are looked at together.
const SETTLE: Duration = Duration::from_millis(20);
/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 20_000;

/// Files in a folder.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    rescan: Duration,
    seen: Mutex<Option<Stamps>>,
    watch: Mutex<Option<Watch>>,
    stirred: Arc<Notify>,
}

/// What tells a changed file from an unchanged one without reading it: device, inode, size, time.
type Stamp = [i64; 5];
type Stamps = BTreeMap<OsString, Stamp>;

/// Ends the watching when it goes away.
#[derive(Debug)]
struct Watch {
    /// The folder that is watched, which may have been replaced under its name since.
    of: Option<Stamp>,
    _watcher: Option<RecommendedWatcher>,
}

impl Folder {
    /// A folder that may not be there yet.
    pub(crate) fn new(root: &Path, options: &Options) -> Self {
        Self {
            root: root.to_owned(),
            rescan: options.rescan,
            seen: Mutex::new(None),
            watch: Mutex::new(None),
            stirred: Arc::new(Notify::new()),
        }
    }

    /// The bytes under a name.
    pub(crate) fn get(&self, name: &str, largest: u64) -> Result<Option<Vec<u8>>, CarrierError> {
        let path = self.root.join(name);
        // A pipe or device would be waited for without end.
        let file = fs::metadata(&path).and_then(|metadata| {
            if metadata.is_file() {
                File::open(&path)
            } else {
                Err(io::Error::other("it is not a plain file"))
            }
        });
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.root.is_dir() {
                    return Ok(None);
                }
                let what = "there is no such folder; correct the location, or create it";
                return Err(CarrierError::new(Kind::Missing, self.root.display(), what));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) => return Err(storage(&path, "cannot be read", &error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(largest.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| storage(&path, "cannot be read", &error))?;
        if bytes.len() as u64 > largest {
            let what = format!("holds more than the {largest} bytes that it may");
            return Err(CarrierError::new(Kind::TooLarge, path.display(), what));
        }
        Ok(Some(bytes))
    }

    /// Whether the files of the folder have changed since this was asked last.
    pub(crate) async fn changed(&self, wait: Option<Duration>) -> Result<bool, CarrierError> {
        let Some(wait) = wait else {
            return self.look();
        };
        let until = Instant::now() + wait;
        loop {
            self.watch();
            if self.look()? {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let stirred = self.stirred.notified();
            if timeout(left.min(self.rescan), stirred).await.is_ok() {
                sleep(SETTLE).await;
            }
        }
    }

    /// Whether a file, of this size where one is given, is there; one that goes by its digest is
    /// hashed, so that a push repairs it.
    pub(crate) fn has(&self, name: &str, size: Option<u64>) -> bool {
        if let Some(digest) = names::file_digest(name) {
            let bytes = self.get(name, size.unwrap_or(u64::MAX)).ok().flatten();
            return bytes.is_some_and(|bytes| Digest::of(&bytes) == digest);
        }
        let metadata = fs::metadata(self.root.join(name)).ok();
        metadata
            .filter(fs::Metadata::is_file)
            .is_some_and(|metadata| size.is_none_or(|size| metadata.len() == size))
    }

    /// Puts a file; a reader sees the old bytes or the new.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CarrierError> {
        write_whole(&self.root.join(name), bytes)
    }

    fn look(&self) -> Result<bool, CarrierError> {
        let now = self.stamps()?;
        let mut seen = lock(&self.seen);
        let changed = seen.as_ref() != Some(&now);
        *seen = Some(now);
        Ok(changed)
    }

    /// Links are followed, so that the swap of a `..data` link changes every file behind it.
    fn stamps(&self) -> Result<Stamps, CarrierError> {
        let fault = |error| storage(&self.root, "cannot be listed", &error);
        let mut stamps = Stamps::new();
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stamps),
            Err(error) => return Err(fault(error)),
        };
        for entry in entries.take(MOST_ENTRIES) {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // A file that goes away while it is looked at is as good as gone.
            let metadata = fs::metadata(entry.path());
            if let Some(metadata) = metadata.ok().filter(fs::Metadata::is_file) {
                stamps.insert(name, stamp(&metadata));
            }
        }
        Ok(stamps)
    }

    /// Watches the folder and, for the folder's own name, its parent.
    fn watch(&self) {
        let of = fs::metadata(&self.root).ok();
        let of = of.map(|metadata| identity(&metadata));
        let mut watch = lock(&self.watch);
        if watch.as_ref().is_none_or(|watch| watch.of != of) {
            // Where nothing can be watched, the rescan alone finds every change.
            *watch = Some(Watch {
                of,
                _watcher: self.watcher().ok(),
            });
        }
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let stirred = Arc::clone(&self.stirred);
        let root = fs::canonicalize(self.parent())?.join(self.root.file_name().unwrap_or_default());
        let own = root.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let of_us = |event: &notify::Event| {
                    !matches!(event.kind, EventKind::Access(_))
                        && event.paths.iter().any(|path| path.starts_with(&own))
                };
                if event.as_ref().map_or(true, of_us) {
                    stirred.notify_one();
                }
            })?;
        if let Some(parent) = root.parent() {
            watcher.watch(parent, RecursiveMode::NonRecursive)?;
        }
        if root.is_dir() {
            watcher.watch(&root, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    }

    fn parent(&self) -> &Path {
        match self.root.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

/// Writes a file so that after a crash it holds the old bytes or the new: written aside, synced,
/// renamed, and the folder synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CarrierError> {
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        let mut aside = OsString::from(".");
        aside.push(path.file_name().unwrap_or_default());
        aside.push(format!(".{}.new", std::process::id()));
        let aside = folder.join(aside);
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| storage(path, "cannot be written", &error))
}

/// A failure of the file system.
pub(crate) fn storage(path: &Path, what: &str, error: &io::Error) -> CarrierError {
    CarrierError::new(Kind::Storage, path.display(), format!("{what}: {error}"))
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    [
        metadata.dev().cast_signed(),
        metadata.ino().cast_signed(),
        metadata.len().cast_signed(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ]
}

/// Which folder it is, whatever is in it.
fn identity(metadata: &fs::Metadata) -> Stamp {
    [
        metadata.dev().cast_signed(),
        metadata.ino().cast_signed(),
        0,
        0,
        0,
    ]
}

#[cfg(test)]
mod tests;
