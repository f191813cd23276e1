//! One decision: the checks of a call, in the order of their reasons.
//!
//! [`decide`] answers a call whose scopes, operations and arguments are known; [`discover`] asks
//! the same checks about calls of which they are not. Without a policy there is nothing to ask:
//! whoever has none answers [`Reason::PolicyUnavailable`](crate::reason::Reason).

mod ask;
mod checks;
mod facts;
mod grant;
mod unlock;

use std::ops::ControlFlow;

use self::ask::Ask;
use crate::{
    call::{Call, Operation, Scopes},
    decision::{Because, Decision, NoTrace, Obligations, Trace, Visibility},
    id::{PermissionId, ScopeId},
    overlay::Overlay,
    policy::Policy,
    reason::Reason,
};

/// Decides one call. Pure, total, and without allocation.
///
/// The first check that fails is the reason; a trace with [`Trace::FULL`] sees all of them. Every
/// caller of the chain must be allowed every permission in every scope, and one denial of any is a
/// denial. A call that leaves its operation or scopes to discovery is refused.
///
/// On an allow, `because` is the lowest name among all bindings that granted any part of the call;
/// there is none on surfaces that need no grant. On [`Reason::DeniedByPolicy`] it is the lowest
/// name among all rules that matched.
pub fn decide<T: Trace>(
    policy: &Policy,
    overlay: &Overlay,
    call: &Call<'_>,
    trace: &mut T,
) -> Decision {
    run(policy, overlay, call, false, trace)
}

/// Finds whether calls of a surface could be allowed, when operation, scopes or arguments are not
/// known yet.
///
/// [`Visibility::Never`] means that no call can be allowed, [`Visibility::Always`] that every call
/// with a valid scope, operation and arguments is. A missing break-glass activation makes it
/// [`Visibility::Maybe`], since one may come; for agents alone none can.
#[must_use]
pub fn discover(policy: &Policy, overlay: &Overlay, call: &Call<'_>) -> Visibility {
    let Some(surface) = call.surface else {
        return Visibility::Never;
    };
    match call.scopes {
        Scopes::These(_) => discover_in(policy, overlay, call),
        Scopes::Invalid => Visibility::Never,
        Scopes::Any => {
            let reach = policy.reach(surface, call.callers);
            // In all other scopes somebody of the chain holds nothing.
            let elsewhere = reach.is_partial.then_some(Visibility::Never);
            let each = reach.scopes.iter().map(|scope| {
                let call = Call {
                    scopes: Scopes::These(std::slice::from_ref(scope)),
                    ..*call
                };
                discover_in(policy, overlay, &call)
            });
            join(elsewhere.into_iter().chain(each))
        }
    }
}

/// Discovery where the scopes are known.
fn discover_in(policy: &Policy, overlay: &Overlay, call: &Call<'_>) -> Visibility {
    let entry = call
        .surface
        .and_then(|surface| policy.surface_entry(surface));
    let operations = entry.and_then(|entry| entry.operations.as_ref());
    match (call.operation, operations) {
        (Operation::Any, Some(operations)) => join((0..operations.values.len()).map(|operation| {
            let call = Call {
                operation: Operation::These(&[operation]),
                ..*call
            };
            discover_one(policy, overlay, &call)
        })),
        (Operation::Any, None) => {
            let call = Call {
                operation: Operation::None,
                ..*call
            };
            discover_one(policy, overlay, &call)
        }
        _ => discover_one(policy, overlay, call),
    }
}

/// Discovery where only arguments are unknown.
fn discover_one(policy: &Policy, overlay: &Overlay, call: &Call<'_>) -> Visibility {
    if run(policy, overlay, call, false, &mut NoTrace).is_allow() {
        Visibility::Always
    } else if run(policy, overlay, call, true, &mut NoTrace).is_allow() {
        Visibility::Maybe
    } else {
        Visibility::Never
    }
}

/// What holds for a call that may be any of these.
fn join(each: impl Iterator<Item = Visibility>) -> Visibility {
    let mut all: Option<Visibility> = None;
    for one in each {
        match all {
            Some(before) if before != one => return Visibility::Maybe,
            _ => all = Some(one),
        }
        if one == Visibility::Maybe {
            return Visibility::Maybe;
        }
    }
    all.unwrap_or(Visibility::Never)
}

fn run<T: Trace>(
    policy: &Policy,
    overlay: &Overlay,
    call: &Call<'_>,
    optimistic: bool,
    trace: &mut T,
) -> Decision {
    let mut outcome = Outcome {
        trace,
        refused: None,
        binding: None,
    };
    let walked = walk(policy, overlay, call, optimistic, &mut outcome);
    match (outcome.refused, walked) {
        (None, ControlFlow::Continue(allowed)) => Decision {
            because: outcome.binding.map(Because::Binding),
            ..allowed
        },
        (Some(refused), _) => refused,
        // A walk ends early only by a refusal.
        (None, ControlFlow::Break(())) => refusal(Reason::Internal),
    }
}

/// All checks, in order.
fn walk<T: Trace>(
    policy: &Policy,
    overlay: &Overlay,
    call: &Call<'_>,
    optimistic: bool,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<(), Decision> {
    checks::token_is_live(overlay, call, outcome)?;
    let Some(ask) = Ask::new(policy, overlay, call, optimistic) else {
        outcome.refuse(Reason::SurfaceUnmatched)?;
        return ControlFlow::Break(());
    };
    checks::operation_is_known(&ask, outcome)?;
    if !ask.is_public() {
        checks::callers_are_known(&ask, outcome)?;
    }
    checks::scope_is_valid(&ask, outcome)?;
    checks::arguments_are_valid(&ask, outcome)?;
    if !ask.is_public() {
        grant::reaches_abroad(&ask, outcome)?;
        grant::is_granted(&ask, outcome)?;
    }
    checks::overlay_is_silent(&ask, outcome)?;
    checks::no_rule_denies(&ask, outcome)?;
    if !ask.is_public() {
        checks::token_permits(&ask, outcome)?;
        unlock::is_unlocked(&ask, outcome)?;
    }
    ControlFlow::Continue(Decision {
        reason: Reason::Ok,
        because: None,
        permission: ask.permissions().last(),
        scope: None,
        obligations: checks::obligations(&ask, outcome),
    })
}

/// What the checks have found.
struct Outcome<'t, T> {
    trace: &'t mut T,
    /// The first refusal.
    refused: Option<Decision>,
    /// The lowest binding that granted.
    binding: Option<crate::id::BindingId>,
}

impl<T: Trace> Outcome<'_, T> {
    /// Notes that a check failed; goes on only when everything is to be seen.
    fn refuse(&mut self, reason: Reason) -> ControlFlow<()> {
        self.refuse_with(refusal(reason))
    }

    /// The same, with the permission and scope that failed.
    fn refuse_at(
        &mut self,
        reason: Reason,
        permission: PermissionId,
        scope: Option<ScopeId>,
    ) -> ControlFlow<()> {
        self.refuse_with(Decision {
            permission: Some(permission),
            scope,
            ..refusal(reason)
        })
    }

    fn refuse_with(&mut self, decision: Decision) -> ControlFlow<()> {
        self.trace.failed(decision.reason);
        self.refused.get_or_insert(decision);
        if T::FULL {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

fn refusal(reason: Reason) -> Decision {
    Decision {
        reason,
        because: None,
        permission: None,
        scope: None,
        obligations: Obligations(0),
    }
}
