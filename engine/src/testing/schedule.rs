//! Schedules of random worlds: local days and hours, by the clocks of a few places.

use super::Rng;
use crate::{condition::Schedule, time::Time};

const DAY: i64 = 86_400;

/// The schedules that every random world declares.
pub(super) const NAMES: [&str; 2] = ["nights", "office-hours"];

/// A time zone: its name, how many seconds its clocks are ahead of UTC at first, and when that becomes
/// how many.
type Zone = (&'static str, i64, &'static [(i64, i64)]);

/// Places, from September 2026 until May 2027.
const ZONES: [Zone; 8] = [
    ("Etc/UTC", 0, &[]),
    (
        "Europe/Berlin",
        7_200,
        &[(1_792_890_000, 3_600), (1_806_195_600, 7_200)],
    ),
    (
        "America/New_York",
        -14_400,
        &[(1_793_512_800, -18_000), (1_805_007_600, -14_400)],
    ),
    (
        "Australia/Lord_Howe",
        37_800,
        &[(1_791_041_400, 39_600), (1_806_764_400, 37_800)],
    ),
    (
        "America/St_Johns",
        -9_000,
        &[(1_793_507_400, -12_600), (1_805_002_200, -9_000)],
    ),
    (
        "Antarctica/Troll",
        7_200,
        &[(1_792_890_000, 0), (1_806_195_600, 7_200)],
    ),
    ("Asia/Kathmandu", 20_700, &[]),
    ("Pacific/Kiritimati", 50_400, &[]),
];

/// Times that schedules begin or end at: 2026-09-20, 2026-10-25 (in the middle of the hour that
/// Berlin repeats), 2026-11-29, and 2026-12-02, 2026-12-24 (at some second), 2027-04-20.
const BEGINS: [i64; 3] = [1_789_862_400, 1_792_890_600, 1_795_910_400];
const ENDS: [i64; 3] = [1_796_205_600, 1_798_113_599, 1_808_179_200];

/// What recurs by the clock of a place. Between September 2026 and May 2027 its clocks are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleEntry {
    pub name: &'static str,
    /// One of a few time zones, as IANA names it.
    pub zone: &'static str,
    pub windows: Vec<WindowEntry>,
    /// Local dates on which it is not on, as days since 1970.
    pub except: Vec<i64>,
    pub not_before: Time,
    pub expires: Time,
}

/// A time of day on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowEntry {
    /// The days, Monday is 0; sorted.
    pub days: Vec<u8>,
    /// Its first minute, counted from midnight.
    pub from: u16,
    /// The minute after its last.
    pub to: u16,
}

impl ScheduleEntry {
    pub(super) fn random(rng: &mut Rng, name: &'static str) -> Self {
        let mut it = Self {
            name,
            zone: rng.pick(&ZONES).0,
            windows: (0..=rng.below(3))
                .map(|_| WindowEntry::random(rng))
                .collect(),
            except: Vec::new(),
            not_before: Time(*rng.pick(&BEGINS)),
            expires: Time(*rng.pick(&ENDS)),
        };
        for _ in 0..rng.below(3) {
            it.toggle_date(rng);
        }
        it
    }

    /// Whether it is on, by the clock on the wall; `None` beyond its ends.
    pub fn is_on(&self, now: Time) -> Option<bool> {
        if now < self.not_before || self.expires <= now {
            return None;
        }
        let local = now.0 + self.ahead(now.0);
        let (day, minute) = (local.div_euclid(DAY), local.rem_euclid(DAY) / 60);
        let weekday = weekday(day);
        let mut windows = self.windows.iter();
        let on = windows.any(|it| {
            it.days.contains(&weekday) && i64::from(it.from) <= minute && minute < i64::from(it.to)
        });
        Some(on && !self.except.contains(&day))
    }

    /// Its windows: what is so from each time at which the wall clock may say otherwise.
    pub fn worked_out(&self) -> Schedule {
        let (first, end) = (self.not_before.0, self.expires.0);
        let mut borders = vec![first, end];
        borders.extend(self.changes().iter().map(|it| it.0));
        let clock = self.windows.iter().flat_map(|it| [it.from, it.to]);
        let mut minutes: Vec<u16> = clock.chain([0]).collect();
        minutes.sort_unstable();
        minutes.dedup();
        for ahead in self.offsets() {
            for day in (first + ahead).div_euclid(DAY)..=(end + ahead).div_euclid(DAY) {
                let start = day * DAY - ahead;
                borders.extend(minutes.iter().map(|it| start + i64::from(*it) * 60));
            }
        }
        borders.retain(|at| (first..=end).contains(at));
        borders.sort_unstable();
        borders.dedup();
        let mut windows: Vec<(Time, Time)> = Vec::new();
        for pair in borders.windows(2) {
            let (from, to) = (Time(pair[0]), Time(pair[1]));
            if self.is_on(from) == Some(true) {
                match windows.last_mut() {
                    Some(last) if last.1 == from => last.1 = to,
                    _ => windows.push((from, to)),
                }
            }
        }
        Schedule {
            name: self.name.to_owned(),
            not_before: self.not_before,
            expires: self.expires,
            windows,
        }
    }

