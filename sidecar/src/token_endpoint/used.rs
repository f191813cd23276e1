//! Which tokens were used, as far as this process knows.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// The ids of used tokens, until they end.
#[derive(Debug)]
pub(super) struct Used {
    hashers: [RandomState; 2],
    seen: Mutex<Seen>,
    most: usize,
    most_of_one: u32,
}

#[derive(Debug, Default)]
struct Seen {
    /// When each ends, and the caller that it counts for.
    tokens: HashMap<(u64, u64), (i64, u64)>,
    callers: HashMap<u64, u32>,
    swept: i64,
}

/// How often what has ended is forgotten, in seconds.
const SWEEP: i64 = 5;

impl Used {
    /// Remembers at most `most` tokens, and a tenth of that for one caller: who floods it is
    /// refused before others are.
    pub(super) fn new(most: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            seen: Mutex::default(),
            most,
            most_of_one: u32::try_from(most / 10 + 1).unwrap_or(u32::MAX),
        }
    }

    /// Marks a token as used; `false` when it was used before, or cannot be remembered.
    pub(super) fn mark(&self, id: &str, caller: &str, ends: i64, now: i64) -> bool {
        let [one, other] = &self.hashers;
        let key = (one.hash_one(id), other.hash_one(id));
        let caller = one.hash_one(caller);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sweep(now);
        let of_one = seen.callers.get(&caller).copied().unwrap_or(0);
        let full = seen.tokens.len() >= self.most || of_one >= self.most_of_one;
        if full || seen.tokens.contains_key(&key) {
            return false;
        }
        seen.tokens.insert(key, (ends, caller));
        seen.callers.insert(caller, of_one + 1);
        true
    }
}

impl Seen {
    fn sweep(&mut self, now: i64) {
        if now < self.swept.saturating_add(SWEEP) {
            return;
        }
        self.swept = now;
        let callers = &mut self.callers;
        self.tokens.retain(|_, (ends, caller)| {
            let stays = *ends > now;
            if !stays && let Some(count) = callers.get_mut(caller) {
                *count = count.saturating_sub(1);
            }
            stays
        });
        self.callers.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_once_until_it_has_ended() {
        let used = Used::new(100);
        assert!(used.mark("a", "alice", 100, 10));
        assert!(!used.mark("a", "alice", 100, 11));
        assert!(used.mark("b", "alice", 100, 11));
        assert!(!used.mark("a", "alice", 100, 99));
    }

    #[test]
    fn a_flood_of_one_caller_refuses_that_caller() {
        let used = Used::new(100);
        let taken = (0..50).filter(|n| used.mark(&n.to_string(), "mallory", 100, 10));
        assert_eq!(taken.count(), 11);
        assert!(used.mark("a", "alice", 100, 10));
        assert!(used.mark("later", "mallory", 300, 200));
    }
}
