//! The audit log: one hash-chained JSON line for every inbound request.
//!
//! A request that goes upstream leaves an *intent* in the journal first, and its event in the log
//! before its answer has left. Both are plain writes, so they survive the death of the process. At
//! start the journal is read: an intent without an event is closed as cut off, so that each
//! request that the tool server saw has exactly one event, whatever happened to the sidecar.
//!
//! What requests note in one turn of the event loop is written at once: each notes its line, lets
//! the others that are ready note theirs, and goes on when all are written.

mod chain;
mod journal;
mod stream;

use std::{
    collections::VecDeque,
    fmt,
    fs::TryLockError,
    future::poll_fn,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use latchkey_gate::event::{DigestKey, Draft, Ending, Event, Unsealed};

use journal::{Journal, Left};

use crate::{config::Config, ids, metrics::Metrics};

/// The audit log of one sidecar.
#[derive(Debug)]
pub struct Audit {
    inner: Mutex<Inner>,
    broken: AtomicBool,
    metrics: Arc<Metrics>,
    /// Held for as long as the process lives: a state directory serves one sidecar.
    _lock: std::fs::File,
    sidecar: String,
    digest_key: DigestKey,
}

#[derive(Debug)]
struct Inner {
    log: chain::Log,
    journal: Journal,
    /// Events that are not written yet, oldest first, with the intent that each closes.
    waiting: VecDeque<Waiting>,
    /// How many events were noted so far; the last `waiting` of them are not written.
    noted: u64,
    /// Whether the log refused the events that wait.
    stuck: bool,
}

#[derive(Debug)]
struct Waiting {
    event_id: String,
    event: Unsealed,
    ticket: Option<Ticket>,
}

/// An intent that waits for its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// An event that was noted: how many there were with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an event that is only noted is not recorded"]
pub struct Noted(u64);

/// The record cannot be written, so nothing may be forwarded and nothing answered but this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditUnavailable;

/// Why the audit log cannot be opened: says what, where, and what to do.
#[derive(Debug)]
pub struct AuditError(String);

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuditError {}

/// What the event of a request says whose end the sidecar did not wait for, or did not live to see.
pub(crate) const CUT_OFF: &str = "cut_off: the sidecar stopped before the answer ended";

/// What is said of a request whose event may stand in a log that was moved away.
const UNSETTLED: &str = "unsettled: the sidecar was killed, and the audit log was moved away: whether \
    this request has its event is found there, by its request_id";

/// How many events wait in memory while the log cannot be written. Meanwhile nothing is
/// forwarded, so these are refusals.
const MOST_WAITING: usize = 10_000;

impl Audit {
    /// Opens the log and the journal, recovers the chain, and closes what a crash left open.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let state = &config.state.directory;
        std::fs::create_dir_all(state).map_err(|error| fault(state, "create", &error))?;
        let lock = state_lock(&state.join("lock"))?;
        let mut log = chain::Log::open(&config.audit.file, state)?;
        let path = state.join("audit.journal");
        if let Some((hash, ended)) = Journal::last_hash(&path) {
            log.resume(hash, ended);
        }
        let (journal, left) = Journal::open(&path, &log)?;
        let audit = Self {
            inner: Mutex::new(Inner {
                log,
                journal,
                waiting: VecDeque::new(),
                noted: 0,
                stuck: false,
            }),
            broken: AtomicBool::new(false),
            metrics,
            _lock: lock,
            sidecar: stored(&state.join("sidecar.id"), || Ok(ids::uuid().into_bytes()))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?,
            digest_key: DigestKey::new(&stored(&state.join("audit.key"), ids::key)?),
        };
        audit.close_open(left);
        Ok(audit)
    }

    /// Who writes the lines.
    #[must_use]
    pub fn sidecar(&self) -> &str {
        &self.sidecar
    }

    /// The key of the digests of argument values.
    #[must_use]
    pub fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    /// Whether records can be written.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// Notes that a request is about to go upstream. It must not before [`Audit::intended`] says
    /// so. The intent is the event as it is to stand if nobody sees the request's end.
    pub fn begin(&self, intent: Draft) -> Result<Ticket, AuditUnavailable> {
        if !self.is_available() {
            return Err(AuditUnavailable);
        }
        Ok(self.lock().journal.note(intent))
    }

    /// Waits until an intent outlives the process.
    pub async fn intended(&self, ticket: Ticket) -> Result<(), AuditUnavailable> {
        self.turn().await;
        let mut inner = self.lock();
        let Inner { log, journal, .. } = &mut *inner;
        let written = journal.write(log);
        written.map_err(|error| self.fail("intent", &error))?;
        // Whoever wrote for this one may have failed.
        let stands = journal.intent(ticket).is_some();
        stands.then_some(()).ok_or(AuditUnavailable)
    }

    /// Closes an intent: notes its event with its end, as [`Audit::note`] does. `None` when the
    /// intent could not be written.
    pub fn end(
        &self,
        ticket: Ticket,
        ending: &Ending<'_>,
    ) -> Option<Result<Noted, AuditUnavailable>> {
        let mut inner = self.lock();
        let intent = inner.journal.intent(ticket)?;
        let waiting = Waiting {
            event_id: intent.event_id().to_owned(),
            event: intent.ended(ending),
            ticket: Some(ticket),
        };
        Some(self.put(&mut inner, waiting))
    }

    /// Notes an event, and the intent that it closes. It counts once [`Audit::settled`] or
    /// [`Audit::settle`] says so. On an error it waits in memory and is tried again; until then
    /// nothing is forwarded.
    pub fn note(
        &self,
        event_id: &str,
        event: Unsealed,
        ticket: Option<Ticket>,
    ) -> Result<Noted, AuditUnavailable> {
        let waiting = Waiting {
            event_id: event_id.to_owned(),
            event,
            ticket,
        };
        self.put(&mut self.lock(), waiting)
    }

    /// Notes an event and writes it at once.
    pub fn record(
        &self,
        event_id: &str,
        event: Unsealed,
        ticket: Option<Ticket>,
    ) -> Result<(), AuditUnavailable> {
        self.settle(self.note(event_id, event, ticket)?)
    }

    /// Waits until an event is in the log.
    pub async fn settled(&self, noted: Noted) -> Result<(), AuditUnavailable> {
        self.turn().await;
        self.settle(noted)
    }

    /// Writes an event that was noted, and all before it, unless they are in the log already.
    pub fn settle(&self, Noted(count): Noted) -> Result<(), AuditUnavailable> {
        let mut inner = self.lock();
        if count <= inner.written() {
            return Ok(());
        }
        if inner.stuck {
            return Err(AuditUnavailable);
        }
        self.write(&mut inner)
    }

    /// Puts another event in the place of one that was noted and could not be written, as long as it
    /// waits: what its request came to has changed with that.
    pub fn amend(&self, Noted(count): Noted, event: Unsealed) {
        let mut inner = self.lock();
        let at = count.checked_sub(inner.written() + 1);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(waiting) = at.and_then(|at| inner.waiting.get_mut(at)) {
            waiting.event = event;
        }
    }

    /// Lets the requests that are ready now note what they have to.
    async fn turn(&self) {
        if self.metrics.in_flight.get() < 2 {
            return;
        }
        let mut turned = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut turned, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn put(&self, inner: &mut Inner, next: Waiting) -> Result<Noted, AuditUnavailable> {
        if inner.waiting.len() >= MOST_WAITING {
            self.metrics.audit_failures.inc();
            return Err(AuditUnavailable);
        }
        inner.waiting.push_back(next);
        inner.noted += 1;
        Ok(Noted(inner.noted))
    }

    /// Goes on in a new file if the log was moved away, and tries again what could not be written.
    /// Call every second or so.
    pub fn look(&self) {
        let mut inner = self.lock();
        if let Err(error) = inner.follow() {
            self.fail("log", &error);
        } else if !self.is_available() {
            self.retry(&mut inner);
        } else if let Err(error) = inner.note_closed() {
            self.fail("journal", &error);
        }
    }

    /// Ends the record, so that the next start has nothing to look for in a log that may have been
    /// moved away by then. Call when all requests have ended.
    pub fn close(&self) {
        let mut inner = self.lock();
        if let Err(error) = inner.follow() {
            self.fail("log", &error);
            return;
        }
        if self.write(&mut inner).is_ok()
            && let Err(error) = inner.start_over(true)
        {
            self.fail("journal", &error);
        }
    }

    fn retry(&self, inner: &mut Inner) {
        if self.write(inner).is_err() {
            return;
        }
        if inner.log.probe().is_ok() && inner.journal.probe().is_ok() {
            self.broken.store(false, Ordering::Relaxed);
            tracing::info!(target: "audit", "the audit log can be written again");
        }
    }

    /// Writes the events that wait.
    fn write(&self, inner: &mut Inner) -> Result<(), AuditUnavailable> {
        let Inner {
            log,
            journal,
            waiting,
            stuck,
            ..
        } = inner;
        while !waiting.is_empty() {
            let appended = log.append(waiting.iter().map(|it| &it.event));
            *stuck = appended.is_err();
            let count = appended.map_err(|error| self.fail("event", &error))?;
            self.metrics.audit_events.inc_by(count as u64);
            let written = waiting.drain(..count);
            // The events are out: a journal that cannot say so stops the next request, not these.
            if let Err(error) = journal.done(written, log) {
                self.fail("journal", &error);
            }
        }
        Ok(())
    }

    fn close_open(&self, left: Left) {
        let count = left.cut_off.len();
        for event in left.cut_off.into_iter().chain(unsettled(left.unsettled)) {
            // A failure keeps the event waiting and the sidecar closed, which is all one can do.
            let _ = self.record(&event.event_id, Unsealed::from(&event), None);
        }
        if count > 0 {
            tracing::warn!(
                target: "audit", count, "closed the events that the last stop left open"
            );
        }
        let mut inner = self.lock();
        let probed = inner.log.probe();
        if let Err(error) = probed {
            self.fail("log", &error);
        } else if inner.waiting.is_empty()
            && let Err(error) = inner.start_over(false)
        {
            self.fail("journal", &error);
        }
    }

    fn fail(&self, what: &str, error: &io::Error) -> AuditUnavailable {
        self.metrics.audit_failures.inc();
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::error!(
                target: "audit", %error, what,
                "the audit log cannot be written: nothing is forwarded until it can"
            );
        }
        AuditUnavailable
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// How many of the events that were noted are in the log.
    fn written(&self) -> u64 {
        self.noted - self.waiting.len() as u64
    }

    /// Goes on in a new file if the log was moved away. The journal goes with it: what it says of
    /// the log is said of this one.
    fn follow(&mut self) -> io::Result<()> {
        if self.log.look()? {
            self.start_over(false)?;
        }
        Ok(())
    }

    /// Notes which events were written, as the next intent would.
    fn note_closed(&mut self) -> io::Result<()> {
        self.journal.write(&self.log)
    }

    fn start_over(&mut self, ended: bool) -> io::Result<()> {
        self.journal.start_over(self.log.state(ended))
    }
}

/// What stands for requests whose events may stand elsewhere: an event of its own for each, so that
/// none has two.
fn unsettled(intents: Vec<Event>) -> impl Iterator<Item = Event> {
    if !intents.is_empty() {
        tracing::warn!(
            target: "audit", count = intents.len(),
            "the audit log was moved away after a crash: whether the last requests have their events \
             is to be found there; they are noted as `request_unsettled`"
        );
    }
    intents.into_iter().map(|intent| Event {
        event_id: ids::uuid(),
        event_type: "request_unsettled".to_owned(),
        detail: Some(UNSETTLED.to_owned()),
        ..intent
    })
}

fn state_lock(path: &Path) -> Result<std::fs::File, AuditError> {
    let file = std::fs::File::create(path).map_err(|error| fault(path, "create", &error))?;
    locked(&file, path, "[state] directory")?;
    Ok(file)
}

/// Locks a file that the setting names, for as long as it is open.
fn locked(file: &std::fs::File, path: &Path, setting: &str) -> Result<(), AuditError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => AuditError(format!(
            "{} is locked: another sidecar runs with this {setting}; give each its own",
            path.display()
        )),
        TryLockError::Error(error) => fault(path, "lock", &error),
    })
}

/// The bytes of a small file, made once.
fn stored(path: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> Result<Vec<u8>, AuditError> {
    match std::fs::read(path) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => {
            let write = |bytes: &Vec<u8>| crate::files::write_private(path, bytes);
            make()
                .and_then(|bytes| write(&bytes).map(|()| bytes))
                .map_err(|error| fault(path, "write", &error))
        }
    }
}

fn fault(path: &Path, what: &str, error: &io::Error) -> AuditError {
    AuditError(format!(
        "cannot {what} {}: {error}: let [state] directory and [audit] file name places that this \
         user may write to",
        path.display()
    ))
}
