//! Stretches of time, cut by schedules into what no test tells apart.
//!
//! A schedule has hundreds of windows, and all of one are alike: so within a stretch that other
//! tests do not cut, there is one region for each thing that all schedules can say.

use std::{collections::BTreeMap, sync::Arc};

use latchkey_engine::{condition::Schedule, time::Time};

use super::{
    domain::Region,
    words::{cubes, schedule, time_span},
};

/// Instants of one stretch of time, of which every schedule says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    /// The stretch, from its first to its last second.
    pub(super) stretch: (i64, i64),
    /// The instants, likewise; in order.
    pub(super) spans: Vec<(i64, i64)>,
    /// What each schedule says; `None` beyond what is known of it.
    pub(super) holds: Vec<Said>,
}

/// A schedule, and whether it is on.
type Said = (Arc<Schedule>, Option<bool>);

impl Times {
    /// Whether a schedule is on in all of them; `None` beyond what is known of it.
    pub(super) fn says(&self, asked: &Schedule) -> Option<bool> {
        let mut known = self.holds.iter();
        known.find(|(schedule, _)| **schedule == *asked)?.1
    }
}

impl Region {
    /// The instants of a region of time, from the first to the last second of each span.
    pub(super) fn spans(&self) -> Vec<(i64, i64)> {
        match self {
            Self::Time(low, high) => vec![(*low, *high)],
            Self::Times(times) => times.spans.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether a region of time has an instant.
    pub(super) fn has_instant(&self, at: Time) -> bool {
        let within = |span: &(i64, i64)| (span.0..=span.1).contains(&at.0);
        self.spans().iter().any(within)
    }

    /// The first instant of the stretch that a region of time is of: what tests other than those of
    /// schedules say of it, they say of the region.
    pub(super) fn stretch_begins(&self) -> Option<Time> {
        match self {
            Self::Time(low, _) => Some(Time(*low)),
            Self::Times(times) => Some(Time(times.stretch.0)),
            _ => None,
        }
    }

    /// An instant of a region of time: this one if it can be, else a later one, else an earlier.
    pub(super) fn instant_near(&self, at: Time) -> Option<Time> {
        if self.has_instant(at) {
            return Some(at);
        }
        let spans = self.spans();
        let later = spans.iter().find(|(low, _)| *low > at.0);
        let (low, high) = later.or(spans.last())?;
        Some(Time(if *low == i64::MIN { *high } else { *low }))
    }
}

/// The regions of a stretch of time.
pub(super) fn regions(stretch: (i64, i64), schedules: &[Arc<Schedule>]) -> Vec<Region> {
    if schedules.is_empty() {
        return vec![Region::Time(stretch.0, stretch.1)];
    }
    let mut alike: BTreeMap<Vec<Option<bool>>, Vec<(i64, i64)>> = BTreeMap::new();
    let starts = starts(stretch, schedules);
    for (at, low) in starts.iter().copied().enumerate() {
        let high = starts.get(at + 1).map_or(stretch.1, |next| next - 1);
        let said = schedules.iter().map(|it| it.is_on(Time(low)));
        let spans = alike.entry(said.collect()).or_default();
        match spans.last_mut() {
            Some(last) if last.1 + 1 == low => last.1 = high,
            _ => spans.push((low, high)),
        }
    }
    let each = alike.into_iter().map(|(said, spans)| {
        let holds = schedules.iter().cloned().zip(said).collect();
        Region::Times(Times {
            stretch,
            spans,
            holds,
        })
    });
    each.collect()
}

/// Where something begins or ends within a stretch.
fn starts((low, high): (i64, i64), schedules: &[Arc<Schedule>]) -> Vec<i64> {
    let mut starts = vec![low];
    for schedule in schedules {
        let windows = schedule.windows.iter();
        starts.extend(windows.flat_map(|(from, to)| [from.0, to.0]));
        starts.extend([schedule.not_before.0, schedule.expires.0]);
    }
    starts.retain(|at| (low..=high).contains(at));
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// The regions of time that were picked among all, in words; plain spans are left to others.
pub(super) fn words(name: &str, all: &[Region], picked: &[&Region]) -> Vec<String> {
    let mut stretches: BTreeMap<(i64, i64), [Vec<&Times>; 2]> = BTreeMap::new();
    for region in all {
        if let Region::Times(times) = region {
            let [chosen, others] = stretches.entry(times.stretch).or_default();
            let list = if picked.contains(&region) {
                chosen
            } else {
                others
            };
            list.push(times);
        }
    }
    // Neighbouring stretches of which the same is said are told as one.
    let mut runs: Vec<((i64, i64), Option<String>)> = Vec::new();
    for (stretch, [chosen, others]) in stretches {
        if chosen.is_empty() {
            continue;
        }
        let said = (!others.is_empty()).then(|| when(name, &chosen, &others));
        match runs.last_mut() {
            Some((last, before)) if last.1.checked_add(1) == Some(stretch.0) && *before == said => {
                last.1 = stretch.1;
            }
            _ => runs.push((stretch, said)),
        }
    }
    let told = runs.into_iter().map(|((low, high), said)| match said {
        Some(said) if (low, high) == (i64::MIN, i64::MAX) => said,
        Some(said) => format!("{} && {said}", time_span(name, low, high)),
        None => time_span(name, low, high),
    });
    told.collect()
}

/// When in a stretch: by what schedules say where their names tell them apart.
fn when(name: &str, chosen: &[&Times], others: &[&Times]) -> String {
    let said = chosen.first().map_or(&[][..], |it| &it.holds);
    let mut names: Vec<&str> = said.iter().map(|(it, _)| it.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return listed(name, chosen);
    }
    let of = |all: &[&Times]| -> Vec<Vec<Said>> { all.iter().map(|it| it.holds.clone()).collect() };
    let (chosen, others) = (of(chosen), of(others));
    let chosen: Vec<&[Said]> = chosen.iter().map(Vec::as_slice).collect();
    let others: Vec<&[Said]> = others.iter().map(Vec::as_slice).collect();
    let parts: Vec<String> = cubes(&chosen, &others)
        .into_iter()
        .map(|cube| cube.into_iter().map(word).collect::<Vec<_>>().join(" && "))
        .collect();
    match parts.as_slice() {
        [one] => one.clone(),
        many => format!("({})", many.join(" || ")),
    }
}

fn word((known, said): &Said) -> String {
    let name = schedule(&known.name);
    match said {
        Some(true) => name,
        Some(false) => format!("!{name}"),
        None => format!("{name} is undetermined"),
    }
}

/// The first of some spans, and how many more there are until when.
fn listed(name: &str, chosen: &[&Times]) -> String {
    let mut spans: Vec<(i64, i64)> = chosen.iter().flat_map(|it| it.spans.clone()).collect();
    spans.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (low, high) in spans {
        match joined.last_mut() {
            Some(last) if last.1.checked_add(1) == Some(low) => last.1 = high,
            _ => joined.push((low, high)),
        }
    }
    let first = joined
        .first()
        .map_or_else(String::new, |it| time_span(name, it.0, it.1));
    match joined.as_slice() {
        [] | [_] => first,
        [_, between @ .., last] => {
            let more = between.len() + 1;
            let windows = if more == 1 { "window" } else { "windows" };
            let until = match last.1.checked_add(1) {
                Some(end) => format!(" until {}", Time(end)),
                None => String::new(),
            };
            format!("({first}, or in one of {more} more {windows}{until})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: &str, windows: &[(i64, i64)]) -> Arc<Schedule> {
        let windows = windows.iter().map(|(from, to)| (Time(*from), Time(*to)));
        Arc::new(Schedule {
            name: name.to_owned(),
            not_before: Time(0),
            expires: Time(100),
            windows: windows.collect(),
        })
    }

    #[test]
    fn regions_are_what_schedules_tell_apart_and_cover_the_stretch_once() {
        let office = schedule("office", &[(10, 20), (30, 40)]);
        let nights = schedule("nights", &[(15, 35)]);
        let all = [office.clone(), nights.clone()];
        for stretch in [(i64::MIN, i64::MAX), (5, 31), (12, 14), (200, i64::MAX)] {
            let regions = regions(stretch, &all);
            for at in (-5..120).filter(|at| (stretch.0..=stretch.1).contains(at)) {
                let has = regions.iter().filter(|it| it.has_instant(Time(at)));
                let [Region::Times(times)] = has.collect::<Vec<_>>()[..] else {
                    panic!("{at} is in one region: {regions:?}");
                };
                assert_eq!(times.says(&office), office.is_on(Time(at)), "{at}");
                assert_eq!(times.says(&nights), nights.is_on(Time(at)), "{at}");
            }
        }
        // On or off each, or beyond both.
        assert_eq!(regions((i64::MIN, i64::MAX), &all).len(), 5);
        assert_eq!(regions((1, 2), &[]), [Region::Time(1, 2)]);
    }

    #[test]
    fn words_name_schedules_that_their_names_tell_apart() {
        let office = schedule("office-hours", &[(10, 20), (30, 40), (50, 60)]);
        let all = regions((i64::MIN, i64::MAX), std::slice::from_ref(&office));
        let said = |chosen: &dyn Fn(&Times) -> bool, all: &[Region]| {
            let picked = all.iter().filter(|it| match it {
                Region::Times(times) => chosen(times),
                _ => false,
            });
            words("t", all, &picked.collect::<Vec<_>>()).join(" / ")
        };
        let on = |times: &Times| times.says(&office) == Some(true);
        let off = |times: &Times| times.says(&office) == Some(false);
        assert_eq!(said(&on, &all), "schedule[\"office-hours\"]");
        assert_eq!(said(&off, &all), "!schedule[\"office-hours\"]");
        assert_eq!(
            said(&|it| !on(it), &all),
            "(schedule[\"office-hours\"] is undetermined || !schedule[\"office-hours\"])"
        );
        let mut cut = regions((i64::MIN, 14), std::slice::from_ref(&office));
        cut.extend(regions((15, i64::MAX), std::slice::from_ref(&office)));
        assert_eq!(said(&on, &cut), "schedule[\"office-hours\"]");
        assert_eq!(
            said(&|it| on(it) && it.stretch.0 == 15, &cut),
            "t >= 1970-01-01T00:00:15Z && schedule[\"office-hours\"]"
        );
        // Two of one name: before and after an edit.
        let longer = schedule("office-hours", &[(10, 22), (30, 42), (50, 62)]);
        let both = regions((i64::MIN, i64::MAX), &[office.clone(), longer.clone()]);
        assert_eq!(
            said(&|it| off(it) && it.says(&longer) == Some(true), &both),
            "(t >= 1970-01-01T00:00:20Z && t < 1970-01-01T00:00:22Z, or in one of 2 more windows \
             until 1970-01-01T00:01:02Z)"
        );
    }

    #[test]
    fn an_instant_is_near_or_later() {
        let all = regions(
            (i64::MIN, i64::MAX),
            &[schedule("s", &[(10, 20), (30, 40)])],
        );
        let near = |region: &Region, at| region.instant_near(Time(at)).unwrap().0;
        let on = all.iter().find(|it| it.has_instant(Time(10))).unwrap();
        assert_eq!([12, 0, 25, 90].map(|at| near(on, at)), [12, 10, 30, 30]);
        let unknown = all.iter().find(|it| it.has_instant(Time(-1))).unwrap();
        assert_eq!([50, 200, -9].map(|at| near(unknown, at)), [100, 200, -9]);
        assert_eq!(near(&Region::Time(i64::MIN, 9), 10), 9);
    }
}
