//! How the sidecars of one server count calls, and when they stop asking it.

use serde::{Deserialize, Serialize};

/// How sidecars that share a store count rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// Every call is counted in the store before it goes on.
    #[default]
    Exact,
    /// A sidecar draws some calls of a rate ahead, and asks again when they are used up or old.
    Lease,
}

/// What becomes of a call whose limit is counted in a store that does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// It is refused.
    #[default]
    Deny,
    /// Each sidecar counts by itself, its share of the limit.
    Local,
}

/// What becomes of calls while the store does not answer, by the kind of their limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StoreLoss {
    /// Of calls with a rate.
    #[serde(skip_serializing_if = "super::is_usual")]
    pub rate: OnLoss,
    /// Of calls with a limit on how many there are at a time.
    #[serde(skip_serializing_if = "super::is_usual")]
    pub concurrency: OnLoss,
}

/// When a tool server that does not answer is left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// After how many calls in a row that it did not answer.
    pub failures: u32,
    /// For how long, in milliseconds; then one call tries.
    pub pause: u32,
}
