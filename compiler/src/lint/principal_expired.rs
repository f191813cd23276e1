//! A principal that can no longer call.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, principal) in &facts.model.principals {
        if facts.is_over(principal.dates.dates) {
            let place = principal.dates.expires.unwrap_or(principal.span);
            let message = format!("the principal `{name}` has expired");
            found.push(
                Diagnostic::new(&codes::PRINCIPAL_EXPIRED, place, message)
                    .help("remove the principal and its bindings, or renew it"),
            );
        }
    }
}
