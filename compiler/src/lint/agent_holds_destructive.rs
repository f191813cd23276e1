//! An agent may destroy something.

use std::collections::BTreeMap;

use latchkey_engine::index::{PrincipalType, Risk};

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Permission, Who},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let destructive = |it: &&Permission| facts.model.risk(it) == Risk::Destructive;
    let roles = facts.model.roles.iter().filter_map(|(name, role)| {
        let first = role.permissions.keys().find(destructive)?;
        Some((name.as_str(), first))
    });
    let roles: BTreeMap<&str, &Permission> = roles.collect();
    for binding in facts.model.bindings.values() {
        let given = binding.roles.iter();
        let given = given.filter_map(|it| roles.get(it.value.as_str()).copied());
        let Some(permission) = given.min() else {
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
