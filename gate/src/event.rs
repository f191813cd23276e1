//! The audit event: exactly one for every inbound request, chained by hashes.
//!
//! A line of the log is one JSON object on one line. Its last member `hash` is the SHA-256 of the
//! object without that member, and `prev_hash` names the line before: a line that is changed,
//! taken out or put in breaks the chain from there on.

mod chain;
mod draft;

use std::{collections::BTreeMap, fmt};

use latchkey_engine::reason::Reason;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use chain::{Chain, ChainError, Line, verify_chain};
pub use draft::{Draft, Ending, Unsealed};

pub use crate::bind::attribute_name;

use crate::{
    admit::{Facts, SlotValue},
    gate::hex,
};

/// The version of the event's shape; raised on a breaking change only.
pub const SCHEMA_VERSION: u32 = 1;

/// One audit event. Absent members did not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The version of this shape.
    pub schema_version: u32,
    /// A `UUIDv7`.
    pub event_id: String,
    /// RFC 3339, UTC.
    pub event_time: String,
    /// `request`, or the name of a lifecycle event such as `bundle_loaded`.
    pub event_type: String,
    /// The id that went to the client and upstream.
    pub request_id: String,
    /// W3C trace id.
    pub trace_id: String,
    /// W3C span id of this hop.
    pub span_id: String,
    /// The last of the chain: the one acted for; `anonymous` without identity.
    pub principal_id: String,
    /// The current actor, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The current actor's type: `human`, `service`, `agent`, `unknown` or `anonymous`.
    pub principal_type: String,
    /// The current actor's organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The current actor's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The scopes of the call, sorted.
    pub scope: Vec<String>,
    /// The current actor's declared groups.
    pub groups: Vec<String>,
    /// The issuer's name in the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The server's name.
    pub server: String,
    /// The JSON-RPC method, or the HTTP method of a route.
    pub method: String,
    /// The path, a route's template, or `/__unmatched__`.
    pub path_template: String,
    /// `server/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface_id: Option<String>,
    /// The operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The risk: `read`, `write` or `destructive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// What the call needs, in exact form.
    pub required_permissions: Vec<String>,
    /// What went into the decision, and what came out.
    pub authz: Authz,
    /// `allow` or `deny`.
    pub decision: String,
    /// How the exchange ended.
    pub outcome: EventOutcome,
    /// The stable word of the reason.
    pub reason: String,
    /// The rule that denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// `normal` or `elevated`: destructive calls, break-glass, and what looks like an attack.
    pub severity: String,
    /// The activation that unlocked the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// The HTTP status that the client got; 0 when it got none.
    pub status: u16,
    /// From the first byte in to the last byte out.
    pub latency_us: u64,
    /// Of that, waiting for the tool server.
    pub upstream_latency_us: u64,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The caller's address, after the trusted-proxy rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The SHA-256 of the slice that decided.
    pub bundle_digest: String,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// Who wrote this.
    pub sidecar_id: String,
    /// Its version.
    pub sidecar_version: String,
    /// More of a lifecycle event, or what is wrong with a malformed request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The decision, in the names of the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Authz {
    /// What it read.
    pub input: AuthzInput,
    /// What it found.
    pub output: AuthzOutput,
}

/// What a decision read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthzInput {
    /// The chain, current actor first.
    pub chain: Vec<String>,
    /// The MCP revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Each argument that conditions of the surface read.
    pub slots: BTreeMap<String, SlotRecord>,
}

/// One argument, as much of it as may be logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SlotRecord {
    /// The request does not have it.
    Absent,
    /// HMAC-SHA256 of its canonical JSON text, in hex, under the sidecar's key.
    Digest(String),
    /// Its canonical JSON text; the surface's `audit` names it.
    Value(String),
}

/// What a decision found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthzOutput {
    /// Granting bindings.
    pub granted_by: Vec<String>,
    /// Matching rules.
    pub matched: Vec<String>,
    /// Every failing check, in order.
    pub failed: Vec<String>,
    /// Bindings that nearly granted: name and why not.
    pub missed: BTreeMap<String, String>,
    /// Attributes that could not be determined.
    pub undetermined: Vec<String>,
}

