//! Stated calls: the shapes that matrices, `eval` and `explain` share, and their answer.
//!
//! A stated call is turned into the real request bytes and the real claims, and goes through the
//! very same [`admit`](crate::admit::admit) as a request off the wire.

mod claims;
mod request;

pub use request::Request;

use std::{collections::BTreeMap, net::IpAddr};

use latchkey_engine::{
    id::ServerId,
    index::{Obligation, Pool, Reach},
    overlay::{Activation, Overlay},
    reason::Reason,
    time::Time,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    admit::{Facts, Verdict, admit_explained, refuse},
    gate::Gate,
    identity::Identity,
    inbound::Inbound,
};

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
    /// The time of the call, RFC 3339. A decision point leaves it out and goes by its own clock.
    #[serde(default)]
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
        let mut overlay = Overlay {
            revoked_tokens: self.revoked_tokens.clone(),
            suspended: self.suspended.clone(),
            denied: self.denied.clone(),
            activations: Vec::with_capacity(self.break_glass.len()),
        };
        for stated in &self.break_glass {
            overlay.activations.push(Activation {
                id: stated.id.clone(),
                principal: stated.principal.clone(),
                surfaces: stated.surfaces.clone(),
                scope: stated.scope.clone(),
                expires: time("expires", &stated.expires)?,
            });
        }
        Ok(overlay.sorted())
    }
}

/// Answers a stated call. Fails only on a call that cannot be asked of this gate: no such server,
/// no such principal, an unreadable time or address, nothing or two things called.
pub fn answer(gate: &Gate, overlay: &Overlay, stated: &Stated) -> Result<Answer, StatedError> {
    let facts = verdict(gate, overlay, stated)?.facts;
    Ok(Answer::of(stated.id.clone(), facts))
}

/// The whole verdict of a stated call, explained.
pub fn verdict(gate: &Gate, overlay: &Overlay, stated: &Stated) -> Result<Verdict, StatedError> {
    let asker = Asker::of(gate, stated)?;
    Ok(asker.verdict(gate, overlay, &Request::of(stated)?))
}

/// Who a stated call is from: no identity for an anonymous caller, or the reason why its token
/// would be refused.
pub fn identity(
    gate: &Gate,
    stated: &Stated,
) -> Result<Result<Option<Identity>, Reason>, StatedError> {
    let now = time("at", &stated.at)?;
    let claims = claims::build(gate, stated, now)?;
    Ok(claims.map(|claims| gate.identity(&claims)).transpose())
}

/// Who makes stated calls, of which server, from where and when.
#[derive(Debug)]
pub struct Asker {
    /// The server that is called.
    pub server: ServerId,
    /// The time of the calls.
    pub now: Time,
    /// No identity for an anonymous caller, or why its token would be refused.
    pub identity: Result<Option<Identity>, Reason>,
    peer: Option<IpAddr>,
}

impl Asker {
    /// What a stated call says of who makes it; what is called may be left out.
    ///
    /// # Errors
    /// The server, the time, the address or a caller is none that the policy knows.
    pub fn of(gate: &Gate, stated: &Stated) -> Result<Self, StatedError> {
        let server = gate
            .server(&stated.server)
            .ok_or_else(|| StatedError(format!("there is no server `{}`", stated.server)))?;
        let peer = match &stated.ip {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| StatedError(format!("`ip`: `{text}` is no address")))?,
            ),
        };
        Ok(Self {
            server,
            now: time("at", &stated.at)?,
            identity: identity(gate, stated)?,
            peer,
        })
    }

    /// The verdict of one request of theirs, explained.
    pub fn verdict(&self, gate: &Gate, overlay: &Overlay, request: &Request<'_>) -> Verdict {
        let headers = [("content-type", b"application/json".as_slice())];
        let inbound = Inbound {
            server: self.server,
            method: request.method,
            target: &request.target,
            headers: if request.body.is_empty() {
                &[]
            } else {
                &headers
            },
            body: request.body.as_bytes(),
            peer: self.peer,
        };
        match &self.identity {
            Ok(identity) => admit_explained(gate, overlay, &inbound, identity.as_ref(), self.now),
            Err(reason) => refuse(gate, &inbound, *reason),
        }
    }
}

