//! Roles and bindings that give less, or more.

use std::collections::BTreeSet;

use super::{Operator, Plan, servers_of};
use crate::{
    model::{Binding, Model, Permission, Role, SurfaceName, Who},
    resolve,
    text::Text,
};

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, role) in &model.roles {
        drop_permissions(name, role, plan);
        widen(model, name, role, plan);
    }
    for (name, binding) in &model.bindings {
        let servers = servers(model, binding);
        drop_subjects(name, binding, &servers, plan);
        drop_roles(name, binding, &servers, plan);
        if binding.cross_organization {
            let what = format!("binding `{name}` no longer crosses organizations");
            let name = name.clone();
            plan.add(
                Operator::DropGrant,
                binding.span,
                what,
                Some(&servers),
                move |model| {
                    if let Some(binding) = model.bindings.get_mut(&name) {
                        binding.cross_organization = false;
                    }
                },
            );
        }
    }
    for (name, group) in &model.groups {
        for member in &group.members {
            let what = format!("`{member}` is no longer in group `{name}`");
            let (name, member) = (name.clone(), member.clone());
            plan.add(Operator::DropGrant, group.span, what, None, move |model| {
                if let Some(group) = model.groups.get_mut(&name) {
                    group.members.remove(&member);
                }
            });
        }
    }
}

/// The servers on which a binding grants something.
pub(super) fn servers(model: &Model, binding: &Binding) -> BTreeSet<Text> {
    let roles = binding
        .roles
        .iter()
        .filter_map(|it| model.roles.get(&it.value));
    servers_of(roles.flat_map(|role| role.permissions.keys()))
}

fn drop_permissions(name: &str, role: &Role, plan: &mut Plan) {
    for (permission, span) in role.own.iter() {
        let what = format!("role `{name}` no longer grants `{permission}`");
        let servers = servers_of([permission]);
        let (name, permission) = (name.to_owned(), permission.clone());
        plan.add(
            Operator::DropGrant,
            *span,
            what,
            Some(&servers),
            move |model| {
                if let Some(role) = model.roles.get_mut(name.as_str()) {
                    role.own_mut().remove(&permission);
                }
                resolve::inherit(&mut model.roles);
            },
        );
    }
}

/// Everything else on the servers that a role speaks of.
fn widen(model: &Model, name: &str, role: &Role, plan: &mut Plan) {
    for server_name in servers_of(role.permissions.keys()) {
        let Some(server) = model.servers.get(server_name.as_str()) else {
            continue;
        };
        let span = role
            .own
            .iter()
            .find(|(it, _)| it.surface.server == server_name);
        let span = span.map_or(role.span, |(_, span)| *span);
        let all = server.surfaces.iter().flat_map(|(surface, facts)| {
            facts.permissions(&SurfaceName {
                server: server_name.as_str().into(),
                name: surface.clone(),
            })
        });
        let missing: Vec<Permission> = all
            .map(|(permission, _)| permission)
            .filter(|it| !role.permissions.contains_key(it))
            .collect();
        for permission in missing {
            let what = format!("role `{name}` grants `{permission}` as well");
            let servers = servers_of([&permission]);
            let name = name.to_owned();
            plan.add(
                Operator::WidenGrant,
                span,
                what,
                Some(&servers),
                move |model| {
                    if let Some(role) = model.roles.get_mut(name.as_str()) {
                        role.own_mut().insert(permission.clone(), span);
                    }
                    resolve::inherit(&mut model.roles);
                },
            );
        }
    }
}

fn drop_subjects(name: &str, binding: &Binding, servers: &BTreeSet<Text>, plan: &mut Plan) {
    for who in &binding.who {
        let what = format!("binding `{name}` no longer names `{}`", who.value);
        let (name, gone): (String, Who) = (name.to_owned(), who.value.clone());
        plan.add(
            Operator::DropGrant,
            who.span,
            what,
            Some(servers),
            move |model| {
                let Some(binding) = model.bindings.get_mut(name.as_str()) else {
                    return;
                };
                binding.who.retain(|who| who.value != gone);
                if binding.who.is_empty() {
                    model.bindings.remove(name.as_str());
                }
            },
        );
    }
}

fn drop_roles(name: &str, binding: &Binding, servers: &BTreeSet<Text>, plan: &mut Plan) {
    if binding.roles.len() < 2 {
        return;
    }
    for role in &binding.roles {
        let what = format!("binding `{name}` no longer gives role `{}`", role.value);
        let (name, gone) = (name.to_owned(), role.value.clone());
        plan.add(
            Operator::DropGrant,
            role.span,
            what,
            Some(servers),
            move |model| {
                if let Some(binding) = model.bindings.get_mut(name.as_str()) {
                    binding.roles.retain(|role| role.value != gone);
                }
            },
        );
    }
}