    /// An instant at, or not far from, where something of it begins, ends, or its clocks change.
    pub fn random_border(&self, rng: &mut Rng) -> Time {
        let changes = self.changes();
        let border = match rng.below(10) {
            0 => self.not_before.0,
            1 => self.expires.0,
            2 | 3 if !changes.is_empty() => rng.pick(changes).0,
            _ => self.random_window_border(rng),
        };
        let beside = [-3_600, -1_800, -60, -1, 0, 0, 0, 1, 59, 1_800, 3_600];
        Time(border + rng.pick(&beside))
    }

    fn random_window_border(&self, rng: &mut Rng) -> i64 {
        let Some(window) = self.windows.get(rng.below(self.windows.len().max(1))) else {
            return self.not_before.0;
        };
        let length = usize::try_from(self.expires.0 - self.not_before.0).unwrap();
        let somewhere = self.not_before.0 + i64::try_from(rng.below(length)).unwrap();
        let day = somewhere.div_euclid(DAY);
        let ahead = i64::from(*rng.pick(&window.days)) - i64::from(weekday(day));
        let day = day + ahead.rem_euclid(7);
        let minute = *rng.pick(&[window.from, window.to]);
        day * DAY + i64::from(minute) * 60 - rng.pick(&self.offsets())
    }

    /// Another zone, window, day or date, as a pull request would make it.
    pub fn edit(&mut self, rng: &mut Rng) {
        let at = rng.below(self.windows.len());
        match rng.below(10) {
            0 => self.zone = rng.pick(&ZONES).0,
            1 => self.windows.push(WindowEntry::random(rng)),
            2 if self.windows.len() > 1 => {
                self.windows.remove(at);
            }
            3 => self.toggle_date(rng),
            4 => self.not_before = Time(*rng.pick(&BEGINS)),
            5 => self.expires = Time(*rng.pick(&ENDS)),
            6 | 7 => self.windows[at].toggle_day(rng),
            _ => self.windows[at].shift(rng),
        }
    }

    /// A date that it comes to: off where it was not, and the other way round.
    fn toggle_date(&mut self, rng: &mut Rng) {
        let days = (self.expires.0 - self.not_before.0) / DAY;
        let day = i64::try_from(rng.below(usize::try_from(days).unwrap())).unwrap();
        let day = self.not_before.0.div_euclid(DAY) + day;
        match self.except.iter().position(|it| *it == day) {
            Some(at) => {
                self.except.remove(at);
            }
            None => self.except.push(day),
        }
    }

    fn zone(&self) -> &'static Zone {
        let mut zones = ZONES.iter();
        zones.find(|it| it.0 == self.zone).expect("a zone of these")
    }

    /// When its clocks change, and what they are ahead of UTC from then on.
    fn changes(&self) -> &'static [(i64, i64)] {
        self.zone().2
    }

    /// All that its clocks are ever ahead of UTC.
    fn offsets(&self) -> Vec<i64> {
        let changes = self.changes().iter().map(|it| it.1);
        let mut offsets: Vec<i64> = changes.chain([self.zone().1]).collect();
        offsets.sort_unstable();
        offsets.dedup();
        offsets
    }

    /// How many seconds its clocks are ahead of UTC.
    fn ahead(&self, now: i64) -> i64 {
        let mut changes = self.changes().iter().rev();
        let last = changes.find(|(at, _)| *at <= now);
        last.map_or(self.zone().1, |it| it.1)
    }
}

impl WindowEntry {
    fn random(rng: &mut Rng) -> Self {
        // Some end where the day does, or lie in the hours in which clocks change.
        let (from, to) = *rng.pick(&[
            (540, 1_020),
            (0, 1_440),
            (60, 150),
            (105, 135),
            (600, 601),
            (1_320, 1_440),
            (0, 360),
        ]);
        let days = rng.some(&[0, 1, 2, 3, 4, 5, 6], 60);
        Self {
            days: if days.is_empty() { vec![6] } else { days },
            from,
            to,
        }
    }

    fn toggle_day(&mut self, rng: &mut Rng) {
        let day = u8::try_from(rng.below(7)).unwrap();
        match self.days.binary_search(&day) {
            Ok(at) if self.days.len() > 1 => {
                self.days.remove(at);
            }
            Ok(_) => {}
            Err(at) => self.days.insert(at, day),
        }
    }

    /// Begins or ends earlier or later, or both, where it stays a window.
    fn shift(&mut self, rng: &mut Rng) {
        let by = *rng.pick(&[-60_i16, -15, -1, 1, 30, 60]);
        let moved = |minute: u16| minute.saturating_add_signed(by).min(1_440);
        let (from, to) = match rng.below(3) {
            0 => (moved(self.from), self.to),
            1 => (self.from, moved(self.to)),
            _ => (moved(self.from), moved(self.to)),
        };
        if from < to {
            (self.from, self.to) = (from, to);
        }
    }
}

/// The day of the week of a day since 1970, which began on a Thursday; Monday is 0.
fn weekday(day: i64) -> u8 {
    u8::try_from((day + 3).rem_euclid(7)).unwrap()
}
