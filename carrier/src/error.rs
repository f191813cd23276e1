//! Why a transfer failed.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a transfer failed: says where, what and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierError {
    kind: Kind,
    place: String,
    what: String,
    retry_after: Option<Duration>,
}

/// The sort of failure, for those who act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The location, a name or a setting cannot be used as it is.
    Unusable,
    /// Nobody answered, or the transfer broke off.
    Unreachable,
    /// Slower than the time allowed, as a whole or between two chunks.
    TooSlow,
    /// The other side wants other credentials.
    Denied,
    /// Something that must be there is not.
    Missing,
    /// More bytes than allowed.
    TooLarge,
    /// The bytes are not the ones that the release names.
    Damaged,
    /// An answer that is neither the bytes nor their absence.
    Answer,
    /// Writing would put an older or another release in the place of what is there.
    Conflict,
    /// The local file system refused.
    Storage,
}

impl CarrierError {
    pub(crate) fn new(kind: Kind, place: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self {
            kind,
            place: place.to_string(),
            what: what.to_string(),
            retry_after: None,
        }
    }

    /// The same, from a server that says when it wants to be asked again.
    pub(crate) fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// The sort of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the other side asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may well succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind,
            Kind::Unreachable | Kind::TooSlow | Kind::Answer | Kind::Storage
        )
    }
}

impl fmt::Display for CarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Error for CarrierError {}

/// An error with everything that caused it, on one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
