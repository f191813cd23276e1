//! Issuer keys: a JWK Set, filtered to what may verify an access token.

use std::fmt;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;

use super::TokenError;
use crate::json::{self, Limits, Object};

/// Most keys in one set.
const MAX_KEYS: usize = 64;
/// Longest JWK Set, in bytes.
const MAX_SET: usize = 256 * 1024;
/// Smallest and largest RSA modulus, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The signature algorithms that tokens may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519; `EdDSA` or, as RFC 9864 names it, `Ed25519`.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, from 2048 bits.
    Rs256,
}

impl Algorithm {
    /// Reads a JOSE `alg`, exactly as spelled.
    pub fn from_jose(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    /// The JOSE `alg`.
    pub fn as_jose(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// The usable public keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// A key of a set that is never used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, if it has one.
    pub kid: Option<String>,
    /// What is against it.
    pub why: &'static str,
}

/// Why a JWK Set is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// Longer than 256 KiB.
    TooLarge,
    /// Not strict JSON.
    Json(json::JsonError),
    /// Not an object with an array `keys` of objects.
    Shape,
    /// More than 64 keys.
    TooManyKeys,
    /// A key at this place holds secret material, which must never be published.
    SecretKey(usize),
    /// Two usable keys have this `kid` and the same algorithm.
    DuplicateKid(String),
    /// Nothing usable is left; says why for each key.
    NoUsableKey(Vec<SkippedKey>),
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the key set is longer than {MAX_SET} bytes"),
            Self::Json(error) => write!(f, "the key set is not strict JSON: {error}"),
            Self::Shape => f.write_str("the key set is not an object with an array `keys`"),
            Self::TooManyKeys => write!(f, "the key set has more than {MAX_KEYS} keys"),
            Self::SecretKey(index) => write!(
                f,
                "key {index} holds secret material; revoke it and publish public keys only"
            ),
            Self::DuplicateKid(kid) => write!(f, "two keys have the kid {kid:?}"),
            Self::NoUsableKey(skipped) => {
                f.write_str("the key set has no usable key")?;
                for key in skipped {
                    write!(f, "; key {}: {}", key.index, key.why)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for KeySetError {}

impl KeySet {
    /// Reads a JWK Set and keeps the keys that may verify access tokens.
    ///
    /// Keys for other uses or of unknown kinds are skipped and listed in [`KeySet::skipped`]; a
    /// set with secret material, with two keys that a token cannot tell apart, or with no usable
    /// key is refused.
    pub fn from_jwks(jwks: &[u8]) -> Result<Self, KeySetError> {
        if jwks.len() > MAX_SET {
            return Err(KeySetError::TooLarge);
        }
        let limits = Limits {
            bytes: MAX_SET,
            depth: 8,
            nodes: 16 * 1024,
        };
        let document = json::parse_with(jwks, limits).map_err(KeySetError::Json)?;
        let listed = document.root().get("keys").and_then(|keys| keys.as_array());
        let listed = listed.ok_or(KeySetError::Shape)?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut set = Self::default();
        for (index, jwk) in listed.values().enumerate() {
            let jwk = jwk.as_object().ok_or(KeySetError::Shape)?;
            if is_secret(jwk) {
                return Err(KeySetError::SecretKey(index));
            }
            let kid = text(jwk, "kid").map(str::to_owned);
            match Key::from_jwk(jwk) {
                Ok(key) => set.add(key)?,
                Err(why) => set.skipped.push(SkippedKey { index, kid, why }),
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoUsableKey(set.skipped));
        }
        Ok(set)
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key; then no token verifies.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that are not used, and why.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    fn add(&mut self, key: Key) -> Result<(), KeySetError> {
        let same = |other: &&Key| other.kid == key.kid && other.algorithm == key.algorithm;
        if let (Some(kid), Some(_)) = (&key.kid, self.keys.iter().find(same)) {
            return Err(KeySetError::DuplicateKid(kid.clone()));
        }
        self.keys.push(key);
        Ok(())
    }

    /// The key that a token's `kid` and `alg` mean.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenError> {
        let key = match (kid, self.keys.as_slice()) {
            // A single key without a name is meant by any name, and by none.
            (None, [only]) => only,
            (Some(_), [only]) if only.kid.is_none() => only,
            (None, _) => return Err(TokenError::UnknownKey),
            (Some(kid), keys) => {
                let named = || keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
                named()
                    .find(|key| key.algorithm == algorithm)
                    .or_else(|| named().next())
                    .ok_or(TokenError::UnknownKey)?
            }
        };
        if key.algorithm == algorithm {
            Ok(key)
        } else {
            Err(TokenError::Algorithm)
        }
    }
}

/// One public key with the only algorithm it is good for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    fn from_jwk(jwk: Object<'_>) -> Result<Self, &'static str> {
        let (algorithm, public) = match text(jwk, "kty") {
            Some("OKP") => (Algorithm::EdDsa, ed25519(jwk)?),
            Some("EC") => (Algorithm::Es256, p256(jwk)?),
            Some("RSA") => (Algorithm::Rs256, rsa(jwk)?),
            _ => return Err("unknown kty"),
        };
        if let Some(declared) = jwk.get("alg")
            && declared.as_text().and_then(Algorithm::from_jose) != Some(algorithm)
        {
            return Err("alg is not one that tokens of this key may use");
        }
        if let Some(usage) = jwk.get("use")
            && usage.as_text() != Some("sig")
        {
            return Err("use is not sig");
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or("key_ops is not an array")?;
            if !operations
                .values()
                .any(|operation| operation.as_text() == Some("verify"))
            {
                return Err("key_ops has no verify");
            }
        }
        let kid = match jwk.get("kid") {
            Some(kid) => Some(kid.as_text().ok_or("kid is not a string")?.to_owned()),
            None => None,
        };
        Ok(Self {
            kid,
            algorithm,
            public,
        })
    }
}

fn ed25519(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    if text(jwk, "crv") != Some("Ed25519") {
        return Err("crv is not Ed25519");
    }
    let point = bytes(jwk, "x")?;
    let point: [u8; 32] = point.try_into().map_err(|_| "x is not 32 bytes")?;
    // A small-order key verifies some signatures over any message.
    if VerifyingKey::from_bytes(&point)
        .map_err(|_| "x is not a point")?
        .is_weak()
    {
        return Err("the key is weak");
    }
    ParsedPublicKey::new(&ED25519, point).map_err(|_| "x is not a usable key")
}

fn p256(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    if text(jwk, "crv") != Some("P-256") {
        return Err("crv is not P-256");
    }
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 32 || y.len() != 32 {
        return Err("x or y is not 32 bytes");
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| "x and y are not on P-256")
}

fn rsa(jwk: Object<'_>) -> Result<ParsedPublicKey, &'static str> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let first = n.first().copied().unwrap_or_default();
    let bits = (n.len() * 8).saturating_sub(first.leading_zeros() as usize);
    if first == 0 || !RSA_BITS.contains(&bits) {
        return Err("the modulus is not of 2048 to 8192 bits");
    }
    // Smaller exponents have no use but old attacks.
    if e != [1, 0, 1] {
        return Err("the exponent is not 65537");
    }
    PublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| "n and e are not a usable key")
}

/// Whether a JWK holds a symmetric or private key.
fn is_secret(jwk: Object<'_>) -> bool {
    let private = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];
    text(jwk, "kty") == Some("oct") || private.iter().any(|name| jwk.get(name).is_some())
}

fn text<'d>(jwk: Object<'d>, name: &str) -> Option<&'d str> {
    jwk.get(name)?.as_text()
}

fn bytes(jwk: Object<'_>, name: &str) -> Result<Vec<u8>, &'static str> {
    let encoded = text(jwk, name).ok_or("a key member is absent")?;
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| "a key member is not base64url")
}
