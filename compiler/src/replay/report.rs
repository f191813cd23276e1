//! What a replay found: counted, grouped, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_gate::event::Event;
use serde::Serialize;

use super::{Broken, Policy, Recorded, judge::chain_of};

/// The most groups that are told apart by their subject; after that, all subjects are one.
const MAX_GROUPS: usize = 20_000;
/// The most broken lines that are listed.
const MAX_BROKEN: usize = 100;

/// What a candidate would have made of recorded traffic.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// The candidate's SHA-256.
    pub candidate: String,
    /// The SHA-256 of the policy that decided then, where it was given.
    pub baseline: Option<String>,
    /// From when to when the requests are.
    pub period: Option<Span>,
    /// How many of each kind.
    pub summary: Summary,
    /// What changes or cannot be told, the most frequent first.
    pub groups: Vec<Group>,
    /// Lines that are no events, or break the chain; the first hundred.
    pub broken: Vec<Broken>,
    #[serde(skip)]
    by_key: BTreeMap<Key, Tally>,
}

/// A period, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first event, RFC 3339.
    pub first: String,
    /// The last event.
    pub last: String,
}

/// How many events of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests in the log.
    pub requests: usize,
    /// Events of the sidecar itself.
    pub other_events: usize,
    /// Allowed requests that call no surface, such as `initialize` or `tools/list`.
    pub elsewhere: usize,
    /// Requests that were refused before caller and surface were known: they cannot be followed.
    pub unfollowed: usize,
    /// Calls with the same outcome.
    pub same: usize,
    /// Denied then, allowed by the candidate.
    pub widened: usize,
    /// Allowed then, denied by the candidate.
    pub narrowed: usize,
    /// Denied for another reason.
    pub reason: usize,
    /// Denied then; a value that was not logged decides.
    pub may_widen: usize,
    /// Allowed then; a value that was not logged decides.
    pub may_narrow: usize,
    /// Calls that another bundle than the baseline decided.
    pub other_bundle: usize,
    /// Broken lines.
    pub broken: usize,
    /// Whether there were too many groups to tell all subjects apart.
    pub subjects_joined: bool,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Denied then, allowed by the candidate.
    Widened,
    /// Denied then; a value that was not logged decides.
    MayWiden,
    /// Allowed then, denied by the candidate.
    Narrowed,
    /// Allowed then; a value that was not logged decides.
    MayNarrow,
    /// Denied for another reason.
    Reason,
    /// The same outcome.
    Same,
}

impl Change {
    /// The word in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::MayWiden => "may widen",
            Self::Narrowed => "narrowed",
            Self::MayNarrow => "may narrow",
            Self::Reason => "denied for another reason",
            Self::Same => "same",
        }
    }
}

/// Events that change alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What shows in all of them.
    #[serde(flatten)]
    pub key: Key,
    /// How many there are.
    pub count: usize,
    /// When.
    pub period: Span,
    /// The first of them: its file and line.
    pub example: Example,
}

/// What the events of a group share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// What becomes of them.
    pub change: Change,
    /// `server/name`.
    pub surface: String,
    /// The operations.
    pub operation: Option<String>,
    /// Who called: the actor first, then whom it acts for. A star is many.
    pub subject: String,
    /// The reason then.
    pub before: String,
    /// The candidate's reason; absent where it cannot be told.
    pub after: Option<String>,
    /// The rule that denies, by the candidate.
    pub rule: Option<String>,
    /// The values that would have to be known.
    pub needs: BTreeSet<String>,
}

/// An event of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The log.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The event.
    pub event_id: String,
    /// The request.
    pub request_id: String,
}

#[derive(Debug)]
struct Tally {
    count: usize,
    period: Span,
    example: Example,
}

/// What a candidate makes of one event.
#[derive(Debug)]
pub(super) struct Seen {
    change: Change,
    after: Option<String>,
    rule: Option<String>,
    needs: BTreeSet<String>,
}

impl Seen {
    pub(super) fn same(event: &Event) -> Self {
        Self::new(Change::Same, &event.reason, None)
    }

    pub(super) fn new(change: Change, after: &str, rule: Option<String>) -> Self {
        Self {
            change,
            after: Some(after.to_owned()),
            rule,
            needs: BTreeSet::new(),
        }
    }

