//! The last stage: an answer, as its caller may see it.

use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Body,
    header::{self, HeaderValue},
    http::response::Parts,
};
use latchkey_engine::reason::Reason;
use latchkey_gate::{
    event::EventOutcome,
    filter::{self, Filter, FilterError, FilterKind, Watch},
    session::Bond,
    settings::ServerSettings,
    wire::Refusal,
};

use super::{
    forward::{Forwarded, Reader},
    refuse::{refuse, unrecorded},
};
use crate::{
    answer::{Answer, Bounds, First, Rules, Standing},
    arriving::Arriving,
    body::{Unread, read},
    exchange::Exchange,
    faults,
    look::{Looked, look},
    run::Worker,
    session,
    supply::Active,
    upstream::Inflow,
};

/// An answer whose head has come, and what bounds the rest of it.
struct Arrived<'a> {
    worker: &'a Arc<Worker>,
    head: Parts,
    incoming: Arriving,
    /// What its head says that it holds.
    media: Media,
    /// How large and how long it may be.
    bounds: Option<Box<Bounds>>,
    /// How much of it is read at most, in bytes, and whether that is what the policy says.
    most: usize,
    by_policy: bool,
    /// How long it may stand still, unless it is a stream of events.
    pause: Duration,
}

/// What an answer says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Events,
    Json,
    Other,
}

/// Passes an answer on: as it comes, or filtered where it could show what the caller may not use.
pub(super) async fn pass(
    worker: &Arc<Worker>,
    mut exchange: Box<Exchange>,
    forwarded: Box<Forwarded>,
) -> Response<Answer> {
    let Forwarded {
        inflow,
        mut reader,
        asked,
    } = *forwarded;
    let Inflow {
        response,
        filter,
        asked: headers,
        waited,
    } = inflow;
    let mut arrived = Arrived::new(worker, response, &reader.active);
    begin(
        worker,
        &mut exchange,
        &mut arrived.head,
        reader.bond.as_mut(),
    );
    exchange.waited(waited);
    faults::at("filter");
    if arrived.is_too_large(arrived.incoming.size_hint().lower()) {
        return too_large(worker, exchange);
    }
    let Some(filter) = arrived.looked_for(filter, &reader.active) else {
        return arrived.unwatched(exchange).await;
    };
    let encoded = is_encoded(&arrived.head.headers);
    if encoded && filter.kind != FilterKind::Unread {
        let (reason, what) = (Reason::UpstreamUnavailable, "it is compressed");
        return unfilterable(worker, exchange, reason, &what);
    }
    if filter.kind != FilterKind::Unread && !arrived.is_mcp() {
        return arrived.no_mcp(filter, exchange).await;
    }
    if arrived.media == Media::Events {
        let standing = asked.standing(headers, exchange.request_id(), encoded);
        return arrived.stream(reader, filter, standing, exchange);
    }
    let read_less = matches!(filter.kind, FilterKind::Call | FilterKind::Answer);
    if read_less && reader.crossing.is_none() {
        return arrived.called(reader, filter, exchange).await;
    }
    match read(&mut arrived.incoming, arrived.most, arrived.pause).await {
        Ok(body) => Box::pin(arrived.filtered(reader, filter, body, exchange)).await,
        Err((_, unread)) => arrived.unreadable(exchange, unread),
    }
}

impl<'a> Arrived<'a> {
    fn new(worker: &'a Arc<Worker>, response: Response<Arriving>, active: &Active) -> Self {
        let (head, incoming) = response.into_parts();
        let media = media(&head.headers);
        let settings = active.gate.server_settings(active.server);
        let (most, by_policy) = most_read(worker, settings);
        Self {
            worker,
            head,
            incoming,
            media,
            bounds: Bounds::of(settings, media == Media::Events),
            most,
            by_policy,
            pause: active.way.timeout(),
        }
    }

