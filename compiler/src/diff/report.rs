//! What a comparison found, as data; the shape is `diff --format json`.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{index::Risk, reason::Reason};
use latchkey_gate::call::{Answer, Stated};
use serde::{Serialize, Serializer};

use super::{
    cause::Cause,
    covers::{self, Cell},
};

/// All that differs between two bundles.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// The old bundle.
    pub from: Digest,
    /// The new bundle.
    pub to: Digest,
    /// What changes, by kind, surface and scope.
    pub findings: Vec<Finding>,
    /// What cannot be settled; counts as widening.
    pub undecided: Vec<Undecided>,
    /// How many of each kind.
    pub summary: Summary,
    #[serde(skip)]
    pub(super) callers: Callers,
}

/// The class of each caller.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// By issuer and subject.
    pub(super) declared: BTreeMap<(String, String), usize>,
    /// By issuer: whoever is not declared.
    pub(super) undeclared: BTreeMap<String, usize>,
    pub(super) anonymous: Option<usize>,
}

/// A bundle's identity.
#[derive(Debug, Serialize)]
pub struct Digest {
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Denied before, allowed now.
    Widened,
    /// Allowed, with less asked in return.
    Loosened,
    /// Allowed before, denied now.
    Narrowed,
    /// Allowed, with more asked in return.
    Tightened,
    /// Denied for another reason.
    Reason,
}

/// One region of calls whose outcome changes in one way.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What kind of change.
    pub change: Change,
    /// Whose calls; names, `group:`, `undeclared:<issuer>`, `anonymous`.
    pub subjects: BTreeSet<String>,
    /// `server/name`.
    pub surface: String,
    /// The operation.
    pub operation: Option<String>,
    /// The risk of what is called, the higher of both sides.
    #[serde(serialize_with = "risk")]
    pub risk: Risk,
    /// The widest scope that it holds for.
    pub scope: String,
    /// Which calls, in words; empty is all.
    pub region: String,
    /// The outcome by the old bundle.
    pub before: State,
    /// The outcome by the new bundle.
    pub after: State,
    /// The entries of the policy that make it.
    pub causes: Vec<Cause>,
    /// Where it comes from.
    pub places: Vec<Place>,
    /// A call that shows it, replayed on both sides.
    pub witness: Stated,
    /// The region as data, for each class of callers.
    #[serde(skip)]
    pub(super) parts: Vec<Part>,
}

/// Where a finding holds for one class of callers.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) class: usize,
    /// Whether for callers in the middle of a chain, rather than for one alone.
    pub(super) chain: bool,
    pub(super) cells: Vec<Cell>,
}

/// An outcome.
#[derive(Debug, Serialize)]
pub struct State {
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The reason's word.
    pub reason: &'static str,
    /// By kind.
    pub obligations: BTreeMap<&'static str, Vec<String>>,
    /// The bindings that grant.
    #[serde(skip)]
    pub granted_by: Vec<String>,
    /// The rule that denies.
    #[serde(skip)]
    pub rule: Option<String>,
}

/// A place in the source of one side.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which bundle's source.
    pub side: Side,
    /// `file:line:column`.
    pub place: String,
}

/// One of the two bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The old one.
    From,
    /// The new one.
    To,
}

/// Something that cannot be settled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Undecided {
    /// `server/name`, or `*` for all.
    pub surface: String,
    /// Where it is written, when that is known.
    pub place: Option<String>,
    /// Why, and what to look at.
    pub why: String,
}

/// How many findings of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Denied before, allowed now.
    pub widened: usize,
    /// Allowed before, denied now.
    pub narrowed: usize,
    /// Less asked in return.
    pub loosened: usize,
    /// More asked in return.
    pub tightened: usize,
    /// Another reason.
    pub reason: usize,
    /// Not settled.
    pub undecided: usize,
}

impl Report {
    pub(super) fn new(from: &str, to: &str) -> Self {
        Self {
            version: 1,
            from: Digest {
                digest: from.to_owned(),
            },
            to: Digest {
                digest: to.to_owned(),
            },
            findings: Vec::new(),
            undecided: Vec::new(),
            summary: Summary::default(),
            callers: Callers::default(),
        }
    }

    pub(super) fn undecided(&mut self, surface: &str, why: &str, place: Option<String>) {
        let entry = Undecided {
            surface: surface.to_owned(),
            place,
            why: why.to_owned(),
        };
        if let Err(at) = self.undecided.binary_search(&entry) {
            self.undecided.insert(at, entry);
        }
    }

    pub(super) fn summarise(&mut self) {
        let count = |change| {
            self.findings
                .iter()
                .filter(|it| it.change == change)
                .count()
        };
        self.summary = Summary {
            widened: count(Change::Widened),
            narrowed: count(Change::Narrowed),
            loosened: count(Change::Loosened),
            tightened: count(Change::Tightened),
            reason: count(Change::Reason),
            undecided: self.undecided.len(),
        };
        for (finding, number) in self.findings.iter_mut().zip(1..) {
            finding.witness.id = Some(format!("w{number}"));
        }
    }

