//! The stage in which a request that is allowed goes to the server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{HeaderMap, Method, Request, Uri, http::request::Parts};
use latchkey_engine::{overlay::Overlay, reason::Reason};
use latchkey_gate::{
    admit::Permit,
    bridge::Crossing,
    filter::{Filter, FilterKind},
    identity::Identity,
    session::Bond,
    wire::Refusal,
};

use super::{
    Admitted, Identified, Recorded,
    receive::Received,
    refuse::Refused,
    tunnel::{self, Opened, Switched},
};
use crate::{
    answer::Standing,
    bridge,
    exchange::Exchange,
    limit,
    listen::Peer,
    run::Worker,
    session,
    supply::Active,
    upstream::{Inflow, Outbound},
};

/// What the tool server answers.
pub(super) enum Sent {
    Answer(Box<Forwarded>),
    Tunnel(Box<Switched>),
}

/// The answer to a request, with whoever it is for.
pub(super) struct Forwarded {
    pub(super) inflow: Inflow,
    pub(super) reader: Reader,
    pub(super) asked: Asked,
}

/// The eyes that an answer is filtered for.
pub(super) struct Reader {
    pub(super) active: Arc<Active>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) bond: Option<Bond>,
    /// The request's body, and what its caller is told where the server asks for what it may not.
    pub(super) request: Bytes,
    pub(super) denied: Option<Box<Refusal>>,
    pub(super) crossing: Option<Box<Crossing>>,
}

/// What a long answer stands on, beside the headers of its request.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) peer: Arc<Peer>,
    pub(super) named: session::Named,
    pub(super) overlay: Arc<Overlay>,
    /// The headers, where the request went to a server of the other era.
    pub(super) kept: Option<HeaderMap>,
}

pub(super) async fn forward(
    worker: &Arc<Worker>,
    exchange: &mut Exchange,
    recorded: Recorded,
) -> Result<Sent, Refused> {
    let Recorded(Admitted {
        identified,
        mut permit,
        overlay,
    }) = recorded;
    if permit.tunnels() {
        return Box::pin(turn(worker, exchange, identified, permit, overlay)).await;
    }
    let Identified {
        received, identity, ..
    } = identified;
    let Received {
        active,
        mut head,
        body,
        upload,
        peer,
        ..
    } = *received;
    let bond = permit.bond().cloned();
    let request = body.clone();
    let asks = |it: Filter| matches!(it.kind, FilterKind::Call | FilterKind::Task);
    let denied = permit.filter().is_some_and(asks);
    let denied = denied.then(|| Box::new(permit.refusal(Reason::ServerRequestDenied)));
    let named = bond
        .as_ref()
        .map(|bond| session::name_upstream(&mut head.headers, bond))
        .unwrap_or_default();
    let breaker = active.gate.server_settings(active.server);
    let breaker = worker.shared.breaker.ask(breaker.and_then(|it| it.breaker));
    let asking = breaker.map_err(|pause| left_alone(exchange, &permit, pause))?;
    permit.name(exchange.request_id(), &body);
    let crossing = permit.crossing().cloned().map(Box::new);
    let kept = crossing.is_some().then(|| head.headers.clone());
    let traceparent = exchange.traceparent();
    let outbound = Outbound {
        method: head.method.clone(),
        uri: &head.uri,
        headers: head.headers,
        body,
        upload,
        request_id: exchange.request_id(),
        traceparent: &traceparent,
    };
    let sent = bridge::send(worker, &active, permit, outbound, identity.as_deref()).await;
    asking.settle(sent.as_ref().err().map(Refusal::reason));
    match sent {
        Ok(inflow) => {
            let asked = Asked {
                method: head.method,
                uri: head.uri,
                peer,
                named,
                overlay,
                kept,
            };
            let reader = Reader {
                active,
                identity,
                bond,
                request,
                denied,
                crossing,
            };
            Ok(Sent::Answer(Box::new(Forwarded {
                inflow,
                reader,
                asked,
            })))
        }
        Err(refusal) => Err(bounced(exchange, refusal)),
    }
}

/// Asks the server to make the connection a WebSocket.
pub(super) async fn turn(
    worker: &Worker,
    exchange: &mut Exchange,
    identified: Identified,
    permit: Permit,
    overlay: Arc<Overlay>,
) -> Result<Sent, Refused> {
    let received = &identified.received;
    let active = Arc::clone(&received.active);
    let identity = identified.identity.clone();
    let asked = Asked {
        method: received.head.method.clone(),
        uri: received.head.uri.clone(),
        peer: Arc::clone(&received.peer),
        named: session::Named::default(),
        overlay,
        kept: None,
    };
    Ok(
        match tunnel::open(worker, exchange, identified, permit).await? {
            Opened::Tunnel(switched) => Sent::Tunnel(switched),
            Opened::Answer(inflow) => Sent::Answer(Box::new(Forwarded {
                inflow: *inflow,
                reader: Reader {
                    active,
                    identity,
                    bond: None,
                    request: Bytes::new(),
                    denied: None,
                    crossing: None,
                },
                asked,
            })),
        },
    )
}

/// A refusal because the server has failed too often of late.
fn left_alone(exchange: &mut Exchange, permit: &Permit, pause: Duration) -> Refused {
    exchange.facts.reason = Reason::UpstreamUnavailable;
    exchange.facts.detail = Some("it is left alone: limits.breaker".to_owned());
    Refused {
        retry_after: Some(limit::seconds_up(pause)),
        ..permit.refusal(Reason::UpstreamUnavailable).into()
    }
}

/// A refusal of what was allowed and could not be done.
pub(super) fn bounced(exchange: &mut Exchange, refusal: Refusal) -> Refused {
    exchange.facts.reason = refusal.reason();
    refusal.into()
}

/// A head without what belongs to its connection.
pub(super) fn head_only(head: &Parts) -> Parts {
    let (mut kept, ()) = Request::new(()).into_parts();
    kept.method.clone_from(&head.method);
    kept.uri.clone_from(&head.uri);
    kept.version = head.version;
    kept.headers.clone_from(&head.headers);
    kept
}

impl Asked {
    /// What a long answer stands on; `headers` are those of the request as it left.
    pub(super) fn standing(
        self,
        headers: HeaderMap,
        event_id: &str,
        sealed: bool,
    ) -> Box<Standing> {
        let mut headers = self.kept.unwrap_or(headers);
        session::name_back(&mut headers, self.named);
        Box::new(Standing {
            method: self.method,
            uri: self.uri,
            headers,
            peer: self.peer,
            event_id: event_id.to_owned(),
            sealed,
            overlay: self.overlay,
            decided: Instant::now(),
        })
    }
}
