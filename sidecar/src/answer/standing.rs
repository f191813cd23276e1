//! What a long answer stands on: its request, which is decided again for as long as it runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};
use latchkey_engine::{overlay::Overlay, reason::Reason, time::Time};
use latchkey_gate::{
    admit::{self, Facts, Outcome, Verdict},
    filter::FilterKind,
    identity::Identity,
    inbound::Inbound,
    wire::{self, Refusal},
};

use super::{Rules, now};
use crate::{identity::Asking, listen::Peer, supply::Active, token_endpoint};

/// How long a decision stands while nothing is known to have changed: conditions read the clock.
const STANDS: Duration = Duration::from_secs(30);

/// The request behind a long answer, as its caller sent it.
#[derive(Debug)]
pub struct Standing {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// The connection that it came on.
    pub peer: Arc<Peer>,
    /// The id of its event.
    pub event_id: String,
    /// Whether no word can be put into its answer, which is compressed.
    pub sealed: bool,
    /// What was taken away when it was decided last.
    pub overlay: Arc<Overlay>,
    /// When that was.
    pub decided: Instant,
}

/// An answer that ends before its server ends it.
#[derive(Debug, Default)]
pub(super) struct Over {
    /// What was decided; none where it was not denied.
    pub(super) facts: Option<Facts>,
    /// The bundle that decided.
    pub(super) active: Option<Arc<Active>>,
    /// The last that its caller is told.
    pub(super) told: Bytes,
}

impl Standing {
    fn inbound<T>(&self, active: &Active, body: &[u8], see: impl FnOnce(&Inbound<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let target = self.uri.path_and_query();
        see(&Inbound {
            server: active.server,
            method: self.method.as_str(),
            target: target.map_or("", |target| target.as_str()),
            headers: &headers,
            body,
            peer: self.peer.address,
        })
    }
}

impl Rules {
    /// Decides the request again, if what it was decided by has changed, by what is in force now.
    pub(super) fn stand(&mut self) -> Result<(), Box<Over>> {
        let shared = &self.worker.shared;
        let (active, overlay, now) = (shared.active(), shared.overlay(), now());
        let Some(standing) = self.standing.as_deref_mut() else {
            return Ok(());
        };
        let same = |it: &Arc<Active>| it.generation == self.active.generation;
        let expired = |it: &Arc<Identity>| it.expires_at() <= now;
        if active.as_ref().is_some_and(same)
            && Arc::ptr_eq(&overlay, &standing.overlay)
            && standing.decided.elapsed() < STANDS
            && !self.identity.as_ref().is_some_and(expired)
        {
            return Ok(());
        }
        (standing.overlay, standing.decided) = (Arc::clone(&overlay), Instant::now());
        let Some(active) = active.filter(|it| !shared.is_over(it, now)) else {
            let active = Arc::clone(&self.active);
            return Err(self.refused(&active, Reason::PolicyUnavailable));
        };
        if self.filter.kind.is_watched() && !active.way.leads_as(&self.active.way) {
            return Err(moved(&active));
        }
        match self.identify(&active, &overlay, now) {
            Ok(identity) => self.admit_again(active, &overlay, identity, now),
            Err(reason) => Err(self.refused(&active, reason)),
        }
    }

    fn admit_again(
        &mut self,
        active: Arc<Active>,
        overlay: &Overlay,
        identity: Option<Arc<Identity>>,
        now: Time,
    ) -> Result<(), Box<Over>> {
        let Some(standing) = &self.standing else {
            return Ok(());
        };
        let sealer = self.worker.shared.handles.sealer();
        let (gate, who) = (&active.gate, identity.as_deref());
        let Verdict { outcome, facts } = standing.inbound(&active, &self.request, |inbound| {
            admit::admit_again(gate, overlay, inbound, who, now, &sealer)
        });
        match outcome {
            Outcome::Forward(permit) => {
                if let Some(filter) = permit.filter() {
                    self.filter = filter;
                }
                (self.active, self.identity) = (active, identity);
                Ok(())
            }
            Outcome::Refuse(refusal) => Err(self.denied(&active, facts, &refusal)),
        }
    }

    /// Who calls, by the bundle and the keys in force now.
    fn identify(
        &self,
        active: &Active,
        overlay: &Overlay,
        now: Time,
    ) -> Result<Option<Arc<Identity>>, Reason> {
        let Some(standing) = &self.standing else {
            return Ok(None);
        };
        let shared = &self.worker.shared;
        if let Some(token) = token_endpoint::shown(&standing.headers) {
            let shown = shared.capabilities.identify(active, overlay, token, now);
            return shown.map(|shown| Some(shown.identity));
        }
        let asking = Asking {
            active,
            method: standing.method.as_str(),
            path: standing.uri.path(),
            headers: &standing.headers,
            certificate: standing.peer.client_certificate.as_ref(),
            now,
        };
        self.worker.callers.again(shared, &asking)
    }

    fn refused(&self, active: &Arc<Active>, reason: Reason) -> Box<Over> {
        let Some(standing) = &self.standing else {
            return Box::new(Over::default());
        };
        let verdict = standing.inbound(active, &self.request, |inbound| {
            admit::refuse(&active.gate, inbound, reason)
        });
        match verdict.outcome {
            Outcome::Refuse(refusal) => self.denied(active, verdict.facts, &refusal),
            Outcome::Forward(_) => Box::new(Over::default()),
        }
    }

    fn denied(&self, active: &Arc<Active>, mut facts: Facts, refusal: &Refusal) -> Box<Over> {
        let ended = "it was allowed when it began, and ended when it was decided again";
        facts.detail.get_or_insert_with(|| ended.to_owned());
        Box::new(Over {
            facts: Some(facts),
            active: Some(Arc::clone(active)),
            told: self.told(refusal),
        })
    }

    /// The last event: an error in answer to the request, or a comment where there is none. Whatever
    /// event has begun ends before it.
    fn told(&self, refusal: &Refusal) -> Bytes {
        if self.standing.as_ref().is_some_and(|it| it.sealed) {
            return Bytes::new();
        }
        if matches!(self.filter.kind, FilterKind::Stream | FilterKind::Unread) {
            return format!("\n\n: {}\n\n", refusal.told()).into();
        }
        let event_id = self.standing.as_ref().map(|it| it.event_id.as_str());
        let response = refusal.response(&wire::Exchange {
            request_id: event_id.unwrap_or_default(),
            ..wire::Exchange::default()
        });
        [
            b"\n\nevent: message\ndata: ".as_slice(),
            &response.body,
            b"\n\n",
        ]
        .concat()
        .into()
    }
}

/// The server is somewhere else now: the caller opens its stream again, there.
fn moved(active: &Arc<Active>) -> Box<Over> {
    Box::new(Over {
        active: Some(Arc::clone(active)),
        told: Bytes::from_static(b"\n\n: the server has moved\n\n"),
        ..Over::default()
    })
}
