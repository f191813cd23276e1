//! DPoP proofs (RFC 9449): that who sends a request holds the private key behind a token.
//!
//! What a proof must say of the request comes from the policy and from the request line, never
//! from a `Host` header. That a proof is used once is for the caller to see to, by
//! [`Proof::replay_key`]: this part keeps no memory.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::{Algorithm, TokenError, jws::Parts, keys::jwk, resource};
use crate::json::Object;

/// Longest proof that is looked at, in bytes.
pub const MAX_PROOF: usize = 4 * 1024;
/// Longest `jti`, in bytes.
const MAX_ID: usize = 256;
/// For how long a proof is good after its `iat`, in seconds.
pub const WINDOW: i64 = 60;
/// How far the clock of a client may be ahead, in seconds.
pub const AHEAD: i64 = 5;

/// What a proof must be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The URLs that the request may have been sent to, in canonical form: what the policy says is
    /// the server's own, joined with the request's path.
    pub urls: &'a [String],
    /// The access token that comes with the request; `None` where one is asked for.
    pub token: Option<&'a str>,
    /// The nonces of this server, one of which must be there; none are asked for where empty.
    pub nonces: &'a [String],
    /// The time, in seconds since 1970, UTC.
    pub now: i64,
}

/// A proof that is about this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The RFC 7638 thumbprint of the key that signed.
    pub thumbprint: [u8; 32],
    /// What may be seen once: a hash over key and `jti`.
    pub replay_key: [u8; 32],
    /// `iat`, in seconds since 1970, UTC.
    pub issued_at: i64,
    /// The first second at which the proof is refused for its age.
    pub until: i64,
}

/// Why a proof is refused. It never quotes the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF`], not a compact JWS over strict JSON, or a member of a wrong form;
    /// names the part.
    Malformed(&'static str),
    /// A header member that changes how a proof is read; names it.
    Header(&'static str),
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is unknown or symmetric, or not the key's.
    Algorithm,
    /// The key is private, weak or of an unknown kind; says which.
    Key(&'static str),
    /// The signature does not verify.
    Signature,
    /// For another method.
    Method,
    /// For another URL.
    Url,
    /// For another access token.
    Token,
    /// Too old, or from the future.
    Time,
    /// No nonce of this server.
    Nonce,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(f, "the proof's {part} is not well formed"),
            Self::Header(name) => write!(f, "the proof's header has `{name}`, which is refused"),
            Self::Type => f.write_str("the proof's `typ` is not `dpop+jwt`"),
            Self::Algorithm => f.write_str("the proof's `alg` is unknown or not the key's"),
            Self::Key(why) => write!(f, "the proof's key is refused: {why}"),
            Self::Signature => f.write_str("the proof's signature does not verify"),
            Self::Method => f.write_str("the proof is for another method"),
            Self::Url => f.write_str("the proof is for another URL"),
            Self::Token => f.write_str("the proof is for another access token"),
            Self::Time => f.write_str("the proof is too old or from the future; check both clocks"),
            Self::Nonce => f.write_str("the proof has no nonce of this server"),
        }
    }
}

impl std::error::Error for ProofError {}

/// The `alg` values that proofs may use, as metadata and challenges list them.
#[must_use]
pub fn algorithms() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|it| it.as_jose()).collect()
}

/// Verifies a proof, as it stands in the only `DPoP` header.
pub fn verify(proof: &str, expected: &Expected<'_>) -> Result<Proof, ProofError> {
    if proof.len() > MAX_PROOF {
        return Err(ProofError::Malformed("size"));
    }
    let parts = Parts::split(proof).map_err(|_| ProofError::Malformed("form"))?;
    let thumbprint = check_signature(&parts)?;
    let malformed = |_| ProofError::Malformed("payload");
    let payload = super::decode(parts.payload).map_err(malformed)?;
    let document = super::object_limits(&payload).map_err(malformed)?;
    let body = document.root().as_object();
    let body = body.ok_or(ProofError::Malformed("payload"))?;
    if text(body, "htm")? != expected.method {
        return Err(ProofError::Method);
    }
    check_url(text(body, "htu")?, expected.urls)?;
    if let Some(token) = expected.token {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if text(body, "ath").ok() != Some(hash.as_str()) {
            return Err(ProofError::Token);
        }
    }
    if !expected.nonces.is_empty() {
        let nonce = text(body, "nonce").map_err(|_| ProofError::Nonce)?;
        if !expected.nonces.iter().any(|ours| ours == nonce) {
            return Err(ProofError::Nonce);
        }
    }
    let id = text(body, "jti")?;
    if id.len() > MAX_ID {
        return Err(ProofError::Malformed("jti"));
    }
    let (issued_at, until) = period(body, expected.now)?;
    let key = Sha256::new().chain_update(thumbprint).chain_update(id);
    Ok(Proof {
        thumbprint,
        replay_key: key.finalize().into(),
        issued_at,
        until,
    })
}

