//! What a bundle says, entry by entry, in words that mean the same in every bundle.
//!
//! Ids mean something in their own bundle only; here everything goes by its name. So the slice of a
//! server can be held against the whole, and one build against another.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    condition::{Formula, Test},
    id::{BindingId, PermissionId, PrincipalId, RoleId, ScopeId},
    index::{Group, Rule, ScopeNames, ScopeSource, Server, Subject, Surface},
    policy::Policy,
};

use super::words;

/// Entries by section and name, each with what it says.
pub type Entries = BTreeMap<&'static str, BTreeMap<String, String>>;

/// What of one kind differs between two sets of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The section.
    pub section: &'static str,
    /// Names that only the second has.
    pub added: Vec<String>,
    /// Names that only the first has.
    pub removed: Vec<String>,
    /// Names of which the two say different things.
    pub changed: Vec<String>,
}

/// Everything that a bundle says; with a server, everything that is about it.
#[must_use]
pub fn entries(policy: &Policy, server: Option<&str>) -> Entries {
    let reader = Reader { policy, server };
    BTreeMap::from([
        ("bindings", reader.bindings()),
        ("groups", reader.groups()),
        ("issuers", reader.issuers()),
        ("memberships", reader.memberships()),
        ("principals", reader.principals()),
        ("roles", reader.roles()),
        ("rules", reader.rules()),
        ("schedules", reader.schedules()),
        ("servers", reader.servers()),
        ("surfaces", reader.surfaces()),
    ])
}

/// The sections in which two bundles differ.
#[must_use]
pub fn differences(first: &Entries, second: &Entries) -> Vec<Difference> {
    let sections: BTreeSet<_> = first.keys().chain(second.keys()).copied().collect();
    let none = BTreeMap::new();
    let mut found = Vec::new();
    for section in sections {
        let before = first.get(section).unwrap_or(&none);
        let after = second.get(section).unwrap_or(&none);
        let only = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| {
            let names = these.keys().filter(|it| !those.contains_key(*it));
            names.cloned().collect::<Vec<_>>()
        };
        let changed = before.iter().filter(|(name, words)| {
            let other = after.get(*name);
            other.is_some_and(|other| other != *words)
        });
        let difference = Difference {
            section,
            added: only(after, before),
            removed: only(before, after),
            changed: changed.map(|(name, _)| name.clone()).collect(),
        };
        if !(difference.added.is_empty()
            && difference.removed.is_empty()
            && difference.changed.is_empty())
        {
            found.push(difference);
        }
    }
    found
}

/// Where a slice says something else of its server than the whole does.
#[must_use]
pub fn disagreements(whole: &Policy, slice: &Policy, server: &str) -> Vec<Difference> {
    let mut wanted = entries(whole, Some(server));
    let found = entries(slice, Some(server));
    // A slice knows only the groups, schedules and tags that something on its server names.
    let empty = BTreeMap::new();
    for section in ["groups", "schedules"] {
        let known = found.get(section).unwrap_or(&empty);
        if let Some(entries) = wanted.get_mut(section) {
            entries.retain(|name, _| known.contains_key(name));
        }
    }
    let known: BTreeSet<&String> = found.get("groups").unwrap_or(&empty).keys().collect();
    if let Some(memberships) = wanted.get_mut("memberships") {
        memberships.retain(|_, group| known.contains(group));
    }
    differences(&wanted, &found)
}

/// What the entry of a name says in the whole bundle; `None` when there is none.
pub(super) fn entry(policy: &Policy, section: &str, name: &str) -> Option<String> {
    let index = policy.index();
    let reader = Reader {
        policy,
        server: None,
    };
    match section {
        "bindings" => reader.binding(policy.binding(name)?, None),
        "rules" => Some(reader.rule(index.rules.get(policy.rule(name)?.index())?).1),
        "roles" => {
            let at = index.roles.names.iter().position(|it| it == name)?;
            let held = index.roles.permissions.get(at).iter().copied();
            Some(format!("{:?}", reader.permissions(held)))
        }
        "groups" => {
            let id = policy.group(name)?;
            let members = index.principals.groups.iter().filter(|(_, it)| *it == id);
            let members: Vec<_> = members.map(|(it, _)| policy.principal_name(*it)).collect();
            let claim = reader.claim(index.groups.get(id.index())?);
            Some(format!("{claim} {members:?}"))
        }
        "schedules" => reader.schedules().remove(name),
        "principals" => reader.principal(policy.principal(name)?),
        "servers" => Some(reader.server(policy.server_entry(policy.server(name)?)?)),
        "surfaces" => {
            let id = policy.surface_by_name(name)?;
            Some(reader.surface(policy.surface_entry(id)?))
        }
        _ => None,
    }
}

struct Reader<'p> {
    policy: &'p Policy,
    server: Option<&'p str>,
}

