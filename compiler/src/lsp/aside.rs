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
};
use crate::{command::now, lint::Depth, source::SourceMap};

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
    pub(super) outcome: Outcome,
    stop: Arc<AtomicBool>,
}

impl Aside {
    /// Begins to check everything that was read.
    pub(super) fn begin(
        (root, due): (PathBuf, Due),
        reading: Arc<Reading>,
        sources: Arc<SourceMap>,
        sender: Sender<Done>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let depth = due.depth();
        thread::spawn(move || {
            let recalled = || told.load(Ordering::Relaxed);
            let outcome = reading.check(&sources, (now(), depth), &recalled);
            if let Some(outcome) = outcome.filter(|_| !recalled()) {
                let stop = Arc::clone(&told);
                // When nobody listens any more, the editor is gone.
                let _ = sender.send(Done {
                    root,
                    outcome,
                    stop,
                });
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
