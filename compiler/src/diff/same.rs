//! What need not be compared: permissions and callers of which both policies say the same.
//!
//! A pull request touches few of them. Everything is compared in words, since ids mean something in
//! their own policy only.

use std::collections::{BTreeSet, HashMap};

use latchkey_engine::{
    id::{BindingId, FormulaId, PermissionId, ScopeId},
    index::{Rule, ScopeNames, ScopeSource, Subject, Surface},
    scope::ScopeTree,
};

use super::{
    view::texts_for,
    words,
    world::{Facts, Known, Side},
};

/// What each binding and rule of both sides says, without its name, as a number: who says the same
/// has the same one.
#[derive(Debug)]
pub(super) struct Lines {
    /// Of the old and of the new policy.
    sides: [Numbers; 2],
    /// How many different ones there are.
    count: usize,
}

/// The number of each binding and rule of a side.
#[derive(Debug)]
struct Numbers {
    bindings: Vec<u32>,
    rules: Vec<u32>,
}

impl Lines {
    pub(super) fn new(sides: [&Side<'_>; 2]) -> Self {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut number = |text: String| {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            *known.entry(text).or_insert(next)
        };
        let sides = sides.map(|side| {
            let count = u32::try_from(side.index.bindings.names.len()).unwrap_or(0);
            let bindings = (0..count).map(|at| binding(side, BindingId(at)));
            Numbers {
                bindings: bindings.map(&mut number).collect(),
                rules: { side.index.rules.iter() }
                    .map(|it| number(rule(side, it)))
                    .collect(),
            }
        });
        Self {
            sides,
            count: known.len(),
        }
    }

    /// What one side says of a permission and the other one does not, or not as often.
    fn differences<'s>(
        &self,
        sides: [&Side<'s>; 2],
        permissions: [PermissionId; 2],
    ) -> [Vec<Line<'s>>; 2] {
        let [before, after] = &self.sides;
        let [old, new] = sides;
        let [was, is] = permissions;
        let (was, is) = (before.of(old, was), after.of(new, is));
        // How much more often the old side says each.
        let mut surplus = vec![0_i32; self.count];
        for (lines, step) in [(&was, 1), (&is, -1)] {
            for line in lines {
                if let Some(surplus) = surplus.get_mut(line.number as usize) {
                    *surplus += step;
                }
            }
        }
        let mut left = |lines: Vec<Line<'s>>, step: i32| -> Vec<Line<'s>> {
            let spare = |line: &Line<'_>| {
                let surplus = surplus.get_mut(line.number as usize);
                surplus.is_some_and(|surplus| {
                    let spare = *surplus * step > 0;
                    *surplus -= step * i32::from(spare);
                    spare
                })
            };
            lines.into_iter().filter(spare).collect()
        };
        [left(was, 1), left(is, -1)]
    }
}

impl Numbers {
    /// All that a side says of a permission, whoever asks, and whom each line speaks of.
    fn of<'s>(&self, side: &Side<'s>, permission: PermissionId) -> Vec<Line<'s>> {
        let bindings = side.grants.get(permission.index());
        let rules = side.rules.get(permission.index());
        let bindings = bindings.into_iter().flat_map(|it| it.iter());
        let bindings = bindings.filter_map(|id| {
            Some(Line {
                number: *self.bindings.get(id.index())?,
                who: Some(side.subjects(*id)),
                scope: *side.policy.bindings().scopes.get(id.index())?,
            })
        });
        let rules = rules.into_iter().flat_map(|it| it.iter());
        let rules = rules.filter_map(|id| {
            let rule = side.index.rules.get(id.index())?;
            Some(Line {
                number: *self.rules.get(id.index())?,
                who: (!rule.who.is_empty()).then_some(&rule.who),
                scope: rule.scope,
            })
        });
        bindings.chain(rules).collect()
    }
}

/// What one binding or rule says, and of whom; `None` is everyone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'s> {
    number: u32,
    who: Option<&'s [Subject]>,
    scope: ScopeId,
}

/// Where two policies differ about a permission.
#[derive(Debug)]
pub(super) enum Difference<'s> {
    /// In what they say of the permission itself: all callers are concerned.
    Everyone,
    /// In these bindings and rules of the old and of the new policy.
    Lines([Vec<Line<'s>>; 2]),
}

impl Difference<'_> {
    /// Whether it can matter to callers of whom both policies know the same.
    pub(super) fn concerns(&self, known: [&Known; 2]) -> bool {
        match self {
            Self::Everyone => true,
            Self::Lines(sides) => sides
                .iter()
                .zip(known)
                .any(|(lines, known)| lines.iter().any(|line| speaks_of(line.who, known))),
        }
    }

    /// The values of the argument that names a surface's scope for which it can matter to such
    /// callers; `None` is all calls.
    pub(super) fn within(
        &self,
        sides: [&Side<'_>; 2],
        known: [&Known; 2],
        surface: &str,
    ) -> Option<BTreeSet<String>> {
        let Self::Lines(lines) = self else {
            return None;
        };
        let mut within = BTreeSet::new();
        for ((side, lines), known) in sides.iter().zip(lines).zip(known) {
            let (_, surface) = side.surface(surface)?;
            let tree = &side.index.scopes;
            let lines = lines.iter().filter(|line| speaks_of(line.who, known));
            let scopes: BTreeSet<ScopeId> = lines.map(|line| line.scope).collect();
            let matters = |it| scopes.iter().any(|at| tree.covers(*at, it));
            within.extend(texts_for(surface, matters)?);
        }
        Some(within)
    }
}

/// Where both sides differ about a permission.
pub(super) fn permission<'s>(
    sides: [&Side<'s>; 2],
    lines: &Lines,
    name: &str,
    operation: Option<&str>,
) -> Difference<'s> {
    let [old, new] = sides;
    let surfaces = old.surface(name).zip(new.surface(name));
    let ids = old
        .permission(name, operation)
        .zip(new.permission(name, operation));
    let (Some((before, after)), Some((was, is))) = (surfaces, ids) else {
        return Difference::Everyone;
    };
    if surface(old, before.1) != surface(new, after.1)
        || old.policy.permission_risk(was) != new.policy.permission_risk(is)
    {
        return Difference::Everyone;
    }
    Difference::Lines(lines.differences(sides, [was, is]))
}

