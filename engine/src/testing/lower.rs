//! Worlds to indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    BindingEntry, Condition, PermissionName, RuleEntry, ScheduleEntry, SurfaceEntry, Where, Who,
    World,
};
use crate::{
    condition::{Arena, Environment, Kind, Lowered, Shape, check, parse},
    id::{
        FormulaId, GroupId, IssuerId, PermissionId, PrincipalId, RoleId, RoleSetId, SchemaId,
        ScopeId, ServerId, TagId,
    },
    index::{
        Algorithm, BindingColumns, Bindings, Disclose, Effect, Group, Index, Issuer, Operations,
        Principals, Roles, Rule, ScopeNames, ScopeSource, Server, Subject, Surface, SurfaceKind,
        Transport,
    },
    lists::Lists,
    scope::ScopeTree,
};

impl World {
    /// Lowers the world into the tables of a bundle.
    ///
    /// # Panics
    ///
    /// When a name does not resolve, or a condition does not check.
    pub fn index(&self) -> Index {
        let names = Names::of(self);
        let lowered = Names::lowered(self);
        let mut index = Index {
            project: "random".to_owned(),
            scopes: names.scopes.clone(),
            issuers: names.issuers(self),
            groups: names.groups(self),
            tags: names.tags.iter().collect(),
            principals: names.principals(self),
            servers: names.servers(self),
            surfaces: names.surfaces(self),
            schemas: vec!["{}".to_owned()],
            attributes: lowered.0.attributes.clone(),
            formulas: lowered.0.formulas.clone(),
            roles: Roles::default(),
            role_sets: Lists::default(),
            bindings: Bindings::default(),
            rules: Vec::new(),
        };
        let permissions = Permissions::of(&index);
        index.roles = Names::roles(self, &permissions);
        let (role_sets, columns) = names.bindings(self, &lowered);
        index.role_sets = role_sets;
        let bindings = Bindings::new(columns, index.bounds());
        index.bindings = bindings.unwrap_or_else(|why| panic!("{why}"));
        index.rules = names.rules(self, &permissions, &lowered);
        index
    }
}

type Conditions = (Lowered, BTreeMap<String, FormulaId>);

/// All tables of names, sorted.
struct Names {
    scopes: ScopeTree,
    issuers: Vec<String>,
    groups: Vec<String>,
    tags: Vec<String>,
    principals: Vec<String>,
    servers: Vec<String>,
    roles: Vec<String>,
}

/// Permissions by name.
struct Permissions(BTreeMap<PermissionName, PermissionId>);

impl Permissions {
    fn of(index: &Index) -> Self {
        let mut all = BTreeMap::new();
        let mut next = 0;
        for surface in &index.surfaces {
            let server = &index.servers[surface.server.index()].name;
            let name = format!("{server}/{}", surface.name);
            let operations = surface.operations.as_ref().map(|it| it.values.clone());
            let operations = operations.map_or(vec![None], |values| {
                values.into_iter().map(|(name, _)| Some(name)).collect()
            });
            for operation in operations {
                all.insert((name.clone(), operation), PermissionId(next));
                next += 1;
            }
        }
        Self(all)
    }

    fn ids(&self, names: &[PermissionName]) -> Vec<PermissionId> {
        sorted(names.iter().map(|name| self.0[name]))
    }
}

impl Names {
    fn of(world: &World) -> Self {
        let names = |names: Vec<&String>| sorted(names.into_iter().cloned());
        let organizations = world.organizations.iter().map(|(name, teams)| {
            let teams = teams.iter().map(String::as_str).collect();
            (name.as_str(), teams)
        });
        let carried = world.principals.iter().flat_map(|it| &it.tags);
        let granted = world.bindings.iter().flat_map(|it| &it.who);
        let spoken = granted.chain(
            world
                .rules
                .iter()
                .flat_map(|it| it.who.iter().chain(&it.except)),
        );
        let spoken = spoken.filter_map(|who| match who {
            Who::Tag(name) => Some(name),
            _ => None,
        });
        Self {
            scopes: ScopeTree::build(organizations),
            issuers: names(world.issuers.iter().map(|it| &it.name).collect()),
            groups: names(world.groups.iter().map(|it| &it.name).collect()),
            tags: sorted(carried.chain(spoken).cloned()),
            principals: names(world.principals.iter().map(|it| &it.name).collect()),
            servers: names(world.servers.iter().map(|(name, _)| name).collect()),
            roles: names(world.roles.iter().map(|(name, _)| name).collect()),
        }
    }

    fn scope(&self, path: &str) -> ScopeId {
        self.scopes.find(path).expect("a scope of the world")
    }

    fn subject(&self, who: &Who) -> Subject {
        match who {
            Who::Principal(name) => Subject::Principal(PrincipalId(at(&self.principals, name))),
            Who::Group(name) => Subject::Group(GroupId(at(&self.groups, name))),
            Who::Tag(name) => Subject::Tag(TagId(at(&self.tags, name))),
            Who::Type(kind) => Subject::Type(*kind),
            Who::Everyone => Subject::Everyone,
        }
    }

