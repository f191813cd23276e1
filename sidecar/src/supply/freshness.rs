//! What time it is by trusted keys, and until when the freshness pointer says anything.

use std::sync::atomic::{AtomicI64, Ordering};

use latchkey_engine::time::Time;

/// What time it is by trusted keys, and until when the freshness pointer says anything.
///
/// Read by every request, so it is two numbers and no lock.
#[derive(Debug)]
pub struct Freshness {
    trusted: AtomicI64,
    pointer_ends: AtomicI64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            trusted: AtomicI64::new(i64::MIN),
            pointer_ends: AtomicI64::new(i64::MAX),
        }
    }
}

impl Freshness {
    /// The clock, or the latest time that trusted keys have vouched for where it is behind that.
    #[must_use]
    pub fn now(&self, clock: Time) -> Time {
        Time(clock.0.max(self.trusted.load(Ordering::Relaxed)))
    }

    /// How many seconds the clock is behind; 0 for one that is not known to be wrong.
    #[must_use]
    pub fn clock_behind(&self, clock: Time) -> i64 {
        self.now(clock).0.saturating_sub(clock.0)
    }

    /// Whether the channel has a freshness role, and no pointer says that what runs is current.
    #[must_use]
    pub fn is_stale(&self, clock: Time) -> bool {
        self.now(clock).0 >= self.pointer_ends.load(Ordering::Relaxed)
    }

    /// Remembers a time that trusted keys have vouched for; it only rises.
    pub(super) fn vouch(&self, time: Option<Time>) {
        if let Some(time) = time {
            self.trusted.fetch_max(time.0, Ordering::Relaxed);
        }
    }

    /// Sets until when the pointer says anything: `None` on a channel that needs none, and the
    /// beginning of time on one that needs a pointer and has none.
    pub(super) fn set_pointer(&self, ends: Option<Time>) {
        let ends = ends.map_or(i64::MAX, |time| time.0);
        self.pointer_ends.store(ends, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_is_not_believed() {
        let freshness = Freshness::default();
        assert!(!freshness.is_stale(Time(i64::MAX - 1)));
        freshness.vouch(Some(Time(100)));
        freshness.vouch(Some(Time(90)));
        assert_eq!(freshness.now(Time(50)), Time(100));
        assert_eq!(freshness.clock_behind(Time(50)), 50);
        assert_eq!(freshness.clock_behind(Time(101)), 0);
        freshness.set_pointer(Some(Time(100)));
        assert!(freshness.is_stale(Time(50)));
        freshness.set_pointer(Some(Time(101)));
        assert!(!freshness.is_stale(Time(50)));
        freshness.set_pointer(None);
        assert!(!freshness.is_stale(Time(200)));
    }
}
