//! An agent may destroy something.

use latchkey_engine::index::{PrincipalType, Risk};

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::Who,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for binding in facts.model.bindings.values() {
        let given = facts.gives(binding);
        let destructive = |it: &&_| facts.model.risk(it) == Risk::Destructive;
        let Some(permission) = given.into_iter().find(destructive) else {
            continue;
        };
        for who in binding
            .who
            .iter()
            .filter(|who| !matches!(who.value, Who::Type(_)))
        {
            let members = facts.members(&who.value);
            let agent = members
                .iter()
                .find(|(_, it)| it.kind == PrincipalType::Agent);
            if let Some((agent, principal)) = agent {
                let message =
                    format!("the agent `{agent}` may call `{permission}`, a destructive surface");
                found.push(
                    Diagnostic::new(&codes::AGENT_HOLDS_DESTRUCTIVE, who.span, message)
                        .also(principal.span, "this agent")
                        .help("give the surface to a person, who can be asked"),
                );
            }
        }
    }
}
