//! Nobody answers for an agent.

use latchkey_engine::index::PrincipalType;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, principal) in &facts.model.principals {
        if principal.kind == PrincipalType::Agent && principal.owner.is_none() {
            let message = format!("the agent `{name}` has no owner");
            found.push(
                Diagnostic::new(&codes::AGENT_WITHOUT_OWNER, principal.span, message)
                    .help("name the principal that answers for it: `owner: <principal>`"),
            );
        }
    }
}
