//! A binding for a principal that is suspended.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::Who,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for binding in facts.model.bindings.values() {
        for who in &binding.who {
            let Who::Principal(name) = &who.value else {
                continue;
            };
            let principal = facts.model.principals.get(name);
            if let Some(principal) = principal.filter(|it| it.suspended) {
                let message = format!("`{name}` is suspended and keeps this grant");
                found.push(
                    Diagnostic::new(&codes::GRANT_TO_SUSPENDED, who.span, message)
                        .also(principal.span, "suspended here")
                        .help("remove it here: lifting the suspension would bring it back"),
                );
            }
        }
    }
}
