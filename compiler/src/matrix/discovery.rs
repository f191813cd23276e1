//! What a caller may ever reach, asked of the engine's discovery.

use std::collections::BTreeSet;

use latchkey_engine::{
    call::{Arguments, Call, Operation, Scopes},
    decide::discover,
    decision::Visibility,
    overlay::Overlay,
};
use latchkey_gate::{call::Asker, gate::Gate};

use crate::model::{Permission, SurfaceName};
use crate::text::Text;

/// The permissions of the server that some call of this caller could have.
pub fn reachable(gate: &Gate, overlay: &Overlay, asker: &Asker) -> BTreeSet<Permission> {
    let mut reachable = BTreeSet::new();
    let Ok(identity) = &asker.identity else {
        // Who is refused before the policy is asked reaches nothing.
        return reachable;
    };
    let callers = identity.as_ref().map_or(&[][..], |it| it.callers());
    let policy = gate.policy();
    let Some(server) = policy.server_entry(asker.server) else {
        return reachable;
    };
    for surface in policy.surfaces(asker.server) {
        let Some(entry) = policy.surface_entry(surface) else {
            continue;
        };
        let values = entry
            .operations
            .iter()
            .flat_map(|operations| &operations.values);
        let operations: Vec<Option<&str>> = match &entry.operations {
            None => vec![None],
            Some(_) => values.map(|(value, _)| Some(value.as_str())).collect(),
        };
        for (at, operation) in operations.into_iter().enumerate() {
            let these = [at];
            let call = Call {
                callers,
                surface: Some(surface),
                operation: operation.map_or(Operation::None, |_| Operation::These(&these)),
                scopes: Scopes::Any,
                arguments: Arguments::Unknown,
                address: None,
                token_permissions: identity.as_ref().and_then(|it| it.permissions()),
                token_id: identity.as_ref().and_then(|it| it.token_id()),
                now: asker.now,
            };
            if discover(policy, overlay, &call) != Visibility::Never {
                reachable.insert(Permission {
                    surface: SurfaceName {
                        server: server.name.as_str().into(),
                        name: entry.name.as_str().into(),
                    },
                    operation: operation.map(Text::from),
                });
            }
        }
    }
    reachable
}
