//! Exact access changes between two opened bundles.
//!
//! Callers that no decision tells apart are one class. For each class and permission the outcome is
//! a function of the request; both functions are built as decision diagrams over the same regions,
//! and where they differ, the region is reported with a concrete call that was replayed through
//! [`latchkey_gate`] on both sides. What cannot be settled is listed as undecided, and counts as
//! widening (design section 4, *Exact analysis*).

pub mod access;
mod activated;
mod cause;
mod chain;
mod covers;
mod diagram;
mod domain;
pub mod entries;
mod formula;
mod gaps;
pub mod idle;
mod instance;
mod joint;
mod lists;
mod outcome;
pub mod render;
mod report;
pub mod review;
mod same;
mod shape;
mod texts;
mod times;
mod unchanged;
mod view;
mod widest;
mod witness;
mod words;
mod world;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    id::ScopeId, index::Obligation, overlay::Overlay, reason::Reason, time::Time,
};
use latchkey_gate::{
    call::{self, Answer as Replay, Stated, StatedCaller},
    gate::Gate,
};

pub(crate) use self::instance::plainest;
pub use self::{
    cause::{Cause, How},
    render::human::bare as human,
    report::{Change, Finding, Place, Report, Side as WhichSide, State, Undecided},
    review::Review,
    written::{Line, Located, Written},
};
use self::{
    domain::Key,
    joint::{Casts, Settled},
    outcome::{Actor, Answer, Outcome, Question},
    report::{Callers, Part},
    witness::{Choice, MAX_TRIES, Recipe},
    world::{Class, Sample, Side},
};
pub(crate) use self::{
    unchanged::Unchanged,
    view::read_by,
    words::{attribute as attribute_words, shown as formula_words},
};

/// The most ways through one diagram that are reported one by one.
const MAX_WAYS: usize = 256;

/// Compares what two bundles allow. `at` is the time of witnesses for which any time will do.
#[must_use]
pub fn compare(old: &Gate, new: &Gate, at: Time) -> Report {
    let mut report = Report::new(old.digest(), new.digest());
    if old.digest() == new.digest() {
        return report;
    }
    let (from, to) = (Side::new(old), Side::new(new));
    let classes = world::classes(&from, &to);
    gaps::find([&from, &to], &classes, &mut report);
    report.callers = callers(&classes);
    let texts = texts::Known::default();
    let mut analysis = Analysis {
        from: &from,
        to: &to,
        classes: &classes,
        at,
        report,
        merged: BTreeMap::new(),
        failed: BTreeSet::new(),
        able: BTreeMap::new(),
        casts: None,
        texts: &texts,
    };
    let sides = [&from, &to];
    let lines = same::Lines::new(sides);
    let unchanged: Vec<bool> = classes
        .iter()
        .map(|class| same::callers(sides, class.known()))
        .collect();
    let chains = from.reads_chain() || to.reads_chain();
    for (surface, operation) in permissions(&from, &to) {
        let operation = operation.as_deref();
        let difference = same::permission(sides, &lines, &surface, operation);
        for ((at, class), unchanged) in analysis.classes.iter().enumerate().zip(&unchanged) {
            if *unchanged && !difference.concerns(class.known()) {
                continue;
            }
            let within = unchanged
                .then(|| difference.within(sides, class.known(), &surface))
                .flatten();
            let permission = (surface.as_str(), operation);
            analysis.ask((at, class), permission, (Standing::Alone, within.as_ref()));
            if chains {
                analysis.ask((at, class), permission, (Standing::Within, None));
            }
        }
        for actor in actors([&from, &to], &classes, &surface) {
            let moves = path(&from, actor[0]) != path(&to, actor[1]);
            for ((at, class), unchanged) in analysis.classes.iter().enumerate().zip(&unchanged) {
                let concerned = moves || !unchanged || difference.concerns(class.known());
                if concerned && class.scopes() != actor {
                    let permission = (surface.as_str(), operation);
                    analysis.ask((at, class), permission, (Standing::Under(actor), None));
                }
            }
        }
    }
    let mut report = analysis.finish();
    cause::attach(&mut report, sides);
    report
}

