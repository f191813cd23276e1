//! Which of the permissions that are asked for a caller holds.

use latchkey_engine::{
    call::{Arguments, Call, Operation, Scopes},
    decide::discover,
    decision::Visibility,
    id::ServerId,
    overlay::Overlay,
    time::Time,
};

use crate::{gate::Gate, identity::Identity};

/// Those of the asked permissions that are of this server and that some call of this caller could
/// be allowed by now; sorted. A token that restricts the caller restricts them, too.
#[must_use]
pub fn narrow<'a>(
    gate: &Gate,
    overlay: &Overlay,
    identity: &Identity,
    server: ServerId,
    asked: impl IntoIterator<Item = &'a str>,
    now: Time,
) -> Vec<String> {
    let policy = gate.policy();
    let held = |name: &&str| {
        let permission = policy.permission_by_name(name)?;
        let (surface, operation) = policy.permission_surface(permission)?;
        let entry = policy.surface_entry(surface)?;
        let position = [operation.unwrap_or(0)];
        let call = Call {
            callers: identity.callers(),
            surface: Some(surface),
            operation: match operation {
                Some(_) => Operation::These(&position),
                None => Operation::None,
            },
            scopes: Scopes::Any,
            arguments: Arguments::Unknown,
            address: None,
            token_permissions: identity.permissions(),
            token_id: identity.token_id(),
            now,
        };
        let seen = discover(policy, overlay, &call);
        (entry.server == server && seen != Visibility::Never).then_some(())
    };
    let mut held: Vec<String> = asked
        .into_iter()
        .filter(|name| held(name).is_some())
        .map(str::to_owned)
        .collect();
    held.sort_unstable();
    held.dedup();
    held
}
