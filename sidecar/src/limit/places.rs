//! Calls at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use latchkey_gate::admit::Charge;

/// How many calls are under way in each bucket.
#[derive(Debug)]
pub(super) struct Places {
    hasher: RandomState,
    most: usize,
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
}

const SHARDS: usize = 16;

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            most: most / SHARDS + 1,
            shards: Default::default(),
        }
    }

    /// A place in a bucket of `count`, while there is one.
    pub(super) fn take(&self, charge: &Charge, count: u32) -> Option<u64> {
        let key = self
            .hasher
            .hash_one((charge.obligation, charge.key.as_str()));
        let mut shard = self.shard(key);
        let full = shard.len() >= self.most;
        match shard.entry(key) {
            Entry::Occupied(mut taken) => {
                let more = taken.get().checked_add(1).filter(|more| *more <= count)?;
                taken.insert(more);
            }
            Entry::Vacant(free) => {
                if full || count == 0 {
                    return None;
                }
                free.insert(1);
            }
        }
        Some(key)
    }

    pub(super) fn give_back(&self, place: u64) {
        if let Entry::Occupied(mut taken) = self.shard(place).entry(place) {
            match taken.get().checked_sub(1).filter(|left| *left > 0) {
                Some(left) => {
                    taken.insert(left);
                }
                None => {
                    taken.remove();
                }
            }
        }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u32>> {
        let [first, ..] = &self.shards;
        let at = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        let shard = self.shards.get(at).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
