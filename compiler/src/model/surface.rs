//! What can be called, by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::{
    condition::Shape,
    index::{Access, ArgumentPath, Fold, Obligation, Risk, SurfaceKind, Unlock},
};

use super::Scope;
use latchkey_gate::settings::SurfaceSettings;

use crate::source::{Span, Spanned};
use crate::text::Text;

/// A surface by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SurfaceName {
    /// Its server.
    pub server: Text,
    /// Its name in the server.
    pub name: Text,
}

impl std::fmt::Display for SurfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.server, self.name)
    }
}

/// A surface, or one operation of it: what a grant grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// The surface.
    pub surface: SurfaceName,
    /// The operation; none where the surface has none.
    pub operation: Option<Text>,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.operation {
            None => write!(f, "{}", self.surface),
            Some(operation) => write!(f, "{}:{operation}", self.surface),
        }
    }
}

/// One thing of a server that can be called.
#[derive(Debug, Clone)]
pub struct Surface {
    /// Its name where it is declared.
    pub span: Span,
    /// What it is, and how a request names it.
    pub kind: SurfaceKind,
    /// Its risk; with operations, the highest of theirs.
    pub risk: Risk,
    /// What it needs when destructive.
    pub unlock: Unlock,
    /// Who may ask.
    pub access: Access,
    /// Its operations, when an argument chooses one.
    pub operations: Option<Operations>,
    /// Where a call of it takes place.
    pub scope: ScopeSource,
    /// Facts about its arguments, by path.
    pub arguments: BTreeMap<ArgumentPath, Fact>,
    /// The schema of its arguments.
    pub schema: Option<Schema>,
    /// What every allowed call carries, from the surface and its server.
    pub obligations: BTreeSet<Obligation>,
    /// The arguments whose values may be logged.
    pub audit: BTreeSet<String>,
    /// What else holds for it.
    pub settings: SurfaceSettings,
}

impl Surface {
    /// Its permissions with the risk of each, in order.
    pub fn permissions(&self, name: &SurfaceName) -> Vec<(Permission, Risk)> {
        let permission = |operation| Permission {
            surface: name.clone(),
            operation,
        };
        match &self.operations {
            None => vec![(permission(None), self.risk)],
            Some(operations) => operations
                .values
                .iter()
                .map(|(value, operation)| (permission(Some(value.clone())), operation.risk))
                .collect(),
        }
    }
}

/// Operations that one argument chooses from.
#[derive(Debug, Clone)]
pub struct Operations {
    /// The argument.
    pub argument: Spanned<ArgumentPath>,
    /// The operations by value.
    pub values: BTreeMap<Text, Operation>,
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its value where it is declared.
    pub span: Span,
    /// Its risk.
    pub risk: Risk,
}

/// Where a call takes place.
#[derive(Debug, Clone)]
pub enum ScopeSource {
    /// In the server's own scope.
    Server,
    /// In the current actor's own scope.
    Principal,
    /// An argument names it, through a closed map.
    Map {
        /// The argument.
        argument: Spanned<ArgumentPath>,
        /// Exact values.
        exact: Arc<BTreeMap<Text, Arc<Scope>>>,
        /// Prefixes, without their star.
        prefixes: Arc<BTreeMap<Text, Arc<Scope>>>,
    },
    /// The sidecar writes the current actor's organization or team into an argument.
    Force {
        /// The argument.
        argument: Spanned<ArgumentPath>,
        /// The team rather than the organization.
        team: bool,
    },
    /// Anywhere: needs a grant at the server's scope.
    Unscoped,
}

/// A fact about one argument.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Where it is declared.
    pub span: Span,
    /// How the upstream folds it.
    pub fold: Option<Fold>,
    /// The only accepted values, after the fold; empty is any.
    pub only: BTreeSet<String>,
    /// The value that the sidecar writes: RFC 8785 text of a JSON scalar.
    pub force: Option<String>,
    /// Whether a call that has it is refused.
    pub forbid: bool,
}

/// The schema of a surface's arguments.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Where it is written: the `input` key, or the lock file's name.
    pub span: Span,
    /// The schema.
    pub json: serde_json::Value,
    /// The schema as RFC 8785 text.
    pub text: String,
    /// The types that conditions are checked against, with what is known of the arguments.
    pub shape: Arc<Shape>,
}
