//! How soon a child that keeps ending is started again.

use std::time::{Duration, Instant};

/// The times between the starts of a program that keeps ending.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// A child that has lived so long did not fail to start.
const LIVED: Duration = Duration::from_secs(30);

impl Backoff {
    /// How long to wait before the next start; `None` when there is no need to.
    #[must_use]
    pub(super) fn wait(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// A child ended that had lived this long. The first start after an end is at once.
    pub(super) fn ended(&mut self, lived: Duration) {
        if lived >= LIVED {
            *self = Self::default();
            return;
        }
        if self.failures > 0 {
            let times = 1_u32 << (self.failures - 1).min(10);
            let wait = SHORTEST.saturating_mul(times).min(LONGEST);
            self.not_before = Some(Instant::now() + wait);
        }
        self.failures = self.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_are_ever_later() {
        let mut backoff = Backoff::default();
        backoff.ended(Duration::ZERO);
        assert_eq!(backoff.wait(), None);
        let mut before = Duration::ZERO;
        for _ in 0..7 {
            backoff.ended(Duration::from_secs(1));
            let wait = backoff.wait().unwrap();
            assert!(wait > before, "{wait:?}");
            before = wait;
        }
        for _ in 0..100 {
            backoff.ended(Duration::from_secs(1));
        }
        assert!(backoff.wait().unwrap() <= LONGEST);
        backoff.ended(LIVED);
        assert_eq!(backoff.wait(), None);
    }
}
