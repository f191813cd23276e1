//! A connection that has become a WebSocket: what passes is not read, but the decision that let it
//! begin is taken again for as long as it lasts, and both ends are told when it falls.

mod frames;
mod pump;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::{
    Request, Response, StatusCode,
    header::{self, HeaderValue},
    http::response::Parts,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::{self, Outcome, Permit},
    event::EventOutcome,
};
use pump::Pump;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Identified,
    forward::{bounced, head_only},
    refuse::Refused,
};
use crate::{
    answer::{Answer, now},
    exchange::Exchange,
    http1::Connection,
    identity::Asking,
    ids,
    run::Worker,
    socket::Channel,
    supply::Way,
    token_endpoint,
    upstream::{Inflow, Outbound, Turned},
};

/// How often it is decided again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one side may go on after the other has ended.
const LAST_WORD: Duration = Duration::from_secs(2);
/// The codes with which a WebSocket ends.
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;
const BAD_GATEWAY: u16 = 1014;

/// A tunnel that begins once its caller has the answer.
#[derive(Debug)]
pub(crate) struct Tunnel {
    worker: Arc<Worker>,
    exchange: Box<Exchange>,
    /// What is decided again.
    identified: Identified,
    client: OnUpgrade,
    server: Channel,
    /// What the server has said already.
    read: BytesMut,
}

/// Carries a tunnel from the request that asked for it to the connection that becomes it.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<Mutex<Option<Box<Tunnel>>>>);

