//! The body of an answer: a refusal, a passed-on stream, or a stream that is filtered on its way.

mod bounds;
mod standing;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::{
    admit::Permit,
    bridge::Crossing,
    event::EventOutcome,
    filter::{self, Filter, FilterKind, Line, Viewer, Watch},
    identity::Identity,
    session::Bond,
};
use memchr::memchr2;
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep},
};

pub use bounds::Bounds;
use standing::Over;
pub use standing::Standing;

use crate::{
    arriving::{Arriving, BrokeOff},
    exchange::Exchange,
    faults, ids, panics,
    pipeline::sent_to,
    run::Worker,
    session,
    supply::Active,
};

/// The body of an answer.
#[derive(Debug)]
pub struct Answer {
    content: Content,
    /// The exchange that the end of the body closes.
    open: Option<Box<Exchange>>,
    bounds: Option<Box<Bounds>>,
}

#[derive(Debug)]
enum Content {
    Whole(Option<Bytes>),
    Passed(Box<Passed>),
    Lines(Box<Lines>),
}

/// An answer as it comes.
#[derive(Debug)]
struct Passed {
    /// What has been read of it already.
    first: First,
    incoming: Arriving,
    patience: Patience,
    /// What sees to it that it stays the result that it began as.
    watch: Option<Box<Watch>>,
}

/// How long an answer that has begun may pause.
#[derive(Debug)]
struct Patience {
    most: Duration,
    /// The end of the pause that lasts.
    ends: Option<Pin<Box<Sleep>>>,
}

/// An event stream that is filtered line by line, or is no MCP and passes unread.
#[derive(Debug)]
struct Lines {
    incoming: Arriving,
    rules: Rules,
    /// The beginning of a line whose end has not come yet, and how much of it was looked through.
    rest: BytesMut,
    searched: usize,
    most: usize,
    /// What the server asked for and may not.
    refused: Option<&'static str>,
    /// How many may tell it so at once.
    tellers: Arc<Semaphore>,
    /// Whether that stood in the answer itself, in whose place a refusal has gone.
    denied: bool,
    /// Where the server sends the client's user.
    sent_to: Option<String>,
    /// When it is decided again, at the latest.
    again: Pin<Box<Sleep>>,
    /// Why it has ended before its server ended it.
    over: Option<Box<Over>>,
}

/// How many requests of a server are refused at once; what it asks beyond that stays unanswered.
const TELLERS: usize = 8;
/// How long a silent stream may outlive what it was decided by.
const AGAIN: Duration = Duration::from_secs(1);

/// Whose eyes an answer is filtered for.
#[derive(Debug)]
pub struct Rules {
    /// Who serves it.
    pub worker: Arc<Worker>,
    /// The bundle that the request was admitted under.
    pub active: Arc<Active>,
    /// The caller.
    pub identity: Option<Arc<Identity>>,
    /// What the answer is.
    pub filter: Filter,
    /// What the handles in it are bound to.
    pub bond: Option<Bond>,
    /// The protocol revision that the request named.
    pub protocol: Option<String>,
    /// The body of the request, as its caller sent it.
    pub request: Bytes,
    /// The rest of the request, where its answer is a stream.
    pub standing: Option<Box<Standing>>,
    /// How the answer gets to a caller of the other era.
    pub crossing: Option<Box<Crossing>>,
}

impl Rules {
    /// Looks with the caller's eyes, now.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&Viewer<'_>) -> T) -> T {
        let sealer = self.worker.shared.handles.sealer();
        let seen = see(&Viewer {
            gate: &self.active.gate,
            overlay: &self.worker.shared.overlay(),
            identity: self.identity.as_deref(),
            now: now(),
            filter: self.filter,
            handles: self.bond.as_ref().map(|bond| (&**sealer, bond)),
            request: &self.request,
            pins: Some(&self.worker.shared.pins.sightings),
            tasks: Some(&self.worker.shared.tasks),
        });
        self.worker.shared.pins.heed();
        seen
    }
}

