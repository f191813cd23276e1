//! What has been seen of a server's definitions, remembered between lists and calls.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use latchkey_engine::{id::ServerId, index::SurfaceKind};
use serde_json::Value as Json;

use super::{Difference, ListKind, Pin};
use crate::{gate::Gate, settings::PinMode};

/// The state of one server's definitions, shared by all threads. It outlives a bundle, for as long
/// as the pins stay the same.
#[derive(Debug, Default)]
pub struct Sightings {
    /// The bundle under which every pinned call may pass; 0 is none.
    clear: AtomicU64,
    /// Whether the server should be asked again soon.
    alarm: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Where the server is; what was seen of another one says nothing.
    origin: String,
    /// Whether it has taken the place of another and was not asked yet: a list that a caller is
    /// shown may be of the other still, and vouches for nothing.
    replaced: bool,
    /// How often one after the other it was asked and has not said.
    unanswered: u32,
    /// By the name of the surface.
    entries: BTreeMap<String, Sighting>,
    /// What has changed since it was asked for last.
    news: Vec<News>,
}

/// What was seen of a surface, and which pin it was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sighting {
    pin: String,
    /// How it differs; `None` when it is as reviewed.
    difference: Option<Difference>,
}

/// A definition that has become another, or is as reviewed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The name of the surface.
    pub name: String,
    /// How it differs; `None` when it is as reviewed again.
    pub difference: Option<Difference>,
}

/// Why a call of a pinned surface does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpinned {
    /// Its definition differs from the reviewed one.
    Changed(Difference),
    /// Its definition has not been seen.
    Unseen,
}

/// After so many surveys without an answer, nothing is known of the server any more.
const FORGET_AFTER: u32 = 3;
/// The most changes that are kept to be told.
const MOST_NEWS: usize = 1000;

impl Sightings {
    /// Whether calls of a surface pass under the bundle of this number. Where nothing is wrong with
    /// any surface, this is one load.
    ///
    /// # Errors
    /// Why they do not.
    pub fn check(
        &self,
        generation: u64,
        gate: &Gate,
        server: ServerId,
        name: &str,
    ) -> Result<(), Unpinned> {
        if self.clear.load(Ordering::Acquire) == generation {
            return Ok(());
        }
        let policy = gate.policy();
        let Some(surface) = policy.surface(server, name) else {
            return Ok(());
        };
        let settings = gate.surface_settings(surface);
        let Some(pin) = settings.and_then(|it| it.pin.as_ref()) else {
            return Ok(());
        };
        let mode = gate
            .server_settings(server)
            .map_or(PinMode::Enforce, |it| it.pins);
        let kind = policy
            .surface_entry(surface)
            .and_then(|it| ListKind::of(&it.kind));
        self.lock().judge(name, pin, kind, mode)
    }

    /// Compares a definition that a server has listed with the pin of its surface, and remembers
    /// what comes of it. Answers whether it is as reviewed.
    pub fn see(&self, kind: ListKind, name: &str, pin: &Pin, definition: Option<&Json>) -> bool {
        let difference = match definition {
            Some(definition) => pin.compare(kind, definition),
            None => Some(Difference::unreadable()),
        };
        let Some(difference) = difference else {
            let mut seen = self.lock();
            if !seen.replaced {
                seen.matched(name, pin, false);
            }
            return true;
        };
        let mut seen = self.lock();
        if seen.differed(name, pin, difference) {
            self.clear.store(0, Ordering::Release);
            drop(seen);
            self.raise();
        }
        false
    }

    /// Takes what the server lists when the sidecar itself asks: this has the last word. Then
    /// settles whether every call passes under the bundle of this number. What another server has
    /// said than the one of the bundle in force is dropped.
    pub fn survey(
        &self,
        generation: u64,
        gate: &Gate,
        server: ServerId,
        lists: &BTreeMap<ListKind, BTreeMap<String, Json>>,
    ) {
        let mut seen = self.lock();
        if seen.origin != origin(gate, server) {
            return;
        }
        (seen.replaced, seen.unanswered) = (false, 0);
        for (name, kind, key, pin) in pinned(gate, server) {
            let definition = lists.get(&kind).and_then(|list| list.get(key));
            match definition.map(|definition| pin.compare(kind, definition)) {
                None => seen.missed(name, pin),
                Some(None) => seen.matched(name, pin, true),
                Some(Some(difference)) => {
                    seen.differed(name, pin, difference);
                }
            }
        }
        self.settle(&seen, generation, gate, server);
    }

    /// The server was asked and has not said what it lists. When it cannot be asked any more, what
    /// was seen of it is not known to hold.
    pub fn unanswered(&self, gate: &Gate, server: ServerId) {
        let mut seen = self.lock();
        if seen.origin != origin(gate, server) {
            return;
        }
        seen.unanswered = seen.unanswered.saturating_add(1);
        if seen.unanswered == FORGET_AFTER {
            seen.replaced = false;
            seen.entries
                .retain(|_, sighting| sighting.difference.is_some());
            self.clear.store(0, Ordering::Release);
        }
    }

