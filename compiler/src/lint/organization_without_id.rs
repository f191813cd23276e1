//! An organization that only its name identifies.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, organization) in &facts.model.organizations {
        if organization.id.is_none() {
            let message = format!("the organization `{name}` has no id");
            found.push(
                Diagnostic::new(&codes::ORGANIZATION_WITHOUT_ID, organization.span, message)
                    .help("give it a UUID that never changes: `id: <uuid>`"),
            );
        }
    }
}
