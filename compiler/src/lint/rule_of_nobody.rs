//! A rule whose callers do not exist.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        let nobody = rule.who.iter().all(|who| !facts.can_be_anybody(&who.value));
        if let Some(first) = rule.who.first().filter(|_| nobody) {
            let message = format!("the rule `{name}` speaks of nobody");
            found.push(
                Diagnostic::new(&codes::RULE_OF_NOBODY, first.span, message)
                    .label("nobody is this")
                    .help("name callers that exist, or remove the rule"),
            );
        }
    }
}
