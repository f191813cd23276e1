//! A deny rule that a wider one makes pointless.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Effect, Rule, Who},
};

/// How many unconditional denies each rule is compared with; more would make the check slow.
const MOST: usize = 256;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let denies = |rule: &Rule| matches!(rule.effect, Effect::Deny(_));
    let wide: Vec<_> = facts
        .model
        .rules
        .iter()
        .filter(|(_, rule)| denies(rule) && rule.when.is_none() && rule.except.is_empty())
        .take(MOST)
        .collect();
    for (name, rule) in facts.model.rules.iter().filter(|(_, rule)| denies(rule)) {
        let shadow = wide.iter().find(|(other, it)| {
            let same = rule.when.is_none() && covers(rule, it) && rule.except.is_empty();
            *other != name && covers(it, rule) && !(same && name < *other)
        });
        if let Some((other, wide)) = shadow {
            let message = format!("the rule `{name}` denies nothing that `{other}` does not");
            found.push(
                Diagnostic::new(&codes::SHADOWED_RULE, rule.span, message)
                    .also(wide.span, "this one denies all of it")
                    .help("remove one of them"),
            );
        }
    }
}

fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let everybody = wide.who.is_empty() || wide.who.iter().any(|it| it.value == Who::Everyone);
    let named = |who: &Who| wide.who.iter().any(|it| it.value == *who);
    let (outer, inner) = (wide.dates.dates, narrow.dates.dates);
    let starts = outer
        .not_before
        .is_none_or(|at| inner.not_before.is_some_and(|it| it >= at));
    let ends = outer
        .expires
        .is_none_or(|at| inner.expires.is_some_and(|it| it <= at));
    let who = everybody || !narrow.who.is_empty() && narrow.who.iter().all(|it| named(&it.value));
    starts
        && ends
        && who
        && wide.scope.covers(&narrow.scope)
        && narrow
            .permissions
            .keys()
            .all(|it| wide.permissions.contains_key(it))
}
