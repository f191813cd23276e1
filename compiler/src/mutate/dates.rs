//! Dates a day earlier or later.

use std::collections::BTreeSet;

use latchkey_engine::time::Time;

use super::{Operator, Plan, grants, servers_of};
use crate::model::{Model, Period};
use crate::text::Text;

/// A day, in seconds.
const DAY: i64 = 86_400;

/// The period of an entry of a model.
type Find = for<'m> fn(&'m mut Model, &str) -> Option<&'m mut Period>;

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, binding) in &model.bindings {
        let servers = grants::servers(model, binding);
        let find: Find = |model, name| model.bindings.get_mut(name).map(|it| &mut it.dates);
        period(
            ("binding", name),
            &binding.dates,
            Some(&servers),
            find,
            plan,
        );
    }
    for (name, rule) in &model.rules {
        let servers = servers_of(rule.permissions.keys());
        let find: Find = |model, name| model.rules.get_mut(name).map(|it| &mut it.dates);
        period(("rule", name), &rule.dates, Some(&servers), find, plan);
    }
    for (name, principal) in &model.principals {
        let find: Find = |model, name| model.principals.get_mut(name).map(|it| &mut it.dates);
        period(("principal", name), &principal.dates, None, find, plan);
        if principal.suspended {
            let what = format!("principal `{name}` is no longer suspended");
            let name = name.clone();
            plan.add(Operator::Check, principal.span, what, None, move |model| {
                if let Some(principal) = model.principals.get_mut(&name) {
                    principal.suspended = false;
                }
            });
        }
    }
}

fn period(
    (noun, name): (&str, &str),
    period: &Period,
    servers: Option<&BTreeSet<Text>>,
    find: Find,
    plan: &mut Plan,
) {
    for (shift, word) in [(-DAY, "earlier"), (DAY, "later")] {
        if let Some(span) = period
            .not_before
            .filter(|_| period.dates.not_before.is_some())
        {
            let what = format!("{noun} `{name}` begins a day {word}");
            let name = name.to_owned();
            plan.add(Operator::Date, span, what, servers, move |model| {
                let dates = find(model, &name).map(|it| &mut it.dates);
                if let Some(Time(begin)) = dates.and_then(|it| it.not_before.as_mut()) {
                    *begin = begin.saturating_add(shift);
                }
            });
        }
        if let Some(span) = period.expires.filter(|_| period.dates.expires.is_some()) {
            let what = format!("{noun} `{name}` ends a day {word}");
            let name = name.to_owned();
            plan.add(Operator::Date, span, what, servers, move |model| {
                let dates = find(model, &name).map(|it| &mut it.dates);
                if let Some(Time(end)) = dates.and_then(|it| it.expires.as_mut()) {
                    *end = end.saturating_add(shift);
                }
            });
        }
    }
}
