//! What several lints ask of a project.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};
use latchkey_engine::{
    index::{Access, PrincipalType},
    time::{Dates, Time},
};

use crate::{
    model::{Binding, Group, Model, Permission, Principal, Role, Rule, Who},
    project::Project,
    source::Span,
    syntax::{self, Entry, Selector},
    text::Text,
};

/// A project, and what follows from it.
pub(super) struct Facts<'a> {
    /// What its project file says.
    pub(super) project: &'a Project,
    /// What was written.
    pub(super) syntax: &'a syntax::Project,
    /// What it means.
    pub(super) model: &'a Model,
    /// The day that dates are judged at.
    pub(super) today: Time,
    /// What some binding gives that is not over.
    pub(super) granted: BTreeSet<&'a Permission>,
    /// The bindings that name a subject.
    pub(super) bound: HashMap<&'a Who, Vec<(&'a Text, &'a Binding)>>,
    /// The bound groups that list a principal among their members.
    groups_of: HashMap<&'a str, Vec<&'a Who>>,
    live: Live<'a>,
}

/// A selector that means whatever surfaces a server has, now and later.
pub(super) struct OpenSelector<'a> {
    /// Whether it means all of them, not those of some risks alone.
    pub(super) all: bool,
    /// The server.
    pub(super) server: &'a str,
    /// Where it is written: once for each risk.
    pub(super) spans: Vec<Span>,
    /// What it means now.
    pub(super) means: Vec<(&'a Permission, Span)>,
}

impl<'a> OpenSelector<'a> {
    fn new(role: &'a Role, selector: &'a Entry<Selector>) -> Option<Self> {
        let (all, spans) = match &selector.value {
            Selector::All(span) => (true, vec![*span]),
            Selector::Risk(by) => (false, by.risk.iter().map(|it| it.span).collect()),
            Selector::Names(_) => return None,
        };
        let meant = role
            .own
            .iter()
            .map(|(permission, span)| (permission, *span));
        Some(Self {
            all,
            server: &selector.name.value,
            means: meant.filter(|(_, span)| spans.contains(span)).collect(),
            spans,
        })
    }
}

/// What the principals are that can call at all.
#[derive(Default)]
struct Live<'a> {
    types: BTreeSet<PrincipalType>,
    tags: BTreeSet<&'a str>,
    issuers: BTreeSet<&'a str>,
}

impl<'a> Live<'a> {
    fn add(&mut self, principal: &'a Principal) {
        self.types.insert(principal.kind);
        self.tags.extend(principal.tags.iter().map(Text::as_str));
        let issuers = principal.identities.iter().map(|id| id.0.as_str());
        self.issuers.extend(issuers);
    }
}

impl<'a> Facts<'a> {
    /// Asks once what many lints need.
    pub(super) fn new(
        project: &'a Project,
        syntax: &'a syntax::Project,
        model: &'a Model,
        today: Time,
    ) -> Self {
        let mut roles = HashSet::new();
        let mut bound: HashMap<&Who, Vec<(&Text, &Binding)>> = HashMap::new();
        for (name, binding) in &model.bindings {
            for who in &binding.who {
                bound.entry(&who.value).or_default().push((name, binding));
            }
            if !over(binding.dates.dates, today) {
                roles.extend(binding.roles.iter().map(|it| it.value.as_str()));
            }
        }
        let roles = roles.into_iter().filter_map(|it| model.roles.get(it));
        let granted = roles.flat_map(|role| role.permissions.keys()).collect();
        let mut facts = Self {
            project,
            syntax,
            model,
            today,
            granted,
            bound,
            groups_of: HashMap::new(),
            live: Live::default(),
        };
        let principals = model.principals.values();
        for principal in principals.filter(|it| is_live(it, today)) {
            facts.live.add(principal);
        }
        let mut groups: Vec<&Who> = { facts.bound.keys().copied() }
            .filter(|who| matches!(who, Who::Group(_)))
            .collect();
        groups.sort_unstable();
        for who in groups {
            let Who::Group(name) = who else { continue };
            let members = model.groups.get(name).into_iter();
            for member in members.flat_map(|it| &it.members) {
                facts.groups_of.entry(member).or_default().push(who);
            }
        }
        facts
    }

    /// The bound groups that list a principal among their members, by name.
    pub(super) fn groups_of(&self, principal: &str) -> &[&'a Who] {
        self.groups_of
            .get(principal)
            .map_or(&[], |it| it.as_slice())
    }

    /// Whether a period has ended.
    pub(super) fn is_over(&self, dates: Dates) -> bool {
        over(dates, self.today)
    }

