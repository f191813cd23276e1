//! A role says what it inherits anyway.

use std::collections::{BTreeMap, BTreeSet};

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, role) in &facts.model.roles {
        let parents = role.inherits.iter();
        let parents = parents.filter_map(|it| facts.model.roles.get(&it.value));
        let inherited: BTreeSet<_> = parents.flat_map(|it| it.permissions.keys()).collect();
        let mut selectors: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (permission, span) in role.own.iter() {
            selectors.entry(*span).or_default().push(permission);
        }
        for (span, permissions) in selectors {
            if permissions.iter().all(|it| inherited.contains(it)) {
                let message = format!("the role `{name}` inherits this already");
                let place = role.inherits.first().map_or(role.span, |it| it.span);
                found.push(
                    Diagnostic::new(&codes::INHERITED_ALREADY, span, message)
                        .also(place, "inherited here")
                        .help("remove it, so that one place says it"),
                );
            }
        }
    }
}
