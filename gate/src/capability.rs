//! Capability tokens: what a sidecar gives in exchange for an access token, and takes back.
//!
//! Such a token is for one server and a short time, and is restricted to the permissions that were
//! asked for and held. It carries who the caller is as the first issuer said it, so whoever shows
//! it is decided on like that caller: never more than the caller may do at that moment, and never
//! more than the token says. Its keys are the sidecar's own.

mod binding;
mod narrow;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use binding::{is_hash, request_hash};
pub use narrow::narrow;

use crate::{
    gate::hex,
    token::{Actor, Claims, Confirmation, PERMISSIONS_TYPE},
};

/// The most exchanges that may lie between a token and the access token that began it.
pub const MAX_DEPTH: usize = 4;
/// The longest life, in seconds.
pub const MAX_TTL: u32 = 120;
/// How far the clocks of sidecars with the same keys may differ, in seconds.
pub const SKEW: i64 = 5;

/// `iss` of every such token.
const ISSUER: &str = "urn:latchkey:sidecar";
/// What a key id begins with.
const KEY_PREFIX: &str = "lkc-";
/// What every header begins with, and no header of an identity provider does.
const HEAD: &str = "{\"alg\":\"EdDSA\",\"kid\":\"lkc-";
/// As much of it as ends with a whole character of base64.
const PREFIX: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Imxr";

/// The keys of one sidecar, or of several that take each other's tokens: the first signs.
pub struct CapabilityKeys {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    signs: SigningKey,
    verifies: VerifyingKey,
}

/// What a capability token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The server that it is for: `<project>/<server>`.
    pub server: String,
    /// Who the caller is, as the first issuer said it.
    pub origin: Origin,
    /// The permissions that it is restricted to, sorted.
    pub permissions: Vec<String>,
    /// Its id.
    pub id: String,
    /// When it was given, in seconds since 1970.
    pub issued_at: i64,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
    /// The ids of the tokens that it was exchanged for, the access token's first, and behind each
    /// those of its actor's; `-` for one without an id.
    pub parents: Vec<String>,
    /// How many exchanges lie between it and the access token that began it: the subject's or an
    /// actor's, whichever is farther.
    pub depth: usize,
    /// Whether it is taken once.
    pub single_use: bool,
    /// The hash of the only request that it is for.
    pub request: Option<String>,
    /// Who remembers that it was used: a process, or since when a store does.
    pub memory: String,
}

/// Who a caller is, as the issuer of an access token said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The issuer's URL.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The actor chain, current actor first.
    pub actors: Vec<Actor>,
    /// The values of the issuer's group claim.
    pub groups: Vec<String>,
}

/// A capability token that verifies.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What it says.
    pub capability: Capability,
    /// The id of the key that signed it.
    pub key: String,
    /// What the gate resolves to an identity.
    pub claims: Claims,
}

/// Why a capability token is refused; it never quotes the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapabilityError {
    /// It is not what a sidecar writes.
    Malformed,
    /// None of the keys at hand signed it.
    Signature,
    /// It is for another server.
    Audience,
    /// It is past its end.
    Expired,
    /// It was given in the future.
    NotYetValid,
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the capability token is not what a sidecar writes",
            Self::Signature => "no key at hand signed the capability token",
            Self::Audience => "the capability token is for another server",
            Self::Expired => "the capability token has expired; exchange for a new one",
            Self::NotYetValid => "the capability token is of the future; check both clocks",
        })
    }
}

impl std::error::Error for CapabilityError {}

impl fmt::Debug for CapabilityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("CapabilityKeys").field("ids", &ids).finish()
    }
}