/// Whether subjects can include a class of callers.
fn speaks_of(who: Option<&[Subject]>, known: &Known) -> bool {
    let Some(who) = who else { return true };
    let (Known::Caller(facts) | Known::Undeclared(facts)) = known else {
        return who.contains(&Subject::Everyone);
    };
    who.iter().any(|subject| match subject {
        Subject::Everyone => true,
        Subject::Principal(id) => facts.principal == Some(*id),
        Subject::Group(id) => facts.groups.contains(id) || facts.claimable.contains(id),
        Subject::Tag(id) => facts.tags.contains(id),
        Subject::Type(kind) => facts.kind == Some(*kind),
    })
}

/// Whether both sides know the same of a class of callers.
pub(super) fn callers(sides: [&Side<'_>; 2], known: [&Known; 2]) -> bool {
    let [old, new] = sides;
    match known {
        [Known::Caller(was), Known::Caller(is)]
        | [Known::Undeclared(was), Known::Undeclared(is)] => facts(old, was) == facts(new, is),
        [Known::Anonymous, Known::Anonymous] => true,
        _ => false,
    }
}

fn facts(side: &Side<'_>, facts: &Facts) -> String {
    let tags: Vec<_> = facts
        .tags
        .iter()
        .map(|it| side.index.tags.get(it.index()))
        .collect();
    let groups: Vec<_> = facts
        .groups
        .iter()
        .map(|it| side.policy.group_name(*it))
        .collect();
    let claimable: Vec<_> = facts
        .claimable
        .iter()
        .filter_map(|it| side.index.groups.get(it.index()))
        .map(|it| (&it.name, it.claim.as_ref().map(|(_, value)| value)))
        .collect();
    format!(
        "{:?}",
        (
            (
                facts.declared,
                facts.kind,
                facts.suspended,
                facts.dates,
                &facts.name
            ),
            facts.scope.map(|it| side.index.scopes.path(it)),
            facts.principal.map(|it| side.policy.principal_name(it)),
            (tags, groups, claimable),
        )
    )
}

fn surface(side: &Side<'_>, surface: &Surface) -> String {
    let tree = &side.index.scopes;
    let home = side
        .policy
        .server_entry(surface.server)
        .map(|it| tree.path(it.scope));
    let to = |all: &ScopeNames| -> Vec<(String, String)> {
        all.iter()
            .map(|(text, scope)| (text.to_owned(), tree.path(scope)))
            .collect()
    };
    let scope = match &surface.scope {
        ScopeSource::Map {
            argument,
            exact,
            prefixes,
        } => {
            format!("{argument:?} {:?} {:?}", to(exact), to(prefixes))
        }
        other => format!("{other:?}"),
    };
    let schema = surface
        .schema
        .and_then(|it| side.index.schemas.get(it.index()));
    format!(
        "{:?}",
        (
            (
                &surface.kind,
                surface.unlock,
                surface.access,
                home,
                scope,
                schema
            ),
            (
                &surface.operations,
                &surface.arguments,
                &surface.obligations
            ),
        )
    )
}

fn binding(side: &Side<'_>, id: BindingId) -> String {
    let columns = side.policy.bindings();
    let at = id.index();
    let scope = columns
        .scopes
        .get(at)
        .copied()
        .unwrap_or(ScopeTree::PLATFORM);
    format!(
        "binding {:?}",
        (
            subjects(side, side.subjects(id)),
            side.index.scopes.path(scope),
            condition(side, columns.conditions.get(at).copied().flatten()),
            columns.dates.get(at).copied().unwrap_or_default(),
            columns.cross_organization.get(at),
        )
    )
}

fn rule(side: &Side<'_>, rule: &Rule) -> String {
    format!(
        "rule {:?}",
        (
            (
                &rule.effect,
                subjects(side, &rule.who),
                subjects(side, &rule.except)
            ),
            side.index.scopes.path(rule.scope),
            condition(side, rule.condition),
            rule.dates,
        )
    )
}

fn subjects(side: &Side<'_>, subjects: &[Subject]) -> Vec<String> {
    let mut names: Vec<String> = subjects
        .iter()
        .map(|subject| match subject {
            Subject::Principal(id) => side.policy.principal_name(*id).to_owned(),
            Subject::Group(id) => format!("group:{}", side.policy.group_name(*id)),
            Subject::Tag(id) => format!("tag:{}", side.index.tags.get(id.index())),
            Subject::Type(kind) => format!("type:{kind:?}"),
            Subject::Everyone => "everyone".to_owned(),
        })
        .collect();
    names.sort_unstable();
    names
}

fn condition(side: &Side<'_>, id: Option<FormulaId>) -> Option<String> {
    id.map(|id| words::formula(side.index, id))
}
