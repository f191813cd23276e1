//! The checks that need a binding.

use std::ops::ControlFlow;

use super::{
    Outcome,
    ask::{Ask, Covering},
    facts::CallFacts,
};
use crate::{
    call::Caller,
    decision::{Missed, Trace},
    id::{BindingId, PermissionId, ScopeId},
    index::{Access, bindings::Row},
    reason::Reason,
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
                    covering: ask.covering(*scope),
                    facts: CallFacts::new(ask, *scope),
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
    let own = caller.scope.and_then(|own| tree.organization(own));
    match (own, tree.organization(scope)) {
        (Some(own), Some(there)) => own != there,
        _ => false,
    }
}

/// The search for a binding that grants one permission to one caller in one scope.
struct Search<'a> {
    ask: &'a Ask<'a>,
    caller: &'a Caller,
    position: usize,
    permission: PermissionId,
    covering: Covering,
    facts: CallFacts<'a>,
    abroad: bool,
}

impl Search<'_> {
    /// The lowest binding that grants.
    fn lowest<T: Trace>(&self, trace: &mut T) -> Option<BindingId> {
        let policy = self.ask.policy;
        let mut lowest: Option<BindingId> = None;
        let index = policy.index();
        let (grants, scopes) = (&self.caller.grants, self.covering.as_slice());
        grants.visit(&index.bindings, scopes, |row| {
            if !policy.roles.gives(index, row.set.roles(), self.permission) {
                return;
            }
            let known = lowest.is_some_and(|it| index.bindings.lower(it, row.binding) == it);
            if known && !T::FULL {
                return;
            }
            if let Some(why) = self.obstacle(row, trace) {
                trace.missed(self.position, row.binding, why);
                return;
            }
            trace.granted(self.position, row.binding, self.permission);
            if !known {
                lowest = Some(row.binding);
            }
        });
        if T::FULL && lowest.is_none() {
            self.look_elsewhere(trace);
        }
        lowest
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
            program.holds(condition, &self.facts, defaults, trace)
        });
        if holds { None } else { Some(Missed::Condition) }
    }

    /// Shows the bindings that give the permission in other scopes.
    fn look_elsewhere<T: Trace>(&self, trace: &mut T) {
        let policy = self.ask.policy;
        let index = policy.index();
        self.caller.grants.visit_all(&index.bindings, |row| {
            let here = self.covering.as_slice().contains(&row.scope);
            if !here && policy.roles.gives(index, row.set.roles(), self.permission) {
                trace.missed(self.position, row.binding, Missed::Scope);
            }
        });
    }
}
