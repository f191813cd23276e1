//! Where calls of which the scopes are not known yet could take place.

use super::Policy;
use crate::{
    call::Caller,
    id::{ScopeId, SurfaceId},
    index::{Access, ScopeSource, Surface},
};

/// Of callers with more rows than this, all scopes are asked about: looking at every row of theirs
/// would cost more.
const MAX_ROWS: usize = 1024;

/// The scopes that a call could touch.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Those in which every caller holds some permission of the surface, sorted and distinct.
    pub(crate) scopes: Vec<ScopeId>,
    /// Whether there are others.
    pub(crate) is_partial: bool,
}

impl Policy {
    /// The scopes that one call of these callers could touch, sorted and distinct. A call whose
    /// argument is a list touches several of them.
    #[must_use]
    pub fn possible_scopes(&self, surface: SurfaceId, callers: &[Caller]) -> Vec<ScopeId> {
        let Some(entry) = self.surface_entry(surface) else {
            return Vec::new();
        };
        let mut scopes = Vec::new();
        self.each_possible_scope(entry, callers, |scope| scopes.push(scope));
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// The same scopes, of which those are left out where no grant can be.
    pub(crate) fn reach(&self, surface: SurfaceId, callers: &[Caller]) -> Reach {
        let mut reach = Reach::default();
        let Some(entry) = self.surface_entry(surface) else {
            return reach;
        };
        let held: Vec<Vec<ScopeId>> = callers
            .iter()
            .filter(|_| entry.access == Access::Permission)
            .filter_map(|caller| self.held_in(surface, caller))
            .collect();
        // Who holds nothing anywhere reaches nothing; where does not matter then.
        if held.iter().any(Vec::is_empty) {
            reach.is_partial = true;
            return reach;
        }
        let tree = &self.index.scopes;
        self.each_possible_scope(entry, callers, |scope| {
            let covers = |held: &Vec<ScopeId>| held.iter().any(|it| tree.covers(*it, scope));
            if held.iter().all(covers) {
                reach.scopes.push(scope);
            } else {
                reach.is_partial = true;
            }
        });
        reach.scopes.sort_unstable();
        reach.scopes.dedup();
        reach
    }

    /// The scopes in which a caller holds some permission of a surface, whatever the conditions;
    /// none if it has too many rows to look at.
    fn held_in(&self, surface: SurfaceId, caller: &Caller) -> Option<Vec<ScopeId>> {
        if caller.grants.row_count() > MAX_ROWS {
            return None;
        }
        let mut held = Vec::new();
        caller.grants.visit_all(&self.index.bindings, |row| {
            let roles = row.set.roles();
            let gives = |permission| self.roles.gives(&self.index, roles, permission);
            if self.permissions(surface).any(gives) {
                held.push(row.scope);
            }
        });
        held.sort_unstable();
        held.dedup();
        Some(held)
    }

    /// Shows every scope that a call could touch, some of them several times.
    fn each_possible_scope(
        &self,
        entry: &Surface,
        callers: &[Caller],
        mut see: impl FnMut(ScopeId),
    ) {
        let Some(home) = self.server_entry(entry.server).map(|server| server.scope) else {
            return;
        };
        let tree = &self.index.scopes;
        let own = callers.first().and_then(|caller| caller.scope);
        let mut put = |scope: Option<ScopeId>| {
            if let Some(scope) = scope.filter(|scope| tree.covers(home, *scope)) {
                see(scope);
            }
        };
        match &entry.scope {
            ScopeSource::Server | ScopeSource::Unscoped => put(Some(home)),
            ScopeSource::Principal => put(own),
            ScopeSource::Force { team: true, .. } => put(own.and_then(|own| tree.team(own))),
            ScopeSource::Force { team: false, .. } => {
                put(own.and_then(|own| tree.organization(own)));
            }
            ScopeSource::Map {
                exact, prefixes, ..
            } => {
                let all = exact.scopes().iter().chain(prefixes.scopes());
                all.for_each(|to| put(Some(*to)));
            }
        }
    }
}
