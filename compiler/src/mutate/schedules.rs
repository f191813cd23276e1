//! Schedules that are on an hour longer or shorter, on a day or a window less, or on a date more.

use std::{collections::BTreeSet, sync::Arc};

use latchkey_engine::{condition, time::Time};

use super::{
    Operator, Plan,
    conditions::{conditions, environments},
};
use crate::{
    calendar::{self, Recurring},
    model::{Condition, Model, Schedule, WindowPlace},
    source::Span,
};

/// An hour, in minutes.
const HOUR: i16 = 60;
/// A day, in minutes.
const DAY: u16 = 24 * 60;

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, schedule) in &model.schedules {
        let asked = asked(model, name);
        if asked.is_empty() {
            continue;
        }
        for change in changes(schedule) {
            add(model, name, &asked, &change, plan);
        }
    }
}

/// Conditions that ask for a schedule.
type Asked<'m> = Vec<super::conditions::Conditioned<'m>>;

fn asked<'m>(model: &'m Model, name: &str) -> Asked<'m> {
    let all = conditions(model).into_iter();
    let asks = |when: &Condition| {
        let expression = when.expression();
        expression.is_some_and(|it| it.schedules().contains(&name))
    };
    all.filter(|(_, when, ..)| asks(when)).collect()
}

/// A schedule changed in one way.
struct Change {
    span: Span,
    what: String,
    recurring: Vec<Recurring>,
    except: BTreeSet<i64>,
}

fn changes(schedule: &Schedule) -> Vec<Change> {
    let mut found = Vec::new();
    let several = schedule.recurring.len() > 1;
    let windows = schedule.recurring.iter().zip(&schedule.places);
    for (at, (window, place)) in windows.enumerate() {
        let mut change = |span, what, new: Option<Recurring>| {
            let mut recurring = schedule.recurring.clone();
            match (new, recurring.get_mut(at)) {
                (Some(new), Some(slot)) => *slot = new,
                _ => drop(recurring.remove(at)),
            }
            found.push(Change {
                span,
                what,
                recurring,
                except: schedule.except.clone(),
            });
        };
        for (span, what, new) in altered(window, place) {
            change(span, what, Some(new));
        }
        if several {
            let what = format!("has no window {}", shown(window));
            change(place.from, what, None);
        }
    }
    for (day, span) in &schedule.dates_off {
        let mut except = schedule.except.clone();
        except.remove(day);
        found.push(Change {
            span: *span,
            what: format!("is not off on {}", date(*day)),
            recurring: schedule.recurring.clone(),
            except,
        });
    }
    found
}

/// A window with another end, or a day less.
fn altered(window: &Recurring, place: &WindowPlace) -> Vec<(Span, String, Recurring)> {
    let mut found = Vec::new();
    for (by, word) in [(-HOUR, "earlier"), (HOUR, "later")] {
        let moved = |minute: u16| minute.saturating_add_signed(by).min(DAY);
        let from = Recurring {
            from: moved(window.from),
            ..window.clone()
        };
        let to = Recurring {
            to: moved(window.to),
            ..window.clone()
        };
        for (span, verb, new) in [(place.from, "begins", from), (place.to, "ends", to)] {
            if new != *window && new.from < new.to {
                let what = format!("{verb} an hour {word} in its window {}", shown(window));
                found.push((span, what, new));
            }
        }
    }
    for day in window.days.iter().filter(|_| window.days.len() > 1) {
        let mut new = window.clone();
        new.days.remove(day);
        let span = place.days.get(day).copied().unwrap_or(place.from);
        let what = format!(
            "has no {} in its window {}",
            calendar::day_word(*day),
            shown(window)
        );
        found.push((span, what, new));
    }
    found
}

fn shown(window: &Recurring) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{} to {}", clock(window.from), clock(window.to))
}

/// A day since 1970 as a date.
fn date(day: i64) -> String {
    let midnight = Time(day.saturating_mul(86_400)).to_string();
    midnight.split('T').next().unwrap_or_default().to_owned()
}

fn add(model: &Model, name: &str, asked: &Asked<'_>, change: &Change, plan: &mut Plan) {
    let Some(changed) = worked_out(model, name, change) else {
        return;
    };
    let mut all = (*model.worked_out).clone();
    all.insert(name.to_owned(), changed.worked_out.clone());
    let all = Arc::new(all);
    let mut servers = BTreeSet::new();
    let mut conditions = Vec::new();
    for (owner, when, own, permissions) in asked {
        let environments = environments(model, permissions.clone()).into_iter();
        let environments: Vec<_> = environments
            .map(|it| it.with_schedules(all.clone()))
            .collect();
        let typed = when
            .expression()
            .map(|it| condition::check_everywhere(&it, &environments));
        let Some(Ok(typed)) = typed else {
            return;
        };
        let mut when = Condition::clone(when);
        when.typed = Arc::new(typed);
        servers.extend(own.iter().cloned());
        conditions.push((owner.key(), Arc::new(when)));
    }
    let what = format!("schedule `{name}` {}", change.what);
    let name = name.to_owned();
    plan.add(
        Operator::Schedule,
        change.span,
        what,
        Some(&servers),
        move |model| {
            model
                .schedules
                .insert(name.as_str().into(), changed.clone());
            model.worked_out = all.clone();
            for (owner, when) in &conditions {
                if let Some(place) = owner.when(model) {
                    *place = Some(when.clone());
                }
            }
        },
    );
}

/// The changed schedule with its windows.
fn worked_out(model: &Model, name: &str, change: &Change) -> Option<Schedule> {
    let mut changed = model.schedules.get(name)?.clone();
    let zone = calendar::zone(&changed.zone).ok()?;
    let known = &mut changed.worked_out;
    let ends = (known.not_before, known.expires);
    known.windows = calendar::windows(&zone, &change.recurring, &change.except, ends);
    changed.recurring.clone_from(&change.recurring);
    changed.except.clone_from(&change.except);
    Some(changed)
}