    /// What is looked for. A stream is decided again for as long as it lasts, whatever it holds.
    fn looked_for(&self, filter: Option<Filter>, active: &Active) -> Option<Filter> {
        let unread = (self.media == Media::Events).then_some(Filter {
            server: active.server,
            kind: FilterKind::Unread,
        });
        filter.or(unread)
    }

    /// Whether clients read it the way that it is read here. They differ in what they take for a
    /// stream of events, so its head is made to say no more than what was understood.
    fn is_mcp(&mut self) -> bool {
        let media = match self.media {
            Media::Events => "text/event-stream",
            Media::Json => "application/json",
            Media::Other => return !self.head.status.is_success() || self.incoming.is_end_stream(),
        };
        let media = HeaderValue::from_static(media);
        self.head.headers.insert(header::CONTENT_TYPE, media);
        true
    }

    /// An answer that some client may take for a message, and that cannot be filtered as one.
    async fn no_mcp(mut self, filter: Filter, exchange: Box<Exchange>) -> Response<Answer> {
        if filter.kind == FilterKind::Answer {
            // Nobody needs to know more than that it was done.
            self.head.headers.remove(header::CONTENT_TYPE);
            self.head.headers.remove(header::CONTENT_LENGTH);
            return whole(self.head, exchange, Bytes::new()).await;
        }
        let what = "it is neither JSON nor a stream of events";
        unfilterable(self.worker, exchange, Reason::UpstreamUnavailable, &what)
    }

    /// Whether so many bytes are more than the policy allows.
    fn is_too_large(&self, bytes: u64) -> bool {
        self.bounds.as_ref().is_some_and(|it| it.is_under(bytes))
    }

    /// An answer in which nothing is looked for.
    async fn unwatched(mut self, exchange: Box<Exchange>) -> Response<Answer> {
        match at_hand(&mut self.incoming).await {
            Poll::Ready(None) => self.whole(exchange, Bytes::new()).await,
            Poll::Ready(Some(Ok(frame))) if self.incoming.is_end_stream() => {
                let body = frame.into_data().unwrap_or_default();
                self.whole(exchange, body).await
            }
            first => self.passed(exchange, first, None),
        }
    }

    /// The answer to a call, which is read only where it may hold what has to be filtered.
    async fn called(
        mut self,
        reader: Reader,
        filter: Filter,
        exchange: Box<Exchange>,
    ) -> Response<Answer> {
        let sealed = reader.bond.as_ref();
        let sealed = sealed.is_some_and(|bond| seals(bond, &reader.request));
        match look(&mut self.incoming, sealed, self.most, self.pause).await {
            Looked::Whole(body) => self.whole(exchange, body).await,
            Looked::Passed(first) => self.passed(exchange, first, Some(Box::default())),
            Looked::Filtered(body) => Box::pin(self.filtered(reader, filter, body, exchange)).await,
            Looked::Unread(unread) => self.unreadable(exchange, unread),
        }
    }

    /// An answer that was read to its end, if the policy allows it to be so large.
    async fn whole(self, exchange: Box<Exchange>, body: Bytes) -> Response<Answer> {
        if self.is_too_large(body.len() as u64) {
            return too_large(self.worker, exchange);
        }
        whole(self.head, exchange, body).await
    }

    /// An answer that is passed on as it comes, of which this has come.
    fn passed(
        self,
        exchange: Box<Exchange>,
        first: First,
        watch: Option<Box<Watch>>,
    ) -> Response<Answer> {
        if let Poll::Ready(Some(Ok(frame))) = &first
            && let Some(data) = frame.data_ref()
            && self.is_too_large(data.len() as u64)
        {
            return too_large(self.worker, exchange);
        }
        let (incoming, pause, bounds) = (self.incoming, self.pause, self.bounds);
        let answer = Answer::passed(first, watch, incoming, pause, bounds, exchange);
        Response::from_parts(self.head, answer)
    }

