//! Where each attribute that conditions read comes from, settled once.

use crate::{
    bundle::OpenError,
    condition::{Attribute, Root, Segment},
    id::AttributeId,
    index::Index,
};

/// The source of each attribute.
#[derive(Debug)]
pub(crate) struct Plan {
    sources: Vec<Source>,
}

/// Where an attribute's value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Among the slots of the arguments.
    Argument,
    /// A fact of the current actor.
    Actor(Field),
    /// A fact of the last of the chain.
    Subject(Field),
    /// The organization of the call's scope.
    Organization,
    /// The team of the call's scope.
    Team,
    /// The time of the decision.
    Time,
    /// The address that the call came from.
    Address,
}

/// A fact of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Name,
    Type,
    Organization,
    Team,
    Tags,
    Groups,
}

impl Plan {
    pub(crate) fn build(index: &Index) -> Result<Self, OpenError> {
        let sources = index.attributes.iter().map(Source::of);
        let sources: Option<Vec<Source>> = sources.collect();
        sources.map(|sources| Self { sources }).ok_or(OpenError {
            offset: 0,
            what: "a condition reads an attribute that does not exist",
        })
    }

    /// The source of an attribute.
    #[inline]
    pub(crate) fn source(&self, attribute: AttributeId) -> Option<Source> {
        self.sources.get(attribute.index()).copied()
    }
}

impl Source {
    /// The source of an attribute; `None` when there is no such attribute.
    pub(crate) fn of(attribute: &Attribute) -> Option<Self> {
        if attribute.root == Root::Args {
            let starts_with_a_field = matches!(attribute.path.first(), Some(Segment::Field(_)));
            return starts_with_a_field.then_some(Self::Argument);
        }
        let [Segment::Field(name)] = attribute.path.as_slice() else {
            return None;
        };
        match (attribute.root, name.as_str()) {
            (Root::Principal, name) => Field::of(name).map(Self::Actor),
            (Root::Subject, name) => Field::of(name).map(Self::Subject),
            (Root::Scope, "organization") => Some(Self::Organization),
            (Root::Scope, "team") => Some(Self::Team),
            (Root::Request, "time") => Some(Self::Time),
            (Root::Request, "ip") => Some(Self::Address),
            (Root::Args | Root::Scope | Root::Request, _) => None,
        }
    }
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        match name {
            "name" => Some(Self::Name),
            "type" => Some(Self::Type),
            "organization" => Some(Self::Organization),
            "team" => Some(Self::Team),
            "tags" => Some(Self::Tags),
            "groups" => Some(Self::Groups),
            _ => None,
        }
    }
}
