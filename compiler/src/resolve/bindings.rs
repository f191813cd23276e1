//! Bindings: who gets which roles, where.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
};

use latchkey_engine::index::Risk;

use super::{Resolver, callers::spanned, places};
use crate::{
    diag::{Diagnostic, codes},
    model::{Binding, ByName, Few, Model, Permission, Scope, ScopeSource, Who},
    source::{Span, Spanned},
    syntax::{self, Entry},
    text::Text,
};

impl Resolver<'_> {
    pub(super) fn bindings(
        &mut self,
        written: impl Iterator<Item: Borrow<Entry<syntax::Binding>>>,
        model: &Model,
    ) -> ByName<Box<Binding>> {
        let mut bindings = Vec::new();
        bindings.reserve_exact(written.size_hint().0);
        for entry in written {
            let entry = entry.borrow();
            let Some(binding) = self.binding(entry, model) else {
                continue;
            };
            self.within(&binding, model);
            self.abroad(&binding, entry, model);
            self.wide_destructive(&binding, model);
            bindings.push((entry.name.value.clone(), Box::new(binding)));
        }
        bindings.into_iter().collect()
    }

    fn binding(&mut self, entry: &Entry<syntax::Binding>, model: &Model) -> Option<Binding> {
        let who = self.who(&entry.who);
        let roles: Vec<_> = entry.roles.iter().map(spanned).collect();
        for role in &roles {
            self.known(places::ROLE, role, &self.syntax.roles);
        }
        let scope = self.scope(&entry.within);
        let dates = self.period(entry.not_before.as_deref(), entry.expires.as_deref());
        let when = entry.when.as_ref().and_then(|it| {
            let roles = roles.iter().filter_map(|it| model.roles.get(&it.value));
            let permissions: BTreeSet<_> = roles.flat_map(|it| it.permissions.keys()).collect();
            self.condition(it, permissions.into_iter(), model)
        });
        Some(Binding {
            span: entry.name.span,
            who,
            scope: Spanned::new(scope?, entry.within.span),
            when,
            dates,
            cross_organization: entry.cross_organization.is_some_and(|flag| flag.value),
            reason: entry.reason.as_ref().map(|it| it.value.clone()),
            roles,
        })
    }

    /// A group with `within` may only be bound inside it.
    fn within(&mut self, binding: &Binding, model: &Model) {
        for who in &binding.who {
            let Who::Group(name) = &who.value else {
                continue;
            };
            let group = model.groups.get(name);
            let Some((group, within)) = group.and_then(|it| Some((it, it.within.as_ref()?))) else {
                continue;
            };
            if !within.covers(&binding.scope) {
                let message = format!(
                    "the group `{name}` may be bound inside `{within}`, and this is `{}`",
                    *binding.scope
                );
                self.report(
                    Diagnostic::new(&codes::GROUP_OUTSIDE, who.span, message)
                        .also(group.span, "the group says so")
                        .also(binding.scope.span, "the binding holds here")
                        .help(
                            "bind another group, or another scope; the group's owner set the limit",
                        ),
                );
            }
        }
    }

    /// A binding that none of its subjects could use, because all belong to other organizations.
    fn abroad(&mut self, binding: &Binding, entry: &syntax::Binding, model: &Model) {
        let Some(here) = binding.scope.organization() else {
            return;
        };
        if binding.cross_organization {
            return;
        }
        for who in &binding.who {
            let homes = homes(&who.value, model);
            let foreign = !homes.is_empty() && !homes.contains(&None);
            if foreign && !homes.contains(&Some(here)) {
                let homes: Vec<_> = homes.iter().copied().flatten().collect();
                let message = format!(
                    "`{}` belongs to {}, and the binding holds in `{here}`",
                    who.value,
                    homes.join(", ")
                );
                self.report(
                    Diagnostic::new(&codes::CROSS_ORGANIZATION, who.span, message)
                        .also(entry.within.span, "the binding holds here")
                        .help("if this is meant, say `crossOrganization: true` and a `reason`"),
                );
            }
        }
    }

    /// All callers of a type is no set that anybody reviewed.
    fn wide_destructive(&mut self, binding: &Binding, model: &Model) {
        let is_type = |who: &&Spanned<Who>| matches!(who.value, Who::Type(_));
        let Some(who) = binding.who.iter().find(is_type) else {
            return;
        };
        let permissions = granted(&binding.roles, model);
        let mut permissions = permissions.iter();
        let destructive = permissions.find(|(_, it)| it.risk == Risk::Destructive);
        if let Some((permission, granted)) = destructive {
            let message = format!(
                "`{}` would get `{permission}`, which is destructive",
                who.value
            );
            self.report(
                Diagnostic::new(&codes::TYPE_GETS_DESTRUCTIVE, who.span, message)
                    .also(
                        granted.role.span,
                        format!("the role `{}` grants it", granted.role.value),
                    )
                    .also(granted.span, "the role says so here")
                    .help("name the principals or a group, or bind a role without it"),
            );
        }
    }

    /// An unscoped surface needs a grant at its server's scope; reports one that has grants, and
    /// none there.
    pub(super) fn unscoped(&mut self, model: &Model) {
        let mut below: BTreeMap<&Permission, (&Binding, &Scope)> = BTreeMap::new();
        let mut reached: BTreeSet<&Permission> = BTreeSet::new();
        let mut surfaces = model.servers.values().flat_map(|it| it.surfaces.values());
        if !surfaces.any(|it| matches!(it.scope, ScopeSource::Unscoped)) {
            return;
        }
        for binding in model.bindings.values() {
            for permission in granted(&binding.roles, model).into_keys() {
                let Some(server) = model.servers.get(&permission.surface.server) else {
                    continue;
                };
                let surface = server.surfaces.get(&permission.surface.name);
                if !surface.is_some_and(|it| matches!(it.scope, ScopeSource::Unscoped)) {
                    continue;
                }
                if binding.scope.covers(&server.scope) {
                    reached.insert(permission);
                } else {
                    below
                        .entry(permission)
                        .or_insert((binding, &server.scope.value));
                }
            }
        }
        for (permission, (binding, scope)) in below {
            if reached.contains(permission) {
                continue;
            }
            let message = format!(
                "`{permission}` is unscoped: a grant in `{}` never allows it",
                *binding.scope
            );
            let surface = model
                .surface(&permission.surface)
                .map_or(binding.span, |it| it.span);
            self.report(
                Diagnostic::new(&codes::UNSCOPED_BELOW, binding.scope.span, message)
                    .also(surface, "declared here")
                    .help(format!(
                        "bind a role with it in `{scope}`, the scope of its server"
                    )),
            );
        }
    }
}

