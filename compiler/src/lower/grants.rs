//! Roles, bindings, rules and their conditions.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use latchkey_engine::{
    condition::{Arena, Attribute, Formula, Lowered},
    id::{FormulaId, PermissionId, RoleId, RoleSetId},
    index::{BindingColumns, Effect, Roles, Rule, Subject},
    lists::Lists,
};

use super::{
    Unresolved,
    ids::{Ids, id},
    select::Selection,
    strings,
};
use crate::{
    model::{self, Condition, Who},
    source::{Span, Spanned},
};

/// The arena of all selected conditions, and where each condition is in it.
#[derive(Debug)]
pub(super) struct Conditions {
    lowered: Lowered,
    added: HashMap<Span, FormulaId>,
}

/// Lowers every selected condition into one arena.
pub(super) fn conditions(selection: &Selection<'_>) -> Conditions {
    let mut arena = Arena::default();
    let added = selection
        .conditions()
        .map(|condition| (condition.span, arena.add(&condition.typed)))
        .collect();
    Conditions {
        lowered: arena.finish(),
        added,
    }
}

impl Conditions {
    pub(super) fn attributes(&self) -> Vec<Attribute> {
        self.lowered.attributes.clone()
    }

    pub(super) fn formulas(&self) -> Vec<Formula> {
        self.lowered.formulas.clone()
    }

    fn formula(&self, condition: Option<&Condition>) -> Result<Option<FormulaId>, Unresolved> {
        let Some(condition) = condition else {
            return Ok(None);
        };
        let added = self.added.get(&condition.span);
        let formula = added.and_then(|added| self.lowered.formula(*added));
        let missing = || Unresolved {
            kind: "condition",
            name: condition.text.to_string(),
        };
        formula.map(Some).ok_or_else(missing)
    }
}

pub(super) fn roles(selection: &Selection<'_>, ids: &Ids<'_>) -> Result<Roles, Unresolved> {
    let held = selection.roles.values();
    let permissions = held.map(|held| permissions(held, ids));
    Ok(Roles {
        names: strings(selection.roles.keys().copied()),
        permissions: permissions.collect::<Result<Lists<_>, _>>()?,
    })
}

fn permissions(
    held: &[&model::Permission],
    ids: &Ids<'_>,
) -> Result<Vec<PermissionId>, Unresolved> {
    let ids: Result<Vec<_>, _> = held.iter().map(|each| ids.permission(each)).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    Ok(ids)
}

/// The distinct sets of several roles that bindings give, sorted.
pub(super) fn role_sets(
    selection: &Selection<'_>,
    ids: &Ids<'_>,
) -> Result<Vec<Vec<RoleId>>, Unresolved> {
    let mut sets = BTreeSet::new();
    let several = { selection.bindings.iter() }.filter(|(_, it)| it.roles.len() > 1);
    for (_, binding) in several {
        let given = selection.given(binding);
        if given.len() > 1 {
            sets.insert(role_set(&given, ids)?);
        }
    }
    Ok(sets.into_iter().collect())
}

fn role_set(given: &[&str], ids: &Ids<'_>) -> Result<Vec<RoleId>, Unresolved> {
    given.iter().map(|role| ids.role(role)).collect()
}

pub(super) fn bindings(
    selection: &Selection<'_>,
    ids: &Ids<'_>,
    conditions: &Conditions,
    role_sets: &[Vec<RoleId>],
) -> Result<BindingColumns, Unresolved> {
    let count = selection.bindings.len();
    let mut columns = BindingColumns {
        names: strings(selection.bindings.iter().map(|(name, _)| *name)),
        subject_ends: Vec::with_capacity(count),
        subjects: Vec::with_capacity(count),
        roles: Vec::with_capacity(count),
        scopes: Vec::with_capacity(count),
        conditions: Vec::with_capacity(count),
        dates: Vec::with_capacity(count),
        cross_organization: Vec::with_capacity(count),
    };
    for (name, binding) in &selection.bindings {
        columns.subjects.extend(subjects(&binding.who, ids)?);
        columns.subject_ends.push(id(columns.subjects.len()));
        let set = match role_set(&selection.given(binding), ids)?.as_slice() {
            [only] => Some(only.index()),
            several => {
                let set = role_sets.binary_search_by(|set| set.as_slice().cmp(several));
                set.ok().map(|at| ids.roles() + at)
            }
        };
        let set = set.ok_or_else(|| Unresolved {
            kind: "role set",
            name: (*name).to_owned(),
        })?;
        columns.roles.push(RoleSetId(id(set)));
        columns.scopes.push(ids.scope(&binding.scope.value)?);
        columns
            .conditions
            .push(conditions.formula(binding.when.as_deref())?);
        columns.dates.push(binding.dates.dates);
        columns.cross_organization.push(binding.cross_organization);
    }
    Ok(columns)
}

fn subjects(who: &[Spanned<Who>], ids: &Ids<'_>) -> Result<Vec<Subject>, Unresolved> {
    let mut subjects = Vec::with_capacity(who.len());
    for who in who {
        subjects.push(match &who.value {
            Who::Principal(name) => Subject::Principal(ids.principal(name)?),
            Who::Group(name) => Subject::Group(ids.group(name)?),
            Who::Tag(name) => Subject::Tag(ids.tag(name)?),
            Who::Type(kind) => Subject::Type(*kind),
            Who::Everyone => Subject::Everyone,
        });
    }
    subjects.sort_unstable();
    subjects.dedup();
    Ok(subjects)
}

pub(super) fn rules(
    selection: &Selection<'_>,
    ids: &Ids<'_>,
    conditions: &Conditions,
) -> Result<Vec<Rule>, Unresolved> {
    let mut rules = Vec::with_capacity(selection.rules.len());
    for (name, rule, touched) in &selection.rules {
        let (effect, message) = match &rule.effect {
            model::Effect::Deny(message) => (Effect::Deny, Some(message.to_string())),
            model::Effect::Require(obligations) => {
                (Effect::Require(obligations.iter().copied().collect()), None)
            }
        };
        rules.push(Rule {
            name: (*name).to_owned(),
            effect,
            who: subjects(&rule.who, ids)?,
            except: subjects(&rule.except, ids)?,
            permissions: permissions(touched, ids)?,
            scope: ids.scope(&rule.scope)?,
            condition: conditions.formula(rule.when.as_deref())?,
            dates: rule.dates.dates,
            message,
        });
    }
    Ok(rules)
}
