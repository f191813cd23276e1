//! What is written of a request before it goes upstream.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::{Facts, Who},
    event::{Event, EventOutcome, Exchanged},
};
use serde::{Deserialize, Serialize};

/// Enough of a request to write its event after a crash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent<'a> {
    /// The id of the event to come.
    pub event_id: Cow<'a, str>,
    /// When the request came in.
    pub event_time: Cow<'a, str>,
    /// The trace that it belongs to.
    pub trace_id: Cow<'a, str>,
    /// The span of this hop.
    pub span_id: Cow<'a, str>,
    /// The slice that decided.
    pub bundle_digest: Cow<'a, str>,
    /// The commit of the slice.
    pub source_commit: Option<Cow<'a, str>>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    server: Cow<'a, str>,
    method: Cow<'a, str>,
    path: Cow<'a, str>,
    rpc_id: Option<Cow<'a, str>>,
    protocol: Option<Cow<'a, str>>,
    surface: Option<Cow<'a, str>>,
    risk: Option<Cow<'a, str>>,
    operation: Option<Cow<'a, str>>,
    scopes: Cow<'a, [String]>,
    permissions: Cow<'a, [String]>,
    callers: Cow<'a, [String]>,
    principal_type: Cow<'a, str>,
    organization: Option<Cow<'a, str>>,
    team: Option<Cow<'a, str>>,
    issuer: Option<Cow<'a, str>>,
    token_id: Option<Cow<'a, str>>,
    token_hash: Option<Cow<'a, str>>,
    address: Option<IpAddr>,
    granted_by: Cow<'a, [String]>,
    activation: Option<Cow<'a, str>>,
}

impl<'a> Intent<'a> {
    /// The intent to forward a request.
    #[must_use]
    pub fn of(facts: &'a Facts, exchanged: &Exchanged<'a>) -> Self {
        Self {
            event_id: exchanged.event_id.into(),
            event_time: exchanged.event_time.into(),
            trace_id: exchanged.trace_id.into(),
            span_id: exchanged.span_id.into(),
            bundle_digest: exchanged.bundle_digest.into(),
            source_commit: exchanged.source_commit.map(Cow::from),
            bytes_in: exchanged.bytes_in,
            server: facts.server.as_str().into(),
            method: facts.method.as_str().into(),
            path: facts.path.as_str().into(),
            rpc_id: facts.rpc_id.as_deref().map(Cow::from),
            protocol: facts.protocol.as_deref().map(Cow::from),
            surface: facts.surface.as_deref().map(Cow::from),
            risk: facts.risk.map(Cow::from),
            operation: facts.operation.as_deref().map(Cow::from),
            scopes: facts.scopes.as_slice().into(),
            permissions: facts.permissions.as_slice().into(),
            callers: facts.who.callers.as_slice().into(),
            principal_type: facts.who.principal_type.into(),
            organization: facts.who.organization.as_deref().map(Cow::from),
            team: facts.who.team.as_deref().map(Cow::from),
            issuer: facts.who.issuer.as_deref().map(Cow::from),
            token_id: facts.who.token_id.as_deref().map(Cow::from),
            token_hash: facts.who.token_hash.as_deref().map(Cow::from),
            address: facts.address,
            granted_by: facts.granted_by.as_slice().into(),
            activation: facts.activation.as_deref().map(Cow::from),
        }
    }

    /// The event of a request whose end nobody saw.
    #[must_use]
    pub fn cut_off(&self, sidecar_id: &str) -> Event {
        Event::request(
            &self.facts(),
            &Exchanged {
                event_id: &self.event_id,
                event_time: &self.event_time,
                request_id: &self.event_id,
                trace_id: &self.trace_id,
                span_id: &self.span_id,
                outcome: EventOutcome::Internal,
                bytes_in: self.bytes_in,
                sidecar_id,
                sidecar_version: env!("CARGO_PKG_VERSION"),
                bundle_digest: &self.bundle_digest,
                source_commit: self.source_commit.as_deref(),
                ..Exchanged::default()
            },
        )
    }

    fn facts(&self) -> Facts {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let mut facts = Facts::blank(Reason::Ok);
        facts.server = self.server.clone().into_owned();
        facts.method = self.method.clone().into_owned();
        facts.path = self.path.clone().into_owned();
        facts.rpc_id = owned(&self.rpc_id);
        facts.protocol = owned(&self.protocol);
        facts.surface = owned(&self.surface);
        facts.risk = known(self.risk.as_deref(), &["read", "write", "destructive"]);
        facts.operation = owned(&self.operation);
        facts.scopes = self.scopes.to_vec();
        facts.permissions = self.permissions.to_vec();
        facts.who = Arc::new(Who {
            callers: self.callers.to_vec(),
            principal_type: known(Some(&self.principal_type), &PRINCIPAL_TYPES)
                .unwrap_or("unknown"),
            organization: owned(&self.organization),
            team: owned(&self.team),
            groups: Vec::new(),
            issuer: owned(&self.issuer),
            token_id: owned(&self.token_id),
            token_hash: owned(&self.token_hash),
        });
        facts.address = self.address;
        facts.granted_by = self.granted_by.to_vec();
        facts.activation = owned(&self.activation);
        facts.visible = true;
        facts.detail = Some("cut_off: the sidecar stopped before the answer ended".to_owned());
        facts
    }
}

const PRINCIPAL_TYPES: [&str; 5] = ["human", "service", "agent", "unknown", "anonymous"];

fn known(text: Option<&str>, words: &[&'static str]) -> Option<&'static str> {
    words.iter().copied().find(|word| Some(*word) == text)
}
