//! The way of a request to a server of the other era.
//!
//! A stateless server is asked at once. With a server that has sessions this side holds one for each
//! caller, so that nobody gets to see what belongs to another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::Permit, bridge::Crossing, filter::Filter, identity::Identity, json, wire::Refusal,
};
use tokio::sync::OnceCell;

use crate::{
    arriving::Arriving,
    pins::{
        self,
        survey::{Road, exchange},
    },
    run::Worker,
    stdio::{self, Caller},
    supply::{Active, Way},
    upstream::{Inflow, Outbound},
};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The most sessions that are held.
const MOST: usize = 1000;
/// How long a session that nobody uses is held.
const IDLE: Duration = Duration::from_mins(5);
/// How long opening one may take.
const LONGEST: Duration = Duration::from_secs(20);

/// The sessions that are held for callers of the era without any.
#[derive(Debug, Default)]
pub struct Bridge {
    held: Mutex<HashMap<Caller, Arc<Held>>>,
}

/// A session with a server, which the first request opens and others wait for.
#[derive(Debug)]
struct Held {
    /// Where the server is.
    origin: String,
    opened: OnceCell<Opened>,
    used: Mutex<Instant>,
}

/// What a server answered when a session was opened.
#[derive(Debug)]
struct Opened {
    /// The session as the server names it; none where it has none.
    session: Option<HeaderValue>,
    told: Vec<u8>,
}

/// Sends one request, once, by the way of its server. Consumes the permit: a second sending needs a
/// second decision.
pub(crate) async fn send(
    worker: &Arc<Worker>,
    active: &Arc<Active>,
    permit: Permit,
    outbound: Outbound<'_>,
    identity: Option<&Identity>,
) -> Result<Inflow, Refusal> {
    let Some(crossing) = permit.crossing().cloned() else {
        return onward(worker, active, permit, outbound, identity).await;
    };
    Box::pin(across(worker, active, permit, crossing, outbound, identity)).await
}

/// Sends a request to a server of the other era.
async fn across(
    worker: &Arc<Worker>,
    active: &Arc<Active>,
    permit: Permit,
    crossing: Crossing,
    mut outbound: Outbound<'_>,
    identity: Option<&Identity>,
) -> Result<Inflow, Refusal> {
    match crossing {
        Crossing::Here(message) => {
            let body = message.map(Bytes::from);
            Ok(here(body, None, outbound.headers))
        }
        Crossing::Modern { headers, .. } => {
            strip(&mut outbound.headers);
            for (name, value) in headers {
                let name = HeaderName::try_from(name.as_str());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                    outbound.headers.insert(name, value);
                }
            }
            onward(worker, active, permit, outbound, identity).await
        }
        Crossing::Legacy { discovers, .. } => {
            // Callers who cannot be told apart share one.
            let caller = identity.map_or([0; 32], Identity::caller);
            let held = worker.shared.bridge.held(worker, active, caller);
            let opened = match held.opened(worker, active, caller).await {
                Ok(opened) => opened,
                Err(reason) => return Err(permit.refusal(reason)),
            };
            if discovers {
                let told = renumbered(&opened.told, &outbound.body);
                return Ok(here(Some(told), permit.filter(), outbound.headers));
            }
            let session = opened.session.clone();
            let lost = permit.refusal(Reason::UpstreamUnavailable);
            let sent = within(worker, active, permit, outbound, identity, session).await?;
            match sent.response.status() {
                // The server has ended it.
                StatusCode::NOT_FOUND if opened.session.is_some() => {
                    worker.shared.bridge.forget(caller, &held);
                    return Err(lost);
                }
                // Some say it so, and others that it is the request which is bad.
                StatusCode::BAD_REQUEST => worker.shared.bridge.forget(caller, &held),
                _ => {}
            }
            Ok(sent)
        }
    }
}

/// Sends a request within a session.
async fn within(
    worker: &Worker,
    active: &Active,
    permit: Permit,
    mut outbound: Outbound<'_>,
    identity: Option<&Identity>,
    session: Option<HeaderValue>,
) -> Result<Inflow, Refusal> {
    strip(&mut outbound.headers);
    let (name, value) = Crossing::revision();
    let revision = HeaderValue::from_static(value);
    outbound
        .headers
        .insert(HeaderName::from_static(name), revision);
    if let Some(session) = session {
        outbound.headers.insert(SESSION, session);
    }
    onward(worker, active, permit, outbound, identity).await
}

async fn onward(
    worker: &Worker,
    active: &Active,
    permit: Permit,
    outbound: Outbound<'_>,
    identity: Option<&Identity>,
) -> Result<Inflow, Refusal> {
    match &active.way {
        Way::Connect(target) => worker.upstream.send(target, permit, outbound).await,
        Way::Run(launch) => Box::pin(stdio::send(worker, launch, permit, outbound, identity)).await,
    }
}