/// The scopes of callers that can act for others, where a surface takes its scope from who acts.
fn actors(sides: [&Side<'_>; 2], classes: &[Class], surface: &str) -> BTreeSet<Actor> {
    let own = |side: &&Side<'_>| side.takes_scope_from_caller(surface);
    if !sides.iter().any(own) {
        return BTreeSet::new();
    }
    classes.iter().map(Class::scopes).collect()
}

fn path(side: &Side<'_>, scope: Option<ScopeId>) -> Option<String> {
    scope.map(|scope| side.index.scopes.path(scope))
}

/// The class of each caller, by its place.
fn callers(classes: &[Class]) -> Callers {
    let mut callers = Callers::default();
    for (at, class) in classes.iter().enumerate() {
        let identities = class.identities.iter().cloned();
        callers.declared.extend(identities.map(|it| (it, at)));
        let strangers = class.strangers.iter().cloned();
        callers.undeclared.extend(strangers.map(|it| (it.0, at)));
        if class.sample == Sample::Anonymous {
            callers.anonymous = Some(at);
        }
    }
    callers
}

/// Every permission of either side, as `server/name` and operation.
fn permissions(from: &Side<'_>, to: &Side<'_>) -> BTreeSet<(String, Option<String>)> {
    let mut all = BTreeSet::new();
    for side in [from, to] {
        for surface in &side.index.surfaces {
            let server = side.policy.server_entry(surface.server);
            let name = format!(
                "{}/{}",
                server.map_or("", |it| it.name.as_str()),
                surface.name
            );
            match &surface.operations {
                None => {
                    all.insert((name, None));
                }
                Some(operations) => all.extend(
                    operations
                        .values
                        .iter()
                        .map(|(value, _)| (name.clone(), Some(value.clone()))),
                ),
            }
        }
    }
    all
}

/// Where in a chain of callers one of a class is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No chain.
    Alone,
    /// Anywhere, with callers around it that conditions read.
    Within,
    /// Acted for by somebody of another scope, on a surface that takes its scope from who acts.
    Under(Actor),
}

/// What findings of several classes must share to be one finding.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    change: Change,
    surface: String,
    operation: Option<String>,
    scope: String,
    region: String,
    /// The groups that the region needs; they are its subjects then.
    groups: BTreeSet<String>,
    outcomes: [Outcome; 2],
}

/// A permission, where who acts belongs, and a class.
type Stands = (String, Option<String>, Option<Actor>, usize);

struct Analysis<'a> {
    from: &'a Side<'a>,
    to: &'a Side<'a>,
    classes: &'a [Class],
    at: Time,
    report: Report,
    merged: BTreeMap<Group, Finding>,
    /// What no call was found for, for some class.
    failed: BTreeSet<Group>,
    /// On which sides a class can be allowed somewhere in a chain, by what is asked.
    able: BTreeMap<Stands, [bool; 2]>,
    /// Every chain around the caller that is asked about, once that is needed.
    casts: Option<Casts<'a>>,
    texts: &'a texts::Known,
}

