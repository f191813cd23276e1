//! The order of a request: one straight line of stages, each of which consumes what the one
//! before it proved.
//!
//! `accept -> receive -> identify -> admit -> hold -> throttle -> record -> forward -> filter -> close`,
//! where `admit` is the gate's `parse -> classify -> coarse -> bind -> validate -> decide`.

mod filter;
mod forward;
mod receive;
mod refuse;
mod tunnel;

use std::{convert::Infallible, sync::Arc};

use hyper::{Method, Request, Response, body::Incoming};
use latchkey_engine::{overlay::Overlay, reason::Reason};
use latchkey_gate::{
    admit::{self, Outcome, Permit, Verdict},
    capability::Capability,
    event::EventOutcome,
    identity::Identity,
    wire::Refusal,
};

use crate::{
    answer::Answer,
    exchange::Exchange,
    identity::Asking,
    limit::{self, Told},
    listen::Peer,
    metadata,
    meter::Meter,
    panics, pins,
    run::Worker,
    telemetry::Stage,
    token_endpoint,
};
use filter::pass;
use forward::{Sent, forward};
use receive::{Received, receive};
use refuse::{Refused, broken, refuse};

pub(crate) use filter::sent_to;
pub(crate) use refuse::unrecorded;
pub(crate) use tunnel::Slot;

/// A request whose token, when it carries one, is verified.
#[derive(Debug)]
struct Identified {
    received: Box<Received>,
    identity: Option<Arc<Identity>>,
    /// What it says, where it is a token of a sidecar.
    capability: Option<Box<Capability>>,
}

/// A request that policy allows.
struct Admitted {
    identified: Identified,
    permit: Permit,
    /// What was taken away when it was decided.
    overlay: Arc<Overlay>,
}

/// A request that is within its limits, too.
struct Throttled(Admitted);

/// A request whose intent outlives the sidecar.
struct Recorded(Admitted);

/// Serves one request. Whatever happens, the exchange leaves exactly one event.
pub async fn serve(
    worker: Arc<Worker>,
    meter: Arc<Meter>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let served = panics::caught(Box::pin(stages(worker, meter, peer, request))).await;
    Ok(served.unwrap_or_else(broken))
}

async fn stages(
    worker: Arc<Worker>,
    meter: Arc<Meter>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let traceparent = request.headers().get("traceparent");
    let traceparent = traceparent.and_then(|value| value.to_str().ok());
    let mut exchange = Exchange::open(Arc::clone(&worker.shared), meter, traceparent);
    exchange.facts.address = peer.address;
    if exchange.is_one_too_many() {
        exchange.leave_unread();
        exchange.facts.reason = Reason::Overloaded;
        let refused = Refused {
            retry_after: Some(1),
            ..Refusal::http(Reason::Overloaded).into()
        };
        return refuse(&worker, exchange, &refused);
    }
    if token_endpoint::is_asked(&worker.shared, &request) {
        let answered = token_endpoint::serve(&worker, exchange, peer.on_loopback, request);
        return Box::pin(answered).await;
    }
    if let Some(document) = metadata::document(&worker.shared, &request) {
        return close_metadata(exchange, document);
    }
    match forward_if_allowed(&worker, &mut exchange, peer, request).await {
        Ok(Sent::Answer(forwarded)) => pass(&worker, exchange, forwarded).await,
        Ok(Sent::Tunnel(switched)) => tunnel::begin(&worker, exchange, *switched),
        Err(refused) => refuse(&worker, exchange, &refused),
    }
}