impl Bridge {
    /// The place of a caller's session. What nobody has used for long makes room for it.
    fn held(&self, worker: &Arc<Worker>, active: &Arc<Active>, caller: Caller) -> Arc<Held> {
        let origin = origin(active);
        let mut all = self.lock();
        if let Some(held) = all.get(&caller).filter(|it| it.origin == origin) {
            *held.lock() = Instant::now();
            return Arc::clone(held);
        }
        let held = Arc::new(Held {
            origin,
            opened: OnceCell::new(),
            used: Mutex::new(Instant::now()),
        });
        all.insert(caller, Arc::clone(&held));
        let gone = make_room(&mut all);
        drop(all);
        if !gone.is_empty() {
            tokio::spawn(end(Arc::clone(worker), Arc::clone(active), gone));
        }
        held
    }

    /// Lets the next request of a caller open another session, unless one has already.
    fn forget(&self, caller: Caller, held: &Arc<Held>) {
        let mut all = self.lock();
        if all.get(&caller).is_some_and(|it| Arc::ptr_eq(it, held)) {
            all.remove(&caller);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Caller, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away what has not been used for long, and what has not been used for longest where there is
/// too much.
fn make_room(all: &mut HashMap<Caller, Arc<Held>>) -> Vec<(Caller, Arc<Held>)> {
    let over = all.len() > MOST;
    let oldest = all.values().map(|it| *it.lock()).min().filter(|_| over);
    let goes = |it: &Held| {
        let used = *it.lock();
        used.elapsed() >= IDLE || Some(used) == oldest
    };
    all.extract_if(|_, it| goes(it)).collect()
}

/// Tells a server of sessions that are not used any more. One that keeps them all the same loses
/// nothing but its own memory.
async fn end(worker: Arc<Worker>, active: Arc<Active>, gone: Vec<(Caller, Arc<Held>)>) {
    let origin = origin(&active);
    for (caller, held) in gone {
        let opened = held.opened.get().filter(|_| held.origin == origin);
        let Some(session) = opened.and_then(|it| it.session.as_ref()?.to_str().ok()) else {
            continue;
        };
        let ask = Crossing::within(Some(session), true);
        let _ =
            tokio::time::timeout(LONGEST, exchange(&road(&worker, &active, caller), &ask)).await;
    }
}

fn road<'a>(worker: &'a Worker, active: &'a Active, caller: Caller) -> Road<'a> {
    Road {
        upstream: &worker.upstream,
        children: &worker.shared.children,
        way: &active.way,
        caller,
    }
}

impl Held {
    /// The session, opened by the first who asks.
    async fn opened(
        &self,
        worker: &Worker,
        active: &Active,
        caller: Caller,
    ) -> Result<&Opened, Reason> {
        let opening = self.opened.get_or_try_init(|| async {
            let road = road(worker, active, caller);
            let opened = tokio::time::timeout(LONGEST, open(&road)).await;
            opened.map_err(|_| Reason::UpstreamTimeout)?
        });
        opening.await
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open(road: &Road<'_>) -> Result<Opened, Reason> {
    let answered = |held: pins::survey::Held| {
        let done = (200..300).contains(&held.status);
        done.then_some(held).ok_or(Reason::UpstreamUnavailable)
    };
    let unavailable = |_| Reason::UpstreamUnavailable;
    let opened = exchange(road, &Crossing::opening()).await;
    let opened = answered(opened.map_err(unavailable)?)?;
    let told = opened.message.filter(|it| Crossing::has_opened(it));
    let told = told.ok_or(Reason::UpstreamUnavailable)?;
    let session = opened.session.as_deref().map(HeaderValue::from_str);
    let session = session
        .transpose()
        .map_err(|_| Reason::UpstreamUnavailable)?;
    let ready = Crossing::within(opened.session.as_deref(), false);
    let ready = exchange(road, &ready).await;
    answered(ready.map_err(unavailable)?)?;
    Ok(Opened { session, told })
}

/// What tells one server from another.
fn origin(active: &Active) -> String {
    let entry = active.gate.policy().server_entry(active.server);
    let upstream = entry.map_or("", |entry| entry.upstream.as_str());
    let settings = active.gate.server_settings(active.server);
    let command = settings.map(|it| it.command.join("\0"));
    [upstream, "\0", &command.unwrap_or_default()].concat()
}

/// What the server told when the session was opened, as the answer to this request.
fn renumbered(told: &[u8], request: &[u8]) -> Bytes {
    let id = json::parse(request).ok();
    let id = id.as_ref().and_then(|it| it.root().get("id"));
    let edited = json::parse(told).ok().and_then(|document| {
        let at = document.root().get("id")?.span();
        let text = id?.raw().to_owned();
        json::splice(document.source(), vec![json::Edit { at, text }])
    });
    edited.map_or_else(|| Bytes::copy_from_slice(told), Bytes::from)
}

/// Takes away what routes a request in the caller's era.
fn strip(headers: &mut HeaderMap) {
    let routes: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("mcp-"))
        .cloned()
        .collect();
    for name in routes {
        headers.remove(name);
    }
}

/// An answer of this side.
fn here(body: Option<Bytes>, filter: Option<Filter>, asked: HeaderMap) -> Inflow {
    let empty = body.is_none();
    let mut response = Response::new(Arriving::Child(stdio::Stream::whole(body)));
    if empty {
        *response.status_mut() = StatusCode::ACCEPTED;
    } else {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        // It is for this caller alone.
        let kept = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    Inflow {
        response,
        filter,
        asked,
        waited: Duration::ZERO,
    }
}
