//! Break-glass: what a destructive call needs besides its grant.

use std::ops::ControlFlow;

use super::{Outcome, ask::Ask, checks::is_listed};
use crate::{
    call::Caller,
    decision::Trace,
    id::ScopeId,
    index::{PrincipalType, Risk, Unlock},
    overlay::Activation,
    reason::Reason,
};

/// `break_glass_required`
///
/// An activation is for one principal, and a chain is only as trusted as each of its callers: all
/// callers that are no agents must be covered, in every scope, and there must be one. So an agent
/// may act for a human whose emergency was approved, but never unlocks anything by itself.
pub(super) fn is_unlocked<T: Trace>(
    ask: &Ask<'_>,
    outcome: &mut Outcome<'_, T>,
) -> ControlFlow<()> {
    if ask.entry.unlock != Unlock::BreakGlass || ask.entry.risk != Risk::Destructive {
        return ControlFlow::Continue(());
    }
    let destructive = ask
        .permissions()
        .find(|permission| ask.policy.permission_risk(*permission) == Some(Risk::Destructive));
    let Some(permission) = destructive else {
        return ControlFlow::Continue(());
    };
    let locked = ask.scopes.iter().find(|scope| !covers_chain(ask, **scope));
    match locked {
        Some(scope) => outcome.refuse_at(Reason::BreakGlassRequired, permission, Some(*scope)),
        None => ControlFlow::Continue(()),
    }
}

fn covers_chain(ask: &Ask<'_>, scope: ScopeId) -> bool {
    let answerable = |caller: &&Caller| caller.kind != Some(PrincipalType::Agent);
    let mut callers = ask.call.callers.iter().filter(answerable).peekable();
    callers.peek().is_some() && callers.all(|caller| covers(ask, caller, scope))
}

fn covers(ask: &Ask<'_>, caller: &Caller, scope: ScopeId) -> bool {
    let Some(principal) = caller.principal else {
        return false;
    };
    let name = ask.policy.principal_name(principal);
    let covering = |it: &Activation| {
        it.principal == name
            && ask.call.now < it.expires
            && is_listed(&it.surfaces, ask)
            && ask.policy.index().scopes.path_covers(&it.scope, scope)
    };
    // In discovery an activation may still come.
    ask.optimistic || ask.overlay.activations.iter().any(covering)
}
