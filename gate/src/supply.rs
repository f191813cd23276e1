//! Which releases may be put in force: statement, signatures, trust, freshness, and the rules of
//! acceptance.
//!
//! Everything here is a function of bytes, the stored floor and the time; reading and keeping files
//! is the caller's. The order that a caller must keep is: [`rotate`] the trust root as far as it
//! goes, [`heed`] the pointer and persist [`Heeded::floor`], [`accept`] the statement, prove the
//! files with [`Accepted::check_files`], persist [`Accepted::floor`], activate the very buffers that
//! were verified, report.

mod accept;
pub mod dsse;
mod floor;
mod identity;
#[cfg(feature = "keyless")]
pub mod keyless;
pub mod keys;
mod pointer;
mod refused;
mod statement;
mod trust;

use std::fmt;
use std::str::FromStr;

use latchkey_engine::time::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

pub use accept::{
    Accepted, Change, Heeded, Offer, Required, Standing, Warning, accept, heed, stands,
};
pub use floor::{Floor, FloorError};
pub use identity::{Identity, IdentityKind, Keyless, KeylessError, NoKeyless};
pub use pointer::{MAX_SPREAD, MAX_URGENT, Pointer, PointerError, UrgentDeny};
pub use refused::Refused;
pub use statement::{
    ENGINE, EngineNeed, FIRST_EPOCH, FORMAT, PREDICATE_TYPE, Release, Source, Statement,
    StatementError, Subject,
};
pub use trust::{KeyEntry, MAX_TRUST, Role, Roles, TrustError, TrustRoot, rotate};

/// A SHA-256 digest; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDigest;

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-256 digest is 64 lower-case hexadecimal digits")
    }
}

impl std::error::Error for NoDigest {}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let mut digest = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.len() || !rest.is_empty() {
            return Err(NoDigest);
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, NoDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NoDigest),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An instant as RFC 3339 text in UTC with whole seconds, the only spelling that is read.
mod moment {
    use super::{Deserialize, Deserializer, Serializer, Time};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Time::parse(&text) {
            Some(time) if time.to_string() == text => Ok(time),
            _ => Err(serde::de::Error::custom(
                "an instant is written YYYY-MM-DDThh:mm:ssZ",
            )),
        }
    }
}

/// The same where it may be absent.
mod instant {
    use super::{Deserializer, Serializer, Time, moment};

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Time>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Time>, D::Error> {
        moment::deserialize(deserializer).map(Some)
    }
}

/// Reads strict JSON into a type: no duplicate member, nothing after the end, no unknown field.
fn read_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    crate::json::parse(bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