    /// Whether a principal can call at all, now or later.
    pub(super) fn is_live(&self, principal: &Principal) -> bool {
        is_live(principal, self.today)
    }

    /// What a binding gives; what several of its roles hold comes several times.
    pub(super) fn gives(&self, binding: &Binding) -> impl Iterator<Item = &'a Permission> {
        let roles = binding.roles.iter();
        let roles = roles.filter_map(|role| self.model.roles.get(&role.value));
        roles.flat_map(|role| role.permissions.keys())
    }

    /// Whether a binding gives all that another one gives.
    pub(super) fn gives_all(&self, wide: &Binding, narrow: &Binding) -> bool {
        let wide_roles = || wide.roles.iter();
        let given = |permission: &Permission| {
            let roles = wide_roles().filter_map(|role| self.model.roles.get(&role.value));
            { roles }.any(|role| role.permissions.contains_key(permission))
        };
        let others = narrow
            .roles
            .iter()
            .filter(|role| !wide_roles().any(|it| it.value == role.value));
        let others = others.filter_map(|role| self.model.roles.get(&role.value));
        { others }.all(|role| role.permissions.keys().all(given))
    }

    /// Every selector of a role that names no surface, and what it means.
    pub(super) fn open_selectors(&self) -> impl Iterator<Item = OpenSelector<'a>> {
        let (model, syntax) = (self.model, self.syntax);
        let roles = model.roles.iter();
        let roles = roles.filter_map(|(name, role)| Some((role, syntax.roles.get(name)?)));
        roles.flat_map(|(role, written)| {
            let selectors = written.allow.values();
            selectors.filter_map(|selector| OpenSelector::new(role, selector))
        })
    }

    /// Whether anybody may ask for the surface without a grant.
    pub(super) fn needs_no_grant(&self, permission: &Permission) -> bool {
        let surface = self.model.surface(&permission.surface);
        surface.is_some_and(|surface| surface.access != Access::Permission)
    }

    /// Whether a permission's server lies in, or around, the scope of a rule.
    pub(super) fn meets(&self, rule: &Rule, permission: &Permission) -> bool {
        let server = self.model.servers.get(&permission.surface.server);
        server.is_some_and(|server| {
            server.scope.covers(&rule.scope) || rule.scope.covers(&server.scope)
        })
    }

    /// The declared principals that a subject surely means.
    pub(super) fn members(&self, who: &'a Who) -> Vec<(&'a str, &'a Principal)> {
        let find = |name: &Text| self.model.principals.get_key_value(name);
        let named = |(name, principal): (&'a Text, &'a Principal)| (name.as_str(), principal);
        let all = self.model.principals.iter().map(named);
        match who {
            Who::Principal(name) => find(name).map(named).into_iter().collect(),
            Who::Group(name) => {
                let group = self.model.groups.get(name).into_iter();
                let members = group.flat_map(|it| &it.members);
                members.filter_map(find).map(named).collect()
            }
            Who::Tag(tag) => all.filter(|(_, it)| it.tags.contains(tag)).collect(),
            Who::Type(kind) => all.filter(|(_, it)| it.kind == *kind).collect(),
            Who::Everyone => all.collect(),
        }
    }

    /// Whether a subject can mean anybody.
    pub(super) fn can_be_anybody(&self, who: &'a Who) -> bool {
        let declared = || self.members(who).iter().any(|(_, it)| self.is_live(it));
        match who {
            Who::Everyone => true,
            Who::Group(name) => {
                let group = self.model.groups.get(name);
                group.is_some_and(|group| self.has_carriers(group)) || declared()
            }
            Who::Type(kind) => {
                let issuers = self.model.issuers.values();
                let mut types = issuers.map(|it| it.undeclared_type.filter(|_| it.undeclared));
                self.live.types.contains(kind) || types.any(|it| it == Some(*kind))
            }
            Who::Principal(_) => declared(),
            Who::Tag(tag) => self.live.tags.contains(tag.as_str()),
        }
    }

    /// Whether somebody's token can carry the claim value of a group.
    pub(super) fn has_carriers(&self, group: &Group) -> bool {
        let Some((issuer, _)) = &group.claim else {
            return false;
        };
        let found = self.model.issuers.get(issuer);
        found.is_some_and(|it| it.undeclared) || self.live.issuers.contains(issuer.as_str())
    }
}

fn is_live(principal: &Principal, today: Time) -> bool {
    !principal.suspended && !over(principal.dates.dates, today)
}

fn over(dates: Dates, today: Time) -> bool {
    dates.expires.is_some_and(|expires| expires <= today)
}