/// Checks the header and the signature by the key in it; answers that key's thumbprint.
fn check_signature(parts: &Parts<'_>) -> Result<[u8; 32], ProofError> {
    let malformed = |_| ProofError::Malformed("header");
    let header = parts.header().map_err(malformed)?;
    let document = super::object_limits(&header).map_err(malformed)?;
    let header = document.root().as_object();
    let header = header.ok_or(ProofError::Malformed("header"))?;
    for name in ["crit", "b64"] {
        if header.get(name).is_some() {
            return Err(ProofError::Header(name));
        }
    }
    let typ = header.get("typ").and_then(|typ| typ.as_text());
    if !typ.is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")) {
        return Err(ProofError::Type);
    }
    let alg = header.get("alg").and_then(|alg| alg.as_text());
    let algorithm = alg.and_then(Algorithm::from_jose);
    let algorithm = algorithm.ok_or(ProofError::Algorithm)?;
    let key = header.get("jwk").and_then(|key| key.as_object());
    let key = key.ok_or(ProofError::Malformed("jwk"))?;
    if jwk::is_secret(key) {
        return Err(ProofError::Key("it is private or symmetric"));
    }
    let public = jwk::read(key, "sig").map_err(ProofError::Key)?;
    let public = public.into_iter().find(|(of, _)| *of == algorithm);
    let (_, public) = public.ok_or(ProofError::Algorithm)?;
    let signature = parts.signature();
    let signature = signature.map_err(|_| ProofError::Malformed("signature"))?;
    let verified = public.verify_sig(parts.signed(), &signature);
    verified.map_err(|_| ProofError::Signature)?;
    jwk::thumbprint(key).ok_or(ProofError::Malformed("jwk"))
}

/// `htu` is compared without query and fragment (RFC 9449 4.3).
fn check_url(claimed: &str, urls: &[String]) -> Result<(), ProofError> {
    let end = claimed.find(['?', '#']).unwrap_or(claimed.len());
    let claimed = claimed.get(..end).unwrap_or_default();
    let claimed = resource::canonical(claimed);
    let same = urls.iter().any(|url| *url == claimed);
    same.then_some(()).ok_or(ProofError::Url)
}

fn period(body: Object<'_>, now: i64) -> Result<(i64, i64), ProofError> {
    let issued_at = body.get("iat").and_then(|iat| iat.as_i64());
    let issued_at = issued_at.ok_or(ProofError::Malformed("iat"))?;
    let until = issued_at.saturating_add(WINDOW);
    if issued_at > now.saturating_add(AHEAD) || now >= until {
        return Err(ProofError::Time);
    }
    // Not claims of a proof, but one that says that it is over is not argued with.
    let time = |name: &'static str| match body.get(name) {
        Some(time) => time.as_i64().map(Some).ok_or(ProofError::Malformed(name)),
        None => Ok(None),
    };
    if time("exp")?.is_some_and(|end| end <= now) || time("nbf")?.is_some_and(|start| start > now) {
        return Err(ProofError::Time);
    }
    Ok((issued_at, until))
}

fn text<'d>(body: Object<'d>, name: &'static str) -> Result<&'d str, ProofError> {
    let text = body.get(name).and_then(|value| value.as_text());
    text.filter(|text| !text.is_empty())
        .ok_or(ProofError::Malformed(name))
}

impl From<ProofError> for TokenError {
    fn from(error: ProofError) -> Self {
        Self::Proof(error)
    }
}

#[cfg(test)]
mod tests;