/// The activation that unlocked a destructive call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BreakGlass {
    /// Its id.
    pub activation_id: String,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    /// The tool server answered.
    Success,
    /// Policy refused.
    Denied,
    /// The request cannot be read, or the client went away.
    ClientError,
    /// The tool server failed.
    UpstreamError,
    /// The tool server was too slow.
    Timeout,
    /// This side failed; also an event that a crash left open.
    #[default]
    Internal,
}

impl EventOutcome {
    /// The outcome of a request that was refused, by its reason.
    #[must_use]
    pub fn refused(reason: Reason) -> Self {
        match reason {
            Reason::Ok => Self::Success,
            Reason::MalformedRequest | Reason::PayloadTooLarge => Self::ClientError,
            Reason::UpstreamTimeout => Self::Timeout,
            Reason::UpstreamUnavailable => Self::UpstreamError,
            Reason::PolicyUnavailable | Reason::AuditUnavailable | Reason::Internal => {
                Self::Internal
            }
            _ => Self::Denied,
        }
    }
}

/// What only the sidecar knows of one exchange.
#[derive(Debug, Clone, Default)]
pub struct Exchanged<'a> {
    /// A `UUIDv7`.
    pub event_id: &'a str,
    /// RFC 3339, UTC.
    pub event_time: &'a str,
    /// The id that went to the client and upstream.
    pub request_id: &'a str,
    /// W3C trace id.
    pub trace_id: &'a str,
    /// The span of this hop.
    pub span_id: &'a str,
    /// The HTTP status that the client got; 0 when it got none.
    pub status: u16,
    /// How the exchange ended.
    pub outcome: EventOutcome,
    /// From the first byte in to the last byte out, in microseconds.
    pub latency_us: u64,
    /// Of that, waiting for the tool server.
    pub upstream_latency_us: u64,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Who wrote this line.
    pub sidecar_id: &'a str,
    /// Its version.
    pub sidecar_version: &'a str,
    /// The SHA-256 of the slice that decided, in hex.
    pub bundle_digest: &'a str,
    /// The commit that the slice was built from, when known.
    pub source_commit: Option<&'a str>,
    /// The key of the digests of argument values; without one they are empty.
    pub digest_key: Option<&'a DigestKey>,
}

/// The key of the digests of argument values: without it nobody can try values against them.
///
/// The digests are HMAC-SHA-256 (RFC 2104). Both hashes are kept as they stand after the key, so
/// that a digest costs two blocks and not four.
#[derive(Clone)]
pub struct DigestKey {
    inner: Sha256,
    outer: Sha256,
}

