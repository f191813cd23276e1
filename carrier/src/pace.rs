//! When a sidecar asks next: polls with jitter, backoff after an error, and the delay before it
//! fetches a release that everybody else fetches too.
//!
//! Pure: the caller brings the time, and chance comes from a generator seeded by the sidecar's id,
//! so that a fleet can be simulated with the code that it runs. What it promises to a registry:
//!
//! - sidecars that start together, or fail together, do not ask together for long;
//! - a registry that is down is asked at most twice as often as usual in the first minutes and a
//!   third as often later; one that is back, never more than 1.1 times as often;
//! - the files of a release are asked for evenly over the spread that its pointer states.

use std::{fmt, time::Duration};

use latchkey_engine::time::Time;

/// The shortest poll interval.
pub const SHORTEST: Duration = Duration::from_millis(10);
/// The longest poll interval.
pub const LONGEST: Duration = Duration::from_hours(24);
/// How far backoff grows, in poll intervals.
const GROWTH: u32 = 10;
/// How long a backoff of ten intervals may be, where the interval itself is shorter.
const LONGEST_BACKOFF: Duration = Duration::from_mins(15);
/// The most of a `Retry-After` that is honoured: a registry that is mistaken, or not ours, must not
/// make a sidecar deaf to urgent denials for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(15);

/// The pace of one sidecar.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    longest: Duration,
    seed: u64,
    chance: Chance,
    failures: u32,
    start: Option<Start>,
}

/// The delayed start for one release.
#[derive(Debug, Clone, Copy)]
struct Start {
    release: u64,
    seen: Duration,
    no_later: Duration,
    due: Duration,
}

/// A poll interval out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadInterval(Duration);

impl fmt::Display for BadInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a poll interval of {:?} is out of bounds: choose one from {SHORTEST:?} to 24h",
            self.0
        )
    }
}

impl std::error::Error for BadInterval {}

impl Pace {
    /// The pace of the sidecar with this id, which no other should have, at a mean poll interval.
    /// Backoff grows to ten intervals, but not over 15 minutes where the interval is shorter.
    pub fn new(id: &[u8], interval: Duration) -> Result<Self, BadInterval> {
        if interval < SHORTEST || interval > LONGEST {
            return Err(BadInterval(interval));
        }
        let seed = fold(FOLD_START, id);
        Ok(Self {
            interval,
            longest: (interval * GROWTH).min(LONGEST_BACKOFF).max(interval),
            seed,
            chance: Chance::new(seed),
            failures: 0,
            start: None,
        })
    }

    /// How long to wait for the first poll of a sidecar that already serves a bundle: some part of
    /// an interval, as if it had been running for long, so that a fleet that starts as one does
    /// not poll as one.
    pub fn first(&mut self) -> Duration {
        let whole = self.jittered();
        self.chance.up_to(whole)
    }

    /// How long to wait after a poll that was answered: the interval, 20 % more or less. Forgets
    /// all failures.
    pub fn succeeded(&mut self) -> Duration {
        self.failures = 0;
        self.jittered()
    }

    /// How long to wait after a poll or a fetch that failed: anything up to a ceiling that begins
    /// at one interval and doubles with every failure in a row, and that on top of what the
    /// registry asked for (`Retry-After`, honoured up to 15 minutes).
    pub fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let ceiling = self.interval.saturating_mul(doubled).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        asked + self.chance.up_to(ceiling)
    }

    fn jittered(&mut self) -> Duration {
        let fifth = self.interval / 5;
        fifth * 4 + self.chance.up_to(fifth * 2)
    }

    /// How many polls or fetches have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The longest wait between polls that nobody asked for with `Retry-After`.
    pub fn longest(&self) -> Duration {
        self.longest.max(self.interval + self.interval / 5)
    }

    /// When to fetch the files of a release that the pointer names, on the caller's clock `now`,
    /// which starts anywhere and never goes back: evenly over `spread` from when the release was
    /// first seen, at once if it is zero. The answer for a release is the same however often it is
    /// asked for, and moves only with the spread. A newer release never has to wait longer than the
    /// one that it replaces still had to, or a busy project would never reach some sidecars.
    ///
    /// A sidecar that serves nothing yet has no reason to wait.
    pub fn start(&mut self, release: &[u8], spread: Duration, now: Duration) -> Duration {
        let release = fold(self.seed, release);
        let start = match self.start {
            Some(start) if start.release == release => start,
            other => Start {
                release,
                seen: now,
                no_later: other
                    .map(|it| it.due)
                    .filter(|due| *due > now)
                    .unwrap_or(Duration::MAX),
                due: now,
            },
        };
        let delay = Chance::new(release).up_to(spread);
        let due = start.seen.saturating_add(delay).min(start.no_later);
        self.start = Some(Start { due, ..start });
        due
    }
}

/// Reads the value of a `Retry-After` header, seconds or an HTTP date, at this wall-clock time.
/// A date in the past is no wait; anything else that is not of these forms is `None`.
pub fn retry_after(value: &str, now: Time) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are as good as for ever; `failed` bounds them.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let wait = http_date(value)?.0.saturating_sub(now.0);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// An HTTP date of the one form that may be sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(value: &str) -> Option<Time> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = value.split(' ');
    let _weekday = words.next().filter(|word| word.ends_with(','))?;
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Time::parse(&format!("{year}-{month:02}-{day}T{clock}Z"))
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): 64 bits of state, every value once a period. Good
/// enough to keep a fleet apart, and no secret: who knows a sidecar's id knows its polls.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from zero to `most`, to the nanosecond, where `most` is under 584 years.
    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(most) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(most))
    }
}

const FOLD_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a from a start value, stirred once so that near texts lie far apart.
fn fold(start: u64, text: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Chance(text.iter().fold(start, step)).next()
}

// The fleet simulation includes this file from elsewhere, so the path is spelt out.
#[cfg(test)]
#[path = "pace/tests.rs"]
mod tests;
