//! A schedule that no condition names.

use std::collections::BTreeSet;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    if facts.model.schedules.is_empty() {
        return;
    }
    let rules = facts.model.rules.values().map(|it| it.when.as_ref());
    let bindings = facts.model.bindings.values().map(|it| it.when.as_ref());
    let conditions = rules.chain(bindings).flatten();
    let mut named: BTreeSet<String> = BTreeSet::new();
    for expression in conditions.filter_map(|it| it.expression()) {
        named.extend(expression.schedules().into_iter().map(str::to_owned));
    }
    for (name, schedule) in &facts.model.schedules {
        if !named.contains(name.as_str()) {
            let message = format!("no condition names the schedule `{name}`");
            found.push(
                Diagnostic::new(&codes::UNUSED_SCHEDULE, schedule.span, message)
                    .help("ask for it under `when`, or remove it"),
            );
        }
    }
}
