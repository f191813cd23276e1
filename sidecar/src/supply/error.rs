//! Why a look at the source put nothing new in force.

use std::{fmt, time::Duration};

use latchkey_carrier::{CarrierError, Kind};
use latchkey_gate::supply::Refused;

/// Why a look at the source put nothing new in force: a stable word, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplyError {
    word: &'static str,
    text: String,
    nature: Nature,
    retry_after: Option<Duration>,
}

/// What sort of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// What is offered is refused.
    Refused,
    /// What is offered cannot be handed over as it was signed.
    Spoiled,
    /// The source could not be asked.
    Failed,
}

impl SupplyError {
    /// What the source offers is refused.
    pub(super) fn refused(word: &'static str, text: impl Into<String>) -> Self {
        Self {
            word,
            text: text.into(),
            nature: Nature::Refused,
            retry_after: None,
        }
    }

    /// The source answers, but too slowly.
    pub(super) fn too_slow(limit: Duration) -> Self {
        let limit = limit.as_secs();
        Self {
            nature: Nature::Failed,
            ..Self::refused(
                "too_slow",
                format!("the source took more than {limit} s to hand over a release"),
            )
        }
    }

    /// The stable word for metrics and reports.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        self.word
    }

    /// Whether the source could not be asked, as opposed to: what it offers is not taken.
    pub(super) fn is_failure(&self) -> bool {
        self.nature == Nature::Failed
    }

    /// Whether asking must slow down. What was handed over whole and is refused is no reason to:
    /// or whoever publishes rubbish could delay the next urgent denial.
    pub(super) fn is_slowing(&self) -> bool {
        self.nature != Nature::Refused
    }

    /// How long the source asked to be left alone.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for SupplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word, self.text)
    }
}

impl std::error::Error for SupplyError {}

impl From<Refused> for SupplyError {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.word(), refused.to_string())
    }
}

impl From<CarrierError> for SupplyError {
    fn from(error: CarrierError) -> Self {
        let (word, nature) = match error.kind() {
            Kind::Unreachable => ("unreachable", Nature::Failed),
            Kind::TooSlow => ("too_slow", Nature::Failed),
            Kind::Denied => ("source_denied", Nature::Failed),
            Kind::Storage => ("source_unreadable", Nature::Failed),
            Kind::Missing => ("file_missing", Nature::Spoiled),
            Kind::TooLarge => ("too_large", Nature::Spoiled),
            Kind::Damaged => ("file_mismatch", Nature::Spoiled),
            _ => ("source_unusable", Nature::Failed),
        };
        Self {
            word,
            text: error.to_string(),
            nature,
            retry_after: error.retry_after(),
        }
    }
}
