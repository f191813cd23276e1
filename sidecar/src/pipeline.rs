//! The order of a request: one straight line of stages, each of which consumes what the one
//! before it proved.
//!
//! `accept -> receive -> identify -> admit -> hold -> throttle -> record -> forward -> filter -> close`,
//! where `admit` is the gate's `parse -> classify -> coarse -> bind -> validate -> decide`.

mod tunnel;

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Body, Incoming},
    header::{self, HeaderValue},
    http::request::Parts,
};
use latchkey_engine::{overlay::Overlay, reason::Reason, time::Time};
use latchkey_gate::{
    admit::{self, Outcome, Permit, Verdict},
    bridge::Crossing,
    capability::Capability,
    event::EventOutcome,
    filter::{self, Filter, FilterError, FilterKind},
    identity::Identity,
    inbound::Inbound,
    passage,
    session::Bond,
    settings::ServerSettings,
    wire::{self, Refusal},
};

use crate::{
    answer::{Answer, Bounds, First, Rules, Standing, now},
    arriving::Arriving,
    body::{Unread, read},
    bridge,
    config::ListenConfig,
    exchange::Exchange,
    faults, host,
    identity::Asking,
    limit::{self, Told},
    listen::Peer,
    look::{Looked, look},
    metadata,
    meter::Meter,
    panics, pins,
    run::Worker,
    session,
    supply::{Active, Way},
    telemetry::Stage,
    token_endpoint,
    upload::{Patience, Upload},
    upstream::{Inflow, Outbound},
};
use tunnel::{Opened, Switched};

pub(crate) use tunnel::Slot;

/// A request whose body is complete and within its limits, or passes as it comes.
#[derive(Debug)]
struct Received {
    active: Arc<Active>,
    head: Parts,
    body: Bytes,
    /// The body that nobody reads.
    upload: Option<Box<Upload>>,
    peer: Arc<Peer>,
    now: Time,
}