impl Analysis<'_> {
    fn ask(
        &mut self,
        (at, class): (usize, &Class),
        permission: (&str, Option<&str>),
        (standing, within): (Standing, Option<&BTreeSet<String>>),
    ) {
        let chain = standing != Standing::Alone;
        let actor = match standing {
            Standing::Under(actor) => Some(actor),
            Standing::Alone | Standing::Within => None,
        };
        let (surface, sides) = (permission.0, [self.from, self.to]);
        let question = Question {
            chain,
            actor,
            within,
            ..Question::alone(sides, class.known(), self.texts, permission)
        };
        let Ok(answer) = outcome::compare(&question) else {
            let why = "the conditions have too many combinations to compare one by one";
            self.report.undecided(surface, why, None);
            return;
        };
        self.casts = None;
        let wanted = |leaf: u32| change(&answer, leaf).is_some_and(|it| !chain || it.matters());
        let ways = answer.diagram.paths(answer.root, &wanted, MAX_WAYS);
        if ways.len() >= MAX_WAYS {
            let why =
                format!("more than {MAX_WAYS} different regions change; the first are listed");
            self.report.undecided(surface, &why, None);
        }
        for (way, leaf) in ways {
            let choice = answer.choice(way);
            if chain && actor.is_none() && !chain::is_confined(&answer, &choice) {
                continue;
            }
            if let (Some(sought), Some(pair)) = (
                change(&answer, leaf),
                answer.pairs.get(leaf as usize).cloned(),
            ) {
                for (scope, choice) in widest::split(&question, &answer, &choice, sought.change) {
                    self.report_way(
                        (at, class),
                        (&question, &answer),
                        (sought, &pair),
                        &scope,
                        &choice,
                    );
                }
            }
        }
    }

    fn report_way(
        &mut self,
        (at, class): (usize, &Class),
        (question, answer): (&Question<'_>, &Answer),
        (sought, pair): (Sought, &[Outcome; 2]),
        scope: &widest::Where,
        choice: &Choice,
    ) {
        let change = sought.change;
        let group = Group {
            change,
            surface: question.surface.to_owned(),
            operation: question.operation.map(str::to_owned),
            scope: scope.path.clone(),
            region: region(answer, choice, scope.argument.as_ref()),
            groups: self.groups(choice),
            outcomes: pair.clone(),
        };
        let subjects = if group.groups.is_empty() {
            class.subjects.iter().cloned().collect()
        } else {
            group.groups.clone()
        };
        let part = Part {
            class: at,
            chain: question.chain,
            cells: cells(answer, choice),
        };
        if let Some(known) = self.merged.get_mut(&group) {
            known.add(subjects, part);
            return;
        }
        let recipe = Recipe {
            question,
            answer,
            choice,
            sample: &class.sample,
            at: self.at,
        };
        let chains = if question.chain {
            let way = (answer, choice);
            chain::around(question.sides, self.classes, way, question.actor)
        } else {
            vec![[None, None]]
        };
        // Only the caller itself fits, and that was asked about alone.
        let alone = usize::from(question.actor.is_none());
        if question.chain && chains.len() <= alone {
            return;
        }
        let tries = sought.tries(self.failed.contains(&group));
        let mut found = self.replay(&recipe, sought, (&chains, tries));
        let mut empty = false;
        if found.is_none() && question.chain && sought.matters() {
            match self.settle(at, &recipe, sought) {
                Settled::Empty => empty = true,
                Settled::Calls(calls) => {
                    let mut calls = calls.into_iter();
                    found = calls.find_map(|it| self.shows(it, question.surface, sought));
                }
            }
        }
        if let Some((call, before, after)) = found {
            let finding = Finding::new(
                (change, question.surface, question.operation),
                (&group.scope, &group.region),
                (before, after),
                (subjects, call, part),
            );
            self.merged.insert(group, finding);
            return;
        }
        if sought.matters() && !empty {
            let why = format!(
                "{} may be {} for {}{}, but no concrete call was found that shows it",
                question.surface,
                sought.word(),
                subjects.into_iter().collect::<Vec<_>>().join(", "),
                if group.region.is_empty() {
                    String::new()
                } else {
                    format!(" where {}", group.region)
                },
            );
            self.report.undecided(question.surface, &why, None);
        }
        self.failed.insert(group);
    }

    /// Whether a region of a question about chains has calls, by every chain that there is.
    fn settle(&mut self, at: usize, recipe: &Recipe<'_>, wanted: Sought) -> Settled {
        let question = recipe.question;
        let Some(class) = self.classes.get(at) else {
            return Settled::Calls(Vec::new());
        };
        // Whoever acts has the scope of the caller that is asked about, where that decides.
        let own = question.takes_scope_from_caller() && question.actor.is_none();
        let asked = Question {
            actor: question.actor.or_else(|| own.then(|| class.scopes())),
            ..*question
        };
        let casts = self.casts.take().unwrap_or_else(|| {
            let (classes, able) = (self.classes, &mut self.able);
            let may = |at: usize| {
                let operation = question.operation.map(str::to_owned);
                let key = (question.surface.to_owned(), operation, asked.actor, at);
                *able
                    .entry(key)
                    .or_insert_with(|| may_act(&asked, classes.get(at)))
            };
            Casts::new(question, class, classes, may, change)
        });
        let settled = casts.settle(recipe, wanted);
        self.casts = Some(casts);
        settled
    }

    /// A call that shows the change on both real gates.
    fn replay(
        &self,
        recipe: &Recipe<'_>,
        sought: Sought,
        (chains, tries): (&[[Option<StatedCaller>; 2]], usize),
    ) -> Option<(Stated, Replay, Replay)> {
        (0..tries).find_map(|attempt| {
            let chain = chains.get(attempt % chains.len())?;
            let call = chain::join(recipe.call(attempt)?, chain);
            self.shows(call, recipe.question.surface, sought)
        })
    }

    /// The call and both answers, where they show the change.
    fn shows(
        &self,
        call: Stated,
        surface: &str,
        sought: Sought,
    ) -> Option<(Stated, Replay, Replay)> {
        let nothing = Overlay::default();
        let before = answer(self.from.gate, &nothing, &call);
        let after = answer(self.to.gate, &nothing, &call);
        let shown = Change::between(&before, &after) == Some(sought.change);
        let locked = after.reason == Reason::BreakGlassRequired.as_str();
        let opens = || activated::opens([self.from, self.to], surface, &call);
        let shown = if sought.unlocks() {
            locked && (shown || opens())
        } else {
            shown
        };
        shown.then_some((call, before, after))
    }

    /// The groups that a way needs the token to carry.
    fn groups(&self, choice: &Choice) -> BTreeSet<String> {
        let needed = choice.iter().filter_map(|(key, regions)| match key {
            Key::Group(issuer, value) if regions.as_slice() == [1] => {
                Some(self.group_name(issuer, value))
            }
            _ => None,
        });
        needed.collect()
    }

    fn group_name(&self, issuer: &str, value: &str) -> String {
        let find = |side: &Side<'_>| {
            let id = side.policy.issuer(issuer)?;
            let claims = |it: &&latchkey_engine::index::Group| {
                it.claim
                    .as_ref()
                    .is_some_and(|(from, claim)| *from == id && claim == value)
            };
            Some(format!(
                "group:{}",
                side.index.groups.iter().find(claims)?.name
            ))
        };
        find(self.to)
            .or_else(|| find(self.from))
            .unwrap_or_else(|| format!("{issuer}:{value}"))
    }

    fn finish(mut self) -> Report {
        self.report.findings = self.merged.into_values().collect();
        self.report.summarise();
        self.report
    }
}

