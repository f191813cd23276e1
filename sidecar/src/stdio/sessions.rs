//! Sessions of the era that has them: each is one child, and belongs to the caller who opened it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::child::Child;

/// Who calls: what tells one caller from another.
pub type Caller = [u8; 32];

/// The sessions of one server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: HashMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    caller: Caller,
    child: Arc<Child>,
}

/// How many sessions there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// In all.
    pub(super) all: usize,
    /// Of one caller.
    pub(super) each: usize,
}

/// There is no place for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Sessions {
    /// Makes a place for one more session of a caller. One who has too many loses the one that has
    /// been idle longest; nobody loses one to another.
    pub(super) fn make_place(&mut self, caller: &Caller, most: Most) -> Result<(), Full> {
        self.sweep(Duration::MAX);
        let own = self.all.iter().filter(|(_, it)| it.caller == *caller);
        if own.clone().count() >= most.each {
            let idle = own.filter_map(|(id, it)| Some((it.child.desk.idle_since()?, id)));
            let id = idle.min().map(|(_, id)| id.clone()).ok_or(Full)?;
            self.all.remove(&id);
        }
        if self.all.len() < most.all {
            Ok(())
        } else {
            Err(Full)
        }
    }

    /// Keeps a session.
    pub(super) fn put(&mut self, id: String, caller: Caller, child: Arc<Child>) {
        self.all.insert(id, Session { caller, child });
    }

    /// The child of a caller's session. A session of another caller is not there.
    #[must_use]
    pub(super) fn get(&self, id: &str, caller: &Caller) -> Option<Arc<Child>> {
        let session = self.all.get(id).filter(|it| it.caller == *caller)?;
        (!session.child.desk.is_gone()).then(|| Arc::clone(&session.child))
    }

    /// Ends a caller's session.
    pub(super) fn end(&mut self, id: &str, caller: &Caller) -> bool {
        let own = self.get(id, caller).is_some();
        if own {
            self.all.remove(id);
        }
        own
    }

    /// Ends what nobody has used for so long, and forgets what has ended.
    pub(super) fn sweep(&mut self, idle: Duration) {
        let now = Instant::now();
        self.all.retain(|_, session| {
            let since = session.child.desk.idle_since();
            let used = since.is_none_or(|since| now.saturating_duration_since(since) < idle);
            used && !session.child.desk.is_gone()
        });
    }

    /// How many there are.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }
}
