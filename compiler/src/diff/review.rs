//! A report as a reviewer reads it: the gravest first, and what belongs together in one entry.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::index::Risk;

use super::{
    report::{Change, Finding, Report, Side, State, Undecided},
    written::{self, Located, Written},
};

/// A report, folded and in reading order.
#[derive(Debug)]
pub struct Review<'a> {
    /// What was compared.
    pub report: &'a Report,
    /// How the two sides are called.
    pub names: [&'a str; 2],
    /// What changes; each stands for one finding or several.
    pub entries: Vec<Entry<'a>>,
    /// What cannot be told, with the surfaces that it concerns.
    pub undecided: Vec<(BTreeSet<&'a str>, &'a Undecided)>,
}

/// Findings that are one change to a person: every subject with every surface in every scope.
#[derive(Debug)]
pub struct Entry<'a> {
    /// What kind of change.
    pub kind: Kind,
    /// The risk of what is called.
    pub risk: Risk,
    /// Whose calls; of a group, also whose tokens say who is in it.
    pub subjects: BTreeSet<String>,
    /// What is called: `server/name`, with `:operation`.
    pub surfaces: BTreeSet<String>,
    /// Where.
    pub scopes: BTreeSet<&'a str>,
    /// Which calls: any of these regions; the empty one is all.
    pub regions: BTreeSet<&'a str>,
    /// The outcome of the witness by the old bundle.
    pub before: &'a State,
    /// The outcome of the witness by the new bundle.
    pub after: &'a State,
    /// What makes it.
    pub causes: Vec<Located>,
    /// The findings; their witnesses show it.
    pub findings: Vec<&'a Finding>,
}

/// What kind of change, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Denied before, allowed now.
    Widened,
    /// Denied before, allowed now while break-glass is activated.
    Unlocked,
    /// Allowed, with less asked in return.
    Loosened,
    /// Allowed before, denied now.
    Narrowed,
    /// Allowed, with more asked in return.
    Tightened,
    /// Denied for another reason.
    Reason,
}

impl Kind {
    /// Every kind, in reading order.
    pub const ALL: [Self; 6] = [
        Self::Widened,
        Self::Unlocked,
        Self::Loosened,
        Self::Narrowed,
        Self::Tightened,
        Self::Reason,
    ];

    fn of(finding: &Finding) -> Self {
        match finding.change {
            Change::Widened => Self::Widened,
            Change::Loosened => Self::Loosened,
            Change::Narrowed => Self::Narrowed,
            Change::Tightened => Self::Tightened,
            Change::Reason if finding.unlocks() => Self::Unlocked,
            Change::Reason => Self::Reason,
        }
    }

    /// One word, for rows and for rules of SARIF.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Unlocked => "unlocked",
            Self::Loosened => "loosened",
            Self::Narrowed => "narrowed",
            Self::Tightened => "tightened",
            Self::Reason => "reason",
        }
    }

    /// A heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Widened => "Widened: denied before, allowed now",
            Self::Unlocked => "Unlocked: denied before, allowed now while break-glass is activated",
            Self::Loosened => "Loosened: allowed, with less asked in return",
            Self::Narrowed => "Narrowed: allowed before, denied now",
            Self::Tightened => "Tightened: allowed, with more asked in return",
            Self::Reason => "Same access, different reason",
        }
    }

    /// What subjects of an entry may or may not do with its surfaces.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Widened => "may now call",
            Self::Unlocked => "may now, once activated, call",
            Self::Narrowed => "may no longer call",
            Self::Loosened | Self::Tightened => "may still call",
            Self::Reason => "may not call",
        }
    }

    /// Whether a reviewer has to agree to it.
    #[must_use]
    pub fn needs_review(self) -> bool {
        self <= Self::Loosened
    }
}

impl<'a> Review<'a> {
    /// Folds a report whose sides have these names, and these texts where they are projects.
    #[must_use]
    pub fn new(report: &'a Report, names: [&'a str; 2], written: [Option<Written<'a>>; 2]) -> Self {
        let items = report.findings.iter().map(|finding| Entry {
            kind: Kind::of(finding),
            risk: finding.risk,
            subjects: subjects(finding),
            surfaces: BTreeSet::from([called(finding)]),
            scopes: BTreeSet::from([finding.scope.as_str()]),
            regions: BTreeSet::from([finding.region.as_str()]),
            before: &finding.before,
            after: &finding.after,
            causes: written::locate(finding, written),
            findings: vec![finding],
        });
        let mut entries = folded(items.collect());
        entries.sort_by(|a, b| order(a).cmp(&order(b)));
        Self {
            report,
            names,
            entries,
            undecided: undecided(report),
        }
    }

