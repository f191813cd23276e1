//! A rule that is over.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        if facts.is_over(rule.dates.dates) {
            let place = rule.dates.expires.unwrap_or(rule.span);
            let message =
                format!("the rule `{name}` has expired, and no longer holds anything back");
            found.push(
                Diagnostic::new(&codes::RULE_EXPIRED, place, message)
                    .help("remove the rule, or renew it"),
            );
        }
    }
}