/// Whether a bearer token is meant to be a capability token; it may still be a bad one.
#[must_use]
pub fn is_capability(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl CapabilityKeys {
    /// Keys from 32 secret bytes each: the first signs, all verify. `None` without any.
    #[must_use]
    pub fn new(seeds: &[[u8; 32]]) -> Option<Self> {
        let keys: Vec<Key> = seeds.iter().map(Key::new).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signing_id(&self) -> &str {
        self.keys.first().map_or("", |key| key.id.as_str())
    }

    /// Writes and signs a token.
    #[must_use]
    pub fn mint(&self, capability: &Capability) -> Option<String> {
        let key = self.keys.first()?;
        let header = format!(
            "{HEAD}{}\",\"typ\":\"at+jwt\"}}",
            key.id.strip_prefix(KEY_PREFIX)?
        );
        let payload = capability.to_json().to_string();
        let signed = [
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload),
        ]
        .join(".");
        let signature = key.signs.sign(signed.as_bytes()).to_bytes();
        Some([&signed, ".", &URL_SAFE_NO_PAD.encode(signature)].concat())
    }

    /// Verifies a token for one server (`<project>/<server>`) at `now`, in seconds since 1970.
    pub fn open(&self, token: &str, server: &str, now: i64) -> Result<Opened, CapabilityError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(CapabilityError::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| CapabilityError::Malformed)?;
        let signature = <[u8; 64]>::try_from(signature).map_err(|_| CapabilityError::Malformed)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature);
        // All keys are ours and there are few, so the token does not choose one.
        let key = self
            .keys
            .iter()
            .find(|key| {
                key.verifies
                    .verify_strict(signed.as_bytes(), &signature)
                    .is_ok()
            })
            .ok_or(CapabilityError::Signature)?;
        let (_, payload) = signed.split_once('.').ok_or(CapabilityError::Malformed)?;
        let capability = read::capability(payload).ok_or(CapabilityError::Malformed)?;
        if capability.server != server {
            return Err(CapabilityError::Audience);
        }
        if capability.issued_at > now.saturating_add(SKEW) {
            return Err(CapabilityError::NotYetValid);
        }
        if now >= capability.expires_at.saturating_add(SKEW) {
            return Err(CapabilityError::Expired);
        }
        Ok(Opened {
            claims: capability.claims(Sha256::digest(token.as_bytes()).into()),
            key: key.id.clone(),
            capability,
        })
    }
}

impl Key {
    fn new(seed: &[u8; 32]) -> Self {
        let signs = SigningKey::from_bytes(seed);
        let verifies = signs.verifying_key();
        let digest = hex(&Sha256::digest(verifies.as_bytes()));
        let short = digest.get(..16).unwrap_or(&digest);
        Self {
            id: [KEY_PREFIX, short].concat(),
            signs,
            verifies,
        }
    }
}

impl Capability {
    /// What the gate resolves to an identity: the first issuer's words, restricted.
    #[must_use]
    pub fn claims(&self, token_hash: [u8; 32]) -> Claims {
        Claims {
            issuer: self.origin.issuer.clone(),
            subject: self.origin.subject.clone(),
            audience: audience(&self.server),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            token_id: Some(self.id.clone()),
            groups: self.origin.groups.clone(),
            actors: self.origin.actors.clone(),
            permissions: Some(self.permissions.clone()),
            confirmation: Confirmation::default(),
            token_hash,
        }
    }

    fn to_json(&self) -> Value {
        let mut claims = json!({
            "iss": ISSUER,
            "sub": self.origin.subject,
            "aud": audience(&self.server),
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.id,
            "authorization_details": [
                {"type": PERMISSIONS_TYPE, "permissions": self.permissions},
            ],
            "latchkey": {
                "issuer": self.origin.issuer,
                "groups": self.origin.groups,
                "parents": self.parents,
                "depth": self.depth,
                "single_use": self.single_use,
                "memory": self.memory,
            },
        });
        let chain = self.origin.actors.iter().rev().fold(None, |behind, actor| {
            let mut one = json!({"sub": actor.subject});
            if let Some(map) = one.as_object_mut() {
                map.extend(actor.issuer.clone().map(|it| ("iss".to_owned(), json!(it))));
                map.extend(behind.map(|it| ("act".to_owned(), it)));
            }
            Some(one)
        });
        if let Some(map) = claims.as_object_mut() {
            map.extend(chain.map(|it| ("act".to_owned(), it)));
            let request = self.request.clone();
            map.extend(request.map(|it| ("req_hash".to_owned(), json!(it))));
        }
        claims
    }
}

impl Origin {
    /// Who an access token speaks of. Call it only for a token that was verified as this issuer's;
    /// `None` where it names another, or is of a kind that does not say it in these words.
    #[must_use]
    pub fn of(token: &str, issuer: &str, groups_claim: Option<&str>) -> Option<Self> {
        read::origin(token, issuer, groups_claim)
    }
}

/// The audience of a server's tokens.
#[must_use]
pub fn audience(server: &str) -> String {
    ["urn:latchkey:server:", server].concat()
}