    /// The entries of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(move |it| it.kind == kind)
    }

    /// How many entries there are of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).count()
    }

    /// How many of what a reviewer has to agree to is destructive.
    #[must_use]
    pub fn destructive(&self) -> usize {
        let grave = |it: &&Entry<'_>| it.kind.needs_review() && it.risk == Risk::Destructive;
        self.entries.iter().filter(grave).count()
    }

    /// How much of that is destructive, as a sentence; none where nothing is.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        match self.destructive() {
            0 => None,
            1 => Some("1 change to agree to reaches something destructive".to_owned()),
            count => Some(format!(
                "{count} changes to agree to reach something destructive"
            )),
        }
    }

    /// The counts in words: "2 widened, 1 narrowed".
    #[must_use]
    pub fn counts(&self) -> String {
        let kinds = Kind::ALL.iter().filter_map(|kind| {
            let count = self.count(*kind);
            let word = match kind {
                Kind::Unlocked => "unlocked by break-glass",
                Kind::Reason => "with another reason",
                kind => kind.word(),
            };
            (count > 0).then(|| format!("{count} {word}"))
        });
        let gaps = self.undecided.len();
        let gaps = (gaps > 0).then(|| format!("{gaps} undecided"));
        kinds.chain(gaps).collect::<Vec<_>>().join(", ")
    }
}

/// The most regions of one entry that are told in words.
const MOST_REGIONS: usize = 8;

impl Entry<'_> {
    /// Where it comes from: the first place on the new side, or else on the old one.
    #[must_use]
    pub fn place(&self) -> Option<(Side, &str)> {
        let of = |at: usize| {
            let mut places = self
                .causes
                .iter()
                .filter_map(|it| it.places.get(at)?.as_deref());
            places.next()
        };
        let known = |side: Side| {
            let finding = self.findings.first()?;
            let place = finding.places.iter().find(|it| it.side == side)?;
            Some(place.place.as_str())
        };
        let new = of(1).or_else(|| known(Side::To)).map(|it| (Side::To, it));
        new.or_else(|| {
            let old = of(0).or_else(|| known(Side::From));
            old.map(|it| (Side::From, it))
        })
    }

    /// The regions in words; empty is every call. Of very many the shortest stand for all: nobody reads
    /// the others, and the JSON report has them.
    #[must_use]
    pub fn region(&self) -> String {
        if self.regions.contains("") {
            return String::new();
        }
        match self.regions.iter().collect::<Vec<_>>().as_slice() {
            [one] => (**one).to_owned(),
            many => {
                let mut shown = many.to_vec();
                if many.len() > MOST_REGIONS {
                    shown.sort_by_key(|it| it.len());
                    shown.truncate(MOST_REGIONS);
                }
                let mut each: Vec<_> = shown.iter().map(|it| format!("({it})")).collect();
                let left = many.len() - shown.len();
                each.extend((left > 0).then(|| format!("{left} more regions (--format json)")));
                each.join(" or ")
            }
        }
    }

    /// The witness of the first finding, as one line for `latchkey eval`.
    #[must_use]
    pub fn witness(&self) -> String {
        let witness = self.findings.first().map(|it| &it.witness);
        witness.map_or_else(String::new, |it| {
            serde_json::to_string(it).unwrap_or_default()
        })
    }
}

/// An outcome in words: `deny no_permission`, `allow by binding a, rate 30/m`.
#[must_use]
pub fn outcome(state: &State) -> String {
    let mut text = state.decision.to_owned();
    if state.decision != "allow" {
        text = format!("{text} {}", state.reason);
    }
    if let Some(rule) = &state.rule {
        text = format!("{text} by rule {rule}");
    }
    if !state.granted_by.is_empty() && state.decision == "allow" {
        text = format!("{text} by binding {}", state.granted_by.join(", "));
    }
    for (kind, values) in &state.obligations {
        text = format!("{text}, {kind} {}", values.join(" and "));
    }
    text
}

