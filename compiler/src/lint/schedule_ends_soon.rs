//! A schedule whose end is near: what it grants ends with it, and what it denies does not.

use super::Facts;
use crate::diag::{Diagnostic, codes};

/// How long before the end it is worth saying, in seconds: 90 days.
const SOON: i64 = 90 * 86_400;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, schedule) in &facts.model.schedules {
        let Some(expires) = schedule.dates.dates.expires else {
            continue;
        };
        let left = expires.0.saturating_sub(facts.today.0);
        if left > SOON {
            continue;
        }
        let when = match left.div_euclid(86_400) {
            _ if left <= 0 => "has ended".to_owned(),
            0 => "ends today".to_owned(),
            days => format!("ends in {days} days"),
        };
        let place = schedule.dates.expires.unwrap_or(schedule.span);
        let message = format!("the schedule `{name}` {when}");
        found.push(
            Diagnostic::new(&codes::SCHEDULE_ENDS_SOON, place, message).help(
                "move `expires`: from then on no grant holds that asks for it, and every denial does",
            ),
        );
    }
}
