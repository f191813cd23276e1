//! A folder: plain files, swapped symbolic links and all.

#[cfg(target_os = "linux")]
mod events;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use latchkey_gate::supply::Digest;
use tokio::time::{Instant, sleep, timeout};

use self::events::Events;
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
    /// Kept from one question to the next: to let go of it makes the system wait for itself.
    watch: Mutex<Watch>,
}

/// What tells a changed file from an unchanged one without reading it: device, inode, size, time.
type Stamp = [i64; 5];
type Stamps = BTreeMap<OsString, Stamp>;

#[derive(Debug, Default)]
struct Watch {
    /// The folder that is watched, which may have been replaced under its name since.
    folder: Option<(u64, u64)>,
    /// `None` where nothing tells: the rescan alone finds every change then.
    events: Option<Events>,
}

impl Folder {
    /// A folder that may not be there yet.
    pub(crate) fn new(root: &Path, options: &Options) -> Self {
        Self {
            root: root.to_owned(),
            rescan: options.rescan,
            seen: Mutex::new(None),
            watch: Mutex::default(),
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
        // As large as the file at once: what grows leaves several times that behind.
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(largest)).unwrap_or(0));
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
        let mut watch = std::mem::take(&mut *lock(&self.watch));
        let changed = self.changed_within(wait, &mut watch).await;
        *lock(&self.watch) = watch;
        changed
    }

    async fn changed_within(
        &self,
        wait: Duration,
        watch: &mut Watch,
    ) -> Result<bool, CarrierError> {
        let until = Instant::now() + wait;
        loop {
            watch.renew(&self.root);
            if self.look()? {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if timeout(left.min(self.rescan), watch.next()).await.is_ok() {
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
}

impl Watch {
    /// Watches the folder that has the name now.
    fn renew(&mut self, root: &Path) {
        let folder = fs::metadata(root).ok().map(|it| (it.dev(), it.ino()));
        if self.events.is_none() || self.folder != folder {
            let events = Events::of(root).ok();
            *self = Self { folder, events };
        }
    }

    /// Waits for the next event; without end where there will be none.
    async fn next(&mut self) {
        if let Some(events) = &mut self.events {
            if events.next().await.is_ok() {
                return;
            }
            self.events = None;
        }
        std::future::pending::<()>().await;
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

/// No other system tells of a folder in a way that costs nothing beside a growing log.
#[cfg(not(target_os = "linux"))]
mod events {
    /// There are none.
    #[derive(Debug)]
    pub(super) enum Events {}

    impl Events {
        pub(super) fn of(_: &std::path::Path) -> std::io::Result<Self> {
            Err(std::io::ErrorKind::Unsupported.into())
        }

        pub(super) async fn next(&mut self) -> std::io::Result<()> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests;
