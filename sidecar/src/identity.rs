//! Who calls: the token of a request or the certificate of its connection, verified once and
//! remembered.

mod addresses;
mod authorization;
mod fetch;
mod keeper;
pub mod keys;
mod memory;
pub mod replay;
mod stored;

use std::sync::Arc;

use hyper::HeaderMap;
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::{
    certificate::ClientCertificate,
    identity::{Identity, IdentityError, Vouched},
    token::{Shown, TokenError, dpop},
};

use crate::{run::Shared, supply::Active};
use authorization::{Authorization, Scheme, legal, proof};
use memory::Memory;

pub(crate) use keeper::{Keeper, development_keys};

/// The callers that one worker has verified.
#[derive(Debug)]
pub struct Callers {
    tokens: Memory<Vouched>,
    certificates: Memory<Identity>,
}

/// What of a request says who calls.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The bundle that it is decided under.
    pub active: &'a Active,
    /// Its method.
    pub method: &'a str,
    /// The path of its target.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The verified certificate of its connection.
    pub certificate: Option<&'a ClientCertificate>,
    /// When it came.
    pub now: Time,
}

impl Callers {
    /// Remembers at most this many tokens.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            tokens: Memory::new(most),
            certificates: Memory::new(most),
        }
    }

    /// The identity behind a request: `None` when nothing says who calls, an error when what says
    /// it is bad, or there is more than one of it. Failures are not remembered.
    ///
    /// A token says who calls, if there is one; the certificate of the connection then only shows
    /// that a token which is bound to it is in the right hands.
    pub async fn identify(
        &self,
        shared: &Shared,
        asking: &Asking<'_>,
    ) -> Result<Option<Arc<Identity>>, IdentityError> {
        let identified = match Authorization::read(asking.headers) {
            Ok(Some(it)) => self.by_token(shared, asking, it).await.map(Some),
            Ok(None) => match asking.certificate {
                Some(certificate) => self.by_certificate(shared, asking, certificate),
                None => Ok(None),
            },
            Err(reason) => Err(reason.into()),
        };
        identified
            .inspect_err(|error| tracing::debug!(target: "identity", %error, "caller refused"))
    }

    /// The identity behind a request whose answer still runs, by the bundle and the keys in force
    /// now. What its token is bound to was shown when it came, and no issuer is asked.
    pub(crate) fn again(
        &self,
        shared: &Shared,
        asking: &Asking<'_>,
    ) -> Result<Option<Arc<Identity>>, Reason> {
        let Asking { active, now, .. } = *asking;
        let Some(Authorization { token, .. }) = Authorization::read(asking.headers)? else {
            return match asking.certificate {
                Some(certificate) => self
                    .by_certificate(shared, asking, certificate)
                    .map_err(|error| error.reason),
                None => Ok(None),
            };
        };
        let keys = &shared.issuer_keys;
        let era = (active.generation, keys.generation());
        let vouched = if let Some(vouched) = self.tokens.recall(token, era, now) {
            vouched
        } else {
            let text = legal(token).ok_or(Reason::Unauthenticated)?;
            let verified = active.gate.verify(text, active.server, &keys.live(), now);
            let verified = verified.map_err(|error| error.reason)?;
            self.tokens.remember(token, verified, era, now)
        };
        if vouched.expires_at() <= now {
            return Err(Reason::TokenExpired);
        }
        let identity = vouched
            .again()
            .map_err(|error| IdentityError::from(error).reason)?;
        Ok(Some(Arc::clone(identity)))
    }

    async fn by_token(
        &self,
        shared: &Shared,
        asking: &Asking<'_>,
        Authorization { scheme, token }: Authorization<'_>,
    ) -> Result<Arc<Identity>, IdentityError> {
        let active = asking.active;
        let vouched = self.vouched(shared, active, token, asking.now).await?;
        let proof = match scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => Some(prove(asking, token)?),
        };
        let shown = Shown {
            key: proof.map(|proof| proof.thumbprint),
            certificate: asking.certificate.map(|it| it.fingerprint),
        };
        let identity = vouched.check(&shown)?;
        // Last, so that only who holds a bound token has a place in that memory.
        if let Some(proof) = proof {
            replay::take(shared, active, &proof, asking.now).await?;
        }
        Ok(Arc::clone(identity))
    }

    /// What a token says, remembered or verified; what it is bound to is not checked.
    pub(crate) async fn vouched(
        &self,
        shared: &Shared,
        active: &Active,
        token: &[u8],
        now: Time,
    ) -> Result<Arc<Vouched>, IdentityError> {
        let era = (active.generation, shared.issuer_keys.generation());
        let Some(vouched) = self.tokens.recall(token, era, now) else {
            return self.verify(shared, active, token, now).await;
        };
        shared.metrics.token_hits.inc();
        if vouched.expires_at() <= now {
            return Err(TokenError::Expired.into());
        }
        Ok(vouched)
    }

    /// Verifies a token that is not remembered. A key that is not known, and keys that are not at
    /// hand, are asked for once: that is the only time that a request waits for an issuer.
    async fn verify(
        &self,
        shared: &Shared,
        active: &Active,
        token: &[u8],
        now: Time,
    ) -> Result<Arc<Vouched>, IdentityError> {
        // A token that is remembered was legal.
        let text = legal(token).ok_or(Reason::Unauthenticated)?;
        shared.metrics.token_misses.inc();
        let mut asked = false;
        loop {
            let keys = &shared.issuer_keys;
            let era = (active.generation, keys.generation());
            let error = match active.gate.verify(text, active.server, &keys.live(), now) {
                Ok(vouched) => return Ok(self.tokens.remember(token, vouched, era, now)),
                Err(error) => error,
            };
            let lacks_keys = matches!(
                error.token,
                Some(TokenError::UnknownKey | TokenError::KeysUnavailable)
            );
            // Other keys may have come since they were looked at.
            let changed = keys.generation() != era.1;
            if asked || !lacks_keys || !(changed || has_asked(shared, active, text).await) {
                return Err(error);
            }
            asked = true;
        }
    }

    fn by_certificate(
        &self,
        shared: &Shared,
        asking: &Asking<'_>,
        certificate: &ClientCertificate,
    ) -> Result<Option<Arc<Identity>>, IdentityError> {
        let Asking { active, now, .. } = *asking;
        let era = (active.generation, 0);
        let fingerprint = &certificate.fingerprint;
        if let Some(identity) = self.certificates.recall(fingerprint, era, now) {
            shared.metrics.token_hits.inc();
            if identity.expires_at() <= now {
                return Err(Reason::TokenExpired.into());
            }
            return Ok(Some(identity));
        }
        shared.metrics.token_misses.inc();
        let identity = active.gate.certificate(certificate, now)?;
        Ok(identity.map(|it| self.certificates.remember(fingerprint, it, era, now)))
    }
}

/// The proof that a request carries (RFC 9449), when it is about this request and token.
fn prove(asking: &Asking<'_>, token: &[u8]) -> Result<dpop::Proof, IdentityError> {
    let urls = asking.active.urls(asking.path);
    let expected = dpop::Expected {
        method: asking.method,
        urls: &urls,
        token: Some(std::str::from_utf8(token).map_err(|_| Reason::Unauthenticated)?),
        nonces: &[],
        now: asking.now.0,
    };
    let proof = dpop::verify(proof(asking.headers)?, &expected);
    Ok(proof.map_err(TokenError::from)?)
}

/// Whether the issuer that a token names was asked for its keys.
async fn has_asked(shared: &Shared, active: &Active, token: &str) -> bool {
    let issuer = {
        let live = shared.issuer_keys.live();
        let verifier = active.gate.verifier(active.server, &live);
        verifier.claimed_issuer(token).map(|it| it.issuer.clone())
    };
    match issuer {
        Some(issuer) => shared.issuer_keys.refetched(&issuer).await,
        None => false,
    }
}
