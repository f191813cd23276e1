//! The freshness pointer: which release is the newest, said anew every hour.
//!
//! It is canonical JSON (RFC 8785) in a DSSE envelope, signed by the freshness role of its channel.
//! It chooses among releases that the release role has signed, and never below the floor; it can
//! deny at once, and can never add a grant.

use std::fmt;

use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::{Digest, moment, read_json};

/// Most entries in one list of [`UrgentDeny`].
pub const MAX_URGENT: usize = 10_000;
/// Longest time over which sidecars may spread the fetching of a release, in seconds.
pub const MAX_SPREAD: u64 = 24 * 60 * 60;

/// What a freshness pointer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The project.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The version of the trust root that was current.
    pub trust_version: u64,
    /// The epoch of the release.
    pub epoch: u64,
    /// The version of the release.
    pub version: u64,
    /// The digest of its statement.
    pub statement: Digest,
    /// The version of the pointer itself; it rises with every signing within an epoch.
    pub pointer_version: u64,
    /// When it was signed.
    #[serde(with = "moment")]
    pub issued_at: Time,
    /// The first instant at which it says nothing any more.
    #[serde(with = "moment")]
    pub expires: Time,
    /// The lowest version that may be in force; 0 when it states none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_version: u64,
    /// Over how many seconds sidecars spread the fetching of this release.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spread_seconds: u64,
    /// What is denied at once, without a release.
    #[serde(default, skip_serializing_if = "UrgentDeny::is_empty")]
    pub urgent_deny: UrgentDeny,
}

/// What is denied at once; as in an overlay, every entry only subtracts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrgentDeny {
    /// Ids of tokens that are revoked, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked_tokens: Vec<String>,
    /// Names of principals that are suspended, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<String>,
    /// Surfaces that are denied to all, as `<server>/<name>`, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

impl UrgentDeny {
    /// Whether nothing is denied.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Pointer {
    /// The canonical bytes: what is signed.
    pub fn encode(&self) -> Result<Vec<u8>, PointerError> {
        self.check()?;
        serde_json_canonicalizer::to_vec(self).map_err(|error| PointerError(error.to_string()))
    }

    /// Reads a pointer; only the canonical bytes of a sound one are taken.
    pub fn parse(bytes: &[u8]) -> Result<Self, PointerError> {
        let pointer: Self = read_json(bytes).map_err(PointerError)?;
        if pointer.encode()? != bytes {
            return fault("it is not in canonical form (RFC 8785)");
        }
        Ok(pointer)
    }

    fn check(&self) -> Result<(), PointerError> {
        if self.project.is_empty() || self.channel.is_empty() {
            return fault("project and channel must not be empty");
        }
        let numbers = [
            self.trust_version,
            self.epoch,
            self.version,
            self.pointer_version,
            self.min_version,
        ];
        if numbers.iter().any(|number| *number >= 1 << 53) {
            return fault("every version must be below 2^53");
        }
        if self.version == 0 || self.pointer_version == 0 || self.trust_version == 0 {
            return fault("every version is counted from 1");
        }
        if self.min_version > self.version {
            return fault("min_version must not be above version");
        }
        if self.issued_at >= self.expires {
            return fault("expires must be later than issued_at");
        }
        if self.spread_seconds > MAX_SPREAD {
            return fault(format!("spread_seconds must be at most {MAX_SPREAD}"));
        }
        let lists = [
            ("revoked_tokens", &self.urgent_deny.revoked_tokens),
            ("suspended", &self.urgent_deny.suspended),
            ("denied", &self.urgent_deny.denied),
        ];
        for (name, list) in lists {
            if list.len() > MAX_URGENT || !list.is_sorted_by(|a, b| a < b) {
                return fault(format!(
                    "urgent_deny.{name} must be sorted, each entry once, and at most {MAX_URGENT}"
                ));
            }
        }
        Ok(())
    }
}

/// Why a pointer cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerError(pub String);

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the freshness pointer cannot be used: {}", self.0)
    }
}

impl std::error::Error for PointerError {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference to the field"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn fault<T>(what: impl Into<String>) -> Result<T, PointerError> {
    Err(PointerError(what.into()))
}
