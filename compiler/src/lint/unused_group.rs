//! A group that nothing names.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::Who,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, group) in &facts.model.groups {
        let who = Who::Group(name.clone());
        let bound = facts.bound.contains_key(&who);
        let mut rules = facts.model.rules.values();
        let ruled = rules.any(|it| it.who.iter().chain(&it.except).any(|it| it.value == who));
        // A condition may ask for it by name.
        let asked = || {
            let rules = facts.model.rules.values().filter_map(|it| it.when.as_ref());
            let bindings = facts
                .model
                .bindings
                .values()
                .filter_map(|it| it.when.as_ref());
            rules
                .chain(bindings)
                .any(|it| it.text.contains(name.as_str()))
        };
        if !bound && !ruled && !asked() {
            let message = format!("nothing names the group `{name}`");
            found.push(
                Diagnostic::new(&codes::UNUSED_GROUP, group.span, message)
                    .help("bind a role to it, or remove it"),
            );
        }
    }
}
