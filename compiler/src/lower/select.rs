//! What of a project goes into one index.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use hashbrown::HashSet;
use latchkey_engine::condition::{Root, Segment};

use crate::{
    model::{
        Binding, ByName, Condition, Model, Permission, Permissions, Role, Rule, Scope, ScopeSource,
        Server, Who,
    },
    text::Text,
};

/// The servers of an index, and what holds on them.
#[derive(Debug)]
pub(super) struct Selection<'m> {
    /// Servers by name.
    pub(super) servers: BTreeMap<&'m str, &'m Server>,
    /// Roles that hold something on the servers, and what; never empty, and sorted.
    pub(super) roles: BTreeMap<&'m str, Vec<&'m Permission>>,
    /// The names of these roles.
    held: HashSet<&'m str>,
    /// Bindings by name that give such roles; sorted. See [`Selection::given`].
    pub(super) bindings: Vec<(&'m str, &'m Binding)>,
    /// Rules by name that speak of the servers, and of what; never empty, and sorted.
    pub(super) rules: Vec<(&'m str, &'m Rule, Vec<&'m Permission>)>,
    /// Groups that those name or read.
    pub(super) groups: BTreeSet<&'m str>,
    /// Tags that those name or read.
    pub(super) tags: BTreeSet<&'m str>,
    /// Scopes that anything names, without their ancestors.
    pub(super) scopes: BTreeSet<Cow<'m, Scope>>,
}

impl<'m> Selection<'m> {
    /// Everything.
    pub(super) fn whole(model: &'m Model) -> Self {
        let servers = model
            .servers
            .iter()
            .map(|(name, server)| (name.as_str(), server));
        let mut selection = Self::of(model, servers.collect());
        selection.groups = model.groups.keys().map(Text::as_str).collect();
        selection.tags = all_tags(model);
        for (name, organization) in &model.organizations {
            let whole = Cow::Owned(Scope::Organization(name.clone()));
            selection.scopes.insert(whole);
            let team = |team: &Text| Cow::Owned(Scope::Team(name.clone(), team.as_str().into()));
            selection.scopes.extend(organization.teams.keys().map(team));
        }
        selection
    }

    /// What one server needs.
    pub(super) fn of_server(model: &'m Model, server: &str) -> Self {
        let servers = model.servers.get_key_value(server).into_iter();
        Self::of(
            model,
            servers
                .map(|(name, server)| (name.as_str(), server))
                .collect(),
        )
    }

    fn of(model: &'m Model, servers: BTreeMap<&'m str, &'m Server>) -> Self {
        let mut selection = Self {
            servers,
            roles: BTreeMap::new(),
            held: HashSet::new(),
            bindings: Vec::new(),
            rules: Vec::new(),
            groups: BTreeSet::new(),
            tags: BTreeSet::new(),
            scopes: BTreeSet::new(),
        };
        selection.select_roles(&model.roles);
        selection.select_bindings(&model.bindings);
        selection.select_rules(&model.rules);
        selection.select_subjects(model);
        selection.select_scopes(model);
        selection
    }

    /// Those of some permissions, which are sorted, that are of the servers.
    fn held(&self, permissions: &'m Permissions) -> Vec<&'m Permission> {
        let of_servers = |it: &&Permission| self.servers.contains_key(it.surface.server.as_str());
        permissions.keys().filter(of_servers).collect()
    }

    fn select_roles(&mut self, roles: &'m ByName<Role>) {
        let held = roles
            .iter()
            .map(|(name, role)| (name.as_str(), self.held(&role.permissions)));
        self.roles = held.filter(|(_, held)| !held.is_empty()).collect();
        self.held = self.roles.keys().copied().collect();
    }

    fn select_bindings(&mut self, bindings: &'m ByName<Box<Binding>>) {
        // Most projects have one server, and then all of them are selected.
        self.bindings.reserve_exact(bindings.len());
        for (name, binding) in bindings {
            let mut roles = binding.roles.iter();
            if roles.any(|role| self.held.contains(role.value.as_str())) {
                self.bindings.push((name, binding));
            }
        }
    }

    /// The selected roles that a binding gives, sorted.
    pub(super) fn given(&self, binding: &'m Binding) -> Vec<&'m str> {
        let roles = binding.roles.iter().map(|role| role.value.as_str());
        let mut given: Vec<_> = roles.filter(|it| self.held.contains(it)).collect();
        given.sort_unstable();
        given.dedup();
        given
    }

    fn select_rules(&mut self, rules: &'m ByName<Rule>) {
        for (name, rule) in rules {
            let touched = self.held(&rule.permissions);
            if !touched.is_empty() {
                self.rules.push((name, rule, touched));
            }
        }
    }

    fn select_subjects(&mut self, model: &'m Model) {
        let bindings = self.bindings.iter().flat_map(|(_, binding)| &binding.who);
        let rules = self
            .rules
            .iter()
            .flat_map(|(_, rule, _)| rule.who.iter().chain(&rule.except));
        for who in bindings.chain(rules) {
            match &who.value {
                Who::Group(name) => {
                    self.groups.insert(name);
                }
                Who::Tag(name) => {
                    self.tags.insert(name);
                }
                Who::Principal(_) | Who::Type(_) | Who::Everyone => {}
            }
        }
        let conditions: Vec<&Condition> = self.conditions().collect();
        if conditions
            .iter()
            .any(|condition| reads(condition, "groups"))
        {
            self.groups = model.groups.keys().map(Text::as_str).collect();
        }
        if conditions.iter().any(|condition| reads(condition, "tags")) {
            self.tags = all_tags(model);
        }
    }

    /// The conditions of all selected bindings and rules.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &'m Condition> {
        let bindings = self
            .bindings
            .iter()
            .filter_map(|(_, binding)| binding.when.as_deref());
        let rules = self
            .rules
            .iter()
            .filter_map(|(_, rule, _)| rule.when.as_deref());
        bindings.chain(rules)
    }

    fn select_scopes(&mut self, model: &'m Model) {
        let issuers = model.issuers.values();
        let organizations = issuers.flat_map(|issuer| &issuer.organizations);
        let organizations = organizations.cloned().map(Scope::Organization);
        self.scopes.extend(organizations.map(Cow::Owned));
        let principals = model.principals.values().map(|it| &*it.scope);
        let bindings = self.bindings.iter().map(|(_, it)| &*it.scope.value);
        let rules = self.rules.iter().map(|(_, it, _)| &*it.scope);
        let servers = self.servers.values().map(|it| &*it.scope.value);
        let surfaces = self.servers.values().flat_map(|it| it.surfaces.values());
        let mapped = surfaces.filter_map(|surface| match &surface.scope {
            ScopeSource::Map {
                exact, prefixes, ..
            } => Some(exact.values().chain(prefixes.values()).map(|it| &**it)),
            _ => None,
        });
        let named = principals.chain(bindings).chain(rules).chain(servers);
        let named: HashSet<&Scope> = named.chain(mapped.flatten()).collect();
        self.scopes.extend(named.into_iter().map(Cow::Borrowed));
    }
}

fn all_tags(model: &Model) -> BTreeSet<&str> {
    model
        .principals
        .values()
        .flat_map(|principal| &principal.tags)
        .map(Text::as_str)
        .collect()
}

/// Whether a condition reads this member of a caller.
fn reads(condition: &Condition, member: &str) -> bool {
    condition.typed.attributes().iter().any(|attribute| {
        matches!(attribute.root, Root::Principal | Root::Subject)
            && matches!(attribute.path.first(), Some(Segment::Field(name)) if name == member)
    })
}
