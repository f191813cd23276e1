//! Bindings, rules and scope maps that point elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Operator, Plan, grants, servers_of};
use crate::{
    model::{Model, Scope, ScopeSource},
    source::Span,
    text::Text,
};

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, binding) in &model.bindings {
        let servers = grants::servers(model, binding);
        for scope in elsewhere(model, &binding.scope.value) {
            let what = format!("binding `{name}` counts in `{scope}`");
            let name = name.clone();
            plan.add(
                Operator::Scope,
                binding.scope.span,
                what,
                Some(&servers),
                move |model| {
                    if let Some(binding) = model.bindings.get_mut(&name) {
                        binding.scope.value = Arc::new(scope.clone());
                    }
                },
            );
        }
    }
    // A rule that says nothing counts everywhere, and has no place to move from.
    let scoped = model
        .rules
        .iter()
        .filter(|(_, rule)| *rule.scope != Scope::Platform);
    for (name, rule) in scoped {
        let servers = servers_of(rule.permissions.keys());
        for scope in elsewhere(model, &rule.scope) {
            let what = format!("rule `{name}` counts in `{scope}`");
            let name = name.clone();
            plan.add(
                Operator::Scope,
                rule.span,
                what,
                Some(&servers),
                move |model| {
                    if let Some(rule) = model.rules.get_mut(&name) {
                        rule.scope = Arc::new(scope.clone());
                    }
                },
            );
        }
    }
    for name in model.servers.keys() {
        maps(model, name, plan);
    }
}

/// What lies around a scope, right above, right below, or beside it.
fn elsewhere(model: &Model, scope: &Scope) -> Vec<Scope> {
    let teams = |organization: &str| {
        let teams = model
            .organizations
            .get(organization)
            .map(|it| it.teams.keys());
        let organization = Text::from(organization);
        let team = move |team: &Text| Scope::Team(organization.clone(), team.clone());
        teams.into_iter().flatten().map(team)
    };
    match scope {
        Scope::Platform => Vec::new(),
        Scope::Organization(organization) => {
            let below = teams(organization).take(4);
            std::iter::once(Scope::Platform).chain(below).collect()
        }
        Scope::Team(organization, _) => {
            let beside = teams(organization).find(|it| it != scope);
            let above = Scope::Organization(organization.clone());
            std::iter::once(above).chain(beside).collect()
        }
    }
}

/// Entries of the scope maps of one server. Surfaces that share a map share its mutants.
fn maps(model: &Model, server_name: &str, plan: &mut Plan) {
    let Some(server) = model.servers.get(server_name) else {
        return;
    };
    let servers = BTreeSet::from([Text::from(server_name)]);
    let mut seen: BTreeMap<(Span, Text, bool), Arc<Scope>> = BTreeMap::new();
    for surface in server.surfaces.values() {
        if let ScopeSource::Map {
            argument,
            exact,
            prefixes,
        } = &surface.scope
        {
            for (maps, is_prefix) in [(exact, false), (prefixes, true)] {
                for (value, scope) in maps.iter() {
                    seen.insert((argument.span, value.clone(), is_prefix), scope.clone());
                }
            }
        }
    }
    for ((span, value, is_prefix), scope) in seen {
        let star = if is_prefix { "*" } else { "" };
        for target in elsewhere(model, &scope)
            .into_iter()
            .filter(|it| *it != Scope::Platform)
        {
            let what = format!("`{value}{star}` of server `{server_name}` lies in `{target}`");
            let (server_name, value) = (server_name.to_owned(), value.clone());
            plan.add(Operator::Scope, span, what, Some(&servers), move |model| {
                let surfaces = model
                    .servers
                    .get_mut(server_name.as_str())
                    .map(|it| it.surfaces.values_mut());
                for surface in surfaces.into_iter().flatten() {
                    let ScopeSource::Map {
                        argument,
                        exact,
                        prefixes,
                    } = &mut surface.scope
                    else {
                        continue;
                    };
                    let map = if is_prefix { prefixes } else { exact };
                    if argument.span == span && map.contains_key(value.as_str()) {
                        Arc::make_mut(map).insert(value.clone(), Arc::new(target.clone()));
                    }
                }
            });
        }
    }
}
