//! A binding that another one makes pointless.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Binding, Who},
    text::Text,
};

/// How many other bindings of a subject are looked at; more would make the check slow.
const MOST: usize = 64;

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, binding) in &facts.model.bindings {
        if facts.is_over(binding.dates.dates) {
            continue;
        }
        let mut candidates = candidates(facts, binding);
        let wider = { &mut candidates }.find(|(other, wide)| {
            // Of two that say the same, the later name is the one to remove.
            let same = || name < *other && covers(facts, binding, wide);
            *other != name && covers(facts, wide, binding) && !same()
        });
        if let Some((other, wide)) = wider {
            let message = format!("the binding `{name}` adds nothing to `{other}`");
            found.push(
                Diagnostic::new(&codes::REDUNDANT_BINDING, binding.span, message)
                    .also(wide.span, "this one gives all of it")
                    .help("remove the narrower one, or narrow the wider one"),
            );
        }
    }
}

/// Bindings that name the first subject of this one, or a set that it surely belongs to.
fn candidates<'f, 'a>(
    facts: &'f Facts<'a>,
    binding: &'a Binding,
) -> impl Iterator<Item = (&'a Text, &'a Binding)> + use<'f, 'a> {
    let first = binding.who.first().map(|it| &it.value);
    let named = first.and_then(|it| facts.bound.get(it));
    let principal = first.and_then(|it| match it {
        Who::Principal(name) => facts.model.principals.get_key_value(name),
        _ => None,
    });
    let sets = principal.into_iter().flat_map(|(name, principal)| {
        let groups = facts.groups_of(name).iter();
        let groups = groups.filter_map(|who| facts.bound.get(*who));
        let tags = principal.tags.iter().map(|tag| Who::Tag(tag.clone()));
        let more = tags.chain([Who::Type(principal.kind), Who::Everyone]);
        groups.chain(more.filter_map(|who| facts.bound.get(&who)))
    });
    named.into_iter().chain(sets).flatten().copied().take(MOST)
}

fn covers(facts: &Facts<'_>, wide: &Binding, narrow: &Binding) -> bool {
    // What is quickly told comes first: most bindings are compared with several.
    if !wide.scope.covers(&narrow.scope) || narrow.cross_organization && !wide.cross_organization {
        return false;
    }
    let condition = || match (&wide.when, &narrow.when) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => wide.text == narrow.text,
        (Some(_), None) => false,
    };
    let (outer, inner) = (wide.dates.dates, narrow.dates.dates);
    let starts = outer
        .not_before
        .is_none_or(|at| inner.not_before.is_some_and(|it| it >= at));
    let ends = outer
        .expires
        .is_none_or(|at| inner.expires.is_some_and(|it| it <= at));
    let who = |each: &Who| wide.who.iter().any(|it| includes(facts, &it.value, each));
    starts
        && ends
        && condition()
        && narrow.who.iter().all(|it| who(&it.value))
        && facts.gives_all(wide, narrow)
}

/// Whether everybody that `inner` means is surely meant by `outer`.
fn includes(facts: &Facts<'_>, outer: &Who, inner: &Who) -> bool {
    if outer == inner {
        return true;
    }
    let Who::Principal(name) = inner else {
        return false;
    };
    let principal = || facts.model.principals.get(name);
    match outer {
        Who::Group(group) => {
            let group = facts.model.groups.get(group);
            group.is_some_and(|group| group.members.contains(name))
        }
        Who::Tag(tag) => principal().is_some_and(|it| it.tags.contains(tag)),
        Who::Type(kind) => principal().is_some_and(|it| it.kind == *kind),
        Who::Everyone => true,
        Who::Principal(_) => false,
    }
}
