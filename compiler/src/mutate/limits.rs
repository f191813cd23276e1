//! Limits twice as high.

use std::collections::BTreeSet;

use latchkey_engine::index::{Obligation, Reach};
use latchkey_gate::call::obligation_text;

use super::{Operator, Plan, servers_of};
use crate::model::{Effect, Model};

pub(super) fn plan(model: &Model, plan: &mut Plan) {
    for (name, rule) in &model.rules {
        let Effect::Require(required) = &rule.effect else {
            continue;
        };
        let servers = servers_of(rule.permissions.keys());
        for limit in required {
            let what = format!("rule `{name}` requires {}", raised_text(*limit));
            let (name, limit) = (name.clone(), *limit);
            plan.add(
                Operator::Limit,
                rule.span,
                what,
                Some(&servers),
                move |model| {
                    let rule = model.rules.get_mut(&name);
                    if let Some(Effect::Require(required)) = rule.map(|it| &mut it.effect) {
                        raise(required, limit);
                    }
                },
            );
        }
    }
    for (name, server) in &model.servers {
        let servers = BTreeSet::from([name.clone()]);
        let mut shared: BTreeSet<Obligation> = BTreeSet::new();
        for (surface_name, surface) in &server.surfaces {
            for limit in &surface.obligations {
                if reach(*limit) == Reach::Server {
                    shared.insert(*limit);
                    continue;
                }
                let what = format!("`{name}/{surface_name}` carries {}", raised_text(*limit));
                let (server, surface_name, limit) = (name.clone(), surface_name.clone(), *limit);
                plan.add(
                    Operator::Limit,
                    surface.span,
                    what,
                    Some(&servers),
                    move |model| {
                        let server = model.servers.get_mut(&server);
                        let surface = server.and_then(|it| it.surfaces.get_mut(&surface_name));
                        if let Some(surface) = surface {
                            raise(&mut surface.obligations, limit);
                        }
                    },
                );
            }
        }
        for limit in shared {
            let what = format!("server `{name}` carries {}", raised_text(limit));
            let name = name.clone();
            plan.add(
                Operator::Limit,
                server.span,
                what,
                Some(&servers),
                move |model| {
                    let surfaces = model
                        .servers
                        .get_mut(&name)
                        .map(|it| it.surfaces.values_mut());
                    for surface in surfaces.into_iter().flatten() {
                        raise(&mut surface.obligations, limit);
                    }
                },
            );
        }
    }
}

fn reach(limit: Obligation) -> Reach {
    match limit {
        Obligation::Rate { reach, .. } | Obligation::Concurrency { reach, .. } => reach,
    }
}

fn raised(limit: Obligation) -> Obligation {
    match limit {
        Obligation::Rate {
            pool,
            reach,
            count,
            seconds,
        } => Obligation::Rate {
            pool,
            reach,
            count: count.saturating_mul(2),
            seconds,
        },
        Obligation::Concurrency { pool, reach, count } => Obligation::Concurrency {
            pool,
            reach,
            count: count.saturating_mul(2),
        },
    }
}

fn raise(limits: &mut BTreeSet<Obligation>, limit: Obligation) {
    if limits.remove(&limit) {
        limits.insert(raised(limit));
    }
}

fn raised_text(limit: Obligation) -> String {
    let (kind, after) = obligation_text(raised(limit));
    let (_, before) = obligation_text(limit);
    format!("{kind} {after} instead of {before}")
}
