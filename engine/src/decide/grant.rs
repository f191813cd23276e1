//! The checks that need a binding.

use std::ops::ControlFlow;

use super::{Outcome, ask::Ask, facts::CallFacts};
use crate::{
    call::Caller,
    decision::{Missed, Trace},
    id::{BindingId, PermissionId, ScopeId},
    index::{Access, bindings::Row},
    reason::Reason,
    scope::{Covering, ScopeTree},
};

/// `cross_organization`: whoever is abroad needs a binding that reaches there.
pub(super) fn reaches_abroad<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    all_granted(ask, outcome, true)
}

/// `no_permission`: at home, any binding will do.
pub(super) fn is_granted<T: Trace>(ask: &Ask<'_>, outcome: &mut Outcome<'_, T>) -> ControlFlow<()> {
    if ask.entry.access == Access::Permission {
        all_granted(ask, outcome, false)
    } else {
        ControlFlow::Continue(())
    }
}

/// Whether every caller that is abroad (or at home) has a grant of every permission in every scope.
fn all_granted<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
    abroad: bool,
) -> ControlFlow<()> {
    let reason = if abroad {
        Reason::CrossOrganization
    } else {
        Reason::NoPermission
    };
    for (position, caller) in ask.call.callers.iter().enumerate() {
        for scope in ask.scopes {
            if is_abroad(ask, caller, *scope) != abroad {
                continue;
            }
            for permission in ask.permissions() {
                let search = Search {
                    ask,
                    caller,
                    position,
                    permission,
                    scope: *scope,
                    covering: ask.covering(*scope),
                    abroad,
                };
                let Some(binding) = search.lowest(outcome.trace) else {
                    outcome.refuse_at(reason, permission, Some(*scope))?;
                    continue;
                };
                let before = outcome.binding.unwrap_or(binding);
                let bindings = &ask.policy.index().bindings;
                outcome.binding = Some(bindings.lower(before, binding));
            }
        }
    }
    ControlFlow::Continue(())
}

/// Whether a scope lies in another organization than the caller's. Who has no organization is
/// nowhere abroad, and what lies in none is abroad for nobody.
fn is_abroad(ask: &Ask<'_>, caller: &Caller, scope: ScopeId) -> bool {
    let tree = &ask.policy.index().scopes;
    let own = caller.scope.filter(|own| *own != ScopeTree::PLATFORM);
    match (own, tree.organization(scope)) {
        (Some(own), Some(there)) => !tree.covers(there, own),
        _ => false,
    }
}

/// The search for a binding that grants one permission to one caller in one scope.
struct Search<'a> {
    ask: &'a Ask<'a>,
    caller: &'a Caller,
    position: usize,
    permission: PermissionId,
    scope: ScopeId,
    covering: Covering,
    abroad: bool,
}

impl Search<'_> {
    /// The lowest binding that grants.
    fn lowest<T: Trace>(&self, trace: &mut T) -> Option<BindingId> {
        let policy = self.ask.policy;
        let mut lowest: Option<Row> = None;
        let index = policy.index();
        let grants = &self.caller.grants;
        grants.visit(&index.bindings, &self.covering, |row| {
            if !policy.roles.gives(index, row.set.roles(), self.permission) {
                return;
            }
            let known = lowest.is_some_and(|it| grants.lower(&index.bindings, it, row) == it);
            if known && !T::FULL {
                return;
            }
            if let Some(why) = self.obstacle(row, trace) {
                trace.missed(self.position, row.binding, why);
                return;
            }
            trace.granted(self.position, row.binding, self.permission);
            if !known {
                lowest = Some(row);
            }
        });
        if T::FULL && lowest.is_none() {
            self.look_elsewhere(trace);
        }
        lowest.map(|row| row.binding)
    }

    /// Why a row that gives the permission here does not grant it.
    fn obstacle<T: Trace>(&self, row: Row, trace: &mut T) -> Option<Missed> {
        if self.abroad && !row.set.crosses() {
            return Some(Missed::Organization);
        }
        let bindings = &self.ask.policy.index().bindings;
        let at = row.binding.index();
        if row.set.is_dated() && !self.ask.in_force(bindings.dates.get(at)) {
            return Some(Missed::Dates);
        }
        if !row.set.is_conditional() {
            return None;
        }
        let holds = bindings.conditions.get(at).is_some_and(|condition| {
            let defaults = self.ask.grant_defaults();
            let program = &self.ask.policy.program;
            let facts = CallFacts::new(self.ask, self.scope);
            program.holds(condition, &facts, defaults, trace)
        });
        if holds { None } else { Some(Missed::Condition) }
    }

    /// Shows the bindings that give the permission in other scopes.
    fn look_elsewhere<T: Trace>(&self, trace: &mut T) {
        let policy = self.ask.policy;
        let index = policy.index();
        self.caller.grants.visit_all(&index.bindings, |row| {
            let here = self.covering.contains(row.scope);
            if !here && policy.roles.gives(index, row.set.roles(), self.permission) {
                trace.missed(self.position, row.binding, Missed::Scope);
            }
        });
    }
}
