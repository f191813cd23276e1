//! Compact JWS (RFC 7515), strictly: three segments of base64url with one spelling each, a header
//! in which nothing chooses how the signature is checked, and a key that somebody else has named.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Algorithm, KeySet, MAX_TOKEN, TokenError, object_limits};
use crate::json::{Document, Object};

/// Header members that change what is signed or which key is meant, by mere presence.
const REFUSED_HEADERS: [&str; 3] = ["crit", "b64", "jwk"];

/// The payload of a compact JWS that one of these keys has signed with one of these algorithms,
/// whatever the payload is.
///
/// This is the part of [`super::Verifier::verify`] that asks nothing of `typ` and claims.
pub fn verify(token: &str, keys: &KeySet, algorithms: &[Algorithm]) -> Result<Vec<u8>, TokenError> {
    let parts = Parts::split(token)?;
    let payload = super::decode(parts.payload)?;
    let header = parts.header()?;
    let document = object_limits(&header).map_err(|_| TokenError::Malformed("header"))?;
    let header = Header::read(&document)?;
    let algorithm = header.algorithm(algorithms)?;
    parts.check(keys, header.key_name()?, algorithm)?;
    Ok(payload)
}

/// The segments of a compact JWS.
pub(super) struct Parts<'t> {
    header: &'t str,
    pub(super) payload: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLarge);
        }
        let shape = TokenError::Malformed("form");
        let (signed, signature) = token.rsplit_once('.').ok_or(shape)?;
        let (header, payload) = signed.split_once('.').ok_or(shape)?;
        if payload.contains('.') || [header, payload, signature].contains(&"") {
            return Err(shape);
        }
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }

    /// The text of the header.
    pub(super) fn header(&self) -> Result<Vec<u8>, TokenError> {
        super::decode(self.header).map_err(|_| TokenError::Malformed("header"))
    }

    /// What is signed.
    pub(super) fn signed(&self) -> &'t [u8] {
        self.signed.as_bytes()
    }

    /// The signature's bytes.
    pub(super) fn signature(&self) -> Result<Vec<u8>, TokenError> {
        let decoded = URL_SAFE_NO_PAD.decode(self.signature);
        decoded.map_err(|_| TokenError::Malformed("signature"))
    }

    /// Checks the signature by the key that `kid` and `alg` mean.
    pub(super) fn check(
        &self,
        keys: &KeySet,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<(), TokenError> {
        keys.verify(kid, algorithm, self.signed(), &self.signature()?)
    }
}

/// A header without members that change the meaning of a JWS.
#[derive(Clone, Copy)]
pub(super) struct Header<'d>(Object<'d>);

impl<'d> Header<'d> {
    pub(super) fn read(document: &'d Document<'_>) -> Result<Self, TokenError> {
        let header = document.root().as_object();
        let header = header.ok_or(TokenError::Malformed("header"))?;
        match REFUSED_HEADERS.iter().find(|it| header.get(it).is_some()) {
            Some(name) => Err(TokenError::Header(name)),
            None => Ok(Self(header)),
        }
    }

    pub(super) fn object(self) -> Object<'d> {
        self.0
    }

    /// `alg`, which must be one of these.
    pub(super) fn algorithm(self, accepted: &[Algorithm]) -> Result<Algorithm, TokenError> {
        let named = self.0.get("alg").and_then(|alg| alg.as_text());
        named
            .and_then(Algorithm::from_jose)
            .filter(|algorithm| accepted.contains(algorithm))
            .ok_or(TokenError::Algorithm)
    }

    /// `kid`, where it is there.
    pub(super) fn key_name(self) -> Result<Option<&'d str>, TokenError> {
        match self.0.get("kid") {
            Some(kid) => Ok(Some(kid.as_text().ok_or(TokenError::Header("kid"))?)),
            None => Ok(None),
        }
    }
}
