//! Calls in a window, by GCRA: of each bucket only the instant is kept at which it is full again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use latchkey_engine::index::Obligation;
use latchkey_gate::admit::Charge;

use super::{Left, Throttled};

/// The buckets of all limits on rates.
#[derive(Debug)]
pub(super) struct Rates {
    since: Instant,
    hasher: RandomState,
    most: usize,
    shards: [Mutex<HashMap<u64, u64>>; SHARDS],
}

const SHARDS: usize = 16;

/// One bucket's rate, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// What one call takes.
    each: u64,
    /// The window: what an idle bucket holds.
    window: u64,
}

impl Rates {
    pub(super) fn new(most: usize) -> Self {
        Self {
            since: Instant::now(),
            hasher: RandomState::new(),
            most: most / SHARDS + 1,
            shards: Default::default(),
        }
    }

    /// Takes one call from a bucket. A limit of none in some time refuses every call.
    pub(super) fn take(&self, charge: &Charge) -> Result<Left, Throttled> {
        let limit = charge.obligation;
        let Some(flow) = Flow::of(limit) else {
            return Err(Throttled {
                retry_after: Duration::from_secs(1),
                limit,
                lost: false,
            });
        };
        let now = self.now();
        let key = self.key(charge);
        let mut shard = self.shard(key);
        let key = self.place(&mut shard, key, limit, now);
        let full_at = shard.get(&key).map_or(now, |it| now.max(*it));
        let then = full_at.saturating_add(flow.each);
        let used = then - now;
        if used > flow.window {
            return Err(Throttled {
                retry_after: Duration::from_nanos(used - flow.window),
                limit,
                lost: false,
            });
        }
        shard.insert(key, then);
        let calls = (flow.window - used) / flow.each;
        Ok(Left {
            limit,
            calls: u32::try_from(calls).unwrap_or(u32::MAX),
            full_in: Duration::from_nanos(used),
        })
    }

    /// Puts back what a call took that another limit refused.
    pub(super) fn give_back(&self, charge: &Charge) {
        let Some(flow) = Flow::of(charge.obligation) else {
            return;
        };
        let key = self.key(charge);
        if let Some(full_at) = self.shard(key).get_mut(&key) {
            *full_at = full_at.saturating_sub(flow.each);
        }
    }

    pub(super) fn forget_idle(&self) {
        let now = self.now();
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, full_at| *full_at > now);
            if shard.capacity() > 4 * shard.len() {
                shard.shrink_to_fit();
            }
        }
    }

    /// The key to count under: the bucket's own, or where too many are followed, the one that all
    /// others of this limit share.
    fn place(&self, shard: &mut HashMap<u64, u64>, key: u64, limit: Obligation, now: u64) -> u64 {
        if shard.len() < self.most || shard.contains_key(&key) {
            return key;
        }
        shard.retain(|_, full_at| *full_at > now);
        if shard.len() < self.most {
            return key;
        }
        self.hasher.hash_one(limit)
    }

    fn key(&self, charge: &Charge) -> u64 {
        self.hasher.hash_one((charge.obligation, &charge.key))
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, u64>> {
        let [first, ..] = &self.shards;
        let at = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        lock(self.shards.get(at).unwrap_or(first))
    }

    /// Nanoseconds since the start; enough for 500 years.
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Flow {
    fn of(limit: Obligation) -> Option<Self> {
        let Obligation::Rate { count, seconds, .. } = limit else {
            return None;
        };
        let each = (u64::from(seconds) * 1_000_000_000).checked_div(u64::from(count))?;
        let each = each.max(1);
        // A whole number of calls, so that division leaves no part of one.
        let window = each * u64::from(count);
        Some(Self { each, window })
    }
}

fn lock(shard: &Mutex<HashMap<u64, u64>>) -> MutexGuard<'_, HashMap<u64, u64>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
