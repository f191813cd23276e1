//! A principal that no binding can reach.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Principal, Who},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let owners: std::collections::BTreeSet<&str> = facts
        .model
        .principals
        .values()
        .filter_map(|it| Some(it.owner.as_ref()?.value.as_str()))
        .collect();
    for (name, principal) in &facts.model.principals {
        let idle = !facts.is_live(principal) || owners.contains(name.as_str());
        if !idle && !reached(facts, name, principal) {
            let message = format!("no binding gives `{name}` anything");
            found.push(
                Diagnostic::new(&codes::PRINCIPAL_WITHOUT_GRANT, principal.span, message)
                    .help("bind a role to it, or remove it"),
            );
        }
    }
}

fn reached(facts: &Facts<'_>, name: &str, principal: &Principal) -> bool {
    let bound = |who: Who| facts.bound.contains_key(&who);
    let tags = || {
        principal
            .tags
            .iter()
            .any(|tag| bound(Who::Tag(tag.clone())))
    };
    let groups = || {
        facts.model.groups.iter().any(|(group, it)| {
            let claim = it.claim.as_ref();
            let carried = claim.is_some_and(|(issuer, _)| {
                principal
                    .identities
                    .iter()
                    .any(|identity| identity.0 == *issuer)
            });
            (carried || it.members.contains(name)) && bound(Who::Group(group.clone()))
        })
    };
    bound(Who::Principal(name.to_owned())) || bound(Who::Type(principal.kind)) || tags() || groups()
}