impl Slot {
    /// Takes it out, once.
    pub(crate) fn take(&self) -> Option<Box<Tunnel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a server answers to a request to become a WebSocket.
pub(super) enum Opened {
    Tunnel(Box<Switched>),
    Answer(Box<Inflow>),
}

/// The server agrees.
pub(super) struct Switched {
    head: Parts,
    connection: Connection,
    identified: Identified,
}

/// Asks the server.
pub(super) async fn open(
    worker: &Worker,
    exchange: &mut Exchange,
    mut identified: Identified,
    permit: Permit,
) -> Result<Opened, Refused> {
    let received = &mut identified.received;
    let active = Arc::clone(&received.active);
    let Way::Connect(target) = &active.way else {
        return Err(bounced(exchange, permit.refusal(Reason::UpgradeDenied)));
    };
    let traceparent = exchange.traceparent();
    let outbound = Outbound {
        method: received.head.method.clone(),
        uri: &received.head.uri.clone(),
        headers: received.head.headers.clone(),
        body: Bytes::new(),
        upload: None,
        request_id: exchange.request_id(),
        traceparent: &traceparent,
    };
    match worker.upstream.switch(target, permit, outbound).await {
        Ok(Turned::Answered(inflow)) => Ok(Opened::Answer(inflow)),
        Ok(Turned::Switched(head, connection)) => Ok(Opened::Tunnel(Box::new(Switched {
            head,
            connection: *connection,
            identified,
        }))),
        Err(refusal) => Err(bounced(exchange, refusal)),
    }
}

/// The answer that the tunnel begins with; its caller must serve what is in its [`Slot`].
pub(super) fn begin(
    worker: &Arc<Worker>,
    mut exchange: Box<Exchange>,
    switched: Switched,
) -> Response<Answer> {
    let Switched {
        head,
        connection,
        mut identified,
    } = switched;
    exchange.status = head.status.as_u16();
    let kept = head_only(&identified.received.head);
    let asked = std::mem::replace(&mut identified.received.head, kept);
    let client = hyper::upgrade::on(Request::from_parts(asked, ()));
    let (server, read) = connection.into_parts();
    let tunnel = Tunnel {
        worker: Arc::clone(worker),
        exchange,
        identified,
        client,
        server,
        read,
    };
    let mut response = Response::from_parts(head, Answer::whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let slot = Slot(Arc::new(Mutex::new(Some(Box::new(tunnel)))));
    response.extensions_mut().insert(slot);
    response
}

/// Why a tunnel ends.
enum Ended {
    /// One of the two has ended it.
    Closed,
    /// The tool server broke off.
    Broken,
    /// It may last no longer.
    Forbidden(Reason, &'static str),
    /// Nothing has passed for too long, or the sidecar stops.
    Left(&'static str),
}

impl Ended {
    /// What the caller is told: a code of section 7.4 of RFC 6455 and its registry, and a reason.
    fn farewell(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::Closed => None,
            Self::Broken => Some((BAD_GATEWAY, Reason::UpstreamUnavailable.as_str())),
            Self::Forbidden(reason, _) => Some((POLICY_VIOLATION, reason.as_str())),
            Self::Left(what) => Some((GOING_AWAY, what)),
        }
    }
}

impl Tunnel {
    /// Passes on what comes until one side ends, or the decision falls.
    pub(crate) async fn run(mut self) {
        let patience = self.worker.shared.config.listen.head_timeout.0;
        let Ok(Ok(client)) = timeout(patience, &mut self.client).await else {
            // Dropped, the exchange says that the caller went away.
            return;
        };
        let (inward, outward) = (AtomicU64::new(0), AtomicU64::new(0));
        let ended = self.pass(TokioIo::new(client), &inward, &outward).await;
        let Self { mut exchange, .. } = self;
        exchange.bytes_in = inward.load(Relaxed);
        exchange.bytes_out = outward.load(Relaxed);
        let outcome = match ended {
            Ended::Closed => EventOutcome::Success,
            Ended::Broken => EventOutcome::UpstreamError,
            Ended::Left(what) => {
                exchange.facts.detail = Some(what.to_owned());
                EventOutcome::Timeout
            }
            Ended::Forbidden(reason, what) => {
                exchange.facts.reason = reason;
                exchange.facts.detail = Some(what.to_owned());
                EventOutcome::Denied
            }
        };
        // What has passed has passed; without a record the sidecar lets nothing more begin.
        let _ = exchange.close(outcome);
    }

    async fn pass(
        &mut self,
        client: impl AsyncRead + AsyncWrite,
        inward: &AtomicU64,
        outward: &AtomicU64,
    ) -> Ended {
        let listen = &self.worker.shared.config.listen;
        let (slowest, idle) = (listen.write_timeout.0, listen.idle_timeout.0);
        let said = std::mem::take(&mut self.read).freeze();
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = tokio::io::split(&mut self.server);
        let from_server = AsyncReadExt::chain(said.as_ref(), from_server);
        let mut inbound = Pump::new(from_client, to_server);
        let mut outbound = Pump::new(from_server, to_client);
        let watch = Watch {
            worker: &self.worker,
            identified: &mut self.identified,
            idle,
        };
        let ended = {
            let mut there = pin!(inbound.run(inward, slowest));
            let mut back = pin!(outbound.run(outward, slowest));
            let mut watch = pin!(watch.until_it_falls(inward, outward));
            tokio::select! {
                ended = &mut watch => ended,
                ended = &mut there => {
                    let _ = timeout(LAST_WORD, back).await;
                    // The caller may have gone without a word.
                    ended.map_or_else(|side| side.ended(), |()| Ended::Closed)
                }
                ended = &mut back => {
                    let _ = timeout(LAST_WORD, there).await;
                    ended.map_or_else(|side| side.other().ended(), |()| Ended::Closed)
                }
            }
        };
        if let Some((code, reason)) = ended.farewell() {
            let mask = Some(ids::mask());
            let told = async {
                outbound.leave(&frames::close(code, reason, None)).await;
                inbound.leave(&frames::close(GOING_AWAY, "", mask)).await;
                // Whoever is still sending would lose what it was told.
                inbound.forget().await;
            };
            let _ = timeout(LAST_WORD, told).await;
        }
        ended
    }
}

/// Decides again.
struct Watch<'t> {
    worker: &'t Worker,
    identified: &'t mut Identified,
    idle: Duration,
}

impl Watch<'_> {
    /// Looks from time to time until there is a reason to end it.
    async fn until_it_falls(mut self, inward: &AtomicU64, outward: &AtomicU64) -> Ended {
        let shared = &self.worker.shared;
        let active = &self.identified.received.active;
        let settings = active.gate.server_settings(active.server);
        let lasts = settings.map_or(0, |it| it.stream_duration);
        let began = Instant::now();
        let mut passed = (0, Instant::now());
        let mut looks = interval(AGAIN);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = shared.draining();
        loop {
            tokio::select! {
                _ = draining.wait_for(|draining| *draining) => {
                    return Ended::Left("the sidecar stops");
                }
                _ = looks.tick() => {}
            }
            let count = inward.load(Relaxed) + outward.load(Relaxed);
            if count != passed.0 {
                passed = (count, Instant::now());
            } else if passed.1.elapsed() > self.idle {
                return Ended::Left("nothing has passed for [listen] idle_timeout");
            }
            if lasts > 0 && began.elapsed() >= Duration::from_millis(lasts) {
                return Ended::Forbidden(Reason::StreamEnded, "limits.streamDuration");
            }
            if let Err(reason) = self.decide() {
                return Ended::Forbidden(reason, "decided again while it lasted");
            }
        }
    }

    /// Decides the request that it began with, under what is in force now.
    fn decide(&mut self) -> Result<(), Reason> {
        let shared = &self.worker.shared;
        let active = shared.active().ok_or(Reason::PolicyUnavailable)?;
        let (now, overlay) = (now(), shared.overlay());
        if shared.is_over(&active, now) || !shared.overlay_is_known() {
            return Err(Reason::PolicyUnavailable);
        }
        let received = &self.identified.received;
        let certificate = received.peer.client_certificate.as_ref();
        if certificate.is_some_and(|it| it.not_after <= now) {
            return Err(Reason::TokenExpired);
        }
        // It would go on with a server that nobody is to reach any more.
        if !active.way.leads_as(&received.active.way) {
            return Err(Reason::UpstreamUnavailable);
        }
        let headers = &received.head.headers;
        let identity = if let Some(token) = token_endpoint::shown(headers) {
            let shown = shared
                .capabilities
                .identify(&active, &overlay, token, now)?;
            Some(shown.identity)
        } else {
            let asking = Asking {
                active: &active,
                method: received.head.method.as_str(),
                path: received.head.uri.path(),
                headers,
                certificate,
                now,
            };
            self.worker.callers.again(shared, &asking)?
        };
        self.identified.received.active = active;
        self.identified.received.now = now;
        self.identified.identity = identity;
        let Identified {
            received, identity, ..
        } = &*self.identified;
        let (gate, sealer) = (&received.active.gate, shared.handles.sealer());
        let identity = identity.as_deref();
        let verdict =
            received.inbound(|it| admit::admit_bound(gate, &overlay, it, identity, now, &sealer));
        match verdict.outcome {
            Outcome::Forward(permit) if permit.tunnels() => Ok(()),
            Outcome::Forward(_) => Err(Reason::UpgradeDenied),
            Outcome::Refuse(refusal) => Err(refusal.reason()),
        }
    }
}
