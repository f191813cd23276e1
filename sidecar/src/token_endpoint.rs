//! `POST /v1/token/exchange`: an access token for a capability token (RFC 8693), and such tokens
//! taken back.

mod answer;
mod ask;
mod form;
mod keys;
mod used;

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method, Request, body::Incoming, header::AUTHORIZATION};
use latchkey_engine::{overlay::Overlay, reason::Reason, time::Time};
use latchkey_gate::{
    capability::{self, Capability, CapabilityError, CapabilityKeys, Opened},
    identity::Identity,
    token::ProofRule,
};

use crate::{config::Config, ids, run::Shared, supply::Active};

pub(crate) use answer::serve;
use used::Used;

/// Where tokens are exchanged.
pub const PATH: &str = "/v1/token/exchange";

/// What gives and takes capability tokens.
#[derive(Debug)]
pub struct Capabilities {
    keys: CapabilityKeys,
    used: Used,
    /// This process: what it alone remembers.
    process: String,
}

/// A capability token that was shown, and who shows it.
#[derive(Debug)]
pub struct Shown {
    /// Who calls, restricted to what the token permits.
    pub identity: Arc<Identity>,
    /// What the token says.
    pub capability: Box<Capability>,
}

/// The most used tokens that are remembered here.
const MAX_USED: usize = 200_000;

impl Capabilities {
    /// Reads the keys, or makes one.
    pub fn open(config: &Config) -> Result<Self, String> {
        Ok(Self {
            keys: keys::load(config)?,
            used: Used::new(MAX_USED),
            process: ["process:", &ids::uuid()].concat(),
        })
    }

    /// Who shows a capability token. It is no more than the caller that it speaks of, and as
    /// revoked as any token that it came from.
    pub fn identify(
        &self,
        active: &Active,
        overlay: &Overlay,
        token: &str,
        now: Time,
    ) -> Result<Shown, Reason> {
        let settings = active.gate.server_settings(active.server);
        if settings.and_then(|it| it.token).is_none() {
            return Err(Reason::Unauthenticated);
        }
        let opened = self.keys.open(token, &active.audience(), now.0);
        let Opened {
            capability,
            key,
            claims,
        } = opened.map_err(|error| {
            tracing::debug!(target: "identity", %error, "token refused");
            match error {
                CapabilityError::Expired => Reason::TokenExpired,
                _ => Reason::Unauthenticated,
            }
        })?;
        let revoked = |id: &String| overlay.revoked_tokens.binary_search(id).is_ok();
        if revoked(&["key:", &key].concat()) || capability.parents.iter().any(revoked) {
            return Err(Reason::TokenRevoked);
        }
        let identity = active.gate.identity(&claims)?;
        let issuer = active.gate.issuer_settings(identity.issuer());
        let rules = [settings.map(|it| it.proof), issuer.map(|it| it.proof)];
        if rules.into_iter().flatten().any(|it| it != ProofRule::Any) {
            // Nothing proves who holds it.
            return Err(Reason::Unauthenticated);
        }
        Ok(Shown {
            identity: Arc::new(identity),
            capability: Box::new(capability),
        })
    }

    /// Uses a token up, if it is for one use. Whatever does not remember for certain refuses.
    pub async fn spend(
        &self,
        shared: &Shared,
        capability: &Capability,
        caller: &str,
        now: Time,
    ) -> Result<(), Reason> {
        if !capability.single_use {
            return Ok(());
        }
        let ends = capability.expires_at.saturating_add(capability::SKEW + 1);
        let fresh = match (capability.memory.strip_prefix("store:"), &shared.store) {
            (Some(since), Some(store)) => {
                let since = since.parse().map_err(|_| Reason::TokenReplayed)?;
                let seconds = u64::try_from(ends - now.0).unwrap_or(1).max(1);
                let left = Duration::from_secs(seconds);
                let used = store.use_once(&capability.id, since, left).await;
                used.unwrap_or(false)
            }
            _ => {
                capability.memory == self.process
                    && self.used.mark(&capability.id, caller, ends, now.0)
            }
        };
        fresh.then_some(()).ok_or(Reason::TokenReplayed)
    }
}

/// Whether a request asks for an exchange, where the server's policy has one.
pub(crate) fn is_asked(shared: &Shared, request: &Request<Incoming>) -> bool {
    if request.uri().path() != PATH || request.method() != Method::POST {
        return false;
    }
    shared.active().is_some_and(|active| {
        let settings = active.gate.server_settings(active.server);
        settings.is_some_and(|it| it.token.is_some())
    })
}

/// The capability token of a request, when that is what its only `Authorization` header holds.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer");
    (bearer && capability::is_capability(token)).then_some(token)
}

/// Whether a token that is bound to one request is shown with another.
pub(crate) fn is_bound_elsewhere(capability: &Capability, server: &str, body: &[u8]) -> bool {
    let Some(bound) = &capability.request else {
        return false;
    };
    capability::request_hash(server, body).as_ref() != Some(bound)
}
