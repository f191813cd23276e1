//! How a caller comes by a permission: the bindings that can grant it, and the rules that take away.

use std::collections::BTreeSet;

use latchkey_engine::{
    id::{BindingId, ScopeId},
    index::{Effect, Subject},
    time::{Dates, Time},
};

use super::{Denial, Grant, Source};
use crate::diff::{
    view::{Membership, View},
    witness::Choice,
    words,
};

/// The chains of one class to one permission, at one scope, in one region.
pub(super) struct Chains<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) scope: ScopeId,
    pub(super) choice: &'a Choice,
    pub(super) at: Option<Time>,
}

impl Chains<'_> {
    /// Every binding that can grant, by name.
    pub(super) fn grants(&self) -> Vec<Grant> {
        let mut grants: Vec<_> = self
            .view
            .bindings()
            .filter_map(|it| self.grant(it))
            .collect();
        grants.sort_unstable();
        grants
    }

    fn grant(&self, binding: BindingId) -> Option<Grant> {
        let side = self.view.side;
        let columns = side.policy.bindings();
        let scope = *columns.scopes.get(binding.index())?;
        let crosses = columns.cross_organization.get(binding.index()) == Some(&true);
        let dates = self.view.binding_dates(binding);
        let fits = self.touches(scope)
            && self.is_in_force(dates)
            && (crosses || !self.view.is_abroad(self.scope));
        if !fits {
            return None;
        }
        let subjects: BTreeSet<String> = side
            .subjects(binding)
            .iter()
            .filter_map(|subject| self.named_by(*subject))
            .collect();
        if subjects.is_empty() {
            return None;
        }
        let roles = side.policy.roles_granting(binding, self.view.permission?);
        Some(Grant {
            subjects: subjects.into_iter().map(unplaced).collect(),
            binding: side.policy.binding_name(binding).to_owned(),
            place: None,
            scope: side.index.scopes.path(scope),
            when: self
                .view
                .condition(binding)
                .map(|it| words::shown(side.index, it)),
            not_before: dates.not_before.map(|it| it.to_string()),
            expires: dates.expires.map(|it| it.to_string()),
            roles: roles
                .map(|role| unplaced(side.policy.role_name(role).to_owned()))
                .collect(),
        })
    }

    /// How a subject of a binding names this class, if it does here.
    fn named_by(&self, subject: Subject) -> Option<String> {
        let side = self.view.side;
        let groups = match self.view.among(&[subject]) {
            Membership::Never => return None,
            Membership::Always => BTreeSet::new(),
            Membership::With(groups) => groups,
        };
        let left_out = |regions: &Vec<usize>| regions.as_slice() == [0];
        let lacks = |group| {
            self.choice
                .get(&self.view.group(group))
                .is_some_and(left_out)
        };
        if !groups.is_empty() && groups.iter().all(|group| lacks(*group)) {
            return None;
        }
        Some(match subject {
            Subject::Principal(id) => side.policy.principal_name(id).to_owned(),
            Subject::Group(id) => format!("group:{}", side.policy.group_name(id)),
            Subject::Tag(id) => format!("tag:{}", side.index.tags.get(id.index())),
            Subject::Type(kind) => format!("type:{}", crate::model::type_name(kind)),
            Subject::Everyone => "everyone".to_owned(),
        })
    }

    /// Every deny rule that can take some of it away.
    pub(super) fn denials(&self) -> Vec<Denial> {
        let side = self.view.side;
        let mut denials: Vec<_> = self
            .view
            .rules()
            .filter(|rule| rule.effect == Effect::Deny)
            .filter(|rule| self.touches(rule.scope) && self.is_in_force(rule.dates))
            .filter(|rule| rule.who.is_empty() || self.view.among(&rule.who) != Membership::Never)
            .filter(|rule| self.view.among(&rule.except) != Membership::Always)
            .map(|rule| Denial {
                rule: rule.name.clone(),
                place: None,
                when: rule.condition.map(|it| words::shown(side.index, it)),
            })
            .collect();
        denials.sort_unstable();
        denials
    }

    fn touches(&self, other: ScopeId) -> bool {
        let tree = &self.view.side.index.scopes;
        tree.covers(other, self.scope) || tree.covers(self.scope, other)
    }

    fn is_in_force(&self, dates: Dates) -> bool {
        self.at.is_none_or(|at| dates.contain(at))
    }
}

fn unplaced(name: String) -> Source {
    Source { name, place: None }
}
