//! The checks that look at one thing each.

use std::ops::ControlFlow;

use super::{Outcome, ask::Ask, facts::CallFacts, refusal};
use crate::{
    call::{Arguments, Call, Caller, MAX_CALLERS},
    decision::{Because, Decision, Obligations, Trace},
    id::{PrincipalId, RuleId},
    overlay::Overlay,
    policy::ObligationSource,
    reason::Reason,
};

/// `token_revoked`
pub(super) fn token_is_live<T: Trace>(
    overlay: &Overlay,
    call: &Call<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    let revoked = call.token_id.is_some_and(|id| {
        let known = &overlay.revoked_tokens;
        known.binary_search_by(|it| it.as_str().cmp(id)).is_ok()
    });
    if revoked {
        outcome.refuse(Reason::TokenRevoked)?;
    }
    ControlFlow::Continue(())
}

/// `operation_unknown`
pub(super) fn operation_is_known<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    if ask.permissions().next().is_none() {
        outcome.refuse(Reason::OperationUnknown)?;
    }
    ControlFlow::Continue(())
}

/// `unauthenticated`, `chain_too_long`, `principal_unknown`, `principal_suspended`
pub(super) fn callers_are_known<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    let callers = ask.call.callers;
    if callers.is_empty() {
        outcome.refuse(Reason::Unauthenticated)?;
    }
    if callers.len() > MAX_CALLERS {
        outcome.refuse(Reason::ChainTooLong)?;
    }
    if !callers.iter().all(|caller| may_speak_for(ask, caller)) {
        outcome.refuse(Reason::PrincipalUnknown)?;
    }
    let mut declared = callers.iter().filter_map(|caller| caller.principal);
    if declared.any(|principal| is_suspended(ask, principal)) {
        outcome.refuse(Reason::PrincipalSuspended)?;
    }
    ControlFlow::Continue(())
}

fn may_speak_for(ask: &Ask<'_>, caller: &Caller) -> bool {
    let issuer = || ask.policy.issuer_entry(caller.issuer);
    caller.principal.is_some() || issuer().is_some_and(|issuer| issuer.undeclared)
}

fn is_suspended(ask: &Ask<'_>, principal: PrincipalId) -> bool {
    let principals = &ask.policy.index().principals;
    let dates = principals.dates.get(principal.index());
    let by_git = principals.suspended.binary_search(&principal).is_ok();
    by_git || !ask.in_force(dates) || is_suspended_by_overlay(ask, principal)
}

fn is_suspended_by_overlay(ask: &Ask<'_>, principal: PrincipalId) -> bool {
    let suspended = &ask.overlay.suspended;
    if suspended.is_empty() {
        return false;
    }
    let name = ask.policy.principal_name(principal);
    suspended
        .binary_search_by(|it| it.as_str().cmp(name))
        .is_ok()
}

/// `scope_invalid`
pub(super) fn scope_is_valid<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    if ask.scopes.is_empty() {
        outcome.refuse(Reason::ScopeInvalid)?;
    }
    ControlFlow::Continue(())
}

/// `schema_violation`
pub(super) fn arguments_are_valid<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    if ask.call.arguments == Arguments::Invalid {
        outcome.refuse(Reason::SchemaViolation)?;
    }
    ControlFlow::Continue(())
}

/// `denied_by_overlay`
pub(super) fn overlay_is_silent<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    if !ask.overlay.denied.is_empty() && is_listed(&ask.overlay.denied, ask) {
        outcome.refuse(Reason::DeniedByOverlay)?;
    }
    ControlFlow::Continue(())
}

/// Whether a sorted list has the `server/name` of the call's surface.
pub(super) fn is_listed(names: &[String], ask: &Ask<'_>) -> bool {
    let (server, name) = (ask.server.name.bytes(), ask.entry.name.bytes());
    let wanted = server.chain([b'/']).chain(name);
    names
        .binary_search_by(|it| it.bytes().cmp(wanted.clone()))
        .is_ok()
}

/// `denied_by_policy`
pub(super) fn no_rule_denies<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    let table = &ask.policy.rules;
    if !ask.permissions().any(|it| table.may_deny(it)) {
        return ControlFlow::Continue(());
    }
    let mut lowest: Option<(RuleId, Decision)> = None;
    for scope in ask.scopes {
        let covering = ask.covering(*scope);
        let facts = CallFacts::new(ask, *scope);
        for caller in ask.callers() {
            let grants = caller.map(|caller| &caller.grants);
            for permission in ask.permissions() {
                table.visit_deny(permission, covering.as_slice(), grants, |rule| {
                    let known = lowest.is_some_and(|(known, _)| known <= rule);
                    if (known && !T::FULL) || !matches(ask, rule, &facts, outcome.trace) {
                        return;
                    }
                    if !known {
                        let decision = Decision {
                            because: Some(Because::Rule(rule)),
                            permission: Some(permission),
                            scope: Some(*scope),
                            ..refusal(Reason::DeniedByPolicy)
                        };
                        lowest = Some((rule, decision));
                    }
                });
            }
        }
    }
    match lowest {
        Some((_, decision)) => outcome.refuse_with(decision),
        None => ControlFlow::Continue(()),
    }
}

/// Whether a rule that speaks of the call is in force and its condition holds.
fn matches<T: Trace>(ask: &Ask<'_>, rule: RuleId, facts: &CallFacts<'_>, trace: &mut T) -> bool {
    let Some(entry) = ask.policy.index().rules.get(rule.index()) else {
        return false;
    };
    let holds = ask.in_force(entry.dates)
        && entry.condition.is_none_or(|condition| {
            let defaults = ask.rule_defaults();
            ask.policy.program.holds(condition, facts, defaults, trace)
        });
    if holds {
        trace.matched(rule);
    }
    holds
}

/// `token_scope`
pub(super) fn token_permits<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    let Some(permitted) = ask.call.token_permissions else {
        return ControlFlow::Continue(());
    };
    let missing = ask
        .permissions()
        .find(|permission| permitted.binary_search(permission).is_err());
    match missing {
        Some(permission) => outcome.refuse_at(Reason::TokenScope, permission, None),
        None => ControlFlow::Continue(()),
    }
}

/// What an allow carries: the surface's, and those of every require rule that matches.
pub(super) fn obligations<T: Trace>(ask: &Ask<'_>, outcome: &mut Outcome<'_, T>) -> Obligations {
    let surface = ask.surface;
    if !ask.policy.has_obligations(surface) {
        return Obligations(0);
    }
    let bits = |source| ask.policy.obligation_bits(surface, source);
    let mut found = bits(ObligationSource::Surface(surface));
    for scope in ask.scopes {
        let covering = ask.covering(*scope);
        let facts = CallFacts::new(ask, *scope);
        for caller in ask.callers() {
            let grants = caller.map(|caller| &caller.grants);
            for permission in ask.permissions() {
                let table = &ask.policy.rules;
                table.visit_require(permission, covering.as_slice(), grants, |rule| {
                    let added = bits(ObligationSource::Rule(rule));
                    let known = found & added == added;
                    if (!known || T::FULL) && matches(ask, rule, &facts, outcome.trace) {
                        found |= added;
                    }
                });
            }
        }
    }
    Obligations(found)
}
