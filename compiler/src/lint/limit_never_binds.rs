//! A limit that a tighter one makes pointless.

use latchkey_engine::index::Obligation;

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Effect, Surface},
    source::Span,
    syntax::{
        self,
        limit::{self, Holder},
    },
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    rules(facts, found);
    surfaces(facts, found);
}

/// Rules whose limits are looser than the limits of every surface that they touch.
fn rules(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        let Effect::Require(asked) = &rule.effect else {
            continue;
        };
        let mut touched = rule.permissions.keys();
        let limited = |surface: &Surface| {
            asked
                .iter()
                .all(|loose| surface.obligations.iter().any(|it| it.implies(*loose)))
        };
        let pointless = !rule.permissions.is_empty()
            && touched.all(|it| facts.model.surface(&it.surface).is_some_and(limited));
        let written = facts.syntax.rules.get(name);
        let written = written.and_then(|it| it.require.as_ref()).map(|it| {
            let (rate, concurrency) = (it.rate.as_ref(), it.concurrency.as_ref());
            limit::obligations(rate, concurrency, Holder::Surface)
        });
        let first = written.and_then(|all| all.first().copied());
        if let Some((span, obligation)) = first.filter(|_| pointless) {
            let kind = kind(obligation);
            let message = format!("the {kind} of `{name}` never binds");
            found.push(
                Diagnostic::new(&codes::LIMIT_NEVER_BINDS, span, message)
                    .note("the limits of each of its surfaces are tighter")
                    .help(format!("tighten the {kind}, or remove the rule")),
            );
        }
    }
}

/// Surfaces whose limits are looser than their server's.
fn surfaces(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.syntax.servers.values() {
        let Some(limits) = server.limits.as_ref() else {
            continue;
        };
        let (rate, concurrency) = (limits.rate.as_ref(), limits.concurrency.as_ref());
        let tight = limit::obligations(rate, concurrency, Holder::Server);
        let tools = server
            .tools
            .iter()
            .map(|(name, it)| (name, &it.value.surface));
        let prompts = server
            .prompts
            .iter()
            .map(|(name, it)| (name, &it.value.surface));
        let resources = server
            .resources
            .iter()
            .map(|(name, it)| (name, &it.value.surface));
        let routes = server
            .routes
            .iter()
            .map(|(name, it)| (name, &it.value.surface));
        for (name, surface) in tools.chain(prompts).chain(resources).chain(routes) {
            for (span, loose) in limits_of(surface) {
                let Some((why, _)) = tight.iter().find(|(_, it)| it.implies(loose)) else {
                    continue;
                };
                let kind = kind(loose);
                let message = format!("the {kind} of `{name}` never binds");
                found.push(
                    Diagnostic::new(&codes::LIMIT_NEVER_BINDS, span, message)
                        .also(*why, format!("the server's {kind} is tighter"))
                        .help(format!("tighten the {kind}, or remove it")),
                );
            }
        }
    }
}

fn limits_of(surface: &syntax::Surface) -> Vec<(Span, Obligation)> {
    let limits = surface.limits.as_ref();
    limits.map_or_else(Vec::new, |it| {
        let (rate, concurrency) = (it.rate.as_ref(), it.concurrency.as_ref());
        limit::obligations(rate, concurrency, Holder::Surface)
    })
}

fn kind(obligation: Obligation) -> &'static str {
    match obligation {
        Obligation::Rate { .. } => "rate",
        Obligation::Concurrency { .. } => "concurrency",
    }
}
