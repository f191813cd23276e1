//! What is known of one request once it is decided: the raw material of the audit event.

use std::{net::IpAddr, sync::Arc};

use latchkey_engine::{index::Obligation, reason::Reason};

use crate::{gate::Gate, identity::Identity, inbound::Inbound};

/// Facts of one request. Everything is by name, so that they outlive a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The server's name.
    pub server: String,
    /// The JSON-RPC method, or the HTTP method of a route.
    pub method: String,
    /// The request's path, a route's template, or `/__unmatched__`.
    pub path: String,
    /// The JSON-RPC id as written; `None` for notifications and plain HTTP.
    pub rpc_id: Option<String>,
    /// The protocol revision that an MCP request names.
    pub protocol: Option<String>,
    /// The surface as `server/name`.
    pub surface: Option<String>,
    /// The surface's risk: `read`, `write` or `destructive`.
    pub risk: Option<&'static str>,
    /// The operations of the surface that are called; joined by `,`.
    pub operation: Option<String>,
    /// The scopes, as sorted paths; empty before they are derived.
    pub scopes: Vec<String>,
    /// The permissions that the call needs, in their exact form.
    pub permissions: Vec<String>,
    /// Who calls.
    pub who: Arc<Who>,
    /// Where the call came from.
    pub address: Option<IpAddr>,
    /// The reason; `ok` is the only allow.
    pub reason: Reason,
    /// Every failing check, in order; empty on an allow.
    pub failed: Vec<Reason>,
    /// What exactly is wrong with a request that was refused before it was decided.
    pub detail: Option<String>,
    /// The rule that denied.
    pub rule: Option<String>,
    /// What the rule's author tells a refused caller.
    pub message: Option<String>,
    /// The granting bindings, sorted: the deciding one, or all where the request was explained.
    pub granted_by: Vec<String>,
    /// The rules that matched, where the request was refused or explained.
    pub matched: Vec<String>,
    /// Bindings that nearly granted and why not, where the request was refused or explained.
    pub missed: Vec<(String, &'static str)>,
    /// Attributes that a condition could not determine; sorted.
    pub undetermined: Vec<String>,
    /// Where the rule stands in Git; where the request was explained, the first granting binding.
    pub place: Option<String>,
    /// What the allow carries.
    pub obligations: Vec<Obligation>,
    /// The attributes that conditions of this surface read.
    pub slots: Vec<SlotFact>,
    /// Whether the caller could be allowed on this surface at all.
    pub visible: bool,
    /// The W3C trace context that a message names in its `_meta`; nothing is decided by it.
    pub traceparent: Option<String>,
    /// The activation that unlocked a destructive surface.
    pub activation: Option<String>,
}

impl Facts {
    /// Facts of a request of which nothing can be known: it never became one, or there was no
    /// bundle to read it by.
    #[must_use]
    pub fn blank(reason: Reason) -> Self {
        Self {
            server: String::new(),
            method: String::new(),
            path: "/__unmatched__".to_owned(),
            rpc_id: None,
            protocol: None,
            surface: None,
            risk: None,
            operation: None,
            scopes: Vec::new(),
            permissions: Vec::new(),
            who: Arc::default(),
            address: None,
            reason,
            failed: Vec::new(),
            detail: None,
            rule: None,
            message: None,
            granted_by: Vec::new(),
            matched: Vec::new(),
            missed: Vec::new(),
            undetermined: Vec::new(),
            place: None,
            obligations: Vec::new(),
            slots: Vec::new(),
            visible: false,
            traceparent: None,
            activation: None,
        }
    }

    /// Facts of a request of which nothing is known yet but where it came from; a refusal until
    /// something says otherwise.
    pub(crate) fn of(gate: &Gate, inbound: &Inbound<'_>, identity: Option<&Identity>) -> Self {
        let server = gate.policy().server_entry(inbound.server);
        Self {
            server: server.map(|server| server.name.clone()).unwrap_or_default(),
            method: inbound.method.chars().take(16).collect(),
            who: identity.map_or_else(Arc::default, |identity| Arc::clone(identity.who())),
            address: inbound.peer,
            ..Self::blank(Reason::Internal)
        }
    }

    /// Whether the request was allowed.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.reason == Reason::Ok
    }
}

/// Who calls, in names; shared by all requests of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The chain's names, current actor first; empty for an anonymous caller.
    pub callers: Vec<String>,
    /// The current actor's type: `human`, `service`, `agent`, `unknown` or `anonymous`.
    pub principal_type: &'static str,
    /// The current actor's organization.
    pub organization: Option<String>,
    /// The current actor's team, by its bare name.
    pub team: Option<String>,
    /// The declared groups of the current actor.
    pub groups: Vec<String>,
    /// The issuer's name in the policy.
    pub issuer: Option<String>,
    /// The token's id.
    pub token_id: Option<String>,
    /// The SHA-256 of the token, in hex.
    pub token_hash: Option<String>,
}

impl Default for Who {
    fn default() -> Self {
        Self {
            callers: Vec::new(),
            principal_type: "anonymous",
            organization: None,
            team: None,
            groups: Vec::new(),
            issuer: None,
            token_id: None,
            token_hash: None,
        }
    }
}

/// One attribute that the decision could read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotFact {
    /// Its path, such as `args.branch`; shared by all requests under one bundle.
    pub attribute: Arc<str>,
    /// What it was.
    pub value: SlotValue,
}

/// What an attribute was, before it is redacted for the audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotValue {
    /// The request does not have it.
    Absent,
    /// Canonical JSON text that must leave as a keyed digest only.
    Digest(String),
    /// Canonical JSON text that the surface's `audit` allows to be logged.
    Value(String),
}
