//! Who can do what by one policy, exactly.
//!
//! The same diagrams that a comparison is made of, of one policy alone: for each class of callers
//! and each permission, the calls that are allowed, as regions in words. Each line names the chains
//! that lead to it, from the subject over the binding to the role, and a call that shows it, which
//! was replayed.

mod chains;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    id::ScopeId,
    index::{Access as Door, ScopeSource},
    scope::ScopeTree,
    time::Time,
};
use latchkey_gate::{call::Stated, gate::Gate};
use serde::Serialize;

use super::{
    covers::{self, Cell},
    outcome::Question,
    permissions,
    report::Undecided,
    texts,
    view::{Membership, View},
    world::{self, Class, Known, Sample, Side},
};

/// What is asked. What is absent is not asked about: every server, every caller, any time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'q> {
    /// Only this server.
    pub server: Option<&'q str>,
    /// Only this surface, as `server/name`.
    pub surface: Option<&'q str>,
    /// Only this operation of it.
    pub operation: Option<&'q str>,
    /// Only this subject: a principal's name, `group:<name>`, `undeclared:<issuer>`, `anonymous`.
    pub subject: Option<&'q str>,
    /// Only calls that can take place here or below.
    pub scope: Option<ScopeId>,
    /// Only what holds at this time.
    pub at: Option<Time>,
}

/// Everything that some callers can do.
#[derive(Debug, Clone, Serialize)]
pub struct Access {
    /// The version of this shape.
    pub version: u32,
    /// The SHA-256 of the bundle that was asked.
    pub digest: String,
    /// What is allowed, by surface, operation, scope and condition.
    pub lines: Vec<Line>,
    /// What cannot be settled.
    pub undecided: Vec<Undecided>,
}

/// Calls that are allowed, and to whom.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Who: names, with their issuer where it makes a difference (`alice (by acme-idp)`),
    /// `undeclared:<issuer>`, `anonymous`.
    pub subjects: BTreeSet<String>,
    /// What they can do.
    #[serde(flatten)]
    pub what: What,
    /// A call that shows it; none where none was found, so that it may be that nothing fits.
    pub witness: Option<Stated>,
    /// The region as data.
    #[serde(skip)]
    cells: Vec<Cell>,
}

/// What one class of callers can do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct What {
    /// `server/name`.
    pub surface: String,
    /// The operation.
    pub operation: Option<String>,
    /// The permission, in its exact form.
    pub permission: String,
    /// `read`, `write` or `destructive`.
    pub risk: &'static str,
    /// `permission`, `authenticated` or `public`: who needs a grant at all.
    pub access: &'static str,
    /// The widest scope that it holds for.
    pub scope: String,
    /// Groups that the caller's token must carry.
    pub token_groups: BTreeSet<String>,
    /// From when on, RFC 3339.
    pub not_before: Option<String>,
    /// Until when, RFC 3339, not included.
    pub expires: Option<String>,
    /// Which calls, in words; empty is all.
    pub when: String,
    /// Whether it is about calls through a chain, with others than the caller itself in it.
    pub chain: bool,
    /// Whose break-glass activation it needs besides.
    pub activation: Option<&'static str>,
    /// What every such call carries, by kind.
    pub obligations: BTreeMap<&'static str, Vec<String>>,
    /// Every binding that can grant it.
    pub grants: Vec<Grant>,
    /// Every deny rule that takes some of it away again.
    pub unless: Vec<Denial>,
}

/// A binding that grants, and how a caller comes by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// As what the binding names the caller.
    pub subjects: Vec<Source>,
    /// The binding.
    pub binding: String,
    /// Where it is written, as `file:line:column`.
    pub place: Option<String>,
    /// Where it holds.
    pub scope: String,
    /// Its condition, in words.
    pub when: Option<String>,
    /// From when on.
    pub not_before: Option<String>,
    /// Until when, not included.
    pub expires: Option<String>,
    /// The roles of it that give the permission.
    pub roles: Vec<Source>,
}

/// Something with a name that is written somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Where it is written, as `file:line:column`, where that is known.
    pub place: Option<String>,
}

/// A deny rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Denial {
    /// The rule.
    pub rule: String,
    /// Where it is written.
    pub place: Option<String>,
    /// Its condition, in words.
    pub when: Option<String>,
}