impl Rules {
    /// Writes a line of an event stream as the caller's era has it.
    fn cross(&self, line: &[u8], out: &mut Vec<u8>) {
        let crossing = self.crossing.as_ref().zip(line.strip_prefix(b"data:"));
        match crossing.and_then(|(crossing, data)| crossing.answer(data)) {
            Some(message) => out.extend([b"data: ".as_slice(), &message].concat()),
            None => out.extend_from_slice(line),
        }
    }
}

/// What came with the head of an answer.
pub type First = Poll<Option<Result<Frame<Bytes>, BrokeOff>>>;

/// The next frame from the tool server, and whether it is the last.
type Next = Option<Result<(Frame<Bytes>, bool), AnswerError>>;

/// Why an answer breaks off.
#[derive(Debug)]
pub enum AnswerError {
    /// The tool server broke off.
    Upstream(BrokeOff),
    /// The tool server's answer cannot be filtered.
    Filter,
    /// The tool server's answer is larger than the policy allows.
    TooLarge,
    /// The tool server does not go on with its answer.
    Paused,
    /// The end of the answer cannot be recorded.
    Audit,
    /// Passing it on panicked.
    Panicked,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the tool server broke off: {error}"),
            Self::Filter => f.write_str("the tool server's answer cannot be filtered"),
            Self::TooLarge => f.write_str(Reason::ResponseTooLarge.title()),
            Self::Paused => f.write_str("the tool server did not go on with its answer in time"),
            Self::Audit => f.write_str("the audit event cannot be recorded"),
            Self::Panicked => f.write_str("an internal error"),
        }
    }
}

impl std::error::Error for AnswerError {}