/// On which sides a class can be allowed somewhere in a chain: one is as good as its weakest
/// caller. Where that cannot be told, on both.
fn may_act(question: &Question<'_>, class: Option<&Class>) -> [bool; 2] {
    let Some(class) = class else {
        return [false; 2];
    };
    let asked = Question {
        known: class.known(),
        ..*question
    };
    let Ok(answer) = outcome::compare(&asked) else {
        return [true; 2];
    };
    let allows = |at: usize| {
        let mut outcomes = answer.pairs.iter().filter_map(|pair| pair.get(at));
        outcomes.any(Outcome::is_reachable)
    };
    [allows(0), allows(1)]
}

/// What a call comes to on one side; a call that cannot even be asked there is refused.
fn answer(gate: &Gate, overlay: &Overlay, call: &Stated) -> Replay {
    call::answer(gate, overlay, call).unwrap_or_else(|_| Replay {
        id: None,
        decision: "deny",
        reason: Reason::Unauthenticated.as_str(),
        rule: None,
        granted_by: Vec::new(),
        surface: None,
        operation: None,
        scopes: Vec::new(),
        permissions: Vec::new(),
        obligations: BTreeMap::new(),
        undetermined: Vec::new(),
        place: None,
    })
}

/// What is looked for in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sought {
    change: Change,
    /// Whether calls are denied on both sides, and an activation is all that is missing now.
    locked: bool,
}

impl Sought {
    /// Whether an activation comes to be all that is missing: see [`Finding::unlocks`].
    fn unlocks(self) -> bool {
        self.locked && self.change == Change::Reason
    }

    /// Whether somebody can do something else: then it is shown, proved empty or undecided.
    fn matters(self) -> bool {
        self.locked || self.change != Change::Reason
    }

