//! What was verified, by the bytes that it was verified from.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use latchkey_engine::time::Time;

/// The bundle and the keys that something was verified under. Under others it counts no more.
pub(super) type Era = (u64, u64);

/// A bounded memory.
#[derive(Debug)]
pub(super) struct Memory<T> {
    hasher: RandomState,
    generations: Mutex<Generations<T>>,
    /// The most entries of one generation.
    most: usize,
}

/// Two generations: a full young one becomes the old one, and what is used again is young again.
/// So the memory is bounded and what is in use stays.
#[derive(Debug)]
struct Generations<T> {
    young: HashMap<u64, Remembered<T>>,
    old: HashMap<u64, Remembered<T>>,
}

#[derive(Debug)]
struct Remembered<T> {
    from: Box<[u8]>,
    verified: Arc<T>,
    era: Era,
    /// When it was verified. By a clock that was set back since, it may not be valid yet.
    at: Time,
}

impl<T> Memory<T> {
    /// Remembers at most this many.
    pub(super) fn new(most: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self {
            hasher: RandomState::new(),
            generations: Mutex::new(Generations { young, old }),
            most: most / 2 + 1,
        }
    }

    /// What was verified from these very bytes in this era, and not later than now.
    pub(super) fn recall(&self, from: &[u8], era: Era, now: Time) -> Option<Arc<T>> {
        let key = self.key(from);
        let mut generations = self.lock();
        let fits = |found: &&Remembered<T>| {
            found.era == era && found.at <= now && found.from.as_ref() == from
        };
        if let Some(found) = generations.young.get(&key).filter(fits) {
            return Some(Arc::clone(&found.verified));
        }
        let found = generations.old.remove(&key).filter(|found| fits(&found))?;
        let verified = Arc::clone(&found.verified);
        self.insert(&mut generations, key, found);
        Some(verified)
    }

    pub(super) fn remember(&self, from: &[u8], verified: T, era: Era, now: Time) -> Arc<T> {
        let verified = Arc::new(verified);
        let remembered = Remembered {
            from: from.into(),
            verified: Arc::clone(&verified),
            era,
            at: now,
        };
        self.insert(&mut self.lock(), self.key(from), remembered);
        verified
    }

    /// What a token is found by. Its last bytes are of its signature, so they differ where tokens
    /// do; whoever copies them onto another token finds one that is not equal.
    fn key(&self, from: &[u8]) -> u64 {
        let tail = from.last_chunk::<64>().map_or(from, |tail| tail.as_slice());
        self.hasher.hash_one((from.len(), tail))
    }

    fn insert(&self, generations: &mut Generations<T>, key: u64, remembered: Remembered<T>) {
        if generations.young.len() >= self.most {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, remembered);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<T>> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000);

    #[test]
    fn another_era_other_bytes_and_an_earlier_time_are_not_recalled() {
        let memory = Memory::new(8);
        memory.remember(b"token", 7, (1, 1), NOW);
        let later = memory.recall(b"token", (1, 1), Time(1_001));
        assert_eq!(later.as_deref(), Some(&7));
        for (from, era, now) in [
            (&b"token"[..], (2, 1), NOW),
            (b"token", (1, 2), NOW),
            (b"tokem", (1, 1), NOW),
            (b"", (1, 1), NOW),
            (b"token", (1, 1), Time(999)),
        ] {
            assert_eq!(memory.recall(from, era, now), None);
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let memory = Memory::new(16);
        let recall = |n: u32| memory.recall(&n.to_be_bytes(), (1, 1), NOW);
        for n in 0..100_u32 {
            memory.remember(&n.to_be_bytes(), n, (1, 1), NOW);
            assert!(recall(0).is_some());
        }
        assert!((0..100).filter(|n| recall(*n).is_some()).count() <= 18);
    }
}
