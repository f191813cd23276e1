//! One decision.

use crate::{
    call::Call,
    decision::{Decision, Trace, Visibility},
    overlay::Overlay,
    policy::Policy,
};

/// Decides one call. Pure, total, and without allocation.
pub fn decide<T: Trace>(
    _policy: &Policy,
    _overlay: &Overlay,
    _call: &Call<'_>,
    _trace: &mut T,
) -> Decision {
    Decision {
        reason: crate::reason::Reason::Internal,
        because: None,
        permission: None,
        scope: None,
        obligations: crate::decision::Obligations(0),
    }
}

/// Finds whether any call that fits could be allowed.
#[must_use]
pub fn discover(_policy: &Policy, _overlay: &Overlay, _call: &Call<'_>) -> Visibility {
    Visibility::Never
}
