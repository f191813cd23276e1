//! What another policy would have made of recorded traffic.
//!
//! An event of the audit log holds the facts of its decision, not the request: names of callers,
//! the surface, the scopes, and of each argument that a condition read as much as may be logged. So
//! some events can be decided again, and of others it can only be said which value is missing.
//! Nothing is guessed: what is not known is an outcome of its own.

mod events;
mod facts;
mod judge;
mod report;
mod scopes;
mod who;

use std::collections::BTreeSet;

use latchkey_engine::{call::Caller, policy::Policy as Engine, reason::Reason, time::Time};
use latchkey_gate::{event::Event, gate::Gate, supply::Digest};

pub(crate) use self::facts::Held;
pub use self::{
    events::{Broken, Events, Recorded},
    report::{Change, Group, Report, Span, Summary},
};
use self::{
    judge::{Judge, Verdict},
    report::Seen,
};

/// A bundle that can have decided an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// SHA-256 in hex: what an event names as its bundle.
    pub digest: String,
    /// The groups that it knows. Of others that a token carries the event says nothing.
    pub groups: BTreeSet<String>,
}

impl Slice {
    /// Reads the bytes of a bundle.
    ///
    /// # Errors
    /// Why they are none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let policy = Engine::open(bytes).map_err(|error| error.to_string())?;
        let groups = policy.index().groups.iter();
        Ok(Self {
            digest: Digest::of(bytes).to_string(),
            groups: groups.map(|it| it.name.clone()).collect(),
        })
    }
}

/// A policy, and every bundle of it: its slices, and the whole.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'p> {
    /// All of it.
    pub gate: &'p Gate,
    /// The bundles.
    pub slices: &'p [Slice],
}

impl<'p> Policy<'p> {
    /// The bundle of it that decided an event, where one did.
    fn slice(&self, event: &Event) -> Option<&'p Slice> {
        let mut slices = self.slices.iter();
        slices.find(|it| it.digest == event.bundle_digest)
    }
}

/// Recorded traffic on its way through a candidate.
#[derive(Debug)]
pub struct Replay<'p> {
    judge: Judge<'p>,
    report: Report,
}

impl<'p> Replay<'p> {
    /// A replay by a candidate. The baseline is the policy that decided when the log was written:
    /// with it, what both say alike is known to stay as it was.
    #[must_use]
    pub fn new(candidate: Policy<'p>, baseline: Option<Policy<'p>>) -> Self {
        Self {
            report: Report::new(candidate, baseline),
            judge: Judge::new(candidate, baseline),
        }
    }

    /// Decides one event again.
    pub fn take(&mut self, recorded: &Recorded<'_>) {
        let event = recorded.event;
        if event.event_type != "request" {
            self.report.count_other();
            return;
        }
        self.report.count_request(event);
        let Some(surface) = event.surface_id.as_deref() else {
            self.report.count_elsewhere(event.decision == "allow");
            return;
        };
        if self.judge.is_foreign(event) {
            self.report.count_foreign();
        }
        let verdict = self.judge.judge(event, surface);
        let seen = seen(event, verdict);
        self.report.add(recorded, surface, seen);
    }

    /// Notes a line that is no event, or breaks the chain.
    pub fn broken(&mut self, broken: Broken) {
        self.report.broken(broken);
    }

    /// The report of all that was taken.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report.finished()
    }
}

/// What changes for one event.
fn seen(event: &Event, verdict: Verdict) -> Seen {
    let was = was_allowed(event);
    match verdict {
        Verdict::Same => Seen::same(event),
        Verdict::Allowed if was => Seen::same(event),
        Verdict::Allowed => Seen::new(Change::Widened, "ok", None),
        Verdict::Denied(reason, by) if was => Seen::new(Change::Narrowed, reason.as_str(), by),
        Verdict::Denied(reason, by) => {
            let change = if event.reason == reason.as_str() {
                Change::Same
            } else {
                Change::Reason
            };
            Seen::new(change, reason.as_str(), by)
        }
        Verdict::Needs(needs) => Seen::needs(was, needs),
    }
}

/// The callers of an event as a policy knows them, with every group that their token may have
/// carried; none where a name says nothing to it, or it would refuse them at the door.
pub(crate) fn callers(gate: &Gate, event: &Event) -> Option<Vec<Caller>> {
    let unknown = event
        .groups
        .iter()
        .any(|it| gate.policy().group(it).is_none());
    let callers = who::callers(gate, None, event).ok()?;
    let identity = callers.at_most.or(callers.identity);
    let identity = identity.filter(|_| !unknown)?;
    Some(identity.callers().to_vec())
}

/// Whether the policy allowed an event, whatever became of it afterwards.
#[must_use]
pub fn was_allowed(event: &Event) -> bool {
    event.decision == "allow" || Reason::from_word(&event.reason).is_some_and(is_after_policy)
}

/// Whether a refusal is found after the policy has allowed.
fn is_after_policy(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ToolChanged
            | Reason::RateLimited
            | Reason::BudgetExceeded
            | Reason::ApprovalRequired
            | Reason::ApprovalDenied
            | Reason::ResidencyBlocked
            | Reason::UpstreamTimeout
            | Reason::UpstreamUnavailable
            | Reason::ServerRequestDenied
    )
}

/// The time of an event.
#[must_use]
pub fn time_of(event: &Event) -> Option<Time> {
    Time::parse(&event.event_time)
}