/// A request whose token, when it carries one, is verified.
#[derive(Debug)]
struct Identified {
    received: Received,
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

/// What the tool server answers.
#[expect(clippy::large_enum_variant, reason = "an answer is the rule")]
enum Sent {
    Answer(Forwarded),
    Tunnel(Box<Switched>),
}

/// The answer to a request, with the eyes that it is filtered for.
struct Forwarded {
    inflow: Inflow,
    active: Arc<Active>,
    identity: Option<Arc<Identity>>,
    bond: Option<Bond>,
    /// The request's body, and what its caller is told where the server asks for what it may not.
    request: Bytes,
    denied: Option<Box<Refusal>>,
    asked: Asked,
    crossing: Option<Box<Crossing>>,
}

/// What a long answer stands on, beside the headers of its request.
struct Asked {
    method: Method,
    uri: Uri,
    peer: Arc<Peer>,
    named: session::Named,
    overlay: Arc<Overlay>,
    /// The headers, where the request went to a server of the other era.
    kept: Option<HeaderMap>,
}

/// A refusal, and what only this side knows about it.
struct Refused {
    refusal: Box<Refusal>,
    retry_after: Option<u32>,
    told: Told,
}

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
        return token_endpoint::serve(&worker, exchange, peer.on_loopback, request).await;
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

/// Takes the policy that this request is decided under, and the whole body.
async fn receive(
    worker: &Worker,
    exchange: &mut Exchange,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Received, Refused> {
    let Some(active) = worker.shared.active() else {
        exchange.facts.reason = Reason::PolicyUnavailable;
        return Err(Refusal::http(Reason::PolicyUnavailable).into());
    };
    exchange.under(&active);
    let (head, body) = request.into_parts();
    let mut received = Received {
        active,
        head,
        body: Bytes::new(),
        upload: None,
        peer,
        now: now(),
    };
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

async fn identify(
    worker: &Worker,
    exchange: &mut Exchange,
    received: Received,
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
    let Received { head, now, .. } = &received;
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

async fn forward(
    worker: &Worker,
    exchange: &mut Exchange,
    recorded: Recorded,
) -> Result<Sent, Refused> {
    let Recorded(Admitted {
        identified,
        permit,
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
    } = received;
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
    let breaker = breaker.and_then(|it| it.breaker);
    let asking = match worker.shared.breaker.ask(breaker) {
        Ok(asking) => asking,
        Err(pause) => {
            exchange.facts.reason = Reason::UpstreamUnavailable;
            exchange.facts.detail = Some("it is left alone: limits.breaker".to_owned());
            return Err(Refused {
                retry_after: Some(limit::seconds_up(pause)),
                ..permit.refusal(Reason::UpstreamUnavailable).into()
            });
        }
    };
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
        Ok(inflow) => Ok(Sent::Answer(Forwarded {
            inflow,
            active,
            identity,
            bond,
            request,
            denied,
            asked: Asked {
                method: head.method,
                uri: head.uri,
                peer,
                named,
                overlay,
                kept,
            },
            crossing,
        })),
        Err(refusal) => Err(bounced(exchange, refusal)),
    }
}

/// Asks the server to make the connection a WebSocket.
async fn turn(
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
            Opened::Answer(inflow) => Sent::Answer(Forwarded {
                inflow: *inflow,
                active,
                identity,
                bond: None,
                request: Bytes::new(),
                denied: None,
                asked,
                crossing: None,
            }),
        },
    )
}

/// A refusal of what was allowed and could not be done.
fn bounced(exchange: &mut Exchange, refusal: Refusal) -> Refused {
    exchange.facts.reason = refusal.reason();
    refusal.into()
}

/// A head without what belongs to its connection.
fn head_only(head: &Parts) -> Parts {
    let (mut kept, ()) = Request::new(()).into_parts();
    kept.method.clone_from(&head.method);
    kept.uri.clone_from(&head.uri);
    kept.version = head.version;
    kept.headers.clone_from(&head.headers);
    kept
}

/// Passes an answer on: as it comes, or filtered where it could show what the caller may not use.
#[expect(
    clippy::too_many_lines,
    reason = "one decision after the other on one answer, read in order"
)]
async fn pass(
    worker: &Arc<Worker>,
    mut exchange: Box<Exchange>,
    forwarded: Forwarded,
) -> Response<Answer> {
    let Forwarded {
        inflow,
        active,
        identity,
        mut bond,
        request,
        denied,
        asked,
        crossing,
    } = forwarded;
    let (mut head, mut incoming) = inflow.response.into_parts();
    begin(worker, &mut exchange, &mut head, bond.as_mut());
    exchange.waited(inflow.waited);
    faults::at("filter");
    let pause = active.way.timeout();
    let streams = is_event_stream(&head.headers);
    let settings = active.gate.server_settings(active.server);
    let bounds = Bounds::of(settings, streams);
    if bounds
        .as_ref()
        .is_some_and(|it| it.is_under(incoming.size_hint().lower()))
    {
        return too_large(worker, exchange);
    }
    let (most, by_policy) = most_read(worker, settings);
    // Traffic of the protocol is only watched for requests of the server, which come on streams.
    let Some(filter) = inflow
        .filter
        .filter(|it| it.kind != FilterKind::Answer || streams)
    else {
        let pause = (!streams).then_some(pause);
        return unwatched(worker, head, incoming, (pause, bounds), exchange).await;
    };
    let mut read_already = None;
    let passes = !streams && crossing.is_none() && !is_encoded(&head.headers);
    if filter.kind == FilterKind::Call && passes {
        let sealed = bond.as_ref().is_some_and(|bond| seals(bond, &request));
        match look(&mut incoming, sealed, most, pause).await {
            Looked::Whole(body) if !is_under(bounds.as_deref(), &body) => {
                return whole(head, exchange, body).await;
            }
            Looked::Whole(_) => return too_large(worker, exchange),
            Looked::Passed(first) => {
                return passed(
                    worker,
                    head,
                    first,
                    incoming,
                    (Some(pause), bounds),
                    exchange,
                );
            }
            Looked::Filtered(body) => read_already = Some(body),
            Looked::Unread(unread) => return unreadable(worker, exchange, unread, by_policy),
        }
    }
    let rules = Rules {
        worker: Arc::clone(worker),
        active,
        identity,
        filter,
        bond,
        protocol: exchange.facts.protocol.clone(),
        request,
        standing: streams.then(|| asked.standing(inflow.asked, exchange.request_id())),
        crossing,
    };
    if is_encoded(&head.headers) {
        let (reason, what) = (Reason::UpstreamUnavailable, "it is compressed");
        return unfilterable(worker, exchange, reason, &what);
    }
    head.headers.remove(header::CONTENT_LENGTH);
    if streams {
        let lines = Answer::lines(incoming, rules, most, bounds, exchange);
        return Response::from_parts(head, lines);
    }
    let read = match read_already {
        Some(body) => Ok(body),
        None => read(incoming, most, pause).await,
    };
    match read {
        Ok(body) => filtered(head, exchange, &rules, body, denied).await,
        Err((_, unread)) => unreadable(worker, exchange, unread, by_policy),
    }
}

