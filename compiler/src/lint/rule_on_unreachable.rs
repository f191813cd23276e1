//! A rule on surfaces that nobody can reach anyway.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        let reachable = rule.permissions.keys().any(|it| {
            (facts.granted.contains(it) || facts.needs_no_grant(it)) && facts.meets(rule, it)
        });
        if !reachable && !rule.permissions.is_empty() {
            let message = format!("the rule `{name}` can never apply: nobody reaches its surfaces");
            let written = facts
                .syntax
                .rules
                .get(name)
                .and_then(|it| it.within.as_ref());
            let finding = Diagnostic::new(&codes::RULE_ON_UNREACHABLE, rule.span, message)
                .help("grant one of the surfaces, or correct or remove the rule");
            found.push(match written {
                Some(within) => finding.also(within.span, "it holds only here"),
                None => finding,
            });
        }
    }
}
