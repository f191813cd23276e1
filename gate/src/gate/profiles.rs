//! What each issuer's tokens must look like, from the entries of a bundle.

use latchkey_engine::index::{Algorithm, Index, Issuer};

use super::GateError;
use crate::{
    settings::IssuerSettings,
    token::{self, IssuerKind, IssuerProfile, KeySet, KeySetError, Keys, spiffe},
};

/// The profiles, in the order of the issuers.
pub(super) fn read(
    index: &Index,
    settings: &[IssuerSettings],
) -> Result<Vec<IssuerProfile>, GateError> {
    let issuers = index.issuers.iter().zip(settings);
    issuers
        .map(|(issuer, more)| profile(issuer, more))
        .collect()
}

fn profile(issuer: &Issuer, settings: &IssuerSettings) -> Result<IssuerProfile, GateError> {
    let fault = |what: &str| GateError::Settings(issuer.name.clone(), what.to_owned());
    if settings.kind == IssuerKind::Spiffe && !spiffe::is_trust_domain(&issuer.url) {
        return Err(fault(
            "an issuer of this kind is `spiffe://` and a trust domain",
        ));
    }
    Ok(IssuerProfile {
        issuer: issuer.url.clone(),
        kind: settings.kind,
        audiences: issuer.audiences.clone(),
        algorithms: issuer.algorithms.iter().copied().map(algorithm).collect(),
        accept_typ: settings.token_types.clone(),
        groups_claim: issuer.groups_claim.clone(),
        clock_skew: issuer.clock_skew,
        max_lifetime: match issuer.max_lifetime {
            0 => u32::MAX,
            seconds => seconds,
        },
        require_token_id: false,
        proof: settings.proof,
        keys: keys(issuer, settings)?,
    })
}

fn keys(issuer: &Issuer, settings: &IssuerSettings) -> Result<Keys, GateError> {
    let fault = |what: String| GateError::Keys(issuer.name.clone(), what);
    if settings.kind == IssuerKind::Certificate {
        return Ok(Keys::Pinned(KeySet::default()));
    }
    if let Some(jwks) = &settings.jwks {
        return match issuer.keys.as_str() {
            "" => Ok(Keys::Live(jwks.uri.clone())),
            _ => Err(fault("both in the bundle and with the issuer".to_owned())),
        };
    }
    // Without a usable key no token of this issuer verifies: that refuses, it opens nothing.
    match KeySet::read(issuer.keys.as_bytes(), settings.kind.key_use()) {
        Err(KeySetError::NoUsableKey(_)) => Ok(Keys::Pinned(KeySet::default())),
        keys => keys
            .map(Keys::Pinned)
            .map_err(|error| fault(error.to_string())),
    }
}

fn algorithm(declared: Algorithm) -> token::Algorithm {
    match declared {
        Algorithm::EdDsa => token::Algorithm::EdDsa,
        Algorithm::Es256 => token::Algorithm::Es256,
        Algorithm::Rs256 => token::Algorithm::Rs256,
        Algorithm::Es384 => token::Algorithm::Es384,
        Algorithm::Ps256 => token::Algorithm::Ps256,
    }
}
