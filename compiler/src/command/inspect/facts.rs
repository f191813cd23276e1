//! Everything that a slice says, in names: what a second reader of the format must find too.

use latchkey_engine::{
    id::{BindingId, PermissionId, PrincipalId, ScopeId},
    index::{Effect, Index, Obligation, Pool, PrincipalType, Reach, Rule, Subject, SurfaceKind},
    policy::Policy,
    time::{Dates, Time},
};
use latchkey_gate::supply::Digest;
use serde_json::{Value as Json, json};

/// The names of every table, in the order of the tables.
pub(super) fn names(policy: &Policy) -> Json {
    let index = policy.index();
    let scopes = (0..).map(ScopeId).take(index.scopes.nodes().len());
    let surfaces = index.servers.iter().flat_map(|server| {
        let surfaces = policy.server(&server.name).into_iter();
        surfaces.flat_map(|server| policy.surfaces(server))
    });
    let permissions = (0..policy.permission_count()).map(PermissionId);
    json!({
        "scopes": scopes.map(|it| index.scopes.path(it)).collect::<Vec<_>>(),
        "issuers": index.issuers.iter().map(|it| &it.name).collect::<Vec<_>>(),
        "groups": index.groups.iter().map(|it| &it.name).collect::<Vec<_>>(),
        "tags": index.tags.iter().collect::<Vec<_>>(),
        "principals": index.principals.names.iter().collect::<Vec<_>>(),
        "servers": index.servers.iter().map(|it| &it.name).collect::<Vec<_>>(),
        "surfaces": surfaces.map(|it| policy.surface_name(it)).collect::<Vec<_>>(),
        "permissions": permissions.map(|it| policy.permission_name(it)).collect::<Vec<_>>(),
        "roles": index.roles.names.iter().collect::<Vec<_>>(),
        "bindings": index.bindings.names.iter().collect::<Vec<_>>(),
        "rules": index.rules.iter().map(|it| &it.name).collect::<Vec<_>>(),
    })
}

/// What each principal is.
pub(super) fn principals(policy: &Policy) -> Vec<Json> {
    let principals = &policy.index().principals;
    let all = (0..).map(PrincipalId).take(principals.names.len());
    all.map(|id| principal(policy, id)).collect()
}

fn principal(policy: &Policy, id: PrincipalId) -> Json {
    let index = policy.index();
    let (principals, at) = (&index.principals, id.index());
    let own = |it: &PrincipalId| *it == id;
    let tags = principals.tags.iter().filter(|(it, _)| own(it));
    let groups = principals.groups.iter().filter(|(it, _)| own(it));
    let identities = principals.identities.iter().enumerate();
    let identities = identities.filter(|(_, (_, it))| own(it));
    let identities = identities.map(|(at, (issuer, _))| {
        let issuer = policy.issuer_entry(*issuer).map(|it| &it.name);
        json!([issuer, principals.identity_subjects.get(at)])
    });
    let scope = principals.scopes.get(at).copied().unwrap_or(ScopeId(0));
    json!({
        "name": policy.principal_name(id),
        "type": principals.types.get(at).copied().map(type_word),
        "scope": index.scopes.path(scope),
        "suspended": principals.suspended.contains(&id),
        "dates": dates(principals.dates.get(at)),
        "tags": tags.map(|(_, it)| index.tags.get(it.index())).collect::<Vec<_>>(),
        "groups": groups.map(|(_, it)| policy.group_name(*it)).collect::<Vec<_>>(),
        "identities": identities.collect::<Vec<_>>(),
    })
}

/// What each surface is.
pub(super) fn surfaces(policy: &Policy) -> Vec<Json> {
    let index = policy.index();
    let surface = |it: &latchkey_engine::index::Surface| {
        let kind = match &it.kind {
            SurfaceKind::Tool => json!("tool"),
            SurfaceKind::Prompt => json!("prompt"),
            SurfaceKind::Resource { uri } => json!({"resource": uri}),
            SurfaceKind::Route { method, path } => json!({"route": [method, path]}),
        };
        let schema = it.schema.and_then(|it| index.schemas.get(it.index()));
        json!({
            "name": it.name,
            "kind": kind,
            "risk": word(&it.risk),
            "access": word(&it.access),
            "unlock": word(&it.unlock),
            "obligations": it.obligations.iter().copied().map(obligation).collect::<Vec<_>>(),
            "schema": schema.map(|text| Digest::of(text.as_bytes()).to_string()),
        })
    };
    index.surfaces.iter().map(surface).collect()
}