impl Answer {
    /// A body that is known in full and whose event is recorded.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            content: Content::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            open: None,
            bounds: None,
        }
    }

    /// The tool server's body as it comes; its end closes the exchange. `most` is how long it may
    /// stand still.
    #[must_use]
    pub fn passed(
        first: First,
        watch: Option<Box<Watch>>,
        incoming: Arriving,
        most: Duration,
        bounds: Option<Box<Bounds>>,
        exchange: Box<Exchange>,
    ) -> Self {
        let patience = Patience { most, ends: None };
        Self {
            content: Content::Passed(Box::new(Passed {
                first,
                incoming,
                patience,
                watch,
            })),
            open: Some(exchange),
            bounds,
        }
    }

    /// The tool server's event stream, filtered and decided again; its end closes the exchange.
    #[must_use]
    pub fn lines(
        incoming: Arriving,
        rules: Rules,
        most: usize,
        bounds: Option<Box<Bounds>>,
        exchange: Box<Exchange>,
    ) -> Self {
        Self {
            content: Content::Lines(Box::new(Lines {
                incoming,
                rules,
                rest: BytesMut::new(),
                searched: 0,
                tellers: Arc::new(Semaphore::new(TELLERS)),
                most,
                refused: None,
                denied: false,
                sent_to: None,
                again: Box::pin(sleep(AGAIN)),
                over: None,
            })),
            open: Some(exchange),
            bounds,
        }
    }

    /// The body has ended: the event is recorded before its last byte leaves.
    fn end(&mut self) -> Result<(), AnswerError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let mut denied = false;
        if let Content::Lines(lines) = &mut self.content {
            if let Some(over) = lines.over.take() {
                return close_over(open, *over);
            }
            if let Some(asked) = lines.refused {
                let detail =
                    format!("the server asked its client for {asked}: see `serverRequests`");
                open.facts.detail.get_or_insert(detail);
            }
            if let Some(hosts) = &lines.sent_to {
                open.facts.detail.get_or_insert_with(|| sent_to(hosts));
            }
            denied = lines.denied;
        }
        let outcome = if denied {
            open.facts.reason = Reason::ServerRequestDenied;
            EventOutcome::Denied
        } else if open.status >= 500 {
            EventOutcome::UpstreamError
        } else {
            EventOutcome::Success
        };
        open.close(outcome).map_err(|_| AnswerError::Audit)
    }

    /// Its time is over: it ends as if the server had ended it.
    fn expire(&mut self) -> Result<(), AnswerError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        open.facts.reason = Reason::StreamEnded;
        open.facts.detail = Some("limits.streamDuration".to_owned());
        open.close(EventOutcome::Timeout)
            .map_err(|_| AnswerError::Audit)
    }

    fn fail(&mut self, error: AnswerError) -> AnswerError {
        if let Some(mut open) = self.open.take() {
            if matches!(error, AnswerError::TooLarge) {
                open.facts.reason = Reason::ResponseTooLarge;
                open.facts.detail = Some("limits.response: cut off".to_owned());
            }
            let outcome = match error {
                AnswerError::Panicked => {
                    open.panicked();
                    EventOutcome::Internal
                }
                AnswerError::Paused => EventOutcome::Timeout,
                _ => EventOutcome::UpstreamError,
            };
            open.facts.detail.get_or_insert_with(|| error.to_string());
            // The answer breaks off either way.
            let _ = open.close(outcome);
        }
        error
    }

    /// Counts what is passed on; false when it is too much.
    fn count(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else {
            return true;
        };
        let count = data.len() as u64;
        if self.bounds.as_mut().is_some_and(|it| !it.take(count)) {
            return false;
        }
        if let Some(open) = &mut self.open {
            open.bytes_out += count;
        }
        true
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        faults::at("pass");
        let next = match &mut self.content {
            Content::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok((Frame::data(bytes), true))));
            }
            Content::Passed(passed) => {
                ready!(passed.next(cx))
            }
            Content::Lines(lines) => ready!(lines.next(cx)),
        };
        Poll::Ready(next)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if self.bounds.as_mut().is_some_and(|it| it.is_over(cx)) {
            return Poll::Ready(self.expire().err().map(Err));
        }
        let Some(next) = panics::caught_now(|| self.next(cx)) else {
            return Poll::Ready(Some(Err(self.fail(AnswerError::Panicked))));
        };
        let answer = match ready!(next) {
            Some(Ok((frame, last))) => {
                if !self.count(&frame) {
                    Some(Err(self.fail(AnswerError::TooLarge)))
                } else if last && let Err(error) = self.end() {
                    Some(Err(error))
                } else {
                    Some(Ok(frame))
                }
            }
            Some(Err(error)) => Some(Err(self.fail(error))),
            None => self.end().err().map(Err),
        };
        Poll::Ready(answer)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Passed(passed) => self.open.is_none() && passed.incoming.is_end_stream(),
            Content::Lines(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Passed(passed) if passed.first.is_pending() => passed.incoming.size_hint(),
            // What is read already is not counted: an answer of a known length says so in its head.
            Content::Passed(_) | Content::Lines(_) => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    /// A caller that goes as soon as it has read a refusal was refused all the same.
    fn drop(&mut self) {
        if matches!(&self.content, Content::Lines(lines) if lines.denied) {
            let _ = self.end();
        }
    }
}

impl Passed {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let frame = match std::mem::replace(&mut self.first, Poll::Pending) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => Pin::new(&mut self.incoming).poll_frame(cx),
        };
        let Poll::Ready(frame) = frame else {
            return if self.patience.is_over(cx) {
                Poll::Ready(Some(Err(AnswerError::Paused)))
            } else {
                Poll::Pending
            };
        };
        self.patience.ends = None;
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(AnswerError::Upstream)?;
            let watch = self.watch.as_mut().zip(frame.data_ref());
            if watch.is_some_and(|(watch, data)| !watch.take(data)) {
                return Err(AnswerError::Filter);
            }
            Ok((frame, self.incoming.is_end_stream()))
        }))
    }
}

impl Patience {
    /// Whether the answer stands still for too long.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let most = self.most;
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(most)));
        ends.as_mut().poll(cx).is_ready()
    }
}

