//! Schedules: zones that exist, and windows worked out.

use std::{collections::BTreeMap, sync::Arc};

use latchkey_engine::{
    condition::{self, shape::Schedules},
    time::{Dates, Time},
};

use super::Resolver;
use crate::{
    calendar::{self, Recurring},
    diag::{Applicability, Diagnostic, codes},
    model::{ByName, Period, Schedule, WindowPlace},
    source::{Span, Spanned},
    syntax::{self, schedule::Weekday},
    text::Text,
};

/// The most seconds that a schedule is worked out for: twenty years.
const MAX_SECONDS: i64 = 20 * 366 * 86_400;
/// The most windows that one can have.
const MAX_WINDOWS: usize = 20_000;

/// What conditions know of schedules.
pub(super) fn worked_out(schedules: &ByName<Schedule>) -> Arc<Schedules> {
    let known = schedules
        .iter()
        .map(|(name, it)| (name.to_string(), it.worked_out.clone()));
    Arc::new(known.collect())
}

impl Resolver<'_> {
    pub(super) fn schedules(&mut self) -> ByName<Schedule> {
        let syntax = self.syntax;
        let mut schedules = ByName::new();
        for (name, entry) in syntax.schedules.iter() {
            if let Some(schedule) = self.schedule(entry) {
                schedules.insert(name.clone(), schedule);
            }
        }
        schedules
    }

    fn schedule(&mut self, entry: &syntax::Entry<syntax::Schedule>) -> Option<Schedule> {
        let dates = self.period(Some(&entry.not_before), Some(&entry.expires));
        let zone = self.zone(&entry.zone);
        let Dates {
            not_before: Some(first),
            expires: Some(end),
        } = dates.dates
        else {
            return None;
        };
        if self.holed(entry.name.span) {
            return None;
        }
        self.excepted(entry, (first, end));
        if end.0.saturating_sub(first.0) > MAX_SECONDS {
            let message = "a schedule is worked out for twenty years at most";
            self.report(
                Diagnostic::new(&codes::SCHEDULE_TOO_LARGE, entry.expires.span, message)
                    .also(entry.not_before.span, "it begins here")
                    .help("end it sooner, and move the end from time to time"),
            );
            return None;
        }
        if first >= end {
            return None;
        }
        let recurring: Vec<Recurring> = entry.windows.iter().map(recurring).collect();
        let dates_off = entry.except.iter().flat_map(|list| list.iter());
        let dates_off: BTreeMap<i64, Span> =
            dates_off.map(|date| (date.value.0, date.span)).collect();
        let except = dates_off.keys().copied().collect();
        let windows = calendar::windows(&zone?, &recurring, &except, (first, end));
        self.sized(entry, windows.len())?;
        let worked_out = condition::Schedule {
            name: entry.name.value.to_string(),
            not_before: first,
            expires: end,
            windows,
        };
        Some(Schedule {
            span: entry.name.span,
            zone: entry.zone.value.to_string(),
            recurring,
            except,
            places: entry.windows.iter().map(place).collect(),
            dates_off,
            dates: Period { ..dates },
            worked_out,
        })
    }

    fn zone(&mut self, name: &Spanned<Text>) -> Option<jiff::tz::TimeZone> {
        let closest = match calendar::zone(&name.value) {
            Ok(zone) => return Some(zone),
            Err(closest) => closest,
        };
        let message = format!("there is no time zone `{}`", name.value);
        let found = Diagnostic::new(&codes::UNKNOWN_ZONE, name.span, message);
        self.report(match closest {
            Some(closest) => found.help(format!("did you mean `{closest}`?")).fix(
                format!("replace `{}` with `{closest}`", name.value),
                Applicability::Maybe,
                name.span,
                closest,
            ),
            None => found.help("name it as IANA does: a region and a city, such as Europe/Berlin"),
        });
        None
    }

    /// Reports dates that the schedule does not come to.
    fn excepted(&mut self, entry: &syntax::Schedule, (first, end): (Time, Time)) {
        for date in entry.except.iter().flat_map(|list| list.iter()) {
            // A day begins up to a day before or after it does in UTC.
            let starts = date.value.0.saturating_mul(86_400);
            let before = starts.saturating_add(2 * 86_400) <= first.0;
            if before || starts.saturating_sub(86_400) >= end.0 {
                let message = "this date lies outside `notBefore` and `expires`";
                self.report(
                    Diagnostic::new(&codes::BAD_VALUE, date.span, message)
                        .help("correct the year, or remove the date"),
                );
            }
        }
    }

    /// Reports a schedule that has no window, or too many.
    fn sized(&mut self, entry: &syntax::Entry<syntax::Schedule>, count: usize) -> Option<()> {
        let span = entry.name.span;
        let found = if count == 0 {
            Diagnostic::new(
                &codes::EMPTY_SCHEDULE,
                span,
                "no window of this schedule comes before it `expires`",
            )
            .help("correct its days and dates, or remove it: a condition can say `false`")
        } else if count > MAX_WINDOWS {
            let message = format!("this schedule is on {count} times before it `expires`");
            Diagnostic::new(&codes::SCHEDULE_TOO_LARGE, span, message).help(format!(
                "at most {MAX_WINDOWS} windows are worked out; end it sooner, or join windows"
            ))
        } else {
            return Some(());
        };
        self.report(found);
        None
    }
}

fn recurring(window: &syntax::schedule::Window) -> Recurring {
    let every = Weekday::ALL.iter().copied();
    let days: Vec<Weekday> = match &window.days {
        Some(days) => days.iter().map(|day| day.value).collect(),
        None => every.collect(),
    };
    Recurring {
        days: days.into_iter().filter_map(number).collect(),
        from: window.from.value.0,
        to: window.to.value.0,
    }
}

fn place(window: &syntax::schedule::Window) -> WindowPlace {
    let days = window.days.iter().flat_map(|days| days.iter());
    let days = days.filter_map(|day| Some((number(day.value)?, day.span)));
    WindowPlace {
        from: window.from.span,
        to: window.to.span,
        days: days.collect(),
    }
}

/// The number of a day of the week; Monday is 0.
fn number(day: Weekday) -> Option<u8> {
    let at = Weekday::ALL.iter().position(|it| *it == day)?;
    u8::try_from(at).ok()
}
