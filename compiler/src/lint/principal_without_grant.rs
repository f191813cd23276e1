//! A principal that no binding can reach.

use std::collections::BTreeSet;

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Principal, Who},
    text::Text,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let owners: BTreeSet<&str> = facts
        .model
        .principals
        .values()
        .filter_map(|it| Some(it.owner.as_ref()?.value.as_str()))
        .collect();
    // The issuers whose tokens can put somebody into a bound group.
    let groups = facts.bound.keys().filter_map(|who| match who {
        Who::Group(name) => facts.model.groups.get(name),
        _ => None,
    });
    let claims = groups.filter_map(|it| Some(it.claim.as_ref()?.0.as_str()));
    let claims: BTreeSet<&str> = claims.collect();
    for (name, principal) in &facts.model.principals {
        let idle = !facts.is_live(principal) || owners.contains(name.as_str());
        if !idle && !reached(facts, (name, principal), &claims) {
            let message = format!("no binding gives `{name}` anything");
            found.push(
                Diagnostic::new(&codes::PRINCIPAL_WITHOUT_GRANT, principal.span, message)
                    .help("bind a role to it, or remove it"),
            );
        }
    }
}

fn reached(
    facts: &Facts<'_>,
    (name, principal): (&Text, &Principal),
    claims: &BTreeSet<&str>,
) -> bool {
    let bound = |who: Who| facts.bound.contains_key(&who);
    let tags = || {
        principal
            .tags
            .iter()
            .any(|tag| bound(Who::Tag(tag.clone())))
    };
    let carried = |issuer: &str| principal.identities.iter().any(|it| it.0 == issuer);
    let groups = || !facts.groups_of(name).is_empty() || claims.iter().any(|it| carried(it));
    bound(Who::Principal(name.clone())) || bound(Who::Type(principal.kind)) || tags() || groups()
}
