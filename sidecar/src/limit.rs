//! Rate limits: one GCRA allowance for each caller, surface and limit.
//!
//! The keys come with the permit and are made of names, so that what a caller has used up outlives
//! a swap of the bundle.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

/// One limit: at most `count` calls in any `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how long.
    pub seconds: u32,
}

/// The allowances of all callers.
pub struct Limits {
    clock: DefaultClock,
    hasher: RandomState,
    most_keys: usize,
    limiters: RwLock<Vec<(Rate, Arc<DefaultKeyedRateLimiter<u64>>)>>,
}

/// A call came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// When the next call may be tried.
    pub retry_after: Duration,
}

/// The allowance that all callers share once too many are followed.
const OVERFLOW: u64 = 0;

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits")
            .field("most_keys", &self.most_keys)
            .finish_non_exhaustive()
    }
}

impl Limits {
    /// No allowance used yet. Beyond `most_keys` callers and surfaces of one limit, all share one
    /// allowance until some are forgotten, so that memory is bounded and a flood buys nothing.
    #[must_use]
    pub fn new(most_keys: usize) -> Self {
        Self {
            clock: DefaultClock::default(),
            hasher: RandomState::new(),
            most_keys,
            limiters: RwLock::new(Vec::new()),
        }
    }

    /// Takes one call from the allowance of a key. A limit of none in some time refuses every call.
    pub fn take(&self, rate: Rate, key: &str) -> Result<(), Throttled> {
        let Some(quota) = quota(rate) else {
            return Err(Throttled {
                retry_after: Duration::from_secs(u64::from(rate.seconds)),
            });
        };
        let limiter = self.limiter(rate, quota);
        let mut key = self.hasher.hash_one(key).max(1);
        if limiter.len() >= self.most_keys {
            key = OVERFLOW;
        }
        limiter.check_key(&key).map_err(|not_until| Throttled {
            retry_after: not_until.wait_time_from(self.clock.now()),
        })
    }

    /// Forgets callers whose allowance is full again. Call from time to time.
    pub fn forget_idle(&self) {
        let Ok(limiters) = self.limiters.read() else {
            return;
        };
        for (_, limiter) in limiters.iter() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn limiter(&self, rate: Rate, quota: Quota) -> Arc<DefaultKeyedRateLimiter<u64>> {
        let find = |limiters: &Vec<(Rate, Arc<DefaultKeyedRateLimiter<u64>>)>| {
            limiters
                .iter()
                .find(|(of, _)| *of == rate)
                .map(|(_, limiter)| Arc::clone(limiter))
        };
        let read = self.limiters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = find(&read) {
            return limiter;
        }
        drop(read);
        let mut write = self
            .limiters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = find(&write) {
            return limiter;
        }
        let limiter = Arc::new(DefaultKeyedRateLimiter::keyed(quota));
        write.push((rate, Arc::clone(&limiter)));
        limiter
    }
}

fn quota(rate: Rate) -> Option<Quota> {
    let count = NonZeroU32::new(rate.count)?;
    let each = Duration::from_secs(u64::from(rate.seconds)) / rate.count;
    Some(Quota::with_period(each)?.allow_burst(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Rate = Rate {
        count: 3,
        seconds: 60,
    };

    #[test]
    fn refuses_the_call_after_the_last_and_says_when() {
        let limits = Limits::new(100);
        for _ in 0..3 {
            assert_eq!(limits.take(THREE, "alice github/get_issue"), Ok(()));
        }
        let throttled = limits.take(THREE, "alice github/get_issue").unwrap_err();
        assert!(throttled.retry_after <= Duration::from_secs(20));
        assert!(throttled.retry_after > Duration::from_secs(15));
    }

    #[test]
    fn callers_surfaces_and_limits_do_not_share() {
        let limits = Limits::new(100);
        for _ in 0..3 {
            assert!(limits.take(THREE, "alice github/a").is_ok());
        }
        assert!(limits.take(THREE, "alice github/a").is_err());
        assert!(limits.take(THREE, "alice github/b").is_ok());
        assert!(limits.take(THREE, "bob github/a").is_ok());
        let other = Rate {
            count: 4,
            seconds: 60,
        };
        assert!(limits.take(other, "alice github/a").is_ok());
    }

    #[test]
    fn a_limit_of_none_refuses() {
        let none = Rate {
            count: 0,
            seconds: 60,
        };
        assert!(Limits::new(100).take(none, "alice github/a").is_err());
    }

    #[test]
    fn a_flood_of_names_shares_one_allowance() {
        let limits = Limits::new(16);
        let refused = (0..100)
            .filter(|n| limits.take(THREE, &n.to_string()).is_err())
            .count();
        assert_eq!(refused, 100 - 16 - 3);
        limits.forget_idle();
    }
}