    /// Whether a finding is about a call of its surface and operation by one caller alone; `None`
    /// where a condition that cannot be taken apart leaves that open.
    #[must_use]
    pub fn speaks_of(&self, finding: &Finding, call: &Stated) -> Option<bool> {
        let class = match &call.caller {
            None => self.callers.anonymous,
            Some(caller) => {
                let issuer = caller.issuer.clone().unwrap_or_default();
                let subject = caller.subject.clone().unwrap_or_default();
                let undeclared = self.callers.undeclared.get(&issuer);
                let declared = self.callers.declared.get(&(issuer, subject));
                declared.or(undeclared).copied()
            }
        };
        let parts = finding.parts.iter().filter(|part| !part.chain);
        let mut open = false;
        for part in parts.filter(|part| Some(part.class) == class) {
            match covers::exactly(&part.cells, call) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => open = true,
            }
        }
        (!open).then_some(false)
    }

    /// Whether anything is allowed that was not, or might be; also by an activation.
    #[must_use]
    pub fn widens(&self) -> bool {
        let unlocks = self.findings.iter().any(Finding::unlocks);
        unlocks || self.summary.widened + self.summary.undecided > 0
    }

    /// Whether anything is allowed for less than before, or might be.
    #[must_use]
    pub fn loosens(&self) -> bool {
        self.widens() || self.summary.loosened > 0
    }

    /// Whether anything changes at all.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.findings.is_empty() || !self.undecided.is_empty()
    }
}

impl Change {
    /// The word in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Loosened => "loosened",
            Self::Tightened => "tightened",
            Self::Reason => "denied for another reason",
        }
    }

    /// What changes between two answers to one call. Limits that imply one another are one.
    #[must_use]
    pub fn between(before: &Answer, after: &Answer) -> Option<Self> {
        match (before.decision == "allow", after.decision == "allow") {
            (false, true) => Some(Self::Widened),
            (true, false) => Some(Self::Narrowed),
            (false, false) => (before.reason != after.reason).then_some(Self::Reason),
            (true, true) => super::obligations(&limits(before), &limits(after)),
        }
    }
}

/// The obligations of an answer, read back.
fn limits(answer: &Answer) -> BTreeSet<latchkey_engine::index::Obligation> {
    let kinds = answer.obligations.iter();
    let all = kinds.flat_map(|(kind, texts)| texts.iter().map(move |text| (kind, text)));
    all.filter_map(|(kind, text)| latchkey_gate::call::obligation_of(kind, text))
        .collect()
}

impl Finding {
    pub(super) fn new(
        (change, surface, operation): (Change, &str, Option<&str>),
        (scope, region): (&str, &str),
        (before, after): (Answer, Answer),
        (subjects, witness, part): (BTreeSet<String>, Stated, Part),
    ) -> Self {
        let old = before.place.clone().map(|place| Place {
            side: Side::From,
            place,
        });
        let new = after.place.clone().map(|place| Place {
            side: Side::To,
            place,
        });
        let places = match change {
            Change::Widened => new.into_iter().chain(old).collect(),
            Change::Narrowed | Change::Loosened | Change::Tightened | Change::Reason => {
                old.into_iter().chain(new).collect()
            }
        };
        Self {
            change,
            subjects,
            surface: surface.to_owned(),
            operation: operation.map(str::to_owned),
            risk: Risk::Read,
            scope: scope.to_owned(),
            region: region.to_owned(),
            before: before.into(),
            after: after.into(),
            causes: Vec::new(),
            places,
            witness,
            parts: vec![part],
        }
    }

    /// Whether calls that nothing could unlock are now denied only until somebody activates
    /// break-glass. This counts as widening.
    #[must_use]
    pub fn unlocks(&self) -> bool {
        let locked = Reason::BreakGlassRequired.as_str();
        self.change == Change::Reason && self.after.reason == locked
    }

    /// Whether a call of the finding's surface and operation lies in its region; scope and subjects
    /// are not looked at. May say yes where a condition cannot be taken apart, never no wrongly.
    #[must_use]
    pub fn covers(&self, call: &Stated) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| covers::inside(&part.cells, call))
    }

    pub(super) fn add(&mut self, subjects: BTreeSet<String>, part: Part) {
        self.subjects.extend(subjects);
        self.parts.push(part);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn risk<S: Serializer>(risk: &Risk, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(crate::model::risk_name(*risk))
}

impl From<Answer> for State {
    fn from(answer: Answer) -> Self {
        Self {
            decision: answer.decision,
            reason: answer.reason,
            obligations: answer.obligations,
            granted_by: answer.granted_by,
            rule: answer.rule,
        }
    }
}