fn time(key: &str, text: &str) -> Result<Time, StatedError> {
    if text.is_empty() {
        return Err(StatedError(format!(
            "missing field `{key}`: state an RFC 3339 time"
        )));
    }
    Time::parse(text).ok_or_else(|| StatedError(format!("`{key}`: `{text}` is no RFC 3339 time")))
}

impl Answer {
    /// The answer that the facts of a decision make.
    #[must_use]
    pub fn of(id: Option<String>, facts: Facts) -> Self {
        let mut obligations: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for obligation in &facts.obligations {
            let (kind, text) = obligation_text(*obligation);
            obligations.entry(kind).or_default().push(text);
        }
        Self {
            id,
            decision: if facts.is_allow() { "allow" } else { "deny" },
            reason: facts.reason.as_str(),
            rule: facts.rule,
            granted_by: facts.granted_by,
            surface: facts.surface,
            operation: facts.operation,
            scopes: facts.scopes,
            permissions: facts.permissions,
            obligations,
            undetermined: facts.undetermined,
            place: facts.place,
        }
    }
}

/// The kind of an obligation, and its text: `rate` and `30/m` for what one caller may do with one
/// surface, with the pool in front otherwise: `team 300/m`, `server 5000/m`, `server team 900/m`.
#[must_use]
pub fn obligation_text(obligation: Obligation) -> (&'static str, String) {
    match obligation {
        Obligation::Rate {
            pool,
            reach,
            count,
            seconds,
        } => {
            let window = match seconds {
                1 => "s".to_owned(),
                60 => "m".to_owned(),
                3_600 => "h".to_owned(),
                86_400 => "d".to_owned(),
                seconds => format!("{seconds}s"),
            };
            let pool = pool_text(pool, reach);
            ("rate", format!("{pool}{count}/{window}"))
        }
        Obligation::Concurrency { pool, reach, count } => {
            let pool = pool_text(pool, reach);
            ("concurrency", format!("{pool}{count}"))
        }
    }
}

/// The obligation of a kind and text that [`obligation_text`] wrote.
#[must_use]
pub fn obligation_of(kind: &str, text: &str) -> Option<Obligation> {
    let (name, amount) = text.rsplit_once(' ').unwrap_or(("", text));
    let prefix = |it: &&(Pool, Reach)| pool_text(it.0, it.1).trim_end() == name;
    let (pool, reach) = POOLS.iter().find(prefix).copied()?;
    if kind == "concurrency" {
        let count = amount.parse().ok()?;
        return Some(Obligation::Concurrency { pool, reach, count });
    }
    let (count, unit) = amount.split_once('/')?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => other.strip_suffix('s')?.parse().ok()?,
    };
    (kind == "rate").then_some(Obligation::Rate {
        pool,
        reach,
        count: count.parse().ok()?,
        seconds,
    })
}

/// Every pool with every reach.
const POOLS: [(Pool, Reach); 10] = [
    (Pool::Caller, Reach::Surface),
    (Pool::Team, Reach::Surface),
    (Pool::Organization, Reach::Surface),
    (Pool::Source, Reach::Surface),
    (Pool::Everyone, Reach::Surface),
    (Pool::Caller, Reach::Server),
    (Pool::Team, Reach::Server),
    (Pool::Organization, Reach::Server),
    (Pool::Source, Reach::Server),
    (Pool::Everyone, Reach::Server),
];

/// What stands before an amount, with a space after it; nothing for one caller and surface.
fn pool_text(pool: Pool, reach: Reach) -> &'static str {
    match (reach, pool) {
        (Reach::Surface, Pool::Caller) => "",
        (Reach::Surface, Pool::Team) => "team ",
        (Reach::Surface, Pool::Organization) => "organization ",
        (Reach::Surface, Pool::Source) => "source ",
        (Reach::Surface, Pool::Everyone) => "surface ",
        (Reach::Server, Pool::Caller) => "server caller ",
        (Reach::Server, Pool::Team) => "server team ",
        (Reach::Server, Pool::Organization) => "server organization ",
        (Reach::Server, Pool::Source) => "server source ",
        (Reach::Server, Pool::Everyone) => "server ",
    }
}

#[cfg(test)]
mod tests;
