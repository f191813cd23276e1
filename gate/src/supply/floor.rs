//! What a sidecar remembers, so that no one can take it back.

use std::fmt;

use latchkey_engine::time::Time;
use serde::{Deserialize, Serialize};

use super::{Digest, instant, read_json};

/// How far a sidecar has come on one channel of one project.
///
/// The default is the state of a sidecar that has accepted nothing yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The project; empty before anything was accepted.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The version of the trust root.
    pub trust_version: u64,
    /// The epoch of what was accepted last.
    pub epoch: u64,
    /// The version of the release accepted last; 0 before the first.
    pub version: u64,
    /// The digest of its statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// The version of the freshness pointer heeded last; 0 before the first.
    #[serde(default)]
    pub pointer_version: u64,
    /// The digest of that pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Digest>,
    /// The latest time that a statement or pointer has vouched for.
    #[serde(default, with = "instant", skip_serializing_if = "Option::is_none")]
    pub trusted_time: Option<Time>,
}

impl Floor {
    /// Reads a stored floor; a damaged one is an error and not an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, FloorError> {
        read_json(bytes).map_err(FloorError)
    }

    /// The text to store.
    pub fn to_json(&self) -> String {
        // Text and numbers in a plain record: there is nothing in a floor that cannot be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The time to judge by: the clock, or what was vouched for where the clock is behind it.
    pub fn now(&self, clock: Time) -> Time {
        self.trusted_time
            .map_or(clock, |trusted| trusted.max(clock))
    }

    /// This floor at the epoch of the trust root: an epoch begins after a compromise, and then
    /// nothing that was counted or vouched for before it binds.
    pub(super) fn at_epoch(&self, epoch: u64) -> Self {
        if self.epoch >= epoch {
            return self.clone();
        }
        Self {
            epoch,
            version: 0,
            statement: None,
            pointer_version: 0,
            pointer: None,
            trusted_time: None,
            ..self.clone()
        }
    }
}

/// Why a stored floor cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorError(pub String);

impl fmt::Display for FloorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the stored version floor is damaged ({}); restore it, or remove it knowing that an \
             older release could then be accepted",
            self.0
        )
    }
}

impl std::error::Error for FloorError {}
