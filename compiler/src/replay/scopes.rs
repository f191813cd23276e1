//! Where a recorded call takes place by another policy.

use std::collections::BTreeSet;

use latchkey_engine::{
    call::Caller,
    id::ScopeId,
    index::{ArgumentPath, ScopeNames, ScopeSource, Surface},
    policy::Policy as Engine,
    reason::Reason,
    scope::ScopeTree,
};
use latchkey_gate::event::Event;

use super::{facts::Held, judge::Verdict};

/// The surface of an event in the policy that recorded it.
pub(super) type Before<'a> = Option<(&'a Engine, &'a Surface)>;

/// The scopes of a recorded call of a surface.
pub(super) fn scopes(
    policy: &Engine,
    surface: &Surface,
    callers: &[Caller],
    event: &Event,
    before: Before<'_>,
) -> Result<Vec<ScopeId>, Verdict> {
    let tree = &policy.index().scopes;
    let invalid = || Verdict::Denied(Reason::ScopeInvalid, None);
    let home = policy.server_entry(surface.server).map(|it| it.scope);
    let home = home.ok_or_else(invalid)?;
    let own = callers.first().and_then(|actor| actor.scope);
    let mut scopes: Vec<ScopeId> = match &surface.scope {
        ScopeSource::Server | ScopeSource::Unscoped => vec![home],
        ScopeSource::Principal => own.into_iter().collect(),
        ScopeSource::Force { team: true, .. } => {
            own.and_then(|own| tree.team(own)).into_iter().collect()
        }
        ScopeSource::Force { team: false, .. } => {
            let organization = own.and_then(|own| tree.organization(own));
            organization.into_iter().collect()
        }
        ScopeSource::Map { argument, .. } => {
            let map = Map::of(&surface.scope).ok_or_else(invalid)?;
            mapped(tree, &map, event, argument, before)?
        }
    };
    scopes.sort_unstable();
    scopes.dedup();
    let inside = scopes.iter().all(|scope| tree.covers(home, *scope));
    if scopes.is_empty() || !inside {
        return Err(invalid());
    }
    Ok(scopes)
}

/// The scopes that a map gives: by the argument where it was logged, else by what was recorded.
fn mapped(
    tree: &ScopeTree,
    map: &Map<'_>,
    event: &Event,
    argument: &ArgumentPath,
    before: Before<'_>,
) -> Result<Vec<ScopeId>, Verdict> {
    let name = format!("args.{}", argument.join("."));
    let needs = || Verdict::Needs(BTreeSet::from([name.clone()]));
    let invalid = || Verdict::Denied(Reason::ScopeInvalid, None);
    if let Some(texts) = Held::of(&event.authz.input.slots, &name).texts() {
        let scopes = texts.iter().map(|text| map.scope_of(text));
        return scopes.collect::<Option<_>>().ok_or_else(invalid);
    }
    if event.scope.is_empty() {
        // What one map does not name, an equal one does not either.
        let alike = before.is_some_and(|(policy, surface)| {
            let there = &policy.index().scopes;
            Map::of(&surface.scope).is_some_and(|old| old.said(there) == map.said(tree))
                && matches!(&surface.scope, ScopeSource::Map { argument: it, .. } if it == argument)
        });
        return Err(if alike { invalid() } else { needs() });
    }
    let Some((policy, surface)) = before else {
        let known = event.scope.iter().map(|path| {
            let scope = tree.find(path)?;
            map.targets().any(|it| it == scope).then_some(scope)
        });
        return known.collect::<Option<_>>().ok_or_else(needs);
    };
    let old = match &surface.scope {
        ScopeSource::Map { argument: it, .. } if it == argument => Map::of(&surface.scope),
        _ => None,
    };
    let old = old.ok_or_else(needs)?;
    let mut scopes = Vec::new();
    for path in &event.scope {
        let was = policy.index().scopes.find(path).ok_or_else(needs)?;
        let possible = map.after(&old, was);
        match possible.iter().copied().collect::<Vec<_>>().as_slice() {
            [Some(scope)] => scopes.push(*scope),
            [None] => return Err(invalid()),
            _ => return Err(needs()),
        }
    }
    Ok(scopes)
}

/// A map from texts to scopes.
struct Map<'a> {
    exact: &'a ScopeNames,
    prefixes: &'a ScopeNames,
}

impl<'a> Map<'a> {
    fn of(source: &'a ScopeSource) -> Option<Self> {
        match source {
            ScopeSource::Map {
                exact, prefixes, ..
            } => Some(Self { exact, prefixes }),
            _ => None,
        }
    }

    /// What it says, by the paths of scopes.
    fn said(&self, tree: &ScopeTree) -> [Vec<(&'a str, String)>; 2] {
        [self.exact, self.prefixes].map(|all| {
            let entries = all.iter().map(|(text, at)| (text, tree.path(at)));
            entries.collect()
        })
    }

    fn targets(&self) -> impl Iterator<Item = ScopeId> {
        let all = self.exact.scopes().iter().chain(self.prefixes.scopes());
        all.copied()
    }

    fn scope_of(&self, text: &str) -> Option<ScopeId> {
        let exact = self.exact.get(text);
        exact.or_else(|| self.prefixes.by_prefix(text))
    }

    /// What the texts that an old map gave a scope to can be given by this one.
    fn after(&self, old: &Self, was: ScopeId) -> BTreeSet<Option<ScopeId>> {
        let exact = old.exact.iter().filter(|(_, scope)| *scope == was);
        let mut possible: BTreeSet<_> = exact.map(|(text, _)| self.scope_of(text)).collect();
        for (prefix, _) in old.prefixes.iter().filter(|(_, scope)| *scope == was) {
            possible.insert(self.prefixes.by_prefix(prefix));
            let texts = self
                .exact
                .iter()
                .filter(|(text, _)| text.starts_with(prefix) && old.scope_of(text) == Some(was));
            possible.extend(texts.map(|(_, scope)| Some(scope)));
            let longer = self.prefixes.iter().filter(|(longer, _)| {
                longer.starts_with(prefix) && old.prefixes.by_prefix(longer) == Some(was)
            });
            possible.extend(longer.map(|(_, scope)| Some(scope)));
        }
        possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[(&str, u32)]) -> ScopeNames {
        all.iter().map(|(text, at)| (text, ScopeId(*at))).collect()
    }

    #[test]
    fn a_scope_is_followed_through_a_changed_map() {
        let old_exact = entries(&[("infra-secret", 2), ("ledger", 1)]);
        let old_prefixes = entries(&[("infra-", 3)]);
        let old = Map {
            exact: &old_exact,
            prefixes: &old_prefixes,
        };
        let at = |number| Some(ScopeId(number));
        // Unchanged: what the old map gives elsewhere does not matter.
        assert_eq!(old.after(&old, ScopeId(3)), BTreeSet::from([at(3)]));
        assert_eq!(old.after(&old, ScopeId(1)), BTreeSet::from([at(1)]));
        // A name moved out of the prefix: it may be that one.
        let exact = entries(&[("infra-dns", 1), ("ledger", 2)]);
        let new = Map {
            exact: &exact,
            prefixes: &old_prefixes,
        };
        assert_eq!(new.after(&old, ScopeId(3)), BTreeSet::from([at(1), at(3)]));
        assert_eq!(new.after(&old, ScopeId(1)), BTreeSet::from([at(2)]));
        // The prefix is gone.
        let new = Map {
            exact: &old_exact,
            prefixes: &entries(&[]),
        };
        assert_eq!(new.after(&old, ScopeId(3)), BTreeSet::from([None]));
    }
}
