//! Schedules: what recurs, worked out into instants.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::{name::is_label, time::Time};

/// When something that recurs is on, as far as it was worked out.
///
/// Beyond that nothing is known: a test of it is undetermined there, so that a grant does not hold
/// and a denial does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schedule {
    /// Its name, a label.
    pub name: String,
    /// The first instant at which it is known whether it is on.
    pub not_before: Time,
    /// The first instant at which that is no longer known.
    pub expires: Time,
    /// Half-open windows: sorted, none touching the next, all within what is known.
    pub windows: Vec<(Time, Time)>,
}

impl Schedule {
    /// Whether it is on at an instant; `None` beyond what is known.
    #[must_use]
    pub fn is_on(&self, now: Time) -> Option<bool> {
        if now < self.not_before || self.expires <= now {
            return None;
        }
        let begun = self.windows.partition_point(|(from, _)| *from <= now);
        let last = begun.checked_sub(1).and_then(|at| self.windows.get(at));
        Some(last.is_some_and(|(_, to)| now < *to))
    }

    /// A digest of all that it says, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let ends = [self.not_before, self.expires];
        let windows = self.windows.iter().flat_map(|(from, to)| [*from, *to]);
        for Time(second) in ends.into_iter().chain(windows) {
            hash.update(second.to_le_bytes());
        }
        hash.update(self.name.as_bytes());
        let bytes = hash.finalize();
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether this is the one form of what it says.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        let mut before = None;
        let mut apart = |window: &(Time, Time)| {
            let sound = window.0 < window.1 && before.is_none_or(|end| end < window.0);
            before = Some(window.1);
            sound && self.not_before <= window.0 && window.1 <= self.expires
        };
        is_label(&self.name)
            && self.not_before < self.expires
            && self.windows.iter().all(&mut apart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(windows: &[(i64, i64)]) -> Schedule {
        Schedule {
            name: "office".to_owned(),
            not_before: Time(10),
            expires: Time(50),
            windows: windows
                .iter()
                .map(|(from, to)| (Time(*from), Time(*to)))
                .collect(),
        }
    }

    #[test]
    fn windows_are_half_open_and_nothing_is_known_beyond_the_ends() {
        let it = schedule(&[(10, 12), (20, 30), (49, 50)]);
        assert!(it.is_canonical());
        let on = |at: i64| it.is_on(Time(at));
        for at in [10, 11, 20, 29, 49] {
            assert_eq!(on(at), Some(true), "{at}");
        }
        for at in [12, 19, 30, 48] {
            assert_eq!(on(at), Some(false), "{at}");
        }
        for at in [i64::MIN, 9, 50, i64::MAX] {
            assert_eq!(on(at), None, "{at}");
        }
        assert_eq!(schedule(&[]).is_on(Time(10)), Some(false));
    }

    #[test]
    fn there_is_one_form() {
        for windows in [
            &[(12, 12)][..],
            &[(13, 12)],
            &[(9, 12)],
            &[(40, 51)],
            &[(10, 20), (20, 30)],
            &[(10, 20), (15, 30)],
            &[(30, 40), (10, 20)],
        ] {
            assert!(!schedule(windows).is_canonical(), "{windows:?}");
        }
        assert!(schedule(&[]).is_canonical());
        for (name, not_before) in [("Office", 10), ("", 10), ("office", 50)] {
            let it = Schedule {
                name: name.to_owned(),
                not_before: Time(not_before),
                ..schedule(&[])
            };
            assert!(!it.is_canonical(), "{it:?}");
        }
    }
}
