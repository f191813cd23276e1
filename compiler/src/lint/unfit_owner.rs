//! An owner that cannot answer for anything.

use latchkey_engine::index::PrincipalType;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, principal) in &facts.model.principals {
        let Some(owner) = &principal.owner else {
            continue;
        };
        let Some(answering) = facts.model.principals.get(&owner.value) else {
            continue;
        };
        let why = if owner.value == *name {
            "is its own owner"
        } else if answering.kind == PrincipalType::Agent {
            "is an agent itself"
        } else if !facts.is_live(answering) {
            "is suspended or expired"
        } else {
            continue;
        };
        let message = format!("`{}` cannot answer for `{name}`: it {why}", owner.value);
        found.push(
            Diagnostic::new(&codes::UNFIT_OWNER, owner.span, message)
                .also(answering.span, "declared here")
                .help("name a person, or a service that a person runs"),
        );
    }
}
