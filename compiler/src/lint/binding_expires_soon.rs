//! A binding that ends within a month.

use super::Facts;
use crate::diag::{Diagnostic, codes};

/// How long before the end it is worth saying, in seconds: 30 days.
const SOON: i64 = 30 * 86_400;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, binding) in &facts.model.bindings {
        let Some(expires) = binding.dates.dates.expires else {
            continue;
        };
        let left = expires.0.saturating_sub(facts.today.0);
        if left > 0 && left <= SOON {
            let place = binding.dates.expires.unwrap_or(binding.span);
            let days = left / 86_400;
            let when = if days == 0 {
                "today".to_owned()
            } else {
                format!("in {days} days")
            };
            let message = format!("the binding `{name}` expires {when}");
            found.push(
                Diagnostic::new(&codes::BINDING_EXPIRES_SOON, place, message)
                    .help("renew it in time, or let it end"),
            );
        }
    }
}
