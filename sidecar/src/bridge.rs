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

use crate::{
    arriving::Arriving,
    pins::survey::{Road, exchange},
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
    held: Mutex<HashMap<Caller, Held>>,
}

/// A session with a server.
#[derive(Debug, Clone)]
struct Held {
    /// Where the server is.
    origin: String,
    /// As the server names it; none where it has none.
    session: Option<String>,
    /// What the server answered when it was opened.
    told: Arc<[u8]>,
    used: Instant,
}

/// Sends one request, once, by the way of its server. Consumes the permit: a second sending needs a
/// second decision.
pub(crate) async fn send(
    worker: &Worker,
    active: &Active,
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
    worker: &Worker,
    active: &Active,
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
            let caller = identity.map_or([0; 32], Identity::caller);
            let held = match worker.shared.bridge.session(worker, active, caller).await {
                Ok(held) => held,
                Err(reason) => return Err(permit.refusal(reason)),
            };
            if discovers {
                let told = renumbered(&held.told, &outbound.body);
                return Ok(here(Some(told), permit.filter(), outbound.headers));
            }
            within(worker, active, permit, outbound, identity, &held).await
        }
    }
}

/// Sends a request within the session that is held for its caller.
async fn within(
    worker: &Worker,
    active: &Active,
    permit: Permit,
    mut outbound: Outbound<'_>,
    identity: Option<&Identity>,
    held: &Held,
) -> Result<Inflow, Refusal> {
    strip(&mut outbound.headers);
    let (name, value) = Crossing::revision();
    let revision = HeaderValue::from_static(value);
    outbound
        .headers
        .insert(HeaderName::from_static(name), revision);
    let session = held.session.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(session)) = session {
        outbound.headers.insert(SESSION, session);
    }
    let lost = permit.refusal(Reason::UpstreamUnavailable);
    let caller = identity.map_or([0; 32], Identity::caller);
    let inflow = onward(worker, active, permit, outbound, identity).await?;
    if inflow.response.status() == StatusCode::NOT_FOUND && held.session.is_some() {
        // The server has ended it; the next request opens another.
        worker.shared.bridge.lock().remove(&caller);
        return Err(lost);
    }
    Ok(inflow)
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
    /// The session that is held for a caller, opened if there is none.
    async fn session(
        &self,
        worker: &Worker,
        active: &Active,
        caller: Caller,
    ) -> Result<Held, Reason> {
        let origin = origin(active);
        if let Some(held) = self.lock().get_mut(&caller)
            && held.origin == origin
        {
            held.used = Instant::now();
            return Ok(held.clone());
        }
        let road = Road {
            upstream: &worker.upstream,
            children: &worker.shared.children,
            way: &active.way,
            caller,
        };
        let opened = tokio::time::timeout(LONGEST, open(&road, origin)).await;
        let held = opened.map_err(|_| Reason::UpstreamTimeout)??;
        let gone = self.keep(caller, held.clone());
        for old in gone {
            let ask = Crossing::within(old.session.as_deref(), true);
            // A server that keeps it all the same loses nothing but its own memory.
            let _ = exchange(&road, &ask).await;
        }
        Ok(held)
    }

    /// Keeps a session; answers those that end with it.
    fn keep(&self, caller: Caller, new: Held) -> Vec<Held> {
        let mut held = self.lock();
        let mut gone: Vec<Held> = held.insert(caller, new).into_iter().collect();
        let over = held.len() > MOST;
        let oldest = held.values().map(|it| it.used).min().filter(|_| over);
        held.retain(|of, it| {
            let stays = *of == caller || it.used.elapsed() < IDLE && Some(it.used) != oldest;
            if !stays {
                gone.push(it.clone());
            }
            stays
        });
        gone.retain(|it| it.session.is_some());
        gone
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Caller, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open(road: &Road<'_>, origin: String) -> Result<Held, Reason> {
    let unavailable = |_| Reason::UpstreamUnavailable;
    let opened = exchange(road, &Crossing::opening()).await;
    let opened = opened.map_err(unavailable)?;
    let told = opened.message.ok_or(Reason::UpstreamUnavailable)?;
    let ready = Crossing::within(opened.session.as_deref(), false);
    exchange(road, &ready).await.map_err(unavailable)?;
    Ok(Held {
        origin,
        session: opened.session,
        told: told.into(),
        used: Instant::now(),
    })
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
