//! What operators are told of the supply, beside the metrics.

use std::sync::Arc;

use latchkey_engine::time::Time;
use latchkey_gate::{
    event::{Event, EventOutcome, Exchanged, Unsealed},
    supply::Warning,
};

use crate::{exchange::timestamp, ids, run::Shared};

/// What operators are told.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// When the source was asked last and everything it offers was in force afterwards.
    pub last_success: Option<Time>,
    /// Why what the source offers is not in force, or why it could not be asked.
    pub bundle_error: Option<Fault>,
    /// The pointer heeded last.
    pub pointer: Option<PointerStatus>,
    /// The trust root in use.
    pub trust: Option<TrustStatus>,
    /// Whether the version floor on the disk is the one in memory.
    pub floor_persisted: bool,
    /// When the source is asked next, if nothing asks for it before.
    pub next_poll: Option<Time>,
    /// What does not keep a release out but must not go unseen.
    pub warnings: Vec<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stable word.
    pub word: &'static str,
    /// What and why.
    pub text: String,
    /// Since when it has been so.
    pub since: Time,
}

/// The pointer heeded last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointerStatus {
    /// Its version.
    pub version: u64,
    /// When it was signed.
    pub issued_at: Time,
    /// The first instant at which it says nothing any more.
    pub expires: Time,
}

/// The trust root in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustStatus {
    /// Its version.
    pub version: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The first instant at which nothing new is accepted by it any more.
    pub expires: Option<Time>,
}

/// Changes what operators are told.
pub(super) fn report(shared: &Shared, change: impl FnOnce(&mut Status)) {
    let mut status = Status::clone(&shared.status.load());
    change(&mut status);
    shared.status.store(Arc::new(status));
}

/// Tells the warnings of the release that is offered; each is logged when it is new.
pub(super) fn warn(shared: &Shared, warnings: &[Warning]) {
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let before = shared.status.load();
    for warning in &warnings {
        if !before.warnings.contains(warning) {
            tracing::warn!(target: "supply", warning, "release accepted with a warning");
        }
    }
    if before.warnings != warnings {
        report(shared, |status| status.warnings = warnings);
    }
}

/// Records what happened to a bundle, or to an issuer's keys, beside the requests.
pub(crate) fn tell(shared: &Shared, event_type: &str, detail: String) {
    let active = shared.active();
    let release = active.as_deref().map(|active| &active.release);
    let id = ids::uuid();
    let mut event = Event::lifecycle(
        event_type,
        &Exchanged {
            event_id: &id,
            event_time: &timestamp(ids::now()),
            request_id: &id,
            outcome: EventOutcome::Success,
            sidecar_id: shared.audit.sidecar(),
            sidecar_version: env!("CARGO_PKG_VERSION"),
            bundle_digest: active.as_deref().map_or("", |active| active.gate.digest()),
            source_commit: release.and_then(|release| release.commit.as_deref()),
            ..Exchanged::default()
        },
    );
    event.detail = Some(detail);
    // The log says so itself when it cannot be written.
    let _ = shared.audit.record(&id, Unsealed::from(&event), None);
}
