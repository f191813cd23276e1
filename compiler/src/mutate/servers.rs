//! Checks of a server that let more through: facts about arguments, locks on destructive surfaces.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::index::{Access, ArgumentPath, Risk, Unlock};

use super::{Operator, Plan};
use crate::{
    model::{Fact, Model, Server},
    source::Span,
    text::Text,
};

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, server) in &model.servers {
        let servers = BTreeSet::from([name.clone()]);
        facts(name, server, &servers, plan);
        for (surface_name, surface) in &server.surfaces {
            let (server_name, inner) = (name.clone(), surface_name.clone());
            if surface.risk == Risk::Destructive && surface.unlock == Unlock::BreakGlass {
                let what = format!("`{name}/{surface_name}` needs no break-glass");
                plan.add(
                    Operator::Check,
                    surface.span,
                    what,
                    Some(&servers),
                    move |model| {
                        let server = model.servers.get_mut(&server_name);
                        if let Some(it) = server.and_then(|it| it.surfaces.get_mut(&inner)) {
                            it.unlock = Unlock::Grant;
                        }
                    },
                );
            } else if surface.access == Access::Permission && surface.risk != Risk::Destructive {
                let what = format!("`{name}/{surface_name}` is open to every caller");
                plan.add(
                    Operator::Check,
                    surface.span,
                    what,
                    Some(&servers),
                    move |model| {
                        let server = model.servers.get_mut(&server_name);
                        if let Some(it) = server.and_then(|it| it.surfaces.get_mut(&inner)) {
                            it.access = Access::Authenticated;
                        }
                    },
                );
            }
        }
    }
}

/// Facts about arguments. Surfaces that share a fact share its mutants.
fn facts(name: &str, server: &Server, servers: &BTreeSet<Text>, plan: &mut Plan) {
    let mut seen: BTreeMap<Span, (&ArgumentPath, &Fact)> = BTreeMap::new();
    for surface in server.surfaces.values() {
        seen.extend(
            surface
                .arguments
                .iter()
                .map(|(path, fact)| (fact.span, (path, fact))),
        );
    }
    for (span, (path, fact)) in seen {
        let argument = path.join(".");
        let mut each = |what: String, edit: fn(&mut Fact)| {
            let name = name.to_owned();
            plan.add(Operator::Check, span, what, Some(servers), move |model| {
                let surfaces = model
                    .servers
                    .get_mut(name.as_str())
                    .map(|it| it.surfaces.values_mut());
                let facts = surfaces.into_iter().flatten();
                let facts = facts.flat_map(|surface| surface.arguments.values_mut());
                facts.filter(|fact| fact.span == span).for_each(edit);
            });
        };
        if fact.fold.is_some() {
            each(
                format!("argument `{argument}` of `{name}` is not folded"),
                |fact| {
                    fact.fold = None;
                },
            );
        }
        if !fact.only.is_empty() {
            each(
                format!("argument `{argument}` of `{name}` may be anything"),
                |fact| {
                    fact.only.clear();
                },
            );
        }
        if fact.forbid {
            each(
                format!("argument `{argument}` of `{name}` is not forbidden"),
                |fact| {
                    fact.forbid = false;
                },
            );
        }
    }
}