    fn issuers(&self, world: &World) -> Vec<Issuer> {
        let mut issuers: Vec<Issuer> = world
            .issuers
            .iter()
            .map(|it| Issuer {
                name: it.name.clone(),
                url: format!("https://{}.example", it.name),
                audiences: vec!["https://tools.example".to_owned()],
                algorithms: vec![Algorithm::EdDsa],
                keys: "{\"keys\":[]}".to_owned(),
                organizations: sorted(it.organizations.iter().map(|path| self.scope(path))),
                undeclared: it.undeclared,
                undeclared_type: it.undeclared_type,
                groups_claim: Some("groups".to_owned()),
                clock_skew: 60,
                max_lifetime: 3600,
                settings: String::new(),
            })
            .collect();
        issuers.sort_by(|a, b| a.name.cmp(&b.name));
        issuers
    }

    fn groups(&self, world: &World) -> Vec<Group> {
        let claim = |(issuer, value): &(String, String)| {
            (IssuerId(at(&self.issuers, issuer)), value.clone())
        };
        let group = |it: &super::GroupEntry| Group {
            name: it.name.clone(),
            claim: it.claim.as_ref().map(claim),
        };
        let mut groups: Vec<Group> = world.groups.iter().map(group).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    fn principals(&self, world: &World) -> Principals {
        let mut entries: Vec<_> = world.principals.iter().collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let numbered = || {
            entries
                .iter()
                .zip(0..)
                .map(|(it, at)| (it, PrincipalId(at)))
        };
        let mut identities: Vec<(IssuerId, &str, PrincipalId)> = numbered()
            .flat_map(|(it, principal)| {
                it.identities.iter().map(move |(issuer, subject)| {
                    let issuer = IssuerId(at(&self.issuers, issuer));
                    (issuer, subject.as_str(), principal)
                })
            })
            .collect();
        identities.sort_unstable();
        let tags = numbered().flat_map(|(it, principal)| {
            let tags = it.tags.iter();
            tags.map(move |tag| (principal, TagId(at(&self.tags, tag))))
        });
        let groups = numbered().flat_map(|(it, principal)| {
            let groups = it.groups.iter();
            groups.map(move |group| (principal, GroupId(at(&self.groups, group))))
        });
        Principals {
            names: entries.iter().map(|it| &it.name).collect(),
            types: entries.iter().map(|it| it.kind).collect(),
            scopes: entries.iter().map(|it| self.scope(&it.scope)).collect(),
            dates: entries.iter().map(|it| it.dates).collect(),
            suspended: numbered()
                .filter(|(it, _)| it.suspended)
                .map(|(_, at)| at)
                .collect(),
            identities: identities.iter().map(|it| (it.0, it.2)).collect(),
            identity_subjects: identities.iter().map(|it| it.1).collect(),
            tags: sorted(tags),
            groups: sorted(groups),
        }
    }

    fn servers(&self, world: &World) -> Vec<Server> {
        let server = |(name, scope): &(String, String)| Server {
            name: name.clone(),
            scope: self.scope(scope),
            transport: Transport::Mcp,
            upstream: "http://127.0.0.1:9000/mcp".to_owned(),
            disclose: Disclose::Code,
            max_body: 1 << 20,
            header_timeout: 5000,
            timeout: 30_000,
            settings: String::new(),
        };
        let mut servers: Vec<Server> = world.servers.iter().map(server).collect();
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        servers
    }

    fn surfaces(&self, world: &World) -> Vec<Surface> {
        let surface = |it: &SurfaceEntry| Surface {
            server: ServerId(at(&self.servers, &it.server)),
            name: it.name.clone(),
            kind: SurfaceKind::Tool,
            risk: it.risk,
            unlock: it.unlock,
            access: it.access,
            operations: (!it.operations.is_empty()).then(|| Operations {
                argument: vec!["action".to_owned()],
                values: sorted(it.operations.iter().cloned()),
            }),
            scope: self.source(&it.scope),
            arguments: Vec::new(),
            schema: Some(SchemaId(0)),
            obligations: sorted(it.obligations.iter().copied()),
            audit: Vec::new(),
            settings: String::new(),
        };
        let mut surfaces: Vec<Surface> = world.surfaces.iter().map(surface).collect();
        surfaces.sort_by(|a, b| (a.server, &a.name).cmp(&(b.server, &b.name)));
        surfaces
    }

    fn source(&self, source: &Where) -> ScopeSource {
        match source {
            Where::Server => ScopeSource::Server,
            Where::Principal => ScopeSource::Principal,
            Where::Unscoped => ScopeSource::Unscoped,
            Where::Force { team } => ScopeSource::Force {
                argument: vec!["owner".to_owned()],
                team: *team,
            },
            Where::Map(values) => ScopeSource::Map {
                argument: vec!["repo".to_owned()],
                exact: sorted(values.iter().map(|(value, path)| (value, self.scope(path))))
                    .into_iter()
                    .collect(),
                prefixes: ScopeNames::default(),
            },
        }
    }

    fn roles(world: &World, permissions: &Permissions) -> Roles {
        let mut roles: Vec<_> = world.roles.iter().collect();
        roles.sort_by(|a, b| a.0.cmp(&b.0));
        Roles {
            names: roles.iter().map(|(name, _)| name).collect(),
            permissions: roles
                .iter()
                .map(|(_, given)| permissions.ids(given))
                .collect(),
        }
    }

    fn lowered(world: &World) -> Conditions {
        let environment = environment(world);
        let mut arena = Arena::default();
        let mut added = BTreeMap::new();
        let bindings = world.bindings.iter().map(|it| &it.condition);
        let rules = world.rules.iter().map(|it| &it.condition);
        for condition in bindings.chain(rules).flatten() {
            let text = condition.to_string();
            let typed = parse(&text).and_then(|expr| check(&expr, &environment));
            let typed = typed.unwrap_or_else(|why| panic!("{text}: {why:?}"));
            added.insert(text, arena.add(&typed));
        }
        let lowered = arena.finish();
        for formula in added.values_mut() {
            *formula = lowered.formula(*formula).unwrap();
        }
        (lowered, added)
    }

    fn bindings(&self, world: &World, lowered: &Conditions) -> (Lists<RoleId>, BindingColumns) {
        let mut entries: Vec<&BindingEntry> = world.bindings.iter().collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let roles =
            |it: &BindingEntry| sorted(it.roles.iter().map(|role| RoleId(at(&self.roles, role))));
        let sets = entries
            .iter()
            .map(|it| roles(it))
            .filter(|set| set.len() > 1);
        let sets: Vec<Vec<RoleId>> = sorted(sets);
        let mut bindings = BindingColumns {
            names: entries.iter().map(|it| &it.name).collect(),
            ..BindingColumns::default()
        };
        for it in entries {
            let subjects = sorted(it.who.iter().map(|who| self.subject(who)));
            bindings.subjects.extend(subjects);
            bindings.subject_ends.push(id(bindings.subjects.len()));
            let set = match roles(it).as_slice() {
                [only] => only.index(),
                several => {
                    let found = sets.binary_search_by(|set| set.as_slice().cmp(several));
                    self.roles.len() + found.unwrap()
                }
            };
            bindings.roles.push(RoleSetId(id(set)));
            bindings.scopes.push(self.scope(&it.scope));
            bindings
                .conditions
                .push(formula(it.condition.as_ref(), lowered));
            bindings.dates.push(it.dates);
            bindings.cross_organization.push(it.cross_organization);
        }
        (sets.into_iter().collect(), bindings)
    }

    fn rules(&self, world: &World, permissions: &Permissions, lowered: &Conditions) -> Vec<Rule> {
        let subjects = |who: &[Who]| sorted(who.iter().map(|who| self.subject(who)));
        let rule = |it: &RuleEntry| Rule {
            name: it.name.clone(),
            effect: match &it.require {
                None => Effect::Deny,
                Some(obligations) => Effect::Require(sorted(obligations.iter().copied())),
            },
            who: subjects(&it.who),
            except: subjects(&it.except),
            permissions: permissions.ids(&it.permissions),
            scope: self.scope(&it.scope),
            condition: formula(it.condition.as_ref(), lowered),
            dates: it.dates,
            message: None,
        };
        let mut rules: Vec<Rule> = world.rules.iter().map(rule).collect();
        rules.sort_by(|a, b| a.name.cmp(&b.name));
        rules
    }
}

/// What conditions of worlds may read: some arguments are required, some optional.
fn environment(world: &World) -> Environment {
    let schedules = world.schedules.iter().map(ScheduleEntry::worked_out);
    let schedules = schedules.map(|it| (it.name.clone(), it)).collect();
    let file = Shape::object([("path", Shape::required(Kind::Text))]);
    Environment::new(Some(
        Shape::object([
            ("env", Shape::optional(Kind::Text)),
            ("owner", Shape::required(Kind::Text)),
            ("repo", Shape::required(Kind::Text)),
            ("amount", Shape::required(Kind::Number)),
            ("dry", Shape::optional(Kind::Bool)),
            ("labels", Shape::list(Shape::required(Kind::Text))),
            ("files", Shape::list(file)),
        ])
        .into(),
    ))
    .with_schedules(Arc::new(schedules))
}

fn formula(condition: Option<&Condition>, lowered: &Conditions) -> Option<FormulaId> {
    condition.map(|condition| lowered.1[&condition.to_string()])
}

fn at(names: &[String], name: &String) -> u32 {
    id(names.binary_search(name).expect("a name of the world"))
}

fn id(at: usize) -> u32 {
    u32::try_from(at).unwrap()
}

fn sorted<T: Ord>(entries: impl IntoIterator<Item = T>) -> Vec<T> {
    let set: BTreeSet<T> = entries.into_iter().collect();
    set.into_iter().collect()
}
