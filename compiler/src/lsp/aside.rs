//! The whole of a large project, checked aside: whoever types does not wait for it.
//!
//! A check works on what was read when it began. A change after that recalls it: it stops at its
//! next step, and what it came to is not told.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::Sender;

use super::{
    Due,
    reading::{Outcome, Reading},
    world::Stamps,
};
use crate::{
    command::now,
    lint::Depth,
    source::{Folder, SourceMap},
};

/// A check that was begun.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) due: Due,
    stop: Arc<AtomicBool>,
}

/// What became of a check that nobody recalled.
#[derive(Debug)]
pub(super) struct Done {
    /// The folder of its project.
    pub(super) root: PathBuf,
    /// `None` where other files are on disk now than were read.
    pub(super) outcome: Option<Outcome>,
    stop: Arc<AtomicBool>,
}

/// What was read of a project.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) root: PathBuf,
    pub(super) reading: Arc<Reading>,
    pub(super) sources: Arc<SourceMap>,
    /// The files that stood on disk for what was read.
    pub(super) stamps: Stamps,
}

impl Aside {
    /// Begins to check everything that was read.
    pub(super) fn begin(read: Read, due: Due, sender: Sender<Done>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        thread::spawn(move || {
            let recalled = || told.load(Ordering::Relaxed);
            let done = |outcome| Done {
                root: read.root.clone(),
                outcome,
                stop: Arc::clone(&told),
            };
            // Nobody who changes it meanwhile has to make a copy first.
            let reading = Reading::clone(&read.reading);
            drop(read.reading);
            let outcome = if read.stamps.differ(&Folder::new(&read.root)) {
                Some(done(None))
            } else {
                let outcome = reading.check(&read.sources, (now(), due.depth()), &recalled);
                outcome.map(|it| done(Some(it)))
            };
            if let Some(done) = outcome.filter(|_| !recalled()) {
                // When nobody listens any more, the editor is gone.
                let _ = sender.send(done);
            }
        });
        Self { due, stop }
    }

    /// Whether this is what it came to.
    pub(super) fn is(&self, done: &Done) -> bool {
        Arc::ptr_eq(&self.stop, &done.stop)
    }

    /// Stops it, and says why it was made.
    pub(super) fn recall(self) -> Due {
        self.stop.store(true, Ordering::Relaxed);
        self.due
    }
}

impl Due {
    /// How much is asked of a project then.
    pub(super) fn depth(self) -> Depth {
        match self {
            Self::Rest => Depth::Thorough,
            Self::Changed | Self::Whole => Depth::Quick,
        }
    }
}
