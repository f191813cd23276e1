//! The audit log: one hash-chained JSON line for every inbound request.
//!
//! A request that goes upstream leaves an *intent* in the journal first, and its event in the log
//! before its answer has left. Both are plain writes, so they survive the death of the process. At
//! start the journal is read: an intent without an event is closed as cut off, so that each
//! request that the tool server saw has exactly one event, whatever happened to the sidecar.

mod chain;
mod journal;

use std::{
    collections::VecDeque,
    fmt, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use latchkey_gate::event::{DigestKey, Draft, Ending, Event, Unsealed};

use journal::Journal;

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
    /// Events that could not be written yet, oldest first, with the intent that each closes.
    waiting: VecDeque<Waiting>,
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

/// How many events wait in memory while the log cannot be written. Meanwhile nothing is
/// forwarded, so these are refusals.
const MOST_WAITING: usize = 10_000;

impl Audit {
    /// Opens the log and the journal, recovers the chain, and closes what a crash left open.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let state = &config.state.directory;
        std::fs::create_dir_all(state).map_err(|error| fault(state, "create", &error))?;
        let lock = lock(&state.join("lock"))?;
        let mut log = chain::Log::open(&config.audit.file, state)?;
        let path = state.join("audit.journal");
        if let Some(hash) = Journal::last_hash(&path) {
            log.resume(hash);
        }
        let (journal, open) = Journal::open(&path, &log)?;
        let audit = Self {
            inner: Mutex::new(Inner {
                log,
                journal,
                waiting: VecDeque::new(),
            }),
            broken: AtomicBool::new(false),
            metrics,
            _lock: lock,
            sidecar: stored(&state.join("sidecar.id"), || Ok(ids::uuid().into_bytes()))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?,
            digest_key: DigestKey::new(&stored(&state.join("audit.key"), ids::key)?),
        };
        audit.close_open(open);
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

    /// Records that a request is about to go upstream. Without a ticket it must not. The intent is
    /// the event as it is to stand if nobody sees the request's end.
    pub fn begin(&self, intent: Draft) -> Result<Ticket, AuditUnavailable> {
        if !self.is_available() {
            return Err(AuditUnavailable);
        }
        let mut inner = self.lock();
        let Inner { log, journal, .. } = &mut *inner;
        journal
            .write(intent, log)
            .map_err(|error| self.fail("intent", &error))
    }

    /// Closes an intent: records its event with its end, as [`Audit::record`] does.
    pub fn end(&self, ticket: Ticket, ending: &Ending<'_>) -> Result<(), AuditUnavailable> {
        let mut inner = self.lock();
        let Some(intent) = inner.journal.intent(ticket) else {
            // Each ticket is closed once, by the exchange that it was given to.
            return Err(AuditUnavailable);
        };
        let event = intent.ended(ending);
        let event_id = intent.event_id().to_owned();
        self.put(
            &mut inner,
            Waiting {
                event_id,
                event,
                ticket: Some(ticket),
            },
        )
    }

    /// Seals and writes an event, and closes the intent that it belongs to. On an error the event
    /// waits in memory and is tried again; until then nothing is forwarded.
    pub fn record(
        &self,
        event_id: &str,
        event: Unsealed,
        ticket: Option<Ticket>,
    ) -> Result<(), AuditUnavailable> {
        let event_id = event_id.to_owned();
        self.put(
            &mut self.lock(),
            Waiting {
                event_id,
                event,
                ticket,
            },
        )
    }

    fn put(&self, inner: &mut Inner, next: Waiting) -> Result<(), AuditUnavailable> {
        if inner.waiting.len() >= MOST_WAITING {
            self.metrics.audit_failures.inc();
            return Err(AuditUnavailable);
        }
        if inner.waiting.is_empty() {
            match self.write(inner, &next) {
                Ok(()) => return Ok(()),
                Err(error) => self.fail("event", &error),
            };
        }
        inner.waiting.push_back(next);
        Err(AuditUnavailable)
    }

    /// Tries again what could not be written. Call from time to time.
    pub fn retry(&self) {
        if self.is_available() {
            return;
        }
        let mut inner = self.lock();
        while let Some(next) = inner.waiting.pop_front() {
            if self.write(&mut inner, &next).is_err() {
                inner.waiting.push_front(next);
                return;
            }
        }
        if inner.log.probe().is_ok() && inner.journal.probe().is_ok() {
            self.broken.store(false, Ordering::Relaxed);
            tracing::info!(target: "audit", "the audit log can be written again");
        }
    }

    fn write(&self, inner: &mut Inner, next: &Waiting) -> io::Result<()> {
        let Inner { log, journal, .. } = inner;
        log.append(&next.event)?;
        self.metrics.audit_events.inc();
        // The event is out: a journal that cannot say so stops the next request, not this one.
        if let Err(error) = journal.done(next.ticket, &next.event_id, log) {
            self.fail("journal", &error);
        }
        Ok(())
    }

    fn close_open(&self, open: Vec<Event>) {
        let count = open.len();
        for event in open {
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
        } else if inner.waiting.is_empty() {
            let Inner { log, journal, .. } = &mut *inner;
            if let Err(error) = journal.start_over(log) {
                self.fail("journal", &error);
            }
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

fn lock(path: &Path) -> Result<std::fs::File, AuditError> {
    let file = std::fs::File::create(path).map_err(|error| fault(path, "create", &error))?;
    file.try_lock().map_err(|_| {
        AuditError(format!(
            "{} is locked: another sidecar runs with this [state] directory; give each its own",
            path.display()
        ))
    })?;
    Ok(file)
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
    AuditError(format!("cannot {what} {}: {error}", path.display()))
}