impl Lines {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if self.over.is_some() {
                return Poll::Ready(None);
            }
            if let Err(over) = self.rules.stand() {
                return Poll::Ready(Some(Ok((Frame::data(self.finish(over)), false))));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                // It is looked after also while it is silent.
                ready!(self.again.as_mut().poll(cx));
                self.again.as_mut().reset(Instant::now() + AGAIN);
                continue;
            };
            let frame = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(AnswerError::Upstream(error)))),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match self.take(data) {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok((Frame::data(out), false)))),
            }
        }
    }

    /// Ends before the server does, which is told where it would work on; answers the last words.
    fn finish(&mut self, mut over: Box<Over>) -> Bytes {
        if let Some(permit) = self.rules.look(cancellation) {
            self.tell(permit);
        }
        let told = std::mem::take(&mut over.told);
        self.over = Some(over);
        told
    }

    fn take(&mut self, data: Bytes) -> Result<Bytes, AnswerError> {
        if self.rules.filter.kind == FilterKind::Unread {
            return Ok(data);
        }
        self.rest.extend_from_slice(&data);
        let mut out = Vec::new();
        while let Some(at) = self.line_end() {
            let mut line = self.rest.split_to(at + 1);
            let end = line.split_off(at);
            match self.rules.look(|viewer| viewer.line(&line)) {
                Ok(Line::Drop) => {}
                Ok(Line::Refuse(asked, permit)) => {
                    self.refused = Some(asked);
                    if self
                        .rules
                        .bond
                        .as_ref()
                        .is_some_and(|it| it.session().is_some())
                    {
                        self.tell(*permit);
                    }
                }
                Ok(Line::Deny(asked, line)) => {
                    (self.refused, self.denied) = (Some(asked), true);
                    self.rules.cross(&line, &mut out);
                    out.extend_from_slice(&end);
                }
                Ok(passed) => {
                    let replaced = if let Line::Replace(line) = &passed {
                        line.as_slice()
                    } else {
                        &line
                    };
                    if let Some(hosts) = replaced.strip_prefix(b"data:").and_then(filter::pages) {
                        self.sent_to = Some(hosts);
                    }
                    self.rules.cross(replaced, &mut out);
                    out.extend_from_slice(&end);
                }
                Err(error) => {
                    tracing::warn!(target: "upstream", %error, "an event was not passed on");
                    return Err(AnswerError::Filter);
                }
            }
        }
        if self.rest.len() > self.most {
            return Err(AnswerError::Filter);
        }
        Ok(out.into())
    }

    /// Where the next line ends. What was looked through is not looked through again, in however
    /// many pieces the line comes.
    fn line_end(&mut self) -> Option<usize> {
        let fresh = self.rest.get(self.searched..).unwrap_or_default();
        let found = memchr2(b'\n', b'\r', fresh).map(|at| self.searched + at);
        self.searched = if found.is_some() { 0 } else { self.rest.len() };
        found
    }

    fn tell(&self, permit: Permit) {
        if let Ok(teller) = Arc::clone(&self.tellers).try_acquire_owned() {
            session::answer_server(&self.rules, permit, teller);
        }
    }
}

/// What a server is told whose answer nobody waits for any more.
fn cancellation(viewer: &Viewer<'_>) -> Option<Permit> {
    viewer.cancellation()
}

/// The end of an answer that its caller may no longer have, or whose server has moved.
fn close_over(mut open: Box<Exchange>, over: Over) -> Result<(), AnswerError> {
    if let Some(active) = &over.active {
        open.under(active);
    }
    let outcome = match over.facts {
        Some(facts) => {
            open.facts = facts;
            EventOutcome::Denied
        }
        None => EventOutcome::Success,
    };
    open.close(outcome).map_err(|_| AnswerError::Audit)
}

/// The time of a decision.
pub(crate) fn now() -> Time {
    Time(i64::try_from(ids::now().as_secs()).unwrap_or(i64::MAX))
}
