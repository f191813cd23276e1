//! A rate that a tighter one makes pointless.

use latchkey_engine::index::Obligation;

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Effect, Surface},
    syntax::{self, scalar::Rate},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    rules(facts, found);
    surfaces(facts, found);
}

/// Rules whose rate is looser than the limits of every surface that they touch.
fn rules(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, rule) in &facts.model.rules {
        let Effect::Require(asked) = &rule.effect else {
            continue;
        };
        let mut touched = rule.permissions.keys();
        let limited = |surface: &Surface| {
            asked
                .iter()
                .all(|loose| surface.obligations.iter().any(|it| implies(*it, *loose)))
        };
        let pointless = !rule.permissions.is_empty()
            && touched.all(|it| facts.model.surface(&it.surface).is_some_and(limited));
        let written = facts
            .syntax
            .rules
            .get(name)
            .and_then(|it| it.require.as_ref());
        if let Some(written) = written.filter(|_| pointless) {
            let message = format!("the rate of `{name}` never binds");
            found.push(
                Diagnostic::new(&codes::LIMIT_NEVER_BINDS, written.rate.span, message)
                    .note("the limits of each of its surfaces are tighter")
                    .help("tighten the rate, or remove the rule"),
            );
        }
    }
}

/// Surfaces whose rate is looser than their server's.
fn surfaces(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.syntax.servers.values() {
        let limits = server.limits.as_ref();
        let Some(tight) = limits.and_then(|limits| limits.rate.as_ref()) else {
            continue;
        };
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
            let Some(loose) = rate_of(surface) else {
                continue;
            };
            if implies(obligation(tight.value), obligation(loose.value)) {
                let message = format!("the rate of `{name}` never binds");
                found.push(
                    Diagnostic::new(&codes::LIMIT_NEVER_BINDS, loose.span, message)
                        .also(tight.span, "the server's rate is tighter")
                        .help("tighten the rate, or remove it"),
                );
            }
        }
    }
}

fn rate_of(surface: &syntax::Surface) -> Option<&crate::source::Spanned<Rate>> {
    surface.limits.as_ref().map(|limits| &limits.rate)
}

fn obligation(rate: Rate) -> Obligation {
    Obligation::Rate {
        count: rate.count,
        seconds: rate.per.seconds(),
    }
}

/// Whether who keeps to one rate keeps to the other: no more calls, in no shorter a window.
fn implies(tight: Obligation, loose: Obligation) -> bool {
    let Obligation::Rate { count, seconds } = tight;
    let Obligation::Rate {
        count: more,
        seconds: window,
    } = loose;
    count <= more && seconds >= window
}
