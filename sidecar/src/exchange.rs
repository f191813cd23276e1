//! One request from its head to the end of its answer, and the one event that it leaves behind.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::{
    admit::Facts,
    event::{Draft, Ending, EventOutcome, Exchanged},
};

use crate::{
    audit::{AuditUnavailable, CUT_OFF, Noted, Ticket},
    faults, ids,
    limit::Counted,
    meter::Meter,
    metrics::Ended,
    run::Shared,
    supply::Active,
    telemetry::{Finished, Stage, Timeline, TraceContext},
};

/// The surface that requests are counted under when nothing in the registry matches.
const UNMATCHED: &str = "/__unmatched__";

/// An open exchange. However it ends, exactly one event is recorded: by [`Exchange::close`], or,
/// when the caller goes away or the sidecar gives up, by dropping it.
#[derive(Debug)]
pub struct Exchange {
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    started: Instant,
    event_time: String,
    event_id: String,
    trace: TraceContext,
    /// Whether the caller's headers named the trace.
    trace_is_named: bool,
    span_id: String,
    began: Duration,
    timeline: Option<Box<Timeline>>,
    active: Option<Arc<Active>>,
    /// The intent that went ahead.
    intent: Option<Ticket>,
    upstream: Option<Duration>,
    closed: bool,
    /// What its limits have counted; its places are given back with the exchange.
    pub counted: Option<Box<Counted>>,
    /// What is known of the request.
    pub facts: Facts,
    /// The status of the answer; 0 before there is one.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of what is passed on as it comes, so far.
    pub passed_in: Option<Arc<AtomicU64>>,
    /// Bytes of the answer's body so far.
    pub bytes_out: u64,
}

impl Exchange {
    /// A request has come in. Boxed, because it is moved from the request to its answer.
    #[must_use]
    pub fn open(shared: Arc<Shared>, meter: Arc<Meter>, traceparent: Option<&str>) -> Box<Self> {
        meter.begin();
        shared.metrics.in_flight.inc();
        let trace = shared.telemetry.context(traceparent);
        let began = ids::now();
        Box::new(Self {
            timeline: shared.telemetry.timeline(),
            shared,
            meter,
            started: Instant::now(),
            event_time: timestamp(began),
            event_id: ids::uuid(),
            trace_is_named: trace.parent.is_some(),
            trace,
            span_id: ids::span(),
            began,
            active: None,
            intent: None,
            upstream: None,
            closed: false,
            counted: None,
            facts: Facts::blank(Reason::MalformedRequest),
            status: 0,
            bytes_in: 0,
            passed_in: None,
            bytes_out: 0,
        })
    }

    /// Whether there are more requests under way than the settings allow.
    #[must_use]
    pub fn is_one_too_many(&self) -> bool {
        let most = self.shared.config.listen.max_in_flight;
        usize::try_from(self.shared.metrics.in_flight.get()).is_ok_and(|now| now > most)
    }

    /// The bundle that decides.
    pub fn under(&mut self, active: &Arc<Active>) {
        self.active = Some(Arc::clone(active));
    }

    /// What is known of its connection.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The body was not read to its end, so nothing on this connection can follow.
    pub fn leave_unread(&self) {
        self.meter.leave_unread();
    }

