//! What enforcing an entry needs besides the decision: facts that the engine carries as text and
//! never reads.
//!
//! The text of an entry is RFC 8785 JSON of one of the types here. It has one legal form: keys with
//! their usual value are left out, and an entry without any key has the empty text. A key that this
//! version does not know is an error, so that nothing is carried and not enforced.

mod requests;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::pin::Pin;
use crate::token::{IssuerKind, ProofRule};
pub(crate) use requests::host;
pub use requests::{Elicitation, ServerRequests, is_host};

mod counting;
mod exchange;
mod streamed;

pub use counting::{Breaker, OnLoss, Sharing, StoreLoss};
pub use exchange::{Binding, TokenExchange};
pub use streamed::{Streamed, is_media_range};

/// What else holds for the tokens of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IssuerSettings {
    /// What its tokens are.
    #[serde(skip_serializing_if = "is_usual")]
    pub kind: IssuerKind,
    /// Where its keys are fetched, when the policy does not hold them.
    #[serde(skip_serializing_if = "is_usual")]
    pub jwks: Option<RemoteKeys>,
    /// The accepted values of `typ`; those of RFC 9068 when empty.
    #[serde(skip_serializing_if = "is_usual")]
    pub token_types: Vec<String>,
    /// What its tokens must be bound to.
    #[serde(skip_serializing_if = "is_usual")]
    pub proof: ProofRule,
}

/// Keys that are with their issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RemoteKeys {
    /// The URL of the key set; where there is none, the issuer's metadata names it.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub uri: Option<String>,
    /// How often the keys are fetched, in seconds.
    pub refresh: u32,
    /// How long after the last good answer its keys are still used, in seconds.
    pub max_age: u32,
}

/// What else holds for a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerSettings {
    /// The program and its arguments, for a server that the sidecar runs itself; empty for one that
    /// it connects to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// All variables that the program gets: with a value, or with the one that the sidecar's own
    /// variable has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<String>>,
    /// What it may ask its clients for.
    #[serde(skip_serializing_if = "ServerRequests::is_none")]
    pub server_requests: ServerRequests,
    /// The era that it speaks, where callers of the other are bridged; requests pass as they are, if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub era: Option<Era>,
    /// What becomes of calls whose definition has not been seen.
    #[serde(skip_serializing_if = "PinMode::is_enforce")]
    pub pins: PinMode,
    /// The audience that its tokens must name, in canonical form; any of the issuer's when there
    /// is none.
    #[serde(skip_serializing_if = "is_usual")]
    pub audience: Option<String>,
    /// What the tokens of its callers must be bound to, besides what their issuer asks for.
    #[serde(skip_serializing_if = "is_usual")]
    pub proof: ProofRule,
    /// How many sidecars stand before it at a time; 0 is not said.
    #[serde(skip_serializing_if = "is_usual")]
    pub replicas: u32,
    /// Whether they count limits and used tokens together, in a store.
    #[serde(skip_serializing_if = "is_usual")]
    pub shared_store: bool,
    /// How they share rates.
    #[serde(skip_serializing_if = "is_usual")]
    pub sharing: Sharing,
    /// What becomes of calls while the store does not answer.
    #[serde(skip_serializing_if = "is_usual")]
    pub on_store_loss: StoreLoss,
    /// When a server that does not answer is left alone; never, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// The most streams that one caller may keep open; 0 is no limit.
    #[serde(skip_serializing_if = "is_usual")]
    pub streams: u32,
    /// The largest answer, in bytes; 0 is no limit.
    #[serde(skip_serializing_if = "is_usual")]
    pub response: u64,
    /// How long an event stream or a tunnel may last, in milliseconds; 0 is no limit.
    #[serde(skip_serializing_if = "is_usual")]
    pub stream_duration: u64,
    /// What is given in exchange for access tokens; nothing, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenExchange>,
}

/// The eras of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Era {
    /// With a handshake, perhaps a session: up to 2025-11-25.
    Legacy,
    /// Stateless: from 2026-07-28 on.
    Modern,
}

/// What becomes of calls of a pinned tool or prompt whose definition the sidecar has not seen. One
/// that was seen to differ is always hidden and refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PinMode {
    /// They are refused.
    #[default]
    Enforce,
    /// They pass.
    List,
}

impl PinMode {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde asks for a reference"
    )]
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

/// What else holds for a surface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SurfaceSettings {
    /// The reviewed form of its definition, where the server's lock has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Which bodies pass as they come; none, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Streamed>,
    /// Whether it may become a WebSocket.
    #[serde(skip_serializing_if = "is_usual")]
    pub web_socket: bool,
}

/// Why a text holds no settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// Settings of one kind of entry.
pub trait Settings: Default + PartialEq + Serialize + DeserializeOwned {
    /// The text that a bundle carries.
    fn to_text(&self) -> Result<String, SettingsError> {
        if *self == Self::default() {
            return Ok(String::new());
        }
        serde_json_canonicalizer::to_string(self).map_err(|error| SettingsError(error.to_string()))
    }

    /// Reads the text that a bundle carries; refuses every other spelling of the same settings.
    fn from_text(text: &str) -> Result<Self, SettingsError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let settings: Self = serde_json::from_str(text).map_err(|error| {
            SettingsError(format!(
                "{error}: built for a newer version of Latchkey, perhaps"
            ))
        })?;
        if settings.to_text()? != text {
            let what = "not in canonical form (RFC 8785, usual values left out)";
            return Err(SettingsError(what.to_owned()));
        }
        Ok(settings)
    }
}

/// Whether a value is left out.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Settings for IssuerSettings {}
impl Settings for ServerSettings {}
impl Settings for SurfaceSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_settings_are_the_empty_text() {
        assert_eq!(ServerSettings::default().to_text().unwrap(), "");
        assert_eq!(
            ServerSettings::from_text("").unwrap(),
            ServerSettings::default()
        );
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for text in ["{}", " ", "{\"unheardOf\":1}", "[]", "null", "{"] {
            assert!(ServerSettings::from_text(text).is_err(), "{text}");
        }
    }
}
