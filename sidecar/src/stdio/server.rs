//! One tool server that runs as children, spoken with as if it were an MCP server over HTTP.
//!
//! Callers of the stateless era share one child. A session of the era before is a child of its own,
//! under a session id that nobody can guess and that only its opener may use.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use latchkey_engine::reason::Reason;
use tokio::runtime::Handle;

use super::{
    backoff::Backoff,
    child::Child,
    desk::{Era, NotSent, Ticket},
    launch::Launch,
    mailbox::{BrokenOff, Letters},
    message::{self, Message, Sort},
    sessions::{Caller, Full, Most, Place, Sessions},
    stream::{Form, Stream},
};
use crate::{ids, metrics::ChildMetrics};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LEGACY: &str = "{\"supported\":[\"2025-11-25\",\"2025-06-18\",\"2025-03-26\",\
                      \"2024-11-05\"],\"requested\":\"2026-07-28\"}";
/// How long a child that has missed its time may take to say anything at all.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// What is sent to a child.
#[derive(Debug)]
pub struct Call<'a> {
    /// The HTTP method.
    pub method: Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who calls.
    pub caller: Caller,
}

/// One tool server that runs as children.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    runtime: Handle,
    /// One start at a time.
    shared: tokio::sync::Mutex<Shared>,
    sessions: Mutex<Sessions>,
    backoff: Arc<Mutex<Backoff>>,
    metrics: ChildMetrics,
}

/// The child of the stateless era.
#[derive(Debug, Default)]
struct Shared {
    child: Option<Arc<Child>>,
    /// Whether the program speaks the era; unknown until it was asked.
    spoken: Option<bool>,
}

/// An answer whose first message has come, or that is none: its request was cancelled.
type Begun = (Option<Bytes>, Letters, Ticket);