/// The settings of each issuer, server and surface, as the texts that stand in the slice.
pub(super) fn settings(policy: &Policy) -> Json {
    let index = policy.index();
    json!({
        "issuers": index.issuers.iter().map(|it| &it.settings).collect::<Vec<_>>(),
        "servers": index.servers.iter().map(|it| &it.settings).collect::<Vec<_>>(),
        "surfaces": index.surfaces.iter().map(|it| &it.settings).collect::<Vec<_>>(),
    })
}

/// What each role grants, by the order of roles.
pub(super) fn roles(policy: &Policy) -> Vec<Json> {
    let roles = &policy.index().roles;
    let permissions = roles.permissions.iter();
    let role = |(name, given): (&str, &[PermissionId])| json!({"name": name, "permissions": permission_names(policy, given)});
    roles.names.iter().zip(permissions).map(role).collect()
}

/// Who holds what where.
pub(super) fn bindings(policy: &Policy) -> Vec<Json> {
    let index = policy.index();
    let columns = policy.bindings();
    let binding = |id: BindingId| {
        let at = id.index();
        let set = columns.roles.get(at).copied();
        let roles = set.into_iter().flat_map(|set| index.roles_of(set));
        let scope = columns.scopes.get(at).copied().unwrap_or(ScopeId(0));
        json!({
            "name": policy.binding_name(id),
            "who": subjects(policy, columns.subjects_of(id)),
            "roles": roles.map(|it| policy.role_name(it)).collect::<Vec<_>>(),
            "scope": index.scopes.path(scope),
            "condition": columns.conditions.get(at).copied().flatten().map(|it| it.0),
            "dates": dates(columns.dates.get(at).copied().unwrap_or_default()),
            "cross_organization": columns.cross_organization.get(at),
        })
    };
    let all = (0..).map(BindingId).take(index.bindings.names.len());
    all.map(binding).collect()
}

/// What each rule denies or requires.
pub(super) fn rules(policy: &Policy) -> Vec<Json> {
    let rules = &policy.index().rules;
    rules.iter().map(|it| rule(policy, it)).collect()
}

fn rule(policy: &Policy, rule: &Rule) -> Json {
    let effect = match &rule.effect {
        Effect::Deny => json!("deny"),
        Effect::Require(all) => {
            json!({"require": all.iter().copied().map(obligation).collect::<Vec<_>>()})
        }
    };
    json!({
        "name": rule.name,
        "effect": effect,
        "who": subjects(policy, &rule.who),
        "except": subjects(policy, &rule.except),
        "permissions": permission_names(policy, &rule.permissions),
        "scope": policy.index().scopes.path(rule.scope),
        "condition": rule.condition.map(|it| it.0),
        "dates": dates(rule.dates),
        "message": rule.message,
    })
}

fn permission_names(policy: &Policy, permissions: &[PermissionId]) -> Vec<String> {
    let names = permissions.iter().map(|it| policy.permission_name(*it));
    names.collect()
}

fn subjects(policy: &Policy, subjects: &[Subject]) -> Vec<String> {
    let index: &Index = policy.index();
    let name = |subject: &Subject| match subject {
        Subject::Principal(id) => policy.principal_name(*id).to_owned(),
        Subject::Group(id) => format!("group:{}", policy.group_name(*id)),
        Subject::Tag(id) => format!("tag:{}", index.tags.get(id.index())),
        Subject::Type(kind) => format!("type:{}", type_word(*kind)),
        Subject::Everyone => "everyone".to_owned(),
    };
    subjects.iter().map(name).collect()
}

fn obligation(obligation: Obligation) -> Json {
    match obligation {
        Obligation::Rate {
            pool,
            reach,
            count,
            seconds,
        } => json!({"rate": [pool_word(pool), reach_word(reach), count, seconds]}),
        Obligation::Concurrency { pool, reach, count } => {
            json!({"concurrency": [pool_word(pool), reach_word(reach), count]})
        }
    }
}

fn pool_word(pool: Pool) -> &'static str {
    match pool {
        Pool::Caller => "caller",
        Pool::Team => "team",
        Pool::Organization => "organization",
        Pool::Source => "source",
        Pool::Everyone => "everyone",
    }
}

fn reach_word(reach: Reach) -> &'static str {
    match reach {
        Reach::Surface => "surface",
        Reach::Server => "server",
    }
}

/// Both ends, as RFC 3339 or null.
fn dates(dates: Dates) -> [Option<String>; 2] {
    [dates.not_before, dates.expires].map(|end: Option<Time>| end.map(|it| it.to_string()))
}

fn type_word(kind: PrincipalType) -> String {
    word(&kind)
}

/// The name of a choice, in lower case.
fn word(choice: &impl std::fmt::Debug) -> String {
    format!("{choice:?}").to_ascii_lowercase()
}