    /// A bundle of this number comes into force: settles whether every call passes under it, by what
    /// was seen before.
    pub fn turn(&self, generation: u64, gate: &Gate, server: ServerId) {
        let mut seen = self.lock();
        let origin = origin(gate, server);
        if seen.origin != origin {
            (seen.replaced, seen.unanswered) = (!seen.origin.is_empty(), 0);
            seen.entries.clear();
            seen.origin = origin;
        }
        self.settle(&seen, generation, gate, server);
    }

    /// Whether every call passes under the bundle of this number.
    #[must_use]
    pub fn is_clear(&self, generation: u64) -> bool {
        self.clear.load(Ordering::Acquire) == generation
    }

    /// Asks for the server to be asked again soon.
    pub fn raise(&self) {
        self.alarm.store(true, Ordering::Release);
    }

    /// Whether that was asked for since the last time.
    pub fn take_alarm(&self) -> bool {
        self.alarm.load(Ordering::Relaxed) && self.alarm.swap(false, Ordering::AcqRel)
    }

    /// What has changed since the last time.
    pub fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.lock().news)
    }

    /// The surfaces whose definition differs, with how.
    #[must_use]
    pub fn changed(&self) -> Vec<(String, Difference)> {
        let seen = self.lock();
        let changed = seen.entries.iter();
        changed
            .filter_map(|(name, it)| Some((name.clone(), it.difference.clone()?)))
            .collect()
    }

    fn settle(&self, seen: &Seen, generation: u64, gate: &Gate, server: ServerId) {
        let mode = gate
            .server_settings(server)
            .map_or(PinMode::Enforce, |it| it.pins);
        let all = pinned(gate, server);
        let clear = all
            .into_iter()
            .all(|(name, kind, _, pin)| seen.judge(name, pin, Some(kind), mode).is_ok());
        self.clear
            .store(if clear { generation } else { 0 }, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn judge(
        &self,
        name: &str,
        pin: &Pin,
        kind: Option<ListKind>,
        mode: PinMode,
    ) -> Result<(), Unpinned> {
        let sighting = self.entries.get(name).filter(|it| it.pin == pin.definition);
        // Resources come and go, and a server need not list all that it has.
        let listed = matches!(kind, Some(ListKind::Tools | ListKind::Prompts));
        match sighting.map(|it| &it.difference) {
            Some(Some(difference)) => Err(Unpinned::Changed(difference.clone())),
            None if listed && mode == PinMode::Enforce => Err(Unpinned::Unseen),
            Some(None) | None => Ok(()),
        }
    }

    /// A definition is as reviewed. One that differed is so again only when the sidecar itself has
    /// seen it.
    fn matched(&mut self, name: &str, pin: &Pin, own: bool) {
        if let Some(known) = self.entries.get(name).filter(|it| it.pin == pin.definition) {
            if known.difference.is_none() || !own {
                return;
            }
            self.tell(name, None);
        }
        self.put(name, pin, None);
    }

    /// A definition differs; answers whether that is new.
    fn differed(&mut self, name: &str, pin: &Pin, difference: Difference) -> bool {
        let known = self.entries.get(name);
        if known.is_some_and(|it| {
            it.pin == pin.definition && it.difference.as_ref() == Some(&difference)
        }) {
            return false;
        }
        self.tell(name, Some(difference.clone()));
        self.put(name, pin, Some(difference));
        true
    }

    /// The server does not list it; what differed before is not better for it.
    fn missed(&mut self, name: &str, pin: &Pin) {
        let matched = |it: &Sighting| it.pin == pin.definition && it.difference.is_none();
        if self.entries.get(name).is_some_and(matched) {
            self.entries.remove(name);
        }
    }

    fn put(&mut self, name: &str, pin: &Pin, difference: Option<Difference>) {
        let sighting = Sighting {
            pin: pin.definition.clone(),
            difference,
        };
        self.entries.insert(name.to_owned(), sighting);
    }

    fn tell(&mut self, name: &str, difference: Option<Difference>) {
        if self.news.len() < MOST_NEWS {
            self.news.push(News {
                name: name.to_owned(),
                difference,
            });
        }
    }
}

/// Where a server is.
fn origin(gate: &Gate, server: ServerId) -> String {
    let upstream = gate.policy().server_entry(server).map(|it| &it.upstream);
    let command = gate.server_settings(server).map(|it| &it.command);
    format!("{upstream:?} {command:?}")
}

/// Whether a server has pinned surfaces.
#[must_use]
pub fn has_pins(gate: &Gate, server: ServerId) -> bool {
    !pinned(gate, server).is_empty()
}

/// The pinned surfaces of a server: name, list, name in the list, pin.
fn pinned(gate: &Gate, server: ServerId) -> Vec<(&str, ListKind, &str, &Pin)> {
    let policy = gate.policy();
    let surfaces = policy.surfaces(server).filter_map(|surface| {
        let pin = gate.surface_settings(surface)?.pin.as_ref()?;
        let entry = policy.surface_entry(surface)?;
        let key = match &entry.kind {
            SurfaceKind::Resource { uri } => uri,
            _ => &entry.name,
        };
        Some((
            entry.name.as_str(),
            ListKind::of(&entry.kind)?,
            key.as_str(),
            pin,
        ))
    });
    surfaces.collect()
}

#[cfg(test)]
mod tests;
