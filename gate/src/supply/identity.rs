//! Identities that sign without a key of their own: the work flow of a CI system, vouched for by
//! Sigstore.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Digest;

/// Who may sign without a key; both texts must match to the byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The kind; there is one.
    pub kind: IdentityKind,
    /// The issuer that the certificate names, such as
    /// `https://token.actions.githubusercontent.com`.
    pub issuer: String,
    /// The subject alternative name of the certificate: the work flow with its branch or tag.
    pub subject: String,
    /// The digest of the file with Sigstore's own roots (`trusted_root.json`) to judge it by.
    pub trusted_root_sha256: Digest,
}

/// How an identity signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// With a short-lived certificate of Sigstore's Fulcio, logged in Rekor.
    Sigstore,
}

/// Verifies signatures of identities, offline.
pub trait Keyless: fmt::Debug {
    /// The payload of the DSSE envelope in a Sigstore bundle, once it is proved that this identity
    /// signed exactly these bytes; otherwise why not.
    fn verify(&self, bundle: &[u8], identity: &Identity) -> Result<Vec<u8>, KeylessError>;
}

/// Why a signature of an identity does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeylessError(pub String);

impl fmt::Display for KeylessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeylessError {}

/// Counts no identity at all: for where no file with Sigstore's roots was given.
#[derive(Clone, Copy, Debug)]
pub struct NoKeyless;

impl Keyless for NoKeyless {
    fn verify(&self, _: &[u8], _: &Identity) -> Result<Vec<u8>, KeylessError> {
        Err(KeylessError(
            "no file with Sigstore's roots is configured; give the `trusted_root.json` whose \
             digest the trust file names"
                .to_owned(),
        ))
    }
}
