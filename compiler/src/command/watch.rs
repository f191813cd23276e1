//! Waiting for a project to change.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// Every file of the project with its time and size.
pub(super) type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// How often the project is looked at where nothing is told of it: on network file systems, and
/// when there are more folders than the system watches.
const LOOK: Duration = Duration::from_millis(500);
/// An editor writes a file in several steps; so long it has to be quiet.
const QUIET: Duration = Duration::from_millis(100);
/// Whoever writes without a pause is not waited for any longer.
const MOST_WAITS: u32 = 20;

/// A folder whose changes are waited for.
pub(super) struct Watch {
    folder: PathBuf,
    seen: Stamps,
    told: Receiver<()>,
    // Stops telling when it goes.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches a folder from now on.
    pub(super) fn new(folder: &Path) -> Self {
        let (tell, told) = mpsc::channel();
        let heard = move |_| {
            // Nobody waits any more.
            let _ = tell.send(());
        };
        let watcher = notify::recommended_watcher(heard).ok();
        let watcher = watcher.and_then(|mut watcher| {
            let watched = watcher.watch(folder, RecursiveMode::Recursive);
            watched.ok().map(|()| watcher)
        });
        Self {
            folder: folder.to_owned(),
            seen: stamps(folder),
            told,
            _watcher: watcher,
        }
    }

    /// Returns once a file of the folder is another than before.
    pub(super) fn wait(&mut self) {
        loop {
            match self.told.recv_timeout(LOOK) {
                Ok(()) => self.settle(),
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody tells: looking has to do.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            }
            let now = stamps(&self.folder);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    fn settle(&self) {
        for _ in 0..MOST_WAITS {
            if self.told.recv_timeout(QUIET).is_err() {
                return;
            }
            while self.told.try_recv().is_ok() {}
        }
    }
}

/// Every file of the project with its time and size.
pub(super) fn stamps(folder: &Path) -> Stamps {
    let mut stamps = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder that goes away while it is read is another state of the project.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let Ok(meta) = entry.metadata() else { continue };
            if hidden {
                continue;
            }
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                stamps.insert(entry.path(), (meta.modified().ok(), meta.len()));
            }
        }
    }
    stamps
}