/// What the places of a policy are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'n> {
    /// A subject: a principal's name, `group:<name>`.
    Subject(&'n str),
    /// A binding.
    Binding(&'n str),
    /// A role, and a permission that it gives.
    Role(&'n str, &'n str),
    /// A rule.
    Rule(&'n str),
}

impl Line {
    /// Whether a call of the line's surface and operation lies in its region; scope and subjects
    /// are not looked at. May say yes where a condition cannot be taken apart, never no wrongly.
    #[must_use]
    pub fn covers(&self, call: &Stated) -> bool {
        covers::inside(&self.cells, call)
    }

    /// Whether every call of these callers on this surface and scope is allowed, at any time.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let what = &self.what;
        what.when.is_empty()
            && !what.chain
            && what.activation.is_none()
            && what.not_before.is_none()
            && what.expires.is_none()
    }
}

impl Access {
    /// Fills in where everything is written.
    pub fn locate(&mut self, place: &dyn Fn(Named<'_>) -> Option<String>) {
        for line in &mut self.lines {
            let permission = line.what.permission.clone();
            for grant in &mut line.what.grants {
                grant.place = place(Named::Binding(&grant.binding));
                for subject in &mut grant.subjects {
                    subject.place = place(Named::Subject(&subject.name));
                }
                for role in &mut grant.roles {
                    role.place = place(Named::Role(&role.name, &permission));
                }
            }
            for denial in &mut line.what.unless {
                denial.place = place(Named::Rule(&denial.rule));
            }
        }
    }
}

/// Finds everything that a policy allows to the callers in question.
#[must_use]
pub fn access(gate: &Gate, query: &Query<'_>) -> Access {
    let side = Side::new(gate);
    let classes = world::classes(&side, &side);
    let texts = texts::Known::default();
    let mut review = Review {
        side: &side,
        classes: &classes,
        query,
        several: several(&classes),
        lines: BTreeMap::new(),
        undecided: BTreeSet::new(),
    };
    let chains = side.reads_chain();
    for (surface, operation) in permissions(&side, &side) {
        if !query.is_about(&surface, operation.as_deref()) {
            continue;
        }
        for class in review.classes {
            if !query.concerns(class) {
                continue;
            }
            let alone = std::iter::once((false, None));
            let alone = alone.chain(chains.then_some((true, None)));
            let others = review.actors(class, &surface).into_iter();
            for (chain, actor) in alone.chain(others.map(|actor| (true, Some(actor)))) {
                let permission = (surface.as_str(), operation.as_deref());
                let question = Question {
                    chain,
                    actor: actor.map(|scope| [Some(scope); 2]),
                    ..Question::alone([&side, &side], class.known(), &texts, permission)
                };
                let within = View::new(&question, 1).open_within(ScopeTree::PLATFORM);
                let question = Question {
                    within: within.as_ref(),
                    ..question
                };
                review.ask(class, &question);
            }
        }
    }
    review.finish(gate.digest())
}

/// The lines as they are found.
struct Review<'a> {
    side: &'a Side<'a>,
    classes: &'a [Class],
    query: &'a Query<'a>,
    /// Principals that several classes are.
    several: BTreeSet<&'a str>,
    lines: BTreeMap<What, Line>,
    undecided: BTreeSet<Undecided>,
}

impl Review<'_> {
    /// Where the actors of a chain can belong, other than a class itself, on surfaces whose calls
    /// take place where the actor belongs.
    fn actors(&self, class: &Class, surface: &str) -> BTreeSet<ScopeId> {
        let by_actor = self.side.surface(surface).is_some_and(|(_, surface)| {
            matches!(
                surface.scope,
                ScopeSource::Principal | ScopeSource::Force { .. }
            )
        });
        let home = |class: &Class| match class.known() {
            [_, Known::Caller(facts) | Known::Undeclared(facts)] => facts.scope,
            _ => None,
        };
        let known = matches!(class.known(), [_, Known::Caller(_) | Known::Undeclared(_)]);
        if !by_actor || !known {
            return BTreeSet::new();
        }
        let mut all: BTreeSet<ScopeId> = self.classes.iter().filter_map(home).collect();
        if let Some(own) = home(class) {
            all.remove(&own);
        }
        all
    }

    /// Those of a class that are asked about. Who calls through several issuers, and is not told
    /// apart by its name alone, goes by name and issuer.
    fn subjects(&self, class: &Class) -> BTreeSet<String> {
        let asked = class.subjects.iter().filter(|it| self.query.names(it));
        let issuer = match &class.sample {
            Sample::Identity { issuer, .. } => issuer.as_str(),
            Sample::Anonymous => "",
        };
        let label = |name: &String| {
            if self.several.contains(name.as_str()) {
                format!("{name} (by {issuer})")
            } else {
                name.clone()
            }
        };
        asked.map(label).collect()
    }

    fn finish(self, digest: &str) -> Access {
        Access {
            version: 1,
            digest: digest.to_owned(),
            lines: self.lines.into_values().collect(),
            undecided: self.undecided.into_iter().collect(),
        }
    }
}

impl Query<'_> {
    fn is_about(&self, surface: &str, operation: Option<&str>) -> bool {
        let server = surface.split_once('/').map_or("", |(server, _)| server);
        self.server.is_none_or(|it| it == server)
            && self.surface.is_none_or(|it| it == surface)
            && self.operation.is_none_or(|it| Some(it) == operation)
    }

    /// Whether some of a class are asked about. Of a group that is what the lines say.
    fn concerns(&self, class: &Class) -> bool {
        match self.subject {
            None => true,
            Some(subject) if subject.starts_with("group:") => true,
            Some(subject) => class.subjects.iter().any(|it| it == subject),
        }
    }

    /// Whether one of a class is asked about.
    fn names(&self, subject: &str) -> bool {
        self.subject
            .is_none_or(|asked| asked.starts_with("group:") || asked == subject)
    }

    /// Whether a group that is asked about, if one is, takes part.
    fn runs_through(&self, what: &What) -> bool {
        let Some(group) = self.subject.filter(|it| it.starts_with("group:")) else {
            return true;
        };
        let named = |grant: &Grant| grant.subjects.iter().any(|it| it.name == group);
        what.grants.iter().any(named)
    }
}

/// The principals that more than one class names: their issuers make a difference.
fn several(classes: &[Class]) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    let names = classes.iter().flat_map(|class| &class.subjects);
    names
        .map(String::as_str)
        .filter(|name| !seen.insert(*name))
        .collect()
}

/// Whether a class could be allowed at all, as far as that is cheap to see.
fn has_a_way_in(view: &View<'_>) -> bool {
    let Some((_, surface)) = view.surface else {
        return false;
    };
    if surface.access == Door::Public {
        return view.known != &Known::Foreign;
    }
    let Known::Caller(facts) = view.known else {
        return false;
    };
    if facts.suspended {
        return false;
    }
    let holds = |binding| view.among(view.side.subjects(binding)) != Membership::Never;
    surface.access == Door::Authenticated || view.bindings().any(holds)
}
