//! What need not be compared: permissions and callers of which both policies say the same.
//!
//! A pull request touches few of them. Everything is compared in words, since ids mean something in
//! their own policy only.

use latchkey_engine::{
    id::{BindingId, DatesId, FormulaId, PermissionId, ScopeId},
    index::{Rule, ScopeSource, Subject, Surface},
    scope::ScopeTree,
    time::Dates,
};

use super::{
    words,
    world::{Facts, Known, Side},
};

/// What each binding and rule of a side says, without its name.
#[derive(Debug)]
pub(super) struct Lines {
    bindings: Vec<String>,
    rules: Vec<String>,
}

impl Lines {
    pub(super) fn new(side: &Side<'_>) -> Self {
        let count = u32::try_from(side.index.bindings.names.len()).unwrap_or(0);
        Self {
            bindings: (0..count).map(|at| binding(side, BindingId(at))).collect(),
            rules: side.index.rules.iter().map(|it| rule(side, it)).collect(),
        }
    }

    /// All that a side says of a permission, whoever asks.
    fn of(&self, side: &Side<'_>, permission: PermissionId) -> Vec<&str> {
        let bindings = side.grants.get(permission.index()).into_iter().flatten();
        let rules = side.rules.get(permission.index()).into_iter().flatten();
        let bindings = bindings.filter_map(|it| self.bindings.get(it.index()));
        let mut lines: Vec<&str> = bindings
            .chain(rules.filter_map(|it| self.rules.get(it.index())))
            .map(String::as_str)
            .collect();
        lines.sort_unstable();
        lines
    }
}

/// Whether both sides say the same of a permission.
pub(super) fn permission(
    sides: [&Side<'_>; 2],
    lines: [&Lines; 2],
    name: &str,
    operation: Option<&str>,
) -> bool {
    let [old, new] = sides;
    let [old_lines, new_lines] = lines;
    let (Some(before), Some(after)) = (old.surface(name), new.surface(name)) else {
        return false;
    };
    let ids = old
        .permission(name, operation)
        .zip(new.permission(name, operation));
    let Some((was, is)) = ids else { return false };
    surface(old, before.1) == surface(new, after.1)
        && old.policy.permission_risk(was) == new.policy.permission_risk(is)
        && old_lines.of(old, was) == new_lines.of(new, is)
}

/// Whether both sides know the same of a class of callers.
pub(super) fn callers(sides: [&Side<'_>; 2], known: &[Known; 2]) -> bool {
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
    let to = |all: &[(String, ScopeId)]| -> Vec<(String, String)> {
        all.iter()
            .map(|(text, scope)| (text.clone(), tree.path(*scope)))
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
    let columns = &side.index.bindings;
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
            dates(side, columns.dates.get(at).copied().flatten()),
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
            dates(side, rule.dates),
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

fn dates(side: &Side<'_>, id: Option<DatesId>) -> Option<Dates> {
    side.index.dates.get(id?.index()).copied()
}
