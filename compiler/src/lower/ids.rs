//! Dense ids: positions in sorted tables.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use hashbrown::HashMap;
use latchkey_engine::{
    id::{
        GroupId, IssuerId, PermissionId, PrincipalId, RoleId, SchemaId, ScopeId, ServerId, TagId,
    },
    scope::ScopeTree,
};

use latchkey_gate::settings::Settings;

use super::{Unresolved, numbered, select::Selection};
use crate::model::{Model, Permission, Scope};
use crate::text::Text;

/// The ids of everything that an index names.
#[derive(Debug)]
pub(super) struct Ids<'m> {
    tree: ScopeTree,
    scopes: HashMap<Scope, ScopeId>,
    issuers: HashMap<&'m str, u32>,
    groups: HashMap<&'m str, u32>,
    tags: HashMap<&'m str, u32>,
    principals: HashMap<&'m str, u32>,
    servers: HashMap<&'m str, u32>,
    roles: HashMap<&'m str, u32>,
    schemas: BTreeSet<&'m str>,
    /// The positions of the schemas.
    numbers: HashMap<&'m str, u32>,
    permissions: HashMap<Permission, PermissionId>,
}

/// A position as an id. Files are bounded far below the point where this saturates.
pub(super) fn id(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The settings of an entry, as a bundle carries them.
pub(super) fn settings(name: &str, settings: &impl Settings) -> Result<String, Unresolved> {
    settings.to_text().map_err(|_| Unresolved {
        kind: "settings",
        name: name.to_owned(),
    })
}

impl<'m> Ids<'m> {
    pub(super) fn new(model: &'m Model, selection: &Selection<'m>) -> Self {
        let tree = tree(&selection.scopes);
        let schemas: BTreeSet<&str> = selection
            .servers
            .values()
            .flat_map(|server| server.surfaces.values())
            .filter_map(|surface| surface.schema.as_ref())
            .map(|schema| schema.text.as_str())
            .collect();
        Self {
            scopes: scopes(&selection.scopes, &tree),
            tree,
            issuers: numbered(model.issuers.keys().map(Text::as_str)),
            groups: numbered(selection.groups.iter().copied()),
            tags: numbered(selection.tags.iter().copied()),
            principals: numbered(model.principals.keys().map(Text::as_str)),
            servers: numbered(selection.servers.keys().copied()),
            roles: numbered(selection.roles.keys().copied()),
            numbers: numbered(schemas.iter().copied()),
            schemas,
            permissions: permissions(selection),
        }
    }

    pub(super) fn scope(&self, scope: &Scope) -> Result<ScopeId, Unresolved> {
        let id = self.scopes.get(scope).copied();
        id.ok_or_else(|| unresolved("scope", &scope.to_string()))
    }

    pub(super) fn issuer(&self, name: &str) -> Result<IssuerId, Unresolved> {
        find(&self.issuers, "issuer", name).map(IssuerId)
    }

    pub(super) fn group(&self, name: &str) -> Result<GroupId, Unresolved> {
        find(&self.groups, "group", name).map(GroupId)
    }

    pub(super) fn tag(&self, name: &str) -> Result<TagId, Unresolved> {
        find(&self.tags, "tag", name).map(TagId)
    }

    pub(super) fn principal(&self, name: &str) -> Result<PrincipalId, Unresolved> {
        find(&self.principals, "principal", name).map(PrincipalId)
    }

    pub(super) fn server(&self, name: &str) -> Result<ServerId, Unresolved> {
        find(&self.servers, "server", name).map(ServerId)
    }

    pub(super) fn role(&self, name: &str) -> Result<RoleId, Unresolved> {
        find(&self.roles, "role", name).map(RoleId)
    }

    pub(super) fn schema(&self, text: &str) -> Result<SchemaId, Unresolved> {
        find(&self.numbers, "schema", text).map(SchemaId)
    }

    pub(super) fn permission(&self, permission: &Permission) -> Result<PermissionId, Unresolved> {
        let id = self.permissions.get(permission).copied();
        id.ok_or_else(|| unresolved("permission", &permission.to_string()))
    }

    /// How many roles there are.
    pub(super) fn roles(&self) -> usize {
        self.roles.len()
    }

    pub(super) fn take_schemas(&mut self) -> Vec<String> {
        std::mem::take(&mut self.schemas)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn take_scopes(&mut self) -> ScopeTree {
        std::mem::replace(&mut self.tree, ScopeTree::build([]))
    }
}

fn find(names: &HashMap<&str, u32>, kind: &'static str, name: &str) -> Result<u32, Unresolved> {
    names
        .get(name)
        .copied()
        .ok_or_else(|| unresolved(kind, name))
}

fn unresolved(kind: &'static str, name: &str) -> Unresolved {
    Unresolved {
        kind,
        name: name.to_owned(),
    }
}

/// The tree of these scopes and of the organizations above them.
fn tree(scopes: &BTreeSet<Cow<'_, Scope>>) -> ScopeTree {
    let mut organizations: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for scope in scopes {
        let Some(organization) = scope.organization() else {
            continue;
        };
        organizations
            .entry(organization)
            .or_default()
            .extend(scope.team());
    }
    ScopeTree::build(organizations)
}

fn scopes(named: &BTreeSet<Cow<'_, Scope>>, tree: &ScopeTree) -> HashMap<Scope, ScopeId> {
    let mut ids = HashMap::from([(Scope::Platform, ScopeTree::PLATFORM)]);
    for scope in named {
        // One look-up by path for each; the tree is small, and this runs once a slice.
        if let Some(id) = tree.find(&scope.to_string()) {
            ids.insert(scope.clone().into_owned(), id);
        }
    }
    ids
}

/// Permissions are numbered by server, surface and operation, as
/// [`Index::permission_starts`](latchkey_engine::index::Index::permission_starts) numbers them.
fn permissions(selection: &Selection<'_>) -> HashMap<Permission, PermissionId> {
    let mut ids = HashMap::new();
    for (server, facts) in &selection.servers {
        for (name, surface) in &facts.surfaces {
            let name = crate::model::SurfaceName {
                server: (*server).into(),
                name: name.clone(),
            };
            for (permission, _) in surface.permissions(&name) {
                ids.insert(permission, PermissionId(id(ids.len())));
            }
        }
    }
    ids
}