/// The head of an answer, as its caller sees it.
fn begin(
    worker: &Worker,
    exchange: &mut Exchange,
    head: &mut hyper::http::response::Parts,
    bond: Option<&mut Bond>,
) {
    if let Some(bond) = bond {
        session::name_downstream(&mut head.headers, bond, &worker.shared.handles.sealer());
    }
    exchange.status = head.status.as_u16();
    if let Some(counted) = &exchange.counted {
        counted.told.write(&mut head.headers);
    }
}

/// How much of an answer is read at most, and whether that is what the policy says.
fn most_read(worker: &Worker, settings: Option<&ServerSettings>) -> (usize, bool) {
    let most = worker.shared.config.upstream.max_filtered;
    let largest = settings.and_then(|it| usize::try_from(it.response).ok());
    let largest = largest.filter(|it| *it > 0 && *it <= most);
    (largest.unwrap_or(most), largest.is_some())
}

/// How long an answer may stand still, and how large and long it may be.
type Within = (Option<Duration>, Option<Box<Bounds>>);

/// An answer in which nothing is looked for.
async fn unwatched(
    worker: &Worker,
    head: hyper::http::response::Parts,
    mut incoming: Arriving,
    within: Within,
    exchange: Box<Exchange>,
) -> Response<Answer> {
    let first = match at_hand(&mut incoming).await {
        Poll::Ready(None) => Bytes::new(),
        Poll::Ready(Some(Ok(frame))) if incoming.is_end_stream() => {
            frame.into_data().unwrap_or_default()
        }
        first => return passed(worker, head, first, incoming, within, exchange),
    };
    if is_under(within.1.as_deref(), &first) {
        return too_large(worker, exchange);
    }
    whole(head, exchange, first).await
}

/// An answer that is passed on as it comes, of which this has come.
fn passed(
    worker: &Worker,
    head: hyper::http::response::Parts,
    first: First,
    incoming: Arriving,
    (pause, bounds): Within,
    exchange: Box<Exchange>,
) -> Response<Answer> {
    if let Poll::Ready(Some(Ok(frame))) = &first
        && frame
            .data_ref()
            .is_some_and(|it| is_under(bounds.as_deref(), it))
    {
        return too_large(worker, exchange);
    }
    let answer = Answer::passed(first, incoming, pause, bounds, exchange);
    Response::from_parts(head, answer)
}

/// Whether an answer is larger than the policy allows.
fn is_under(bounds: Option<&Bounds>, body: &Bytes) -> bool {
    bounds.is_some_and(|it| it.is_under(body.len() as u64))
}

/// An answer that had to be read and could not be; `by_policy` says whose limit would be passed.
fn unreadable(
    worker: &Worker,
    exchange: Box<Exchange>,
    unread: Unread,
    by_policy: bool,
) -> Response<Answer> {
    if by_policy && unread == Unread::TooLarge {
        return too_large(worker, exchange);
    }
    unfilterable(worker, exchange, unread.of_server(), &unread)
}

/// An answer that is one JSON text, as its caller may see it.
async fn filtered(
    head: hyper::http::response::Parts,
    mut exchange: Box<Exchange>,
    rules: &Rules,
    body: Bytes,
    denied: Option<Box<Refusal>>,
) -> Response<Answer> {
    let worker = &rules.worker;
    if body.is_empty() || rules.filter.kind == FilterKind::Stream {
        return whole(head, exchange, body).await;
    }
    let body = match rules.look(|viewer| viewer.answer(&body)) {
        Ok(filtered) => {
            if let Some(hosts) = filter::pages(&filtered) {
                exchange.facts.detail = Some(sent_to(&hosts));
            }
            filtered.into()
        }
        Err(error @ FilterError::Asked(_)) if denied.is_some() => {
            exchange.facts.reason = Reason::ServerRequestDenied;
            exchange.facts.detail = Some(error.to_string());
            let refusal = denied.map_or_else(|| Refusal::http(Reason::Internal), |it| *it);
            return refuse(worker, exchange, &refusal.into());
        }
        // What an error page says is not worth a leak.
        Err(_) if !head.status.is_success() => Bytes::new(),
        Err(error) => {
            tracing::warn!(target: "upstream", %error, "an answer was not passed on");
            return unfilterable(worker, exchange, Reason::UpstreamUnavailable, &error);
        }
    };
    let crossed = rules.crossing.as_ref().and_then(|it| it.answer(&body));
    whole(head, exchange, crossed.map_or(body, Bytes::from)).await
}

impl Asked {
    fn standing(self, headers: HeaderMap, event_id: &str) -> Box<Standing> {
        let mut headers = self.kept.unwrap_or(headers);
        session::name_back(&mut headers, self.named);
        Box::new(Standing {
            method: self.method,
            uri: self.uri,
            headers,
            peer: self.peer,
            event_id: event_id.to_owned(),
            overlay: self.overlay,
            decided: Instant::now(),
        })
    }
}