async fn forward_if_allowed(
    worker: &Arc<Worker>,
    exchange: &mut Exchange,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Sent, Refused> {
    let received = receive(worker, exchange, peer, request).await;
    let received = exchange.after(Stage::Receive, received)?;
    let identified = identify(worker, exchange, received).await;
    let identified = exchange.after(Stage::Identify, identified)?;
    let admitted = admit(worker, exchange, identified);
    let admitted = exchange.after(Stage::Admit, admitted)?;
    let known = hold(worker, exchange, admitted).await;
    let known = exchange.after(Stage::Hold, known)?;
    let bound = bound(exchange, known)?;
    let throttled = throttle(worker, exchange, bound).await?;
    let throttled = spend(worker, exchange, throttled).await;
    let throttled = exchange.after(Stage::Throttle, throttled)?;
    let recorded = record(exchange, throttled).await;
    let recorded = exchange.after(Stage::Record, recorded)?;
    let forwarded = forward(worker, exchange, recorded).await;
    exchange.after(Stage::Forward, forwarded)
}

async fn identify(
    worker: &Worker,
    exchange: &mut Exchange,
    received: Box<Received>,
) -> Result<Identified, Refused> {
    if let Some(token) = token_endpoint::shown(&received.head.headers) {
        let shared = &worker.shared;
        let (active, overlay) = (&received.active, shared.overlay());
        let shown = shared
            .capabilities
            .identify(active, &overlay, token, received.now);
        return match shown {
            Ok(shown) => Ok(Identified {
                received,
                identity: Some(shown.identity),
                capability: Some(shown.capability),
            }),
            Err(reason) => Err(received.refuse(exchange, reason)),
        };
    }
    let Received { head, now, .. } = &*received;
    let asking = Asking {
        active: &received.active,
        method: head.method.as_str(),
        path: head.uri.path(),
        headers: &head.headers,
        certificate: received.peer.client_certificate.as_ref(),
        now: *now,
    };
    match worker.callers.identify(&worker.shared, &asking).await {
        Ok(identity) => Ok(Identified {
            received,
            identity,
            capability: None,
        }),
        Err(error) => {
            let refused = received.refuse(exchange, error.reason);
            exchange.facts.detail = error.detail();
            Err(refused)
        }
    }
}

fn admit(
    worker: &Worker,
    exchange: &mut Exchange,
    identified: Identified,
) -> Result<Admitted, Refused> {
    let received = &identified.received;
    let overlay = worker.shared.overlay();
    let identity = identified.identity.as_deref();
    let Verdict { outcome, facts } = received.inbound(|inbound| {
        admit::admit_bound(
            &received.active.gate,
            &overlay,
            inbound,
            identity,
            received.now,
            &worker.shared.handles.sealer(),
        )
    });
    exchange.facts = facts;
    if let Some(traceparent) = exchange.facts.traceparent.take() {
        exchange.adopt(&traceparent);
    }
    match outcome {
        Outcome::Forward(permit) => Ok(Admitted {
            identified,
            permit,
            overlay,
        }),
        Outcome::Refuse(refusal) => Err(refusal.into()),
    }
}

/// Refuses what is not known to be what was reviewed.
async fn hold(
    worker: &Worker,
    exchange: &mut Exchange,
    admitted: Admitted,
) -> Result<Admitted, Refused> {
    let active = &admitted.identified.received.active;
    match pins::hold(&worker.shared, active, &mut exchange.facts).await {
        Ok(()) => Ok(admitted),
        Err(reason) => Err(admitted.permit.refusal(reason).into()),
    }
}

/// Refuses a call with a token that is bound to another.
fn bound(exchange: &mut Exchange, admitted: Admitted) -> Result<Admitted, Refused> {
    let Identified {
        capability: Some(capability),
        received,
        ..
    } = &admitted.identified
    else {
        return Ok(admitted);
    };
    let called = exchange.facts.surface.is_some();
    if called
        && token_endpoint::is_bound_elsewhere(capability, received.active.name(), &received.body)
    {
        exchange.facts.reason = Reason::TokenScope;
        exchange.facts.detail = Some("the token is bound to another request".to_owned());
        return Err(admitted.permit.refusal(Reason::TokenScope).into());
    }
    Ok(admitted)
}

/// Uses up a token that is for one call; traffic of the protocol is no call.
async fn spend(
    worker: &Worker,
    exchange: &mut Exchange,
    throttled: Throttled,
) -> Result<Throttled, Refused> {
    let identified = &throttled.0.identified;
    let (Some(capability), Some(identity), true) = (
        &identified.capability,
        &identified.identity,
        exchange.facts.surface.is_some(),
    ) else {
        return Ok(throttled);
    };
    let (shared, now) = (&worker.shared, identified.received.now);
    let spending = shared
        .capabilities
        .spend(shared, capability, identity.name(), now);
    if let Err(reason) = Box::pin(spending).await {
        exchange.facts.reason = reason;
        return Err(throttled.0.permit.refusal(reason).into());
    }
    Ok(throttled)
}

/// Counts the call: what it carries, or a stream that it opens.
async fn throttle(
    worker: &Worker,
    exchange: &mut Exchange,
    admitted: Admitted,
) -> Result<Throttled, Refused> {
    let received = &admitted.identified.received;
    let settings = received.active.gate.server_settings(received.active.server);
    let stream;
    let mut charges = admitted.permit.obligations();
    if let Some(most) = settings.map(|it| it.streams).filter(|most| *most > 0)
        && received.head.method == Method::GET
    {
        let identity = admitted.identified.identity.as_deref();
        let mut all = charges.to_vec();
        all.push(limit::stream(most, identity.map(Identity::name)));
        stream = all;
        charges = &stream;
    }
    if charges.is_empty() {
        return Ok(Throttled(admitted));
    }
    let shared = &worker.shared;
    let counted = shared
        .limits
        .count(shared.store.as_ref(), settings, charges);
    match counted.await {
        Ok(counted) => {
            exchange.counted = Some(Box::new(counted));
            Ok(Throttled(admitted))
        }
        Err(throttled) => {
            exchange.facts.reason = Reason::RateLimited;
            exchange.facts.detail = Some(throttled.detail());
            Err(Refused {
                refusal: Box::new(admitted.permit.refusal(Reason::RateLimited)),
                retry_after: Some(throttled.seconds()),
                told: Told::from(&throttled),
            })
        }
    }
}

async fn record(exchange: &mut Exchange, throttled: Throttled) -> Result<Recorded, Refused> {
    let Throttled(admitted) = throttled;
    if exchange.intend().await.is_err() {
        exchange.facts.reason = Reason::AuditUnavailable;
        return Err(admitted.permit.refusal(Reason::AuditUnavailable).into());
    }
    Ok(Recorded(admitted))
}

fn close_metadata(mut exchange: Box<Exchange>, document: Response<Answer>) -> Response<Answer> {
    "GET".clone_into(&mut exchange.facts.method);
    metadata::PATH.clone_into(&mut exchange.facts.path);
    exchange.facts.reason = Reason::Ok;
    exchange.status = document.status().as_u16();
    if exchange.close(EventOutcome::Success).is_err() {
        return unrecorded();
    }
    document
}
