//! The widest scope that a finding holds for.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{id::ScopeId, index::ScopeSource, scope::ScopeTree};

use super::{
    domain::Key,
    outcome::{Answer, Question, argument},
    report::Change,
    view::View,
    witness::Choice,
};

/// A scope of a finding.
#[derive(Debug, Clone)]
pub(super) struct Where {
    /// As a path.
    pub(super) path: String,
    /// The argument whose region the scope already says.
    pub(super) argument: Option<Key>,
}

/// Splits a way through a diagram by scope, as little as possible.
pub(super) fn split(
    question: &Question<'_>,
    answer: &Answer,
    choice: &Choice,
    change: Change,
) -> Vec<(Where, Choice)> {
    // Where the call takes place is for the policy to say that allows it.
    let at = usize::from(change != Change::Narrowed);
    let view = View::new(question, at);
    let (side, Some((_, surface))) = (view.side, view.surface) else {
        return Vec::new();
    };
    let tree = &side.index.scopes;
    let all = view.scopes();
    let ScopeSource::Map { argument: path, .. } = &surface.scope else {
        let scope = all.first().copied().unwrap_or(ScopeTree::PLATFORM);
        return vec![(
            Where {
                path: tree.path(scope),
                argument: None,
            },
            choice.clone(),
        )];
    };
    let key = Key::Attribute(argument(path, view.each));
    let Some((_, regions)) = answer.domains.iter().find(|(known, _)| *known == key) else {
        return Vec::new();
    };
    let every: Vec<usize> = (0..regions.len()).collect();
    let chosen = choice.get(&key).unwrap_or(&every);
    let mut by_scope: BTreeMap<Option<ScopeId>, Vec<usize>> = BTreeMap::new();
    for region in chosen {
        let scope = regions
            .get(*region)
            .and_then(|region| view.scope_of(region));
        by_scope.entry(scope).or_default().push(*region);
    }
    let full = |scope: Option<ScopeId>, has: &[usize]| {
        let of = regions
            .iter()
            .filter(|region| view.scope_of(region) == scope)
            .count();
        of == has.len()
    };
    let whole = by_scope
        .iter()
        .all(|(scope, has)| scope.is_some() && full(*scope, has));
    let scopes: BTreeSet<ScopeId> = by_scope.keys().copied().flatten().collect();
    if let Some(top) = ancestor(tree, &scopes).filter(|_| whole)
        && all
            .iter()
            .filter(|scope| tree.covers(top, **scope))
            .all(|it| scopes.contains(it))
    {
        let place = Where {
            path: tree.path(top),
            argument: Some(key.clone()),
        };
        return vec![(place, with(choice, &key, chosen.clone()))];
    }
    by_scope
        .into_iter()
        .map(|(scope, has)| {
            // A path stands for all below it; where only some of that changes, the argument says so.
            let alone = scope.is_some_and(|scope| {
                let mut others = all.iter().filter(|other| **other != scope);
                !others.any(|other| tree.covers(scope, *other))
            });
            let said = alone && full(scope, &has);
            let home = scope
                .or_else(|| all.first().copied())
                .unwrap_or(ScopeTree::PLATFORM);
            let place = Where {
                path: tree.path(home),
                argument: said.then(|| key.clone()),
            };
            (place, with(choice, &key, has))
        })
        .collect()
}

fn with(choice: &Choice, key: &Key, regions: Vec<usize>) -> Choice {
    let mut choice = choice.clone();
    choice.insert(key.clone(), regions);
    choice
}

/// The lowest scope that covers all.
fn ancestor(tree: &ScopeTree, scopes: &BTreeSet<ScopeId>) -> Option<ScopeId> {
    let mut top = *scopes.first()?;
    while !scopes.iter().all(|scope| tree.covers(top, *scope)) {
        top = tree.parent(top);
    }
    Some(top)
}