/// Whether the answer to a call can hold something that has to be sealed.
fn seals(bond: &Bond, request: &[u8]) -> bool {
    bond.is_modern() || filter::wants_task(request)
}

/// What is recorded where the user of a client is sent to pages.
pub(crate) fn sent_to(hosts: &str) -> String {
    ["the server sends its client's user to ", hosts].concat()
}

/// What of a body has come with its head.
async fn at_hand(body: &mut Arriving) -> First {
    poll_fn(|cx| Poll::Ready(pin!(&mut *body).poll_frame(cx))).await
}

/// An answer that is known in full: its event is recorded before its head leaves.
async fn whole(
    head: hyper::http::response::Parts,
    mut exchange: Box<Exchange>,
    body: Bytes,
) -> Response<Answer> {
    exchange.bytes_out = body.len() as u64;
    let outcome = outcome_of(head.status);
    if exchange.close_together(outcome).await.is_err() {
        return unrecorded();
    }
    Response::from_parts(head, Answer::whole(body))
}

/// What has to be filtered and cannot be is not passed on.
fn unfilterable(
    worker: &Worker,
    mut exchange: Box<Exchange>,
    reason: Reason,
    what: &dyn fmt::Display,
) -> Response<Answer> {
    exchange.facts.reason = reason;
    exchange.facts.detail = Some(format!("its answer cannot be filtered: {what}"));
    refuse(worker, exchange, &Refusal::http(reason).into())
}

fn too_large(worker: &Worker, mut exchange: Box<Exchange>) -> Response<Answer> {
    exchange.facts.reason = Reason::ResponseTooLarge;
    exchange.facts.detail = Some("limits.response".to_owned());
    refuse(
        worker,
        exchange,
        &Refusal::http(Reason::ResponseTooLarge).into(),
    )
}

/// Answers with a refusal, once its event is recorded.
fn refuse(worker: &Worker, mut exchange: Box<Exchange>, refused: &Refused) -> Response<Answer> {
    let active = worker.shared.active();
    let active = active.as_deref();
    let response = refused.refusal.response(&wire::Exchange {
        request_id: exchange.request_id(),
        resource_metadata: active.and_then(|active| active.resource_metadata.as_deref()),
        proofs: active.is_some_and(|active| active.proofs),
        retry_after: refused.retry_after,
    });
    exchange.status = response.status;
    exchange.bytes_out = response.body.len() as u64;
    let outcome = match refused.refusal.reason() {
        Reason::UpstreamTimeout => EventOutcome::Timeout,
        Reason::UpstreamUnavailable | Reason::ResponseTooLarge => EventOutcome::UpstreamError,
        Reason::MalformedRequest | Reason::PayloadTooLarge => EventOutcome::ClientError,
        Reason::AuditUnavailable | Reason::Internal => EventOutcome::Internal,
        _ => EventOutcome::Denied,
    };
    if exchange.close(outcome).is_err() {
        return unrecorded();
    }
    let mut response = build(response);
    refused.told.write(response.headers_mut());
    response
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

/// The answer when the event cannot be recorded: all that may leave then.
pub(crate) fn unrecorded() -> Response<Answer> {
    build(Refusal::http(Reason::AuditUnavailable).response(&wire::Exchange::default()))
}

/// The answer when a stage has panicked. Its event was recorded as the exchange was dropped; what is
/// left of the request on this connection is unknown.
fn broken() -> Response<Answer> {
    let mut response = build(Refusal::http(Reason::Internal).response(&wire::Exchange::default()));
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn build(response: wire::Response) -> Response<Answer> {
    let mut built = Response::new(Answer::whole(response.body.into()));
    *built.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            built.headers_mut().append(name, value);
        }
    }
    built
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
    fn inbound<T>(&self, see: impl FnOnce(&Inbound<'_>) -> T) -> T {
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

    fn refuse(&self, exchange: &mut Exchange, reason: Reason) -> Refused {
        let verdict = self.inbound(|inbound| admit::refuse(&self.active.gate, inbound, reason));
        exchange.facts = verdict.facts;
        match verdict.outcome {
            Outcome::Refuse(refusal) => refusal.into(),
            Outcome::Forward(_) => Refusal::http(Reason::Internal).into(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal: Box::new(refusal),
            retry_after: None,
            told: Told::default(),
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let media = value.split(';').next().unwrap_or_default().trim();
            media.eq_ignore_ascii_case("text/event-stream")
        })
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn outcome_of(status: StatusCode) -> EventOutcome {
    if status.is_server_error() {
        EventOutcome::UpstreamError
    } else {
        EventOutcome::Success
    }
}
