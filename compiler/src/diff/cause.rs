//! What in the policy makes a finding: entries that differ, and that its witness rests on.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    condition::{Formula, Test},
    id::{BindingId, FormulaId, PermissionId},
    index::{Effect, Subject},
    overlay::Overlay,
};
use latchkey_gate::{admit::Facts, call};
use serde::Serialize;

use super::{
    entries,
    report::{Change, Finding, Place, Report, Side as Which},
    world::Side,
};

/// An entry of the policy that differs between the two sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// Its section; `surfaces` are the tools, prompts, resources and routes of servers.
    pub section: &'static str,
    /// Its name; that of a surface is `server/name`.
    pub name: String,
    /// How it differs.
    pub how: How,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    /// Both have it, and say different things.
    Changed,
}

impl How {
    /// The word in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// Says of each finding how grave its surface is, and which entries make it.
pub(super) fn attach(report: &mut Report, sides: [&Side<'_>; 2]) {
    let mut entries = Entries {
        sides,
        known: BTreeMap::new(),
    };
    for finding in &mut report.findings {
        let operation = finding.operation.as_deref();
        let permissions = sides.map(|side| side.permission(&finding.surface, operation));
        let risks = sides.iter().zip(permissions);
        let risks = risks.filter_map(|(side, it)| side.policy.permission_risk(it?));
        if let Some(risk) = risks.max() {
            finding.risk = risk;
        }
        let causes = Search {
            entries: &mut entries,
            finding,
            permissions,
            found: BTreeSet::new(),
        }
        .run();
        finding.causes = causes.into_iter().collect();
        let places = places(sides, finding);
        if !places.is_empty() {
            finding.places = places;
        }
    }
}

/// Where the causes are written, as far as a bundle knows it.
fn places(sides: [&Side<'_>; 2], finding: &Finding) -> Vec<Place> {
    let [old, new] = sides.map(|side| {
        let places = finding.causes.iter().filter_map(|cause| {
            let name = cause.name.as_str();
            match cause.section {
                "bindings" => side.gate.binding_place(name),
                "rules" => side.gate.rule_place(name),
                "roles" => side.gate.role_place(name),
                _ => None,
            }
        });
        places.collect::<Vec<_>>()
    });
    let of = |side: Which, places: Vec<String>| {
        places.into_iter().map(move |place| Place { side, place })
    };
    let (old, new) = (of(Which::From, old), of(Which::To, new));
    if finding.change == Change::Widened {
        new.chain(old).collect()
    } else {
        old.chain(new).collect()
    }
}

/// How entries differ, asked once for each.
struct Entries<'a> {
    sides: [&'a Side<'a>; 2],
    known: BTreeMap<(&'static str, String), Option<How>>,
}

impl Entries<'_> {
    fn how(&mut self, section: &'static str, name: &str) -> Option<How> {
        let key = (section, name.to_owned());
        if let Some(how) = self.known.get(&key) {
            return *how;
        }
        let [old, new] = self
            .sides
            .map(|side| entries::entry(side.policy, section, name));
        let how = match (old, new) {
            (None, Some(_)) => Some(How::Added),
            (Some(_), None) => Some(How::Removed),
            (old, new) if old != new => Some(How::Changed),
            _ => None,
        };
        self.known.insert(key, how);
        how
    }
}

struct Search<'a, 'b> {
    entries: &'b mut Entries<'a>,
    finding: &'b Finding,
    permissions: [Option<PermissionId>; 2],
    found: BTreeSet<Cause>,
}

impl Search<'_, '_> {
    fn run(mut self) -> BTreeSet<Cause> {
        let witness = &self.finding.witness;
        let facts = self.entries.sides.map(|side| {
            let verdict = call::verdict(side.gate, &Overlay::default(), witness).ok();
            verdict.map(|it| it.facts)
        });
        let [old, new] = &facts;
        if !matches!(self.finding.change, Change::Loosened | Change::Tightened) {
            let granted = |it: &Facts| it.granted_by.clone();
            for binding in either(old.as_ref().map(granted), new.as_ref().map(granted)) {
                self.binding(&binding);
            }
        }
        let matched = |facts: &Option<Facts>| {
            let rules = facts.as_ref().map(|it| it.matched.clone());
            rules.unwrap_or_default().into_iter().collect()
        };
        let (was, is): (BTreeSet<String>, BTreeSet<String>) = (matched(old), matched(new));
        for rule in was.union(&is) {
            let one_sided = was.contains(rule) != is.contains(rule);
            self.rule(rule, one_sided);
        }
        self.surface();
        if self.found.is_empty() {
            self.caller();
        }
        if self.found.is_empty() {
            let (server, _) = self.finding.surface.split_once('/').unwrap_or_default();
            self.add("surfaces", &self.finding.surface);
            self.add("servers", server);
        }
        self.found
    }

    fn add(&mut self, section: &'static str, name: &str) -> bool {
        let how = self.entries.how(section, name);
        if let Some(how) = how {
            self.found.insert(Cause {
                section,
                name: name.to_owned(),
                how,
            });
        }
        how.is_some()
    }

    /// A binding that grants on one side only.
    fn binding(&mut self, name: &str) {
        let sides = self.entries.sides;
        let ids = sides.map(|side| side.policy.binding(name));
        let [Some(_), Some(_)] = ids else {
            self.add("bindings", name);
            return;
        };
        let mut roles = Vec::new();
        for ((side, id), permission) in sides.iter().zip(ids).zip(self.permissions) {
            let (Some(id), Some(permission)) = (id, permission) else {
                roles.push(BTreeSet::new());
                continue;
            };
            let granting = side.policy.roles_granting(id, permission);
            let names = granting.map(|role| side.policy.role_name(role).to_owned());
            roles.push(names.collect::<BTreeSet<String>>());
        }
        self.schedules(|side| {
            let id = side.policy.binding(name)?;
            side.index.bindings.conditions.get(id.index())
        });
        let [old, new] = roles.as_slice() else { return };
        let gained: Vec<String> = old.symmetric_difference(new).cloned().collect();
        if gained.is_empty() {
            self.add("bindings", name);
            self.subjects(|side| {
                let id = side.policy.binding(name)?;
                Some(side.subjects(id).to_vec())
            });
            return;
        }
        for role in gained {
            let given = sides
                .iter()
                .zip(ids)
                .all(|(side, id)| id.is_some_and(|id| has_role(side, id, &role)));
            let section = if given { "roles" } else { "bindings" };
            self.add(section, if given { &role } else { name });
        }
    }

    /// A rule that matches, on one side or on both.
    fn rule(&mut self, name: &str, one_sided: bool) {
        let sides = self.entries.sides;
        let limits = matches!(self.finding.change, Change::Loosened | Change::Tightened);
        let fits = sides.iter().any(|side| {
            let rule = side.policy.rule(name);
            let rule = rule.and_then(|id| side.index.rules.get(id.index()));
            rule.is_some_and(|rule| matches!(rule.effect, Effect::Require(_)) == limits)
        });
        if !fits || (!one_sided && !limits) {
            return;
        }
        self.add("rules", name);
        self.schedules(|side| {
            let rule = side.index.rules.get(side.policy.rule(name)?.index())?;
            rule.condition
        });
        if one_sided {
            self.subjects(|side| {
                let rule = side.index.rules.get(side.policy.rule(name)?.index())?;
                Some(rule.who.iter().chain(&rule.except).copied().collect())
            });
        }
    }

    /// The groups of an entry that one side reads otherwise, and the caller itself.
    fn subjects(&mut self, of: impl Fn(&Side<'_>) -> Option<Vec<Subject>>) {
        let mut groups = BTreeSet::new();
        for side in self.entries.sides {
            for subject in of(side).unwrap_or_default() {
                if let Subject::Group(group) = subject {
                    groups.insert(side.policy.group_name(group).to_owned());
                }
            }
        }
        for group in groups {
            self.add("groups", &group);
        }
        self.caller();
    }

    /// The schedules that the condition of an entry asks for.
    fn schedules(&mut self, of: impl Fn(&Side<'_>) -> Option<FormulaId>) {
        let mut names = BTreeSet::new();
        for side in self.entries.sides {
            let mut open: Vec<FormulaId> = of(side).into_iter().collect();
            while let Some(id) = open.pop() {
                match side.index.formulas.get(id.index()) {
                    Some(Formula::All(parts) | Formula::Any(parts)) => open.extend(parts),
                    Some(Formula::Literal {
                        test: Test::During(_, it),
                        ..
                    }) => {
                        names.insert(it.name.clone());
                    }
                    _ => {}
                }
            }
        }
        for name in names {
            self.add("schedules", &name);
        }
    }

    fn caller(&mut self) {
        let witness = &self.finding.witness;
        let callers = witness.caller.iter().chain(&witness.on_behalf_of);
        let mut names = BTreeSet::new();
        for caller in callers {
            names.extend(caller.principal.clone());
            let (Some(issuer), Some(subject)) = (&caller.issuer, &caller.subject) else {
                continue;
            };
            for side in self.entries.sides {
                let principal = side
                    .policy
                    .issuer(issuer)
                    .and_then(|it| side.policy.principal_by_identity(it, subject));
                names.extend(principal.map(|it| side.policy.principal_name(it).to_owned()));
            }
        }
        for name in names {
            self.add("principals", &name);
        }
    }

    /// A surface that is new, or guarded in another way.
    fn surface(&mut self) {
        let sides = self.entries.sides;
        let [old, new] = sides.map(|side| {
            let (_, surface) = side.surface(&self.finding.surface)?;
            let obligations = surface.obligations.clone();
            Some((surface.risk, surface.unlock, surface.access, obligations))
        });
        if old != new {
            self.add("surfaces", &self.finding.surface);
        }
    }
}

/// What only one of two lists has.
fn either(old: Option<Vec<String>>, new: Option<Vec<String>>) -> BTreeSet<String> {
    let set = |it: Option<Vec<String>>| it.unwrap_or_default().into_iter().collect();
    let (old, new): (BTreeSet<String>, BTreeSet<String>) = (set(old), set(new));
    old.symmetric_difference(&new).cloned().collect()
}

fn has_role(side: &Side<'_>, binding: BindingId, role: &str) -> bool {
    let set = side.policy.bindings().roles.get(binding.index()).copied();
    let mut roles = set.into_iter().flat_map(|set| side.index.roles_of(set));
    roles.any(|id| side.policy.role_name(id) == role)
}
