//! Calls while break-glass is activated for everybody in them.

use latchkey_engine::{
    overlay::{Activation, Overlay},
    time::Time,
};
use latchkey_gate::call::{Stated, StatedCaller};

use super::{answer, world::Side};

/// Whether a call of a surface is allowed by the new policy only, while that lasts.
pub(super) fn opens(sides: [&Side<'_>; 2], surface: &str, call: &Stated) -> bool {
    let [before, after] = sides.map(|side| {
        let overlay = overlay(side, surface, call);
        answer(side.gate, &overlay, call).decision == "allow"
    });
    !before && after
}

fn overlay(side: &Side<'_>, surface: &str, call: &Stated) -> Overlay {
    let callers = call.caller.iter().chain(&call.on_behalf_of);
    let names = callers.filter_map(|caller| name(side, caller));
    let activations = names.map(|principal| Activation {
        id: principal.clone(),
        principal,
        surfaces: vec![surface.to_owned()],
        scope: "platform".to_owned(),
        expires: Time(i64::MAX),
    });
    Overlay {
        activations: activations.collect(),
        ..Overlay::default()
    }
}

/// Nobody can activate for whom the policy does not declare.
fn name(side: &Side<'_>, caller: &StatedCaller) -> Option<String> {
    if caller.principal.is_some() {
        return caller.principal.clone();
    }
    let issuer = side.policy.issuer(caller.issuer.as_deref()?)?;
    let subject = caller.subject.as_deref()?;
    let principal = side.policy.principal_by_identity(issuer, subject)?;
    Some(side.policy.principal_name(principal).to_owned())
}