    /// A stream of events, each of which is filtered as it comes.
    fn stream(
        mut self,
        reader: Reader,
        filter: Filter,
        standing: Box<Standing>,
        exchange: Box<Exchange>,
    ) -> Response<Answer> {
        let rules = Rules {
            standing: Some(standing),
            ..reader.rules(self.worker, filter, &exchange)
        };
        self.head.headers.remove(header::CONTENT_LENGTH);
        let lines = Answer::lines(self.incoming, rules, self.most, self.bounds, exchange);
        Response::from_parts(self.head, lines)
    }

    /// An answer that is one JSON text, as its caller may see it.
    async fn filtered(
        mut self,
        mut reader: Reader,
        filter: Filter,
        body: Bytes,
        mut exchange: Box<Exchange>,
    ) -> Response<Answer> {
        let denied = reader.denied.take();
        let rules = reader.rules(self.worker, filter, &exchange);
        self.head.headers.remove(header::CONTENT_LENGTH);
        if body.is_empty() {
            return whole(self.head, exchange, body).await;
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
                return refuse(self.worker, exchange, &refusal.into());
            }
            // What an error page says is not worth a leak.
            Err(_) if !self.head.status.is_success() => Bytes::new(),
            Err(error) => {
                tracing::warn!(target: "upstream", %error, "an answer was not passed on");
                let reason = Reason::UpstreamUnavailable;
                return unfilterable(self.worker, exchange, reason, &error);
            }
        };
        let crossed = rules.crossing.as_ref().and_then(|it| it.answer(&body));
        whole(self.head, exchange, crossed.map_or(body, Bytes::from)).await
    }

    /// An answer that had to be read and could not be.
    fn unreadable(self, exchange: Box<Exchange>, unread: Unread) -> Response<Answer> {
        if self.by_policy && unread == Unread::TooLarge {
            return too_large(self.worker, exchange);
        }
        unfilterable(self.worker, exchange, unread.of_server(), &unread)
    }
}

impl Reader {
    /// What their answer is filtered by.
    fn rules(self, worker: &Arc<Worker>, filter: Filter, exchange: &Exchange) -> Rules {
        Rules {
            worker: Arc::clone(worker),
            active: self.active,
            identity: self.identity,
            filter,
            bond: self.bond,
            protocol: exchange.facts.protocol.clone(),
            request: self.request,
            standing: None,
            crossing: self.crossing,
        }
    }
}

/// The head of an answer, as its caller sees it.
fn begin(worker: &Worker, exchange: &mut Exchange, head: &mut Parts, bond: Option<&mut Bond>) {
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

/// What a head says that its body holds: a stream of events where one of its media types is that,
/// JSON where nothing else is said.
fn media(headers: &HeaderMap) -> Media {
    let values = || headers.get_all(header::CONTENT_TYPE).iter();
    let is = |value: &HeaderValue, media: &[u8]| {
        let named = value.as_bytes().split(|byte| *byte == b';').next();
        named.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(media))
    };
    if values().any(|it| is(it, b"text/event-stream")) {
        return Media::Events;
    }
    let mut all = values();
    match (all.next(), all.next()) {
        (Some(only), None) if is(only, b"application/json") && !hints_at_events(only) => {
            Media::Json
        }
        _ => Media::Other,
    }
}

/// Some clients look for it anywhere.
fn hints_at_events(value: &HeaderValue) -> bool {
    const WORD: &[u8] = b"event-stream";
    let mut parts = value.as_bytes().windows(WORD.len());
    parts.any(|it| it.eq_ignore_ascii_case(WORD))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// An answer that is known in full: its event is recorded before its head leaves.
async fn whole(head: Parts, mut exchange: Box<Exchange>, body: Bytes) -> Response<Answer> {
    exchange.bytes_out = body.len() as u64;
    let outcome = outcome_of(head.status);
    if exchange.close_together(outcome).await.is_err() {
        return unrecorded();
    }
    Response::from_parts(head, Answer::whole(body))
}

fn outcome_of(status: StatusCode) -> EventOutcome {
    if status.is_server_error() {
        EventOutcome::UpstreamError
    } else {
        EventOutcome::Success
    }
}
