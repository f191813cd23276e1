//! What a refused caller is told: the projection of a reason onto the wire.
//!
//! The true reason is for audit, tests and metrics. A caller is told what its server's `disclose`
//! allows, and a caller who could never be allowed on a surface gets the bytes of an unknown one.

mod body;
mod table;

use latchkey_engine::{index::Disclose, reason::Reason};

pub use table::reasons_markdown;

use crate::{admit::Facts, classify::Fault, token::dpop};

/// A refusal, ready to be told to its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    told: Told,
    reply: Reply,
}

/// What only the listener knows of an exchange.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exchange<'a> {
    /// The id that the audit event carries.
    pub request_id: &'a str,
    /// The URL of the server's RFC 9728 metadata, for challenges.
    pub resource_metadata: Option<&'a str>,
    /// Whether its policy asks for proofs of possession (RFC 9449), for challenges.
    pub proofs: bool,
    /// After how many seconds another try makes sense.
    pub retry_after: Option<u32>,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// In which form a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Plain HTTP.
    Http,
    /// JSON-RPC over HTTP.
    Rpc {
        /// The id as written; `null` where there is none.
        id: Option<String>,
        /// Whether the request is of the stateless era.
        modern: bool,
        /// Whether no answer is expected: a notification, or an answer itself.
        silent: bool,
        /// What an unknown one of its kind is called.
        unknown: Unknown,
    },
}

/// What an MCP request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Nothing but its method.
    Method,
    /// A tool; its name where it is one that can be echoed.
    Tool(Option<String>),
    /// A prompt.
    Prompt(Option<String>),
    /// A resource.
    Resource,
    /// A task.
    Task,
}

/// What the caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    reason: Reason,
    fault: Option<Fault>,
    message: Option<String>,
    rule: Option<String>,
    place: Option<String>,
    /// The permissions that a new token would have to carry.
    step_up: Vec<String>,
}

impl Told {
    fn only(reason: Reason) -> Self {
        Self {
            reason,
            fault: None,
            message: None,
            rule: None,
            place: None,
            step_up: Vec::new(),
        }
    }
}

impl Refusal {
    /// A refusal told as plain HTTP, before anything is known of the request.
    #[must_use]
    pub fn http(reason: Reason) -> Self {
        Self::plain(reason, Reply::Http)
    }

    /// A refusal that discloses nothing of the policy: of the request itself, the token, a limit,
    /// the upstream or this side.
    pub(crate) fn plain(reason: Reason, reply: Reply) -> Self {
        Self {
            reason,
            told: Told::only(reason),
            reply,
        }
    }

    /// A request that can be read in more than one way, or not at all.
    pub(crate) fn malformed(fault: Fault, reply: Reply) -> Self {
        let mut told = Told::only(fault.reason());
        told.message = Some(fault.to_string());
        told.fault = Some(fault);
        Self {
            reason: fault.reason(),
            told,
            reply,
        }
    }

    /// A decision of the policy, projected. `surface` says whether a surface was asked for, rather
    /// than protocol traffic.
    pub(crate) fn decided(facts: &Facts, disclose: Disclose, surface: bool, reply: Reply) -> Self {
        Self {
            reason: facts.reason,
            told: project(facts, disclose, surface),
            reply,
        }
    }

    /// The true reason, for audit and metrics; never for the caller.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What the caller is told instead.
    #[must_use]
    pub fn told(&self) -> Reason {
        self.told.reason
    }