    pub(super) fn needs(was_allowed: bool, needs: BTreeSet<String>) -> Self {
        let change = if was_allowed {
            Change::MayNarrow
        } else {
            Change::MayWiden
        };
        Self {
            change,
            after: None,
            rule: None,
            needs,
        }
    }
}

impl Report {
    pub(super) fn new(candidate: Policy<'_>, baseline: Option<Policy<'_>>) -> Self {
        Self {
            version: 1,
            candidate: candidate.gate.digest().to_owned(),
            baseline: baseline.map(|it| it.gate.digest().to_owned()),
            period: None,
            summary: Summary::default(),
            groups: Vec::new(),
            broken: Vec::new(),
            by_key: BTreeMap::new(),
        }
    }

    pub(super) fn count_other(&mut self) {
        self.summary.other_events += 1;
    }

    pub(super) fn count_request(&mut self, event: &Event) {
        self.summary.requests += 1;
        stretch(&mut self.period, &event.event_time);
    }

    pub(super) fn count_elsewhere(&mut self, allowed: bool) {
        self.summary.elsewhere += usize::from(allowed);
        self.summary.unfollowed += usize::from(!allowed);
    }

    pub(super) fn count_foreign(&mut self) {
        self.summary.other_bundle += 1;
    }

    pub(super) fn broken(&mut self, broken: Broken) {
        self.summary.broken += 1;
        if self.broken.len() < MAX_BROKEN {
            self.broken.push(broken);
        }
    }

    pub(super) fn add(&mut self, recorded: &Recorded<'_>, surface: &str, seen: Seen) {
        let counter = match seen.change {
            Change::Same => &mut self.summary.same,
            Change::Widened => &mut self.summary.widened,
            Change::Narrowed => &mut self.summary.narrowed,
            Change::Reason => &mut self.summary.reason,
            Change::MayWiden => &mut self.summary.may_widen,
            Change::MayNarrow => &mut self.summary.may_narrow,
        };
        *counter += 1;
        if seen.change == Change::Same {
            return;
        }
        let event = recorded.event;
        let full = self.by_key.len() >= MAX_GROUPS;
        self.summary.subjects_joined |= full;
        let key = Key {
            change: seen.change,
            surface: surface.to_owned(),
            operation: event.op.clone(),
            subject: if full {
                "*".to_owned()
            } else {
                chain_of(event)
            },
            before: event.reason.clone(),
            after: seen.after,
            rule: seen.rule,
            needs: seen.needs,
        };
        let span = || Span {
            first: event.event_time.clone(),
            last: event.event_time.clone(),
        };
        let tally = self.by_key.entry(key).or_insert_with(|| Tally {
            count: 0,
            period: span(),
            example: Example {
                file: recorded.file.to_owned(),
                line: recorded.line,
                event_id: event.event_id.clone(),
                request_id: event.request_id.clone(),
            },
        });
        tally.count += 1;
        let mut period = Some(tally.period.clone());
        stretch(&mut period, &event.event_time);
        tally.period = period.unwrap_or_else(span);
    }

    pub(super) fn finished(mut self) -> Self {
        let groups = std::mem::take(&mut self.by_key).into_iter();
        self.groups = groups
            .map(|(key, tally)| Group {
                key,
                count: tally.count,
                period: tally.period,
                example: tally.example,
            })
            .collect();
        // The order of kinds stays; within one, the most frequent first.
        self.groups
            .sort_by_key(|group| (group.key.change, std::cmp::Reverse(group.count)));
        self
    }

    /// Whether a call that was denied is allowed, or may be.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.summary.widened + self.summary.may_widen > 0
    }

    /// Whether anything changes, or may.
    #[must_use]
    pub fn changes(&self) -> bool {
        let sum = self.summary;
        self.widens() || sum.narrowed + sum.may_narrow + sum.reason > 0
    }
}

/// Makes a period contain a time. Times of one writer sort as text.
fn stretch(period: &mut Option<Span>, time: &str) {
    let span = period.get_or_insert_with(|| Span {
        first: time.to_owned(),
        last: time.to_owned(),
    });
    if time < span.first.as_str() {
        time.clone_into(&mut span.first);
    }
    if time > span.last.as_str() {
        time.clone_into(&mut span.last);
    }
}