impl Reader<'_> {
    fn is_about(&self, server: &str) -> bool {
        self.server.is_none_or(|wanted| wanted == server)
    }

    fn path(&self, scope: ScopeId) -> String {
        self.policy.index().scopes.path(scope)
    }

    /// The names of permissions on the servers in question.
    fn permissions(&self, of: impl IntoIterator<Item = PermissionId>) -> BTreeSet<String> {
        let names = of.into_iter().filter_map(|permission| {
            let surface = self.policy.permission_surface(permission)?.0;
            let surface = self.policy.surface_entry(surface)?;
            let server = self.policy.server_entry(surface.server)?;
            let wanted = self.is_about(&server.name);
            wanted.then(|| self.policy.permission_name(permission))
        });
        names.collect()
    }

    fn servers(&self) -> BTreeMap<String, String> {
        let servers = self.policy.index().servers.iter();
        let servers = servers.filter(|it| self.is_about(&it.name));
        servers
            .map(|it| (it.name.clone(), self.server(it)))
            .collect()
    }

    fn server(&self, it: &Server) -> String {
        let limits = (it.max_body, it.header_timeout, it.timeout);
        let facts = (
            it.transport,
            &it.upstream,
            it.disclose,
            limits,
            &it.settings,
        );
        format!("{} {facts:?}", self.path(it.scope))
    }

    fn surfaces(&self) -> BTreeMap<String, String> {
        let index = self.policy.index();
        let mut words = BTreeMap::new();
        for surface in &index.surfaces {
            let Some(server) = self.policy.server_entry(surface.server) else {
                continue;
            };
            if self.is_about(&server.name) {
                let name = format!("{}/{}", server.name, surface.name);
                words.insert(name, self.surface(surface));
            }
        }
        words
    }

    fn surface(&self, it: &Surface) -> String {
        let to = |all: &ScopeNames| -> Vec<(String, String)> {
            let paths = all
                .iter()
                .map(|(text, at)| (text.to_owned(), self.path(at)));
            paths.collect()
        };
        let scope = match &it.scope {
            ScopeSource::Map {
                argument,
                exact,
                prefixes,
            } => format!("{argument:?} {:?} {:?}", to(exact), to(prefixes)),
            other => format!("{other:?}"),
        };
        let schemas = &self.policy.index().schemas;
        let schema = it.schema.and_then(|id| schemas.get(id.index()));
        let kind = (&it.kind, it.risk, it.unlock, it.access, &it.operations);
        let own = (&it.obligations, &it.audit, &it.settings);
        let rest = (scope, &it.arguments, schema, own);
        format!("{kind:?} {rest:?}")
    }

    fn roles(&self) -> BTreeMap<String, String> {
        let roles = &self.policy.index().roles;
        let words = roles.names.iter().enumerate().filter_map(|(at, name)| {
            let held = self.permissions(roles.permissions.get(at).iter().copied());
            (!held.is_empty()).then(|| (name.to_owned(), format!("{held:?}")))
        });
        words.collect()
    }

    fn bindings(&self) -> BTreeMap<String, String> {
        let count = self.policy.index().bindings.names.len();
        let roles = self.roles();
        let mut words = BTreeMap::new();
        for id in (0..u32::try_from(count).unwrap_or(u32::MAX)).map(BindingId) {
            if let Some(said) = self.binding(id, Some(&roles)) {
                words.insert(self.policy.binding_name(id).to_owned(), said);
            }
        }
        words
    }

    /// A binding, of whose roles only the known ones count; `None` when it has none of them.
    fn binding(&self, id: BindingId, known: Option<&BTreeMap<String, String>>) -> Option<String> {
        let index = self.policy.index();
        let columns = self.policy.bindings();
        let at = id.index();
        let set = columns.roles.get(at)?;
        let name = |role: RoleId| index.roles.names.get(role.index()).to_owned();
        let mut given: BTreeSet<String> = index.roles_of(*set).map(name).collect();
        given.retain(|it| known.is_none_or(|known| known.contains_key(it)));
        if given.is_empty() {
            return None;
        }
        let scope = columns.scopes.get(at).copied();
        let condition = columns.conditions.get(at).copied().flatten();
        let facts = (
            self.subjects(columns.subjects_of(id)),
            given,
            scope.map(|it| self.path(it)),
            condition.map(|it| words::shown(index, it)),
            columns.dates.get(at),
            columns.cross_organization.get(at),
        );
        Some(format!("{facts:?}"))
    }

    fn rules(&self) -> BTreeMap<String, String> {
        let rules = self.policy.index().rules.iter();
        let words = rules.filter_map(|rule| {
            let (speaks, words) = self.rule(rule);
            speaks.then(|| (rule.name.clone(), words))
        });
        words.collect()
    }

    /// Whether a rule speaks of the servers in question, and what it says.
    fn rule(&self, rule: &Rule) -> (bool, String) {
        let index = self.policy.index();
        let spoken = self.permissions(rule.permissions.iter().copied());
        let who = (self.subjects(&rule.who), self.subjects(&rule.except));
        let condition = rule.condition.map(|it| words::shown(index, it));
        let rest = (self.path(rule.scope), condition, rule.dates, &rule.message);
        let words = format!("{:?} {spoken:?} {who:?} {rest:?}", rule.effect);
        (!spoken.is_empty(), words)
    }

    /// The schedules that some condition names.
    fn schedules(&self) -> BTreeMap<String, String> {
        let formulas = self.policy.index().formulas.iter();
        let schedules = formulas.filter_map(|formula| match formula {
            Formula::Literal {
                test: Test::During(_, it),
                ..
            } => Some((it.name.clone(), it.digest())),
            _ => None,
        });
        schedules.collect()
    }

    fn issuers(&self) -> BTreeMap<String, String> {
        let issuers = self.policy.index().issuers.iter();
        let words = issuers.map(|it| {
            let organizations: Vec<_> = it.organizations.iter().map(|at| self.path(*at)).collect();
            let who = (organizations, it.undeclared, it.undeclared_type);
            let tokens = (&it.url, &it.audiences, &it.algorithms, &it.keys);
            let lives = (it.clock_skew, it.max_lifetime);
            let rest = (&it.groups_claim, lives, &it.settings);
            (it.name.clone(), format!("{who:?} {tokens:?} {rest:?}"))
        });
        words.collect()
    }

    fn groups(&self) -> BTreeMap<String, String> {
        let index = self.policy.index();
        let groups = index.groups.iter();
        let groups = groups.map(|group| (format!("group:{}", group.name), self.claim(group)));
        let tags = index.tags.iter();
        let tags = tags.map(|tag| (format!("tag:{tag}"), String::new()));
        groups.chain(tags).collect()
    }

    fn claim(&self, group: &Group) -> String {
        let claim = group.claim.as_ref().map(|(issuer, value)| {
            let issuer = self.policy.issuer_entry(*issuer);
            (issuer.map(|it| it.name.as_str()), value)
        });
        format!("{claim:?}")
    }

    /// A principal with its tags and identities.
    fn principal(&self, id: PrincipalId) -> Option<String> {
        let principals = &self.policy.index().principals;
        let at = id.index();
        let identities = principals.identities.iter().enumerate();
        let own = identities
            .filter(|(_, (_, it))| *it == id)
            .map(|(at, (issuer, _))| {
                let issuer = self.policy.issuer_entry(*issuer);
                let subject = principals.identity_subjects.get(at).to_owned();
                (issuer.map(|it| it.name.clone()), subject)
            });
        let own: BTreeSet<_> = own.collect();
        let tags = principals.tags.iter().filter(|(it, _)| *it == id);
        let tags = tags.map(|(_, tag)| self.policy.index().tags.get(tag.index()));
        let facts = (
            principals.types.get(at)?,
            principals.scopes.get(at).map(|it| self.path(*it)),
            principals.dates.get(at),
            principals.suspended.contains(&id),
            (own, tags.collect::<BTreeSet<_>>()),
        );
        Some(format!("{facts:?}"))
    }

    fn principals(&self) -> BTreeMap<String, String> {
        let index = self.policy.index();
        let principals = &index.principals;
        let mut identities: BTreeMap<usize, BTreeSet<(String, String)>> = BTreeMap::new();
        for (at, (issuer, principal)) in principals.identities.iter().enumerate() {
            let issuer = self.policy.issuer_entry(*issuer);
            let issuer = issuer.map(|it| it.name.clone()).unwrap_or_default();
            let subject = principals.identity_subjects.get(at).to_owned();
            let own = identities.entry(principal.index()).or_default();
            own.insert((issuer, subject));
        }
        let suspended: BTreeSet<usize> = principals.suspended.iter().map(|it| it.index()).collect();
        let words = principals.names.iter().enumerate().map(|(at, name)| {
            let scope = principals.scopes.get(at).map(|it| self.path(*it));
            let facts = (
                principals.types.get(at),
                scope,
                principals.dates.get(at),
                suspended.contains(&at),
                identities.get(&at),
            );
            (name.to_owned(), format!("{facts:?}"))
        });
        words.collect()
    }

    /// Who is in which group or carries which tag; the group is what the entry says.
    fn memberships(&self) -> BTreeMap<String, String> {
        let index = self.policy.index();
        let groups = index.principals.groups.iter().map(|(principal, group)| {
            let group = format!("group:{}", self.policy.group_name(*group));
            (*principal, group)
        });
        let tags =
            index.principals.tags.iter().map(|(principal, tag)| {
                (*principal, format!("tag:{}", index.tags.get(tag.index())))
            });
        let named = groups.chain(tags).map(|(principal, group)| {
            let principal = self.policy.principal_name(principal);
            (format!("{principal} in {group}"), group)
        });
        named.collect()
    }

    fn subjects(&self, subjects: &[Subject]) -> BTreeSet<String> {
        let name = |subject: &Subject| match subject {
            Subject::Principal(id) => self.policy.principal_name(*id).to_owned(),
            Subject::Group(id) => format!("group:{}", self.policy.group_name(*id)),
            Subject::Tag(id) => format!("tag:{}", self.policy.index().tags.get(id.index())),
            Subject::Type(kind) => format!("type:{kind:?}"),
            Subject::Everyone => "everyone".to_owned(),
        };
        subjects.iter().map(name).collect()
    }
}
