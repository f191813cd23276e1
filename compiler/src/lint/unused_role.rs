//! A role that nobody holds.

use hashbrown::HashSet;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let bindings = facts.model.bindings.values();
    let mut open: Vec<&str> = bindings
        .flat_map(|it| &it.roles)
        .map(|role| role.value.as_str())
        .collect();
    let mut used = HashSet::new();
    while let Some(name) = open.pop() {
        if used.insert(name) {
            let parents = facts
                .model
                .roles
                .get(name)
                .into_iter()
                .flat_map(|it| &it.inherits);
            open.extend(parents.map(|it| it.value.as_str()));
        }
    }
    for (name, role) in &facts.model.roles {
        if !used.contains(name.as_str()) {
            let message = format!("nobody holds the role `{name}`");
            found.push(
                Diagnostic::new(&codes::UNUSED_ROLE, role.span, message)
                    .help("bind it, or remove it"),
            );
        }
    }
}
