//! What of a project goes into one index.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::condition::{Root, Segment};

use crate::model::{
    Binding, Condition, Model, Permission, Role, Rule, Scope, ScopeSource, Server, Who,
};

/// The servers of an index, and what holds on them.
#[derive(Debug)]
pub(super) struct Selection<'m> {
    /// Servers by name.
    pub(super) servers: BTreeMap<&'m str, &'m Server>,
    /// Roles that hold something on the servers, and what; never empty.
    pub(super) roles: BTreeMap<&'m str, BTreeSet<&'m Permission>>,
    /// Bindings that give such roles, and which.
    pub(super) bindings: BTreeMap<&'m str, (&'m Binding, BTreeSet<&'m str>)>,
    /// Rules that speak of the servers, and of what; never empty.
    pub(super) rules: BTreeMap<&'m str, (&'m Rule, BTreeSet<&'m Permission>)>,
    /// Groups that those name or read.
    pub(super) groups: BTreeSet<&'m str>,
    /// Tags that those name or read.
    pub(super) tags: BTreeSet<&'m str>,
    /// Scopes that anything names, without their ancestors.
    pub(super) scopes: BTreeSet<Scope>,
}

impl<'m> Selection<'m> {
    /// Everything.
    pub(super) fn whole(model: &'m Model) -> Self {
        let servers = model
            .servers
            .iter()
            .map(|(name, server)| (name.as_str(), server));
        let mut selection = Self::of(model, servers.collect());
        selection.groups = model.groups.keys().map(String::as_str).collect();
        selection.tags = all_tags(model);
        for (name, organization) in &model.organizations {
            selection.scopes.insert(Scope::Organization(name.clone()));
            let team = |team: &String| Scope::Team(name.clone(), team.clone());
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
            bindings: BTreeMap::new(),
            rules: BTreeMap::new(),
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

    fn holds(&self, permission: &Permission) -> bool {
        self.servers
            .contains_key(permission.surface.server.as_str())
    }

    fn select_roles(&mut self, roles: &'m BTreeMap<String, Role>) {
        for (name, role) in roles {
            let held: BTreeSet<_> = role
                .permissions
                .keys()
                .filter(|permission| self.holds(permission))
                .collect();
            if !held.is_empty() {
                self.roles.insert(name, held);
            }
        }
    }

    fn select_bindings(&mut self, bindings: &'m BTreeMap<String, Binding>) {
        for (name, binding) in bindings {
            let roles = binding.roles.iter().map(|role| role.value.as_str());
            let given: BTreeSet<_> = roles.filter(|role| self.roles.contains_key(role)).collect();
            if !given.is_empty() {
                self.bindings.insert(name, (binding, given));
            }
        }
    }

    fn select_rules(&mut self, rules: &'m BTreeMap<String, Rule>) {
        for (name, rule) in rules {
            let touched: BTreeSet<_> = rule
                .permissions
                .keys()
                .filter(|permission| self.holds(permission))
                .collect();
            if !touched.is_empty() {
                self.rules.insert(name, (rule, touched));
            }
        }
    }

    fn select_subjects(&mut self, model: &'m Model) {
        let bindings = self.bindings.values().flat_map(|(binding, _)| &binding.who);
        let rules = self
            .rules
            .values()
            .flat_map(|(rule, _)| rule.who.iter().chain(&rule.except));
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
            self.groups = model.groups.keys().map(String::as_str).collect();
        }
        if conditions.iter().any(|condition| reads(condition, "tags")) {
            self.tags = all_tags(model);
        }
    }

    /// The conditions of all selected bindings and rules.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &'m Condition> {
        let bindings = self
            .bindings
            .values()
            .filter_map(|(binding, _)| binding.when.as_ref());
        let rules = self
            .rules
            .values()
            .filter_map(|(rule, _)| rule.when.as_ref());
        bindings.chain(rules)
    }

    fn select_scopes(&mut self, model: &Model) {
        let organizations = model
            .issuers
            .values()
            .flat_map(|issuer| &issuer.organizations);
        self.scopes
            .extend(organizations.cloned().map(Scope::Organization));
        self.scopes.extend(
            model
                .principals
                .values()
                .map(|principal| principal.scope.clone()),
        );
        for (binding, _) in self.bindings.values() {
            self.scopes.insert(binding.scope.value.clone());
        }
        for (rule, _) in self.rules.values() {
            self.scopes.insert(rule.scope.clone());
        }
        for server in self.servers.values() {
            self.scopes.insert(server.scope.value.clone());
            for surface in server.surfaces.values() {
                if let ScopeSource::Map {
                    exact, prefixes, ..
                } = &surface.scope
                {
                    self.scopes
                        .extend(exact.values().chain(prefixes.values()).cloned());
                }
            }
        }
    }
}

fn all_tags(model: &Model) -> BTreeSet<&str> {
    model
        .principals
        .values()
        .flat_map(|principal| &principal.tags)
        .map(String::as_str)
        .collect()
}

/// Whether a condition reads this member of a caller.
fn reads(condition: &Condition, member: &str) -> bool {
    condition.typed.attributes().iter().any(|attribute| {
        matches!(attribute.root, Root::Principal | Root::Subject)
            && matches!(attribute.path.first(), Some(Segment::Field(name)) if name == member)
    })
}
