//! How the sidecars of a server count, from what is written.

use latchkey_gate::settings::{self, OnLoss, ServerSettings, Sharing};

use super::Resolver;
use crate::{
    diag::{Diagnostic, codes},
    model::{Effect, Model},
    syntax::server::{self as written, ServerLimits},
};

/// How long a capability token lives, in milliseconds.
const DEFAULT_TTL: u64 = 90_000;

/// The settings of a server that say how calls are counted.
pub(super) fn settings(entry: &written::Server) -> ServerSettings {
    let limits = entry.limits.as_ref();
    ServerSettings {
        replicas: entry.replicas.map_or(0, |it| it.value.0),
        shared_store: entry.shared_store.is_some_and(|it| it.value),
        sharing: match limits.and_then(|it| it.sharing).map(|it| it.value) {
            Some(written::Sharing::Lease) => Sharing::Lease,
            Some(written::Sharing::Exact) | None => Sharing::Exact,
        },
        on_store_loss: limits.map(on_store_loss).unwrap_or_default(),
        breaker: limits.and_then(|it| it.breaker.as_ref()).map(|it| {
            let pause = u32::try_from(it.pause.value.0).unwrap_or(u32::MAX);
            let failures = it.failures.value.0;
            settings::Breaker { failures, pause }
        }),
        token: entry.token.as_ref().and_then(token_exchange),
        streams: limits.and_then(|it| it.streams).map_or(0, |it| it.value.0),
        stream_duration: limits
            .and_then(|it| it.stream_duration)
            .map_or(0, |it| it.value.0),
        response: limits.and_then(|it| it.response).map_or(0, |it| it.value.0),
        ..ServerSettings::default()
    }
}

fn token_exchange(token: &written::TokenExchange) -> Option<settings::TokenExchange> {
    let ttl = token.ttl.map_or(DEFAULT_TTL, |it| it.value.0);
    token.exchange.value.then(|| settings::TokenExchange {
        ttl: u32::try_from(ttl / 1000).unwrap_or(1).max(1),
        reusable: token.single_use.is_some_and(|it| !it.value),
        binding: match token.binding.map(|it| it.value) {
            Some(written::Binding::Request) => settings::Binding::Request,
            Some(written::Binding::None) | None => settings::Binding::None,
        },
    })
}

fn on_store_loss(limits: &ServerLimits) -> settings::StoreLoss {
    let loss = limits.on_store_loss.as_ref();
    let choice = |it: Option<crate::source::Spanned<written::OnLoss>>| match it.map(|it| it.value) {
        Some(written::OnLoss::Local) => OnLoss::Local,
        Some(written::OnLoss::Deny) | None => OnLoss::Deny,
    };
    settings::StoreLoss {
        rate: choice(loss.and_then(|it| it.rate)),
        concurrency: choice(loss.and_then(|it| it.concurrency)),
    }
}

impl Resolver<'_> {
    /// Reports servers whose limits would be counted by each of several sidecars alone.
    pub(super) fn shared_counts(&mut self, model: &Model) {
        for (name, server) in &model.servers {
            if server.settings.replicas < 2 || server.settings.shared_store {
                continue;
            }
            let own = server
                .surfaces
                .values()
                .any(|it| !it.obligations.is_empty());
            let required = model.rules.values().any(|rule| {
                let touched = || rule.permissions.keys();
                matches!(rule.effect, Effect::Require(_))
                    && touched().any(|it| it.surface.server == *name)
            });
            let streams = server.settings.streams > 0;
            let unbound =
                |it: settings::TokenExchange| !it.reusable && it.binding == settings::Binding::None;
            let tokens = server.settings.token.is_some_and(unbound);
            if !own && !required && !streams && !tokens {
                continue;
            }
            let written = self.syntax.servers.get(name);
            let Some(replicas) = written.and_then(|it| it.replicas) else {
                continue;
            };
            let message =
                format!("each sidecar of `{name}` would count limits and used tokens alone");
            self.report(
                Diagnostic::new(&codes::CONFLICTING_KEYS, replicas.span, message).help(
                    "write `sharedStore: true` and give each sidecar a `[store]`, or remove the \
                     limits and bind the tokens (`binding: request`)",
                ),
            );
        }
    }
}
