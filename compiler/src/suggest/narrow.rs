//! From what was used to what can go.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    id::{BindingId, PermissionId},
    index::Risk,
    time::Time,
};

use super::{Plan, Project, Seen, Usage};
use crate::model::{Binding, Model, Permission};
use crate::text::Text;

/// What can be taken away without taking anything from a recorded call.
pub(super) fn plan(
    project: Project<'_>,
    usage: &Usage<'_>,
    servers: &[Seen],
    least_seconds: i64,
) -> Plan {
    let judge = Judge {
        project,
        usage,
        servers: servers.iter().map(|it| (it.server.as_str(), it)).collect(),
        least_seconds,
    };
    let mut plan = Plan::default();
    for seen in servers.iter().filter(|it| !it.enough) {
        let why = match (&seen.first, &seen.last) {
            (Some(first), Some(last)) => format!(
                "its {} requests are from {first} to {last}: too short a time",
                seen.requests
            ),
            _ => "the log has no request of it".to_owned(),
        };
        plan.keep(format!("every grant on server {}", seen.server), why);
    }
    judge.bindings(&mut plan);
    judge.roles(&mut plan);
    plan
}

struct Judge<'a> {
    project: Project<'a>,
    usage: &'a Usage<'a>,
    servers: BTreeMap<&'a str, &'a Seen>,
    least_seconds: i64,
}

/// Whether the log shows a permission of a binding as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Used,
    Unused,
    /// The log cannot show it.
    Open,
}

impl Judge<'_> {
    /// Bindings that nobody used, and roles of them that nobody used.
    fn bindings(&self, plan: &mut Plan) {
        let model = self.project.model;
        for (name, binding) in &model.bindings {
            let Some(id) = self.project.gate.policy().binding(name) else {
                continue;
            };
            let unused: Vec<&Text> = binding
                .roles
                .iter()
                .map(|role| &role.value)
                .filter(|role| self.is_unused(id, role))
                .collect();
            if unused.len() == binding.roles.len() {
                if self.is_in_force(binding) {
                    plan.bindings.insert(name.to_string());
                } else {
                    let why = "it was in force for too short a part of the log";
                    plan.keep(format!("binding {name}"), why);
                }
            } else if self.is_in_force(binding) {
                let dropped = unused
                    .into_iter()
                    .map(|role| (name.to_string(), role.to_string()));
                plan.roles.extend(dropped);
            }
        }
    }

    /// Whether nothing that a role gives was used through a binding, and all of it can be judged.
    fn is_unused(&self, id: BindingId, role: &str) -> bool {
        let role = self.project.model.roles.get(role);
        role.is_some_and(|role| {
            let mut permissions = role.permissions.keys();
            permissions.all(|it| self.look(id, it) == Use::Unused)
        })
    }

    /// Permissions of roles that nobody used through any binding.
    fn roles(&self, plan: &mut Plan) {
        let model = self.project.model;
        let mut destructive = 0;
        for (name, role) in &model.roles {
            // Through bindings that go anyway nothing is given any more.
            let holders: Vec<(BindingId, &Binding)> = model
                .bindings
                .iter()
                .filter(|(binding, it)| {
                    !plan.bindings.contains(binding.as_str())
                        && it.roles.iter().any(|held| {
                            !plan
                                .roles
                                .contains(&((*binding).to_string(), held.value.to_string()))
                                && includes(model, &held.value, name)
                        })
                })
                .filter_map(|(binding, it)| {
                    Some((self.project.gate.policy().binding(binding)?, &**it))
                })
                .collect();
            if holders.is_empty() {
                continue;
            }
            for permission in role.own.keys() {
                if model.risk(permission) == Risk::Destructive {
                    destructive += 1;
                    continue;
                }
                let unused = holders.iter().all(|(id, binding)| {
                    self.look(*id, permission) == Use::Unused && self.is_in_force(binding)
                });
                if unused {
                    let key = (name.to_string(), permission.surface.server.to_string());
                    let all = plan.permissions.entry(key).or_default();
                    all.insert(permission.clone());
                }
            }
        }
        if destructive > 0 {
            let what = format!("{destructive} destructive permissions of roles");
            plan.keep(
                what,
                "they are for emergencies, and not judged by their use",
            );
        }
    }

    fn look(&self, id: BindingId, permission: &Permission) -> Use {
        let server = self.servers.get(permission.surface.server.as_str());
        if !server.is_some_and(|seen| seen.enough)
            || self.project.model.risk(permission) == Risk::Destructive
        {
            return Use::Open;
        }
        match self.id(permission) {
            None => Use::Open,
            Some(it) if self.usage.is_used(id, it) => Use::Used,
            Some(_) => Use::Unused,
        }
    }

    fn id(&self, permission: &Permission) -> Option<PermissionId> {
        let policy = self.project.gate.policy();
        let surface = policy.surface_by_name(&permission.surface.to_string())?;
        let Some(operation) = &permission.operation else {
            return policy.permission(surface, None);
        };
        let operations = policy.surface_entry(surface)?.operations.as_ref()?;
        let mut values = operations.values.iter();
        let at = values.position(|(value, _)| value == operation)?;
        policy.permission(surface, Some(at))
    }

    /// Whether a binding was in force long enough on every server that it speaks of.
    fn is_in_force(&self, binding: &Binding) -> bool {
        let roles = binding.roles.iter();
        let roles = roles.filter_map(|role| self.project.model.roles.get(&role.value));
        let servers: BTreeSet<&str> = roles
            .flat_map(|role| role.permissions.keys())
            .map(|it| it.surface.server.as_str())
            .collect();
        let dates = binding.dates.dates;
        servers.into_iter().all(|server| {
            let Some(seen) = self.servers.get(server) else {
                return true;
            };
            let time = |text: &Option<String>| text.as_deref().and_then(Time::parse);
            let (Some(first), Some(last)) = (time(&seen.first), time(&seen.last)) else {
                return true;
            };
            let from = dates.not_before.map_or(first.0, |it| it.0.max(first.0));
            let until = dates.expires.map_or(last.0, |it| it.0.min(last.0));
            let whole = from == first.0 && until == last.0;
            whole || until - from >= self.least_seconds.max(1)
        })
    }
}

/// Whether a role is another, or inherits it.
fn includes(model: &Model, role: &str, wanted: &str) -> bool {
    let mut open = vec![role];
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if next == wanted {
            return true;
        }
        if seen.insert(next) {
            let inherits = model.roles.get(next).map(|it| it.inherits.as_slice());
            open.extend(
                inherits
                    .unwrap_or_default()
                    .iter()
                    .map(|it| it.value.as_str()),
            );
        }
    }
    false
}