    /// The id of the event, which the caller and the tool server get too.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.event_id
    }

    /// The W3C trace context of this hop.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.trace.traceparent(&self.span_id)
    }

    /// Takes the trace that the body names, where the headers named none.
    pub fn adopt(&mut self, traceparent: &str) {
        if self.trace_is_named {
            return;
        }
        if let Some(trace) = TraceContext::read(traceparent) {
            self.trace = trace;
        }
    }

    /// A stage has come to its end with this outcome.
    pub fn after<T>(&mut self, stage: Stage, outcome: T) -> T {
        faults::at(stage.as_str());
        if let Some(timeline) = &mut self.timeline {
            timeline.ended(stage);
        }
        outcome
    }

    /// How long the tool server took to begin its answer.
    pub fn waited(&mut self, time: Duration) {
        self.upstream = Some(time);
    }

    /// Records that the request is about to go upstream.
    pub async fn intend(&mut self) -> Result<(), AuditUnavailable> {
        let draft = Draft::request(&self.facts, &self.exchanged(EventOutcome::Internal));
        let ticket = self.shared.audit.begin(draft)?;
        self.intent = Some(ticket);
        let intended = self.shared.audit.intended(ticket).await;
        if intended.is_err() {
            self.intent = None;
        }
        intended
    }

    /// Records the event. Nothing more of the answer may leave before this has succeeded.
    pub fn close(&mut self, outcome: EventOutcome) -> Result<(), AuditUnavailable> {
        let Some(noted) = self.note(outcome)? else {
            return Ok(());
        };
        let settled = self.shared.audit.settle(noted);
        settled.inspect_err(|_| self.hold_back(noted))
    }

    /// The same, together with the other exchanges that end now, before anything has left.
    pub async fn close_together(&mut self, outcome: EventOutcome) -> Result<(), AuditUnavailable> {
        let Some(noted) = self.note(outcome)? else {
            return Ok(());
        };
        let settled = self.shared.audit.settled(noted).await;
        settled.inspect_err(|_| {
            (self.status, self.bytes_out) = (503, 0);
            self.hold_back(noted);
        })
    }

    /// The answer to a call that was allowed does not leave, because its event cannot be recorded
    /// now: that is what the event says once it can be.
    fn hold_back(&mut self, noted: Noted) {
        if self.facts.reason != Reason::Ok {
            return;
        }
        self.facts.reason = Reason::AuditUnavailable;
        self.facts.detail = Some("the call was made, and its answer held back".to_owned());
        let exchanged = Exchanged {
            latency_us: microseconds(self.started.elapsed()),
            ..self.exchanged(EventOutcome::Internal)
        };
        let ending = Ending::of(&self.facts, &exchanged);
        let event = Draft::request(&self.facts, &exchanged).ended(&ending);
        self.shared.audit.amend(noted, event);
    }

    /// A stage has panicked: whatever was decided, this is what became of it.
    pub fn panicked(&mut self) {
        self.facts.reason = Reason::Internal;
        self.facts.failed = vec![Reason::Internal];
        self.facts.detail = Some("a stage panicked: the log says where".to_owned());
        if self.status == 0 {
            self.status = 500;
        }
    }

    /// Notes the event; `None` when it was noted before.
    fn note(&mut self, outcome: EventOutcome) -> Result<Option<Noted>, AuditUnavailable> {
        if self.closed {
            return Ok(None);
        }
        self.closed = true;
        let took = self.started.elapsed();
        let ended = self.ended(outcome);
        self.count(ended, took);
        self.trace(ended, took);
        let exchanged = Exchanged {
            latency_us: microseconds(took),
            ..self.exchanged(outcome)
        };
        let ending = Ending::of(&self.facts, &exchanged);
        let audit = &self.shared.audit;
        // What was decided stands in the intent.
        let intent = self.intent.filter(|_| self.facts.reason == Reason::Ok);
        let ended = intent.and_then(|ticket| audit.end(ticket, &ending));
        let noted = ended.unwrap_or_else(|| {
            let event = Draft::request(&self.facts, &exchanged).ended(&ending);
            audit.note(&self.event_id, event, self.intent)
        });
        noted.map(Some)
    }

    /// Nobody waits for the end any more: the caller has gone, or the sidecar stops.
    fn cut_off(&mut self) -> EventOutcome {
        self.shared.metrics.cut_off.inc();
        let (outcome, detail) = if self.shared.cuts_off() {
            (EventOutcome::Internal, CUT_OFF)
        } else {
            (EventOutcome::ClientError, "cut_off: the caller went away")
        };
        let known = &mut self.facts.detail;
        known.get_or_insert_with(|| detail.to_owned());
        outcome
    }

    fn ended(&self, outcome: EventOutcome) -> Ended {
        match outcome {
            _ if self.facts.reason != Reason::Ok => Ended::Denied,
            EventOutcome::Success => Ended::Allowed,
            _ => Ended::Failed,
        }
    }

    /// Leaves the spans of the request.
    fn trace(&mut self, ended: Ended, took: Duration) {
        let Some(mut timeline) = self.timeline.take() else {
            return;
        };
        timeline.ended(Stage::Answer);
        self.shared.metrics.observe_stages(&timeline);
        if !self.trace.sampled {
            return;
        }
        let finished = || Finished {
            context: self.trace.clone(),
            span_id: self.span_id.clone(),
            event_id: self.event_id.clone(),
            began: self.began,
            took,
            timeline: *timeline,
            method: self.facts.method.clone(),
            surface: self.facts.surface.clone(),
            protocol: self.facts.protocol.clone(),
            rpc_id: self.facts.rpc_id.clone(),
            reason: self.facts.reason.as_str(),
            outcome: ended.as_str(),
            status: self.status,
        };
        self.shared.telemetry.finish(&self.shared.metrics, finished);
    }

    fn count(&self, ended: Ended, took: Duration) {
        let metrics = &self.shared.metrics;
        metrics.observe(ended, took, self.upstream);
        if self.facts.reason == Reason::Ok {
            metrics.allowed.inc();
        } else {
            let surface = self.facts.surface.as_deref().unwrap_or(UNMATCHED);
            metrics.deny(surface, self.facts.reason);
        }
    }

    /// All but how long it took, which nobody knows yet.
    fn exchanged(&self, outcome: EventOutcome) -> Exchanged<'_> {
        let release = self.active.as_deref().map(|active| &active.release);
        Exchanged {
            event_id: &self.event_id,
            event_time: &self.event_time,
            request_id: &self.event_id,
            trace_id: &self.trace.trace_id,
            span_id: &self.span_id,
            status: self.status,
            outcome,
            latency_us: 0,
            upstream_latency_us: self.upstream.map_or(0, microseconds),
            bytes_in: self.bytes_in + self.passed_in.as_ref().map_or(0, |it| it.load(Relaxed)),
            bytes_out: self.bytes_out,
            sidecar_id: self.shared.audit.sidecar(),
            sidecar_version: env!("CARGO_PKG_VERSION"),
            bundle_digest: self
                .active
                .as_deref()
                .map_or("", |active| active.gate.digest()),
            source_commit: release.and_then(|release| release.commit.as_deref()),
            digest_key: Some(self.shared.audit.digest_key()),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.closed {
            let outcome = if std::thread::panicking() {
                self.panicked();
                EventOutcome::Internal
            } else {
                self.cut_off()
            };
            // Without a record the sidecar forwards nothing more, which is all one can do here.
            let _ = self.close(outcome);
        }
        self.shared.metrics.in_flight.dec();
        self.meter.end();
    }
}

/// RFC 3339, UTC, with milliseconds.
pub(crate) fn timestamp(since_1970: Duration) -> String {
    thread_local! {
        /// The last second, as text up to its fraction: most requests share one with others.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let seconds = since_1970.as_secs();
    let mut text = String::with_capacity(24);
    SECOND.with_borrow_mut(|(last, shown)| {
        if *last != seconds {
            *last = seconds;
            *shown = Time(i64::try_from(seconds).unwrap_or(i64::MAX)).to_string();
            shown.truncate(shown.len().saturating_sub(1));
        }
        text.push_str(shown);
    });
    text.push('.');
    let milliseconds = since_1970.subsec_millis();
    for power in [100, 10, 1] {
        text.extend(char::from_digit(milliseconds / power % 10, 10));
    }
    text.push('Z');
    text
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_milliseconds() {
        assert_eq!(
            timestamp(Duration::from_millis(1_796_119_200_007)),
            "2026-12-01T10:00:00.007Z"
        );
    }
}