impl Server {
    /// A server of which nothing runs yet.
    #[must_use]
    pub fn new(launch: Launch, runtime: Handle, metrics: ChildMetrics) -> Arc<Self> {
        let server = Arc::new(Self {
            launch,
            runtime,
            metrics,
            shared: tokio::sync::Mutex::default(),
            sessions: Mutex::default(),
            backoff: Arc::default(),
        });
        let watched = Arc::downgrade(&server);
        server.runtime.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Some(server) = watched.upgrade() else {
                    return;
                };
                let idle = server.launch.within.idle_timeout.0;
                server.sessions().sweep(idle);
            }
        });
        server
    }

    /// How it is started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// How many sessions there are.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        self.sessions().count()
    }

    /// Sends one request that policy allows, and waits until its answer begins.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<Stream>, Reason> {
        if call.method == Method::POST {
            let message = Message::read(&call.body).ok_or(Reason::Internal)?;
            return match session(call.headers) {
                _ if message.is_modern() => self.stateless(&call, &message).await,
                Some(id) => self.within(&call, id, &message).await,
                None => self.open(&call, &message).await,
            };
        }
        let Some(id) = session(call.headers) else {
            return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
        };
        if call.method == Method::DELETE {
            let ended = self.sessions().end(id, &call.caller);
            return Ok(if ended {
                empty(StatusCode::OK)
            } else {
                unknown_session("null")
            });
        }
        let Some(child) = self.sessions().get(id, &call.caller) else {
            return Ok(unknown_session("null"));
        };
        Ok(match child.desk.watch() {
            Ok(letters) => events(Stream::new(None, letters, Form::Events).of(child, None)),
            Err(NotSent::Unfit) => empty(StatusCode::CONFLICT),
            Err(_) => unknown_session("null"),
        })
    }

    /// A message of the stateless era, to the child that all share.
    async fn stateless(
        &self,
        call: &Call<'_>,
        message: &Message<'_>,
    ) -> Result<Response<Stream>, Reason> {
        let Some(child) = self.shared().await? else {
            let id = id_of(message);
            let what = "the server speaks revisions with a handshake: send `initialize`";
            let body = message::error(id, -32022, what, Some(LEGACY));
            return Ok(json(StatusCode::BAD_REQUEST, body));
        };
        self.deliver(call, child, message).await
    }

    /// A message within a session.
    async fn within(
        &self,
        call: &Call<'_>,
        id: &str,
        message: &Message<'_>,
    ) -> Result<Response<Stream>, Reason> {
        let child = self.sessions().get(id, &call.caller);
        match child {
            Some(child) => self.deliver(call, child, message).await,
            None => Ok(unknown_session(id_of(message))),
        }
    }

    /// A message without a session: one that opens it, or none.
    async fn open(
        &self,
        call: &Call<'_>,
        message: &Message<'_>,
    ) -> Result<Response<Stream>, Reason> {
        let Some(Sort::Request {
            id,
            method: "initialize",
        }) = message.sort()
        else {
            let what = "no session: send `initialize` first, and its `Mcp-Session-Id` after";
            let body = message::error(id_of(message), -32600, what, None);
            return Ok(json(StatusCode::BAD_REQUEST, body));
        };
        let place = self.place(call.caller)?;
        let child = Arc::new(self.start(Era::Session, Some(place)).await?);
        let mut answer = self.deliver(call, Arc::clone(&child), message).await?;
        let session = ids::secret().map_err(|_| Reason::Internal)?;
        let value = HeaderValue::from_str(&session).map_err(|_| Reason::Internal)?;
        answer.headers_mut().insert(SESSION, value);
        self.sessions().put(session, call.caller, child);
        tracing::debug!(target: "stdio", id, "a session was opened");
        Ok(answer)
    }

    /// A place for a session that is about to be opened.
    fn place(&self, caller: Caller) -> Result<Place, Reason> {
        let most = Most {
            all: self.launch.within.sessions,
            each: self.launch.within.sessions_each,
        };
        self.sessions().take_place(caller, most).map_err(|Full| {
            let sessions = most.all;
            tracing::warn!(target: "stdio", sessions, "no place for another session");
            Reason::UpstreamUnavailable
        })
    }

    /// Gives a message to a child, and waits until its answer begins where it gets one.
    async fn deliver(
        &self,
        call: &Call<'_>,
        child: Arc<Child>,
        message: &Message<'_>,
    ) -> Result<Response<Stream>, Reason> {
        let Some(Sort::Request { .. }) = message.sort() else {
            return match child.desk.tell(message) {
                Ok(()) | Err(NotSent::Unfit) => Ok(empty(StatusCode::ACCEPTED)),
                Err(NotSent::Busy | NotSent::Gone) => Err(Reason::UpstreamUnavailable),
            };
        };
        let asked = Instant::now();
        let (mut letters, ticket) = child.desk.ask(message).map_err(unsent)?;
        let alone = !takes_events(call.headers);
        let begins = begin(&mut letters, alone);
        let first = match tokio::time::timeout(self.launch.timeout, begins).await {
            Ok(Ok(first)) => first,
            Ok(Err(BrokenOff)) => return Err(Reason::UpstreamUnavailable),
            Err(_) => {
                drop((letters, ticket));
                self.doubt(child, asked);
                return Err(Reason::UpstreamTimeout);
            }
        };
        if first.is_none() && alone {
            return Ok(empty(StatusCode::ACCEPTED));
        }
        Ok(answer((first, letters, ticket), child))
    }

    /// A child that missed its time and has said nothing since is asked for a sign of life, and
    /// ended without one: all who wait for it would wait in vain.
    fn doubt(&self, child: Arc<Child>, asked: Instant) {
        if child.desk.was_heard_since(asked) {
            return;
        }
        self.runtime.spawn(async move {
            let question = match child.desk.era() {
                Era::Shared => message::discovery,
                Era::Session => message::ping,
            };
            let Ok((mut letters, _ticket)) = child.desk.ask_alone(question) else {
                return child.condemn();
            };
            let sign = tokio::time::timeout(SIGN_OF_LIFE, letters.next()).await;
            if sign.is_err() && !child.desk.was_heard_since(asked) {
                tracing::error!(target: "stdio", "a tool server hangs and is ended");
                child.condemn();
            }
        });
    }

    /// The child that all share; none where the program does not speak the era.
    async fn shared(&self) -> Result<Option<Arc<Child>>, Reason> {
        let mut shared = self.shared.lock().await;
        if shared.spoken == Some(false) {
            return Ok(None);
        }
        if let Some(child) = &shared.child {
            if !child.desk.is_gone() {
                return Ok(Some(Arc::clone(child)));
            }
            shared.child = None;
        }
        let child = Arc::new(self.start(Era::Shared, None).await?);
        if shared.spoken.is_none() {
            match self.probe(&child).await? {
                Some(spoken) => shared.spoken = Some(spoken),
                None => return Ok(None),
            }
            if shared.spoken == Some(false) {
                return Ok(None);
            }
        }
        shared.child = Some(Arc::clone(&child));
        Ok(Some(child))
    }

    /// Whether a child speaks the stateless era; `None` where it says nothing.
    async fn probe(&self, child: &Arc<Child>) -> Result<Option<bool>, Reason> {
        let asked = child.desk.ask_alone(message::discovery);
        let (mut letters, ticket) = asked.map_err(unsent)?;
        let patience = self.launch.timeout.min(self.launch.within.start_timeout.0);
        let answer = match tokio::time::timeout(patience, letters.next()).await {
            Ok(Some(Ok(answer))) => answer,
            Ok(_) => return Err(Reason::UpstreamUnavailable),
            Err(_) => return Ok(None),
        };
        drop(ticket);
        let read = Message::read(&answer);
        let sort = read.as_ref().and_then(Message::sort);
        Ok(Some(matches!(
            sort,
            Some(Sort::Answer { error: false, .. })
        )))
    }

    async fn start(&self, era: Era, place: Option<Place>) -> Result<Child, Reason> {
        if let Some(wait) = self.backoff().wait() {
            tracing::debug!(target: "stdio", ?wait, "a tool server is started later");
            return Err(Reason::UpstreamUnavailable);
        }
        let (launch, backoff) = (self.launch.clone(), Arc::clone(&self.backoff));
        let metrics = self.metrics.clone();
        // Its pipes belong to the runtime that it is started on. There it is started also when its
        // caller has gone by then, so the place goes along.
        let start = async move { Child::start(&launch, era, place, &backoff, &metrics) };
        let started = self.runtime.spawn(start).await;
        let program = self.launch.program();
        match started {
            Ok(Ok(child)) => {
                tracing::info!(target: "stdio", program, ?era, "a tool server was started");
                Ok(child)
            }
            Ok(Err(error)) => {
                tracing::error!(target: "stdio", program, %error, "a tool server was not started");
                self.metrics.not_started();
                self.backoff().ended(Duration::ZERO);
                Err(Reason::UpstreamUnavailable)
            }
            Err(_) => Err(Reason::UpstreamUnavailable),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first message of an answer; for who takes no events, the answer itself. `None` where the
/// request was cancelled first.
async fn begin(letters: &mut Letters, alone: bool) -> Result<Option<Bytes>, BrokenOff> {
    loop {
        let message = letters.next().await.transpose()?;
        if message.is_none() || !alone || letters.is_answered() {
            return Ok(message);
        }
    }
}

/// One message is the answer itself; where more follows, they are events. No message is no event: a
/// stream that ends is all that says that there is no answer.
fn answer((first, letters, ticket): Begun, child: Arc<Child>) -> Response<Stream> {
    if letters.is_answered() {
        let stream = Stream::new(first, letters, Form::Json);
        return typed(StatusCode::OK, "application/json", stream);
    }
    events(Stream::new(first, letters, Form::Events).of(child, Some(ticket)))
}

fn events(stream: Stream) -> Response<Stream> {
    let mut response = typed(StatusCode::OK, "text/event-stream", stream);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    headers.insert(unbuffered, HeaderValue::from_static("no"));
    response
}

fn json(status: StatusCode, body: Bytes) -> Response<Stream> {
    typed(status, "application/json", Stream::whole(Some(body)))
}

fn typed(status: StatusCode, media: &'static str, stream: Stream) -> Response<Stream> {
    let mut response = Response::new(stream);
    *response.status_mut() = status;
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

fn empty(status: StatusCode) -> Response<Stream> {
    let mut response = Response::new(Stream::whole(None));
    *response.status_mut() = status;
    response
}

/// The same for a session that never was, that has ended, and that is another caller's.
fn unknown_session(id: &str) -> Response<Stream> {
    let what = "no such session: send `initialize` again";
    json(
        StatusCode::NOT_FOUND,
        message::error(id, -32001, what, None),
    )
}

fn session(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}

fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        value.contains("text/event-stream") || value.contains("*/*") || value.contains("text/*")
    })
}

fn id_of<'m>(message: &'m Message<'_>) -> &'m str {
    match message.sort() {
        Some(Sort::Request { id, .. }) => id,
        _ => "null",
    }
}

fn unsent(not: NotSent) -> Reason {
    match not {
        NotSent::Busy | NotSent::Gone => Reason::UpstreamUnavailable,
        NotSent::Unfit => Reason::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdio::mailbox::mailbox;

    #[tokio::test]
    async fn an_answer_begins_with_what_its_caller_takes() {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        for (alone, cancelled, expected) in [
            (false, false, Ok(Some(text("progress")))),
            (true, false, Ok(Some(text("answer")))),
            (false, true, Ok(Some(text("progress")))),
            (true, true, Ok(None)),
        ] {
            let (mailbox, mut letters) = mailbox(100, 8);
            mailbox.put(text("progress")).unwrap();
            if cancelled {
                mailbox.close(Ok(()));
            } else {
                mailbox.put_last(text("answer"));
            }
            assert_eq!(begin(&mut letters, alone).await, expected);
        }
        let (mailbox, mut letters) = mailbox(100, 8);
        mailbox.close(Err(BrokenOff));
        assert_eq!(begin(&mut letters, true).await, Err(BrokenOff));
    }
}