    /// How many calls are tried. What is only asked behind break-glass, none shows.
    fn tries(self, failed: bool) -> usize {
        if self.locked && self.change != Change::Reason {
            0
        } else if self.matters() && !failed {
            MAX_TRIES
        } else {
            MAX_TRIES / 8
        }
    }

    fn word(self) -> &'static str {
        match self.change {
            Change::Reason if self.locked => "unlocked by break-glass",
            Change::Loosened if self.locked => "loosened, once break-glass is activated,",
            other => other.word(),
        }
    }
}

/// What changes at a leaf of the pair diagram.
fn change(answer: &Answer, leaf: u32) -> Option<Sought> {
    let [old, new] = answer.pairs.get(leaf as usize)?;
    let allows = |outcome: &Outcome| outcome.reason == Reason::Ok;
    let change = match (allows(old), allows(new)) {
        (false, true) => Some(Change::Widened),
        (true, false) => Some(Change::Narrowed),
        (true, true) => obligations(&old.obligations, &new.obligations),
        (false, false) => denied(old, new),
    }?;
    let locked = !allows(old) && new.reason == Reason::BreakGlassRequired;
    Some(Sought { change, locked })
}

/// What changes where calls are denied before and after. While an activation is in force, those
/// that were only locked are not.
fn denied(old: &Outcome, new: &Outcome) -> Option<Change> {
    if old.reason != new.reason {
        return is_told_apart(old.reason, new.reason).then_some(Change::Reason);
    }
    if new.unlockable && !old.unlockable {
        return Some(Change::Reason);
    }
    let asked = obligations(&old.obligations, &new.obligations);
    asked.filter(|it| *it == Change::Loosened)
}

/// Whether a change of reason is worth a line: not where a surface or caller merely begins or
/// ceases to exist, nor where a token that leaves the permission out meets a new grant.
/// What break-glass comes to unlock is always told.
fn is_told_apart(old: Reason, new: Reason) -> bool {
    let unlocks = new == Reason::BreakGlassRequired;
    unlocks
        || ![old, new].iter().any(|reason| {
            matches!(
                reason,
                Reason::SurfaceUnmatched
                    | Reason::Unauthenticated
                    | Reason::PrincipalUnknown
                    | Reason::ScopeInvalid
                    | Reason::TokenScope
            )
        })
}

/// How obligations compare; what neither implies the other counts as loosened.
fn obligations(old: &BTreeSet<Obligation>, new: &BTreeSet<Obligation>) -> Option<Change> {
    match (implies(old, new), implies(new, old)) {
        (true, true) => None,
        (false, true) => Some(Change::Tightened),
        (true | false, false) => Some(Change::Loosened),
    }
}

/// Whether all of `weaker` holds wherever all of `stronger` does.
fn implies(stronger: &BTreeSet<Obligation>, weaker: &BTreeSet<Obligation>) -> bool {
    let held = |weak: &Obligation| stronger.iter().any(|strong| strong.implies(*weak));
    weaker.iter().all(held)
}

/// The region as data.
fn cells(answer: &Answer, choice: &Choice) -> Vec<covers::Cell> {
    let confined = answer.domains.iter().filter_map(|(key, all)| {
        let chosen = choice.get(key)?.clone();
        Some(covers::Cell {
            key: key.clone(),
            all: all.clone(),
            chosen,
        })
    });
    confined.collect()
}

/// The region in words, without what the scope already says.
fn region(answer: &Answer, choice: &Choice, scope_argument: Option<&Key>) -> String {
    let mut parts = Vec::new();
    for (key, all) in &answer.domains {
        let Some(chosen) = choice.get(key).filter(|_| Some(key) != scope_argument) else {
            continue;
        };
        parts.extend(match key {
            Key::Attribute(attribute) => words::regions(&words::attribute(attribute), all, chosen),
            Key::Group(_, value) => {
                (chosen.as_slice() == [0]).then(|| format!("the token lacks group {value:?}"))
            }
            Key::Flag(test) => words::regions(test, all, chosen),
            Key::Token => (chosen.as_slice() == [0])
                .then(|| "the token is restricted to other permissions".to_owned()),
        });
    }
    parts.join(" && ")
}
