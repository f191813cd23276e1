//! Run-time facts that only subtract, and verified activations. Keyed by names, so that they
//! outlive a bundle.

use crate::time::Time;

/// What the running system has learnt since the bundle was built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Ids of revoked tokens; sorted.
    pub revoked_tokens: Vec<String>,
    /// Names of suspended principals; sorted.
    pub suspended: Vec<String>,
    /// Urgently denied surfaces, as `server/name`; sorted.
    pub denied: Vec<String>,
    /// Break-glass in force.
    pub activations: Vec<Activation>,
}

/// A verified break-glass activation. It unlocks, it never grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// Its id.
    pub id: String,
    /// The principal that it is for.
    pub principal: String,
    /// The surfaces, as `server/name`; sorted.
    pub surfaces: Vec<String>,
    /// The scope, as a path.
    pub scope: String,
    /// The first instant no longer in force.
    pub expires: Time,
}

impl Overlay {
    /// Sorts what must be sorted. Call once after filling it in.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.revoked_tokens.sort_unstable();
        self.suspended.sort_unstable();
        self.denied.sort_unstable();
        for activation in &mut self.activations {
            activation.surfaces.sort_unstable();
        }
        self
    }
}