    /// The answer on the wire.
    #[must_use]
    pub fn response(&self, exchange: &Exchange<'_>) -> Response {
        let mut headers = Vec::new();
        let mut status = self.status(exchange);
        if let Some(parameters) = self.challenge(exchange) {
            headers.push(("www-authenticate", challenge("Bearer", &parameters)));
            if exchange.proofs {
                headers.push(("www-authenticate", proof_challenge(parameters)));
            }
        }
        if let Some(seconds) = exchange.retry_after {
            headers.push(("retry-after", seconds.to_string()));
        }
        if status == 405 {
            headers.push(("allow", "POST, GET, DELETE".to_owned()));
        }
        let body = match &self.reply {
            Reply::Http => {
                headers.push(("content-type", "application/problem+json".to_owned()));
                body::problem(&self.told, status, exchange)
            }
            Reply::Rpc { silent: true, .. } if status == 200 => {
                status = 202;
                Vec::new()
            }
            Reply::Rpc { id, unknown, .. } => {
                headers.push(("content-type", "application/json".to_owned()));
                body::rpc(&self.told, id.as_deref(), unknown, exchange)
            }
        };
        Response {
            status,
            headers,
            body,
        }
    }

    /// An MCP caller gets 200 wherever clients would otherwise lose the reason; the exceptions are
    /// what the transport itself settles by status.
    fn status(&self, exchange: &Exchange<'_>) -> u16 {
        let plain = table::form(self.told.reason).http;
        let fault = self.told.fault.map_or(plain, Fault::status);
        match &self.reply {
            Reply::Http => fault,
            Reply::Rpc {
                modern, unknown, ..
            } => match self.told.reason {
                Reason::MalformedRequest | Reason::PayloadTooLarge => fault,
                Reason::SessionUnknown => 404,
                Reason::SurfaceUnmatched if *modern && *unknown == Unknown::Method => 404,
                Reason::TokenScope if exchange.resource_metadata.is_some() => 403,
                _ if plain == 401 => 401,
                _ => 200,
            },
        }
    }

    /// The parameters of a challenge, where a new token could help.
    fn challenge(&self, exchange: &Exchange<'_>) -> Option<Vec<String>> {
        let mut parameters = match self.told.reason {
            Reason::Unauthenticated => Vec::new(),
            Reason::TokenExpired | Reason::TokenReplayed | Reason::TokenRevoked => {
                vec!["error=\"invalid_token\"".to_owned()]
            }
            Reason::TokenScope => {
                exchange.resource_metadata?;
                let scope = format!("scope=\"{}\"", self.told.step_up.join(" "));
                vec!["error=\"insufficient_scope\"".to_owned(), scope]
            }
            _ => return None,
        };
        if let Some(url) = exchange.resource_metadata {
            parameters.push(format!("resource_metadata=\"{url}\""));
        }
        Some(parameters)
    }
}

fn challenge(scheme: &str, parameters: &[String]) -> String {
    match parameters {
        [] => scheme.to_owned(),
        _ => format!("{scheme} {}", parameters.join(", ")),
    }
}

/// The challenge for a token that comes with a proof (RFC 9449 7.1).
fn proof_challenge(mut parameters: Vec<String>) -> String {
    parameters.push(format!("algs=\"{}\"", dpop::algorithms().join(" ")));
    challenge("DPoP", &parameters)
}

/// What the caller is told of a decision.
fn project(facts: &Facts, disclose: Disclose, surface: bool) -> Told {
    let anonymous = facts.who.callers.is_empty();
    match facts.reason {
        // The same for every surface, known or not, so it gives nothing away; and a new token
        // helps.
        Reason::TokenRevoked | Reason::TokenExpired | Reason::TokenReplayed => {
            return Told::only(facts.reason);
        }
        _ if anonymous && !facts.visible => return Told::only(Reason::Unauthenticated),
        _ => {}
    }
    let hidden = disclose == Disclose::Hidden;
    if surface && (hidden || !facts.visible) {
        return Told::only(Reason::SurfaceUnmatched);
    }
    if !surface && facts.reason != Reason::SurfaceUnmatched {
        // The caller knows the server; that it may do nothing there is no secret.
        return Told::only(Reason::NoPermission);
    }
    let full = disclose == Disclose::Full;
    Told {
        message: facts.message.clone().or_else(|| facts.detail.clone()),
        rule: facts.rule.clone().filter(|_| full),
        place: facts.place.clone().filter(|_| full),
        step_up: facts.permissions.clone(),
        ..Told::only(facts.reason)
    }
}
