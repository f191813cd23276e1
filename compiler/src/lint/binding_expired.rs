//! A binding that is over.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, binding) in &facts.model.bindings {
        if facts.is_over(binding.dates.dates) {
            let place = binding.dates.expires.unwrap_or(binding.span);
            let message = format!("the binding `{name}` has expired");
            found.push(
                Diagnostic::new(&codes::BINDING_EXPIRED, place, message)
                    .help("remove the binding, or renew it"),
            );
        }
    }
}
