//! Sessions of the era that has them: each is one child, and belongs to the caller who opened it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::child::Child;

/// Who calls: what tells one caller from another.
pub type Caller = [u8; 32];

/// The sessions of one server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: HashMap<String, Session>,
    /// The places that were given out.
    places: Vec<Weak<Caller>>,
}

#[derive(Debug)]
struct Session {
    caller: Caller,
    child: Arc<Child>,
}

/// A caller's place for one session. It is taken before the session's child is started, and the child
/// has it for as long as anybody has the child. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    _caller: Arc<Caller>,
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
    /// Takes a place for one more session of a caller. One who has too many loses the one that has
    /// been idle longest; nobody loses one to another.
    pub(super) fn take_place(&mut self, caller: Caller, most: Most) -> Result<Place, Full> {
        self.sweep(Duration::MAX);
        let own = self.taken().filter(|it| **it == caller).count();
        if own >= most.each {
            self.end_idlest(&caller)?;
        }
        if self.taken().count() >= most.all {
            return Err(Full);
        }
        let caller = Arc::new(caller);
        self.places.push(Arc::downgrade(&caller));
        Ok(Place { _caller: caller })
    }

    /// Ends a caller's session that has been idle longest.
    fn end_idlest(&mut self, caller: &Caller) -> Result<(), Full> {
        let own = self.all.iter().filter(|(_, it)| it.caller == *caller);
        let idle = own.filter_map(|(id, it)| Some((it.idle_since()?, id)));
        let id = idle.min().map(|(_, id)| id.clone()).ok_or(Full)?;
        self.all.remove(&id);
        Ok(())
    }

    /// The callers of all places that are taken.
    fn taken(&mut self) -> impl Iterator<Item = Arc<Caller>> {
        self.places.retain(|it| it.strong_count() > 0);
        self.places.iter().filter_map(Weak::upgrade)
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
            let since = session.idle_since();
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

impl Session {
    /// Since when nobody has needed its child; `None` while somebody does. Whoever waits for a child
    /// or watches it holds it, so what is idle ends with its session and leaves its place.
    fn idle_since(&self) -> Option<Instant> {
        let held = Arc::strong_count(&self.child) > 1;
        (!held).then(|| self.child.desk.used())
    }
}
