//! Issuer keys: a JWK Set, filtered to what may verify an access token.

pub(super) mod jwk;

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;

use super::TokenError;
use crate::json::{self, Limits};

/// Most keys in one set.
const MAX_KEYS: usize = 64;
/// Longest JWK Set, in bytes.
const MAX_SET: usize = 256 * 1024;

/// The signature algorithms that tokens may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Ed25519; `EdDSA` or, as RFC 9864 names it, `Ed25519`.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, from 2048 bits.
    Rs256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PSS with SHA-256, from 2048 bits.
    Ps256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [
        Self::EdDsa,
        Self::Es256,
        Self::Rs256,
        Self::Es384,
        Self::Ps256,
    ];

    /// Reads a JOSE `alg`, exactly as spelled.
    pub fn from_jose(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "ES384" => Some(Self::Es384),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }

    /// The JOSE `alg`.
    pub fn as_jose(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
        }
    }
}

/// The usable public keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// What the `use` of a key must say, where it says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyUse {
    /// `sig`, as in any key set of an identity provider.
    #[default]
    Signature,
    /// `jwt-svid`, as in the bundle of a SPIFFE trust domain, whose other keys are for X.509.
    JwtSvid,
}

impl KeyUse {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::JwtSvid => "jwt-svid",
        }
    }
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
        Self::read(jwks, KeyUse::Signature)
    }

    /// Reads a JWK Set whose keys are for this use.
    pub fn read(jwks: &[u8], usage: KeyUse) -> Result<Self, KeySetError> {
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
            if jwk::is_secret(jwk) {
                return Err(KeySetError::SecretKey(index));
            }
            let kid = jwk::text(jwk, "kid").map(str::to_owned);
            match jwk::read(jwk, usage.as_str()) {
                Ok(keys) => {
                    for (algorithm, public) in keys {
                        set.add(Key {
                            index,
                            kid: kid.clone(),
                            algorithm,
                            public,
                        })?;
                    }
                }
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
        let mut keys: Vec<usize> = self.keys.iter().map(|key| key.index).collect();
        keys.dedup();
        keys.len()
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

    /// Checks that the key which `kid` and `alg` mean has signed a message.
    ///
    /// Where the set has one key it need not be named. [`TokenError::UnknownKey`],
    /// [`TokenError::Algorithm`] or [`TokenError::Signature`] says what is wrong.
    pub fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        let key = self.find(kid, algorithm)?;
        let verified = key.public.verify_sig(message, signature);
        verified.map_err(|_| TokenError::Signature)
    }

    /// The key that a token's `kid` and `alg` mean.
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenError> {
        let first = self.keys.first().ok_or(TokenError::UnknownKey)?;
        let single = self.keys.iter().all(|key| key.index == first.index);
        let meant = |key: &&Key| match kid {
            // A single key without a name is meant by any name, and by none.
            Some(kid) => key.kid.as_deref() == Some(kid) || single && key.kid.is_none(),
            None => single,
        };
        let mut named = self.keys.iter().filter(meant).peekable();
        if named.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        named
            .find(|key| key.algorithm == algorithm)
            .ok_or(TokenError::Algorithm)
    }
}

/// One public key with one algorithm that it is good for.
#[derive(Clone, Debug)]
struct Key {
    /// The key's place in the set: one that names no algorithm may be here twice.
    index: usize,
    kid: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}
