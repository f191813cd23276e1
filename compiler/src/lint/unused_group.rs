//! A group that nothing names.

use std::{cell::OnceCell, collections::BTreeSet};

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::Who,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let rules = facts.model.rules.values();
    let ruled = rules.flat_map(|it| it.who.iter().chain(&it.except));
    let ruled: BTreeSet<&Who> = ruled.map(|it| &it.value).collect();
    let words = OnceCell::new();
    for (name, group) in &facts.model.groups {
        let who = Who::Group(name.clone());
        let bound = facts.bound.contains_key(&who);
        let asked = || words.get_or_init(|| asked(facts)).contains(name.as_str());
        if !bound && !ruled.contains(&who) && !asked() {
            let message = format!("nothing names the group `{name}`");
            found.push(
                Diagnostic::new(&codes::UNUSED_GROUP, group.span, message)
                    .help("bind a role to it, or remove it"),
            );
        }
    }
}

/// The words of all conditions: one may ask for a group by its name.
fn asked<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let rules = facts.model.rules.values().map(|it| &it.when);
    let bindings = facts.model.bindings.values().map(|it| &it.when);
    let texts = rules.chain(bindings).flatten().map(|it| it.text.as_str());
    let apart = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    texts.flat_map(|it| it.split(apart)).collect()
}
