//! The first stage: a request, its policy and its body.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    Request,
    body::{Body, Incoming},
    http::request::Parts,
};
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::{
    admit::{self, Outcome},
    inbound::Inbound,
    passage,
    wire::Refusal,
};

use super::refuse::Refused;
use crate::{
    answer::now,
    body::read,
    config::ListenConfig,
    exchange::Exchange,
    host,
    listen::Peer,
    run::Worker,
    supply::{Active, Way},
    upload::{Patience, Upload},
};

/// A request whose body is complete and within its limits, or passes as it comes. Boxed, because it
/// goes from stage to stage.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) active: Arc<Active>,
    pub(super) head: Parts,
    pub(super) body: Bytes,
    /// The body that nobody reads.
    pub(super) upload: Option<Box<Upload>>,
    pub(super) peer: Arc<Peer>,
    pub(super) now: Time,
}

/// Takes the policy that a request is decided under, and its body.
pub(super) async fn receive(
    worker: &Worker,
    exchange: &mut Exchange,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Box<Received>, Refused> {
    let Some(active) = worker.shared.active() else {
        exchange.facts.reason = Reason::PolicyUnavailable;
        return Err(Refusal::http(Reason::PolicyUnavailable).into());
    };
    exchange.under(&active);
    let (head, body) = request.into_parts();
    let mut received = Box::new(Received {
        active,
        head,
        body: Bytes::new(),
        upload: None,
        peer,
        now: now(),
    });
    if let Err((reason, detail)) = received.take(worker, exchange, body).await {
        let refused = received.refuse(exchange, reason);
        exchange.facts.detail = Some(detail);
        return Err(refused);
    }
    received.now = now();
    if !received.is_for(&worker.shared.config.listen) {
        let refused = received.refuse(exchange, Reason::MalformedRequest);
        let detail = "the Host or Origin header names another host: see [listen] hosts";
        exchange.facts.detail = Some(detail.to_owned());
        return Err(refused);
    }
    let over = worker.shared.is_over(&received.active, received.now);
    if over || !worker.shared.overlay_is_known() {
        return Err(received.refuse(exchange, Reason::PolicyUnavailable));
    }
    Ok(received)
}

impl Received {
    /// Takes the whole body, or gets it ready to pass as it comes.
    async fn take(
        &mut self,
        worker: &Worker,
        exchange: &mut Exchange,
        body: Incoming,
    ) -> Result<(), (Reason, String)> {
        let patience = worker.shared.config.listen.body_timeout.0;
        let gate = &self.active.gate;
        let unread = match &self.active.way {
            Way::Connect(target) if gate.streams() && !body.is_end_stream() => self
                .inbound(|inbound| passage::streamed(gate, inbound))
                .map(|most| (most, target.timeout())),
            _ => None,
        };
        if let Some((most, server)) = unread {
            let caller = patience;
            let upload = Upload::new(body, most, Patience { caller, server }, exchange.meter());
            let upload = upload.map_err(|reason| {
                exchange.leave_unread();
                (reason, reason.title().to_owned())
            })?;
            exchange.passed_in = Some(upload.counter());
            self.upload = Some(Box::new(upload));
            return Ok(());
        }
        let (body, fault) = match read(body, self.active.max_body, patience).await {
            Ok(body) => (body, Ok(())),
            Err((body, unread)) => {
                exchange.leave_unread();
                (body, Err((unread.reason(), unread.to_string())))
            }
        };
        exchange.bytes_in = body.len() as u64;
        self.body = body;
        fault
    }

    /// Whether it names the listener that it came to.
    fn is_for(&self, config: &ListenConfig) -> bool {
        let Parts { uri, headers, .. } = &self.head;
        host::is_served(config, self.peer.on_loopback, uri, headers)
    }

    /// Shows the request to the gate.
    pub(super) fn inbound<T>(&self, see: impl FnOnce(&Inbound<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let target = self.head.uri.path_and_query();
        see(&Inbound {
            server: self.active.server,
            method: self.head.method.as_str(),
            target: target.map_or("", |target| target.as_str()),
            headers: &headers,
            body: &self.body,
            peer: self.peer.address,
        })
    }

    pub(super) fn refuse(&self, exchange: &mut Exchange, reason: Reason) -> Refused {
        let verdict = self.inbound(|inbound| admit::refuse(&self.active.gate, inbound, reason));
        exchange.facts = verdict.facts;
        match verdict.outcome {
            Outcome::Refuse(refusal) => refusal.into(),
            Outcome::Forward(_) => Refusal::http(Reason::Internal).into(),
        }
    }
}