/// The first few of some names, and how many more.
#[must_use]
pub fn shortened<'n>(
    names: impl IntoIterator<Item = &'n str>,
    most: usize,
) -> (Vec<&'n str>, usize) {
    let mut names: Vec<_> = names.into_iter().collect();
    let more = names.len().saturating_sub(most);
    names.truncate(most);
    (names, more)
}

/// A cause as people call it: `binding x`, `tool github/y`.
#[must_use]
pub fn named(located: &Located) -> String {
    let noun = match located.cause.section {
        "bindings" => "binding",
        "rules" => "rule",
        "roles" => "role",
        "groups" => "group",
        "schedules" => "schedule",
        "principals" => "principal",
        "servers" => "server",
        _ => "surface",
    };
    format!("{noun} {}", located.cause.name)
}

fn subjects(finding: &Finding) -> BTreeSet<String> {
    let caller = finding.witness.caller.as_ref();
    let issuer = caller.and_then(|it| it.issuer.as_deref());
    let named = finding.subjects.iter().map(|name| match issuer {
        Some(issuer) if name.starts_with("group:") => format!("{name} of {issuer}"),
        _ => name.clone(),
    });
    named.collect()
}

fn called(finding: &Finding) -> String {
    match &finding.operation {
        None => finding.surface.clone(),
        Some(operation) => format!("{}:{operation}", finding.surface),
    }
}

fn order<'e>(entry: &'e Entry<'_>) -> impl Ord + use<'e> {
    let (surface, subject) = (entry.surfaces.first(), entry.subjects.first());
    let risk = std::cmp::Reverse(entry.risk);
    (
        entry.kind,
        risk,
        surface,
        subject,
        &entry.scopes,
        &entry.regions,
    )
}

/// One of the sets of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Surfaces,
    Scopes,
    Subjects,
    Regions,
}

/// Takes together entries that differ on one axis only, until none do.
fn folded(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    loop {
        let before = entries.len();
        for axis in [Axis::Surfaces, Axis::Subjects, Axis::Scopes, Axis::Regions] {
            entries = along(axis, entries);
        }
        if entries.len() == before {
            return entries;
        }
    }
}

fn along(axis: Axis, entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    let mut kept: Vec<Entry<'_>> = Vec::new();
    for entry in entries {
        let at = *known.entry(key(axis, &entry)).or_insert(kept.len());
        match kept.get_mut(at) {
            None => kept.push(entry),
            Some(first) => {
                first.risk = first.risk.max(entry.risk);
                first.subjects.extend(entry.subjects);
                first.surfaces.extend(entry.surfaces);
                first.scopes.extend(entry.scopes);
                first.regions.extend(entry.regions);
                first.findings.extend(entry.findings);
            }
        }
    }
    kept
}

/// What two entries must share to differ on one axis only.
fn key<'e>(axis: Axis, entry: &Entry<'e>) -> impl Ord + use<'e> {
    let other = |it: Axis| it != axis;
    let outcome = |state: &State| {
        let obligations = state.obligations.clone();
        (
            state.decision,
            state.reason,
            state.rule.clone(),
            obligations,
        )
    };
    let sets = (
        other(Axis::Surfaces).then(|| entry.surfaces.clone()),
        other(Axis::Subjects).then(|| entry.subjects.clone()),
        other(Axis::Scopes).then(|| entry.scopes.clone()),
        other(Axis::Regions).then(|| entry.regions.clone()),
    );
    let outcomes = (outcome(entry.before), outcome(entry.after));
    // What is destructive is never hidden among other things.
    let grave = entry.risk == Risk::Destructive;
    (entry.kind, grave, sets, outcomes, entry.causes.clone())
}

fn undecided(report: &Report) -> Vec<(BTreeSet<&str>, &Undecided)> {
    let mut all: Vec<(BTreeSet<&str>, &Undecided)> = Vec::new();
    for gap in &report.undecided {
        let same = |(_, it): &&mut (BTreeSet<&str>, &Undecided)| {
            it.why == gap.why && it.place == gap.place
        };
        match all.iter_mut().find(same) {
            Some((surfaces, _)) => {
                surfaces.insert(&gap.surface);
            }
            None => all.push((BTreeSet::from([gap.surface.as_str()]), gap)),
        }
    }
    all
}