/// A permission as some role of a binding grants it.
struct Granted<'m> {
    role: &'m Spanned<Text>,
    span: Span,
    risk: Risk,
}

/// All that some roles grant, and by which.
fn granted<'m>(
    roles: &'m [Spanned<Text>],
    model: &'m Model,
) -> BTreeMap<&'m Permission, Granted<'m>> {
    let mut granted = BTreeMap::new();
    for role in roles {
        let Some(found) = model.roles.get(&role.value) else {
            continue;
        };
        for (permission, span) in found.permissions.iter() {
            let risk = model.risk(permission);
            granted.entry(permission).or_insert(Granted {
                role,
                span: *span,
                risk,
            });
        }
    }
    granted
}

/// The organizations of all whom a subject can mean; empty where nobody can tell.
fn homes<'m>(who: &Who, model: &'m Model) -> Few<Option<&'m str>> {
    let home = |name: &Text| {
        model
            .principals
            .get(name.as_str())
            .map(|it| it.scope.organization())
    };
    match who {
        Who::Principal(name) => home(name).into_iter().collect(),
        Who::Tag(tag) => {
            let tagged = model.principals.values().filter(|it| it.tags.contains(tag));
            tagged.map(|it| it.scope.organization()).collect()
        }
        Who::Group(name) => {
            let Some(group) = model.groups.get(name) else {
                return Few::default();
            };
            let issuer = group
                .claim
                .as_ref()
                .and_then(|(issuer, _)| model.issuers.get(issuer));
            let claimed = issuer.into_iter().flat_map(|it| &it.organizations);
            let claimed = claimed.map(|it| Some(it.as_str()));
            group
                .members
                .iter()
                .filter_map(home)
                .chain(claimed)
                .collect()
        }
        Who::Type(_) | Who::Everyone => Few::default(),
    }
}
