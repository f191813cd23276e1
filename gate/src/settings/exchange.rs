//! Tokens that a sidecar gives in exchange for access tokens.

use serde::{Deserialize, Serialize};

/// What a sidecar gives in exchange for access tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TokenExchange {
    /// How long such a token lives, in seconds.
    pub ttl: u32,
    /// Whether it may be used more than once.
    #[serde(default, skip_serializing_if = "super::is_usual")]
    pub reusable: bool,
    /// What it is bound to.
    #[serde(default, skip_serializing_if = "super::is_usual")]
    pub binding: Binding,
}

/// What a capability token is bound to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Nothing: whoever has it may use it.
    #[default]
    None,
    /// One tool call, by the hash of its canonical form.
    Request,
}
