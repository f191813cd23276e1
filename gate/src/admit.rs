//! From a request to a verdict: the one path that tests, tools and the sidecar share.

mod facts;
mod permit;

use latchkey_engine::{overlay::Overlay, reason::Reason, time::Time};

pub use facts::{Facts, SlotFact, SlotValue};
pub use permit::{Body, Permit};

use crate::{gate::Gate, identity::Identity, inbound::Inbound, wire::Refusal};

/// What becomes of a request, and all that is known of it.
#[derive(Debug)]
pub struct Verdict {
    /// Forward or refuse.
    pub outcome: Outcome,
    /// What the audit event says.
    pub facts: Facts,
}

/// Forward or refuse.
#[derive(Debug)]
pub enum Outcome {
    /// It may go on, as the permit says.
    Forward(Permit),
    /// It may not; this is the answer.
    Refuse(Refusal),
}

/// Decides one request. `identity` is `None` for a request that carries no token; a token that
/// is present and bad goes to [`refuse`].
#[must_use]
pub fn admit(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
) -> Verdict {
    let _ = (overlay, identity, now);
    refuse(gate, inbound, Reason::Internal)
}

/// The same as [`admit`], and the facts name every granting binding and every near miss: for
/// `test`, `eval` and `explain`.
#[must_use]
pub fn admit_explained(
    gate: &Gate,
    overlay: &Overlay,
    inbound: &Inbound<'_>,
    identity: Option<&Identity>,
    now: Time,
) -> Verdict {
    admit(gate, overlay, inbound, identity, now)
}

/// Refuses a request for a reason found outside: a bad token, a body over the limit (give what was
/// read of it), no verified bundle. The answer still fits the request: its protocol and its id.
#[must_use]
pub fn refuse(gate: &Gate, inbound: &Inbound<'_>, reason: Reason) -> Verdict {
    let _ = (gate, inbound);
    Verdict {
        outcome: Outcome::Refuse(Refusal::http(reason)),
        facts: Facts::new(reason),
    }
}