impl DigestKey {
    /// A key made of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut block = [0; 64];
        let hashed;
        let key = if bytes.len() > block.len() {
            hashed = Sha256::digest(bytes);
            hashed.as_slice()
        } else {
            bytes
        };
        for (place, byte) in block.iter_mut().zip(key) {
            *place = *byte;
        }
        let after = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Self {
            inner: after(0x36),
            outer: after(0x5c),
        }
    }

    /// The digest of a text under this key, in lower-case hex.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        let inner = self.inner.clone().chain_update(text).finalize();
        hex(&self.outer.clone().chain_update(inner).finalize())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl Event {
    /// The event of one request. A reason that was found after `admit` (a limit, the upstream)
    /// belongs into `facts.reason` first.
    #[must_use]
    pub fn request(facts: &Facts, exchanged: &Exchanged<'_>) -> Self {
        let who = &facts.who;
        let (actor, principal) = (who.callers.first(), who.callers.last());
        let words = |reasons: &[Reason]| reasons.iter().map(|it| it.as_str().to_owned()).collect();
        Self {
            event_type: "request".to_owned(),
            principal_id: principal.cloned().unwrap_or_else(|| "anonymous".to_owned()),
            actor_id: actor.filter(|_| who.callers.len() > 1).cloned(),
            principal_type: who.principal_type.to_owned(),
            tenant_id: who.organization.clone(),
            team: who.team.clone(),
            scope: facts.scopes.clone(),
            groups: who.groups.clone(),
            issuer: who.issuer.clone(),
            jti: who.token_id.clone(),
            server: facts.server.clone(),
            method: facts.method.clone(),
            path_template: facts.path.clone(),
            surface_id: facts.surface.clone(),
            op: facts.operation.clone(),
            risk: facts.risk.map(str::to_owned),
            required_permissions: facts.permissions.clone(),
            authz: Authz {
                input: AuthzInput {
                    chain: who.callers.clone(),
                    protocol: facts.protocol.clone(),
                    slots: slots(facts, exchanged.digest_key),
                },
                output: AuthzOutput {
                    granted_by: facts.granted_by.clone(),
                    matched: facts.matched.clone(),
                    failed: words(&facts.failed),
                    missed: facts
                        .missed
                        .iter()
                        .map(|(name, why)| (name.clone(), (*why).to_owned()))
                        .collect(),
                    undetermined: facts.undetermined.clone(),
                },
            },
            decision: if facts.is_allow() { "allow" } else { "deny" }.to_owned(),
            reason: facts.reason.as_str().to_owned(),
            rule_id: facts.rule.clone(),
            severity: severity(facts).to_owned(),
            break_glass: facts
                .activation
                .clone()
                .map(|activation_id| BreakGlass { activation_id }),
            source_ip: facts.address.map(|address| address.to_string()),
            detail: facts.detail.clone(),
            ..Self::lifecycle("request", exchanged)
        }
    }

    /// An event of the sidecar itself, such as `bundle_loaded` or `bundle_rejected`.
    #[must_use]
    pub fn lifecycle(event_type: &str, exchanged: &Exchanged<'_>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: exchanged.event_id.to_owned(),
            event_time: exchanged.event_time.to_owned(),
            event_type: event_type.to_owned(),
            request_id: exchanged.request_id.to_owned(),
            trace_id: exchanged.trace_id.to_owned(),
            span_id: exchanged.span_id.to_owned(),
            severity: "normal".to_owned(),
            outcome: exchanged.outcome,
            status: exchanged.status,
            latency_us: exchanged.latency_us,
            upstream_latency_us: exchanged.upstream_latency_us,
            bytes_in: exchanged.bytes_in,
            bytes_out: exchanged.bytes_out,
            bundle_digest: exchanged.bundle_digest.to_owned(),
            source_commit: exchanged.source_commit.map(str::to_owned),
            sidecar_id: exchanged.sidecar_id.to_owned(),
            sidecar_version: exchanged.sidecar_version.to_owned(),
            ..Self::default()
        }
    }
}

fn severity(facts: &Facts) -> &'static str {
    let alarming = matches!(
        facts.reason,
        Reason::TokenReplayed
            | Reason::TokenRevoked
            | Reason::CrossOrganization
            | Reason::PrincipalSuspended
            | Reason::DeniedByOverlay
            | Reason::BreakGlassRequired
            | Reason::ToolChanged
    );
    if alarming || facts.risk == Some("destructive") {
        "elevated"
    } else {
        "normal"
    }
}

fn slots(facts: &Facts, key: Option<&DigestKey>) -> BTreeMap<String, SlotRecord> {
    let record = |value: &SlotValue| match value {
        SlotValue::Absent => SlotRecord::Absent,
        SlotValue::Value(text) => SlotRecord::Value(text.clone()),
        SlotValue::Digest(text) => SlotRecord::Digest(digest(key, text)),
    };
    let slots = facts.slots.iter();
    slots
        .map(|slot| (slot.attribute.as_ref().to_owned(), record(&slot.value)))
        .collect()
}

fn digest(key: Option<&DigestKey>, text: &str) -> String {
    key.map_or_else(String::new, |key| key.digest(text))
}

#[cfg(test)]
mod tests;
