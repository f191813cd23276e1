//! What conditions read of one call in one scope.

use super::ask::Ask;
use crate::{
    call::{Arguments, Caller},
    condition::Facts,
    id::{AttributeId, ScopeId},
    index::PrincipalType,
    policy::facts::{Field, Source},
    slot::Slot,
};

/// The facts of one call in one of its scopes.
pub(super) struct CallFacts<'a> {
    ask: &'a Ask<'a>,
    scope: ScopeId,
    /// The attributes that the slots of the call's arguments are of.
    slots: &'a [AttributeId],
}

impl<'a> CallFacts<'a> {
    pub(super) fn new(ask: &'a Ask<'a>, scope: ScopeId) -> Self {
        Self {
            ask,
            scope,
            slots: ask.policy.slots(ask.surface),
        }
    }

    fn argument(&self, attribute: AttributeId) -> Slot<'_> {
        match self.ask.call.arguments {
            Arguments::Unknown => Slot::Unknown,
            Arguments::Invalid => Slot::Opaque,
            Arguments::Slots(values) => {
                let at = self.slots.binary_search(&attribute);
                let value = at.ok().and_then(|at| values.get(at));
                value.copied().unwrap_or(Slot::Opaque)
            }
        }
    }

    fn field(&self, caller: Option<&Caller>, field: Field) -> Slot<'_> {
        let policy = self.ask.policy;
        let tree = &policy.index().scopes;
        let scope = caller.and_then(|caller| caller.scope);
        match field {
            Field::Name => {
                let principal = caller.and_then(|caller| caller.principal);
                text(principal.map(|principal| policy.principal_name(principal)))
            }
            Field::Type => text(caller.and_then(|caller| caller.kind).map(type_word)),
            Field::Organization => {
                let organization = scope.and_then(|scope| tree.organization(scope));
                text(organization.map(|scope| tree.name(scope)))
            }
            Field::Team => {
                let team = scope.and_then(|scope| tree.team(scope));
                text(team.map(|scope| tree.name(scope)))
            }
            // Present, and read by name only.
            Field::Tags | Field::Groups => Slot::Opaque,
        }
    }

    fn has_tag(&self, caller: Option<&Caller>, name: &str) -> bool {
        let index = self.ask.policy.index();
        let principal = caller.and_then(|caller| caller.principal);
        let tag = index.tags.position(name).and_then(crate::policy::id);
        let pair = principal.zip(tag.map(crate::id::TagId));
        pair.is_some_and(|pair| index.principals.tags.binary_search(&pair).is_ok())
    }

    fn is_member(&self, caller: Option<&Caller>, name: &str) -> bool {
        let pair = caller.zip(self.ask.policy.group(name));
        pair.is_some_and(|(caller, group)| caller.groups.binary_search(&group).is_ok())
    }
}

impl Facts for CallFacts<'_> {
    fn slot(&self, attribute: AttributeId) -> Slot<'_> {
        let tree = &self.ask.policy.index().scopes;
        match self.ask.policy.facts.source(attribute) {
            None => Slot::Opaque,
            Some(Source::Argument) => self.argument(attribute),
            Some(Source::Actor(field)) => self.field(self.ask.actor(), field),
            Some(Source::Subject(field)) => self.field(self.ask.subject(), field),
            Some(Source::Organization) => {
                let organization = tree.organization(self.scope);
                text(organization.map(|scope| tree.name(scope)))
            }
            Some(Source::Team) => text(tree.team(self.scope).map(|scope| tree.name(scope))),
            Some(Source::Time) => Slot::Time(self.ask.call.now),
            Some(Source::Address) => self.ask.call.address.map_or(Slot::Absent, Slot::Address),
        }
    }

    fn member(&self, attribute: AttributeId, name: &str) -> Option<bool> {
        let (caller, field) = match self.ask.policy.facts.source(attribute)? {
            Source::Actor(field) => (self.ask.actor(), field),
            Source::Subject(field) => (self.ask.subject(), field),
            Source::Argument
            | Source::Organization
            | Source::Team
            | Source::Time
            | Source::Address => return None,
        };
        match field {
            Field::Tags => Some(self.has_tag(caller, name)),
            Field::Groups => Some(self.is_member(caller, name)),
            Field::Name | Field::Type | Field::Organization | Field::Team => None,
        }
    }
}

fn text(value: Option<&str>) -> Slot<'_> {
    value.map_or(Slot::Absent, Slot::Text)
}

fn type_word(kind: PrincipalType) -> &'static str {
    match kind {
        PrincipalType::Human => "human",
        PrincipalType::Service => "service",
        PrincipalType::Agent => "agent",
    }
}
