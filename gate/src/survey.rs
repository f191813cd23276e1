//! Asking a server what it has: the messages of a small MCP client, without the way they travel.
//!
//! A [`Survey`] says what to send next and is told what came back. It finds out which era the
//! server speaks, opens a legacy session where one is needed, and reads every page of every list.
//! `latchkey import` drives it over HTTP and over a child process, the sidecar over its own
//! connection.

mod events;
mod read;

use std::{collections::BTreeMap, fmt};

use serde_json::{Value as Json, json};

pub use events::Events;

use crate::pin::ListKind;

/// The revision without sessions.
const MODERN: &str = "2026-07-28";
/// The newest revision with sessions.
const LEGACY: &str = "2025-11-25";
/// Every revision with sessions that is understood.
const LEGACY_KNOWN: [&str; 4] = [LEGACY, "2025-06-18", "2025-03-26", "2024-11-05"];
/// The media types that a server may answer in.
const ACCEPTED: &str = "application/json, text/event-stream";

/// How much a server may say.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of all lists together.
    pub entries: usize,
    /// Pages of all lists together.
    pub pages: usize,
    /// Bytes of one answer.
    pub answer: usize,
    /// Bytes of all answers together.
    pub bytes: usize,
}

impl Limits {
    /// More than any server that people review has.
    pub const DEFAULT: Self = Self {
        entries: 10_000,
        pages: 1_000,
        answer: 4 << 20,
        bytes: 16 << 20,
    };
}

/// A conversation with a server, from the first message to the last list.
#[derive(Debug)]
pub struct Survey {
    client: &'static str,
    limits: Limits,
    stage: Stage,
    id: u64,
    session: Option<String>,
    found: Found,
    /// The lists that are still to be read; the last one is being read.
    pending: Vec<ListKind>,
    cursor: Option<String>,
    pages: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Discover,
    Initialize,
    Initialized,
    Lists,
}

/// What a server has, by name or URI.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The revision that was spoken.
    pub revision: String,
    /// What the server calls itself.
    pub name: Option<String>,
    /// The definitions of each list, as the server gave them.
    pub lists: BTreeMap<ListKind, BTreeMap<String, Json>>,
}

/// What to send. Only a survey makes one, so it carries nothing of any caller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// The HTTP method.
    pub method: &'static str,
    /// One JSON-RPC message; empty at the end of a session.
    pub body: String,
    /// The HTTP headers that go with it, beside `content-type: application/json`.
    pub headers: Vec<(&'static str, String)>,
    /// The id of the answer to wait for; none for a notification.
    pub id: Option<u64>,
    /// Whether a server of the other era may leave it without an answer.
    pub probes: bool,
}

/// What came back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The HTTP status; 200 where there is none.
    pub status: u16,
    /// The header `mcp-session-id`.
    pub session: Option<&'a str>,
    /// The JSON-RPC message; none when the server said nothing that is one.
    pub message: Option<&'a [u8]>,
}

/// Why a server cannot be surveyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurveyError {
    /// It wants to know who asks: this HTTP status.
    Unauthorized(u16),
    /// It answers a method with this HTTP status and no message.
    Status(&'static str, u16),
    /// It answers a method with this JSON-RPC error.
    Refused(&'static str, i64, String),
    /// It speaks none of the revisions that are understood.
    Revision,
    /// What it answers to a method is not what the protocol says.
    Malformed(&'static str, String),
    /// It names an entry twice.
    Twice(ListKind, String),
    /// It has more than the limits allow.
    TooMuch,
}

impl fmt::Display for SurveyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(status) => write!(f, "wants a token (HTTP {status})"),
            Self::Status(method, status) => write!(f, "answers `{method}` with HTTP {status}"),
            Self::Refused(method, code, why) => {
                write!(f, "answers `{method}` with error {code}: {why}")
            }
            Self::Revision => f.write_str("speaks no revision of MCP that is understood here"),
            Self::Malformed(method, what) => {
                write!(
                    f,
                    "answers `{method}` with something else than MCP says: {what}"
                )
            }
            Self::Twice(kind, name) => write!(f, "lists the {} `{name}` twice", kind.noun()),
            Self::TooMuch => f.write_str("lists more than is read: too many or too large entries"),
        }
    }
}

impl std::error::Error for SurveyError {}

impl Found {
    /// How many entries all lists have together.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lists.values().map(BTreeMap::len).sum()
    }
}

impl Survey {
    /// A conversation that has not begun; `client` is the name that the server is told.
    #[must_use]
    pub fn new(client: &'static str, limits: Limits) -> Self {
        Self {
            client,
            limits,
            stage: Stage::Discover,
            id: 1,
            session: None,
            found: Found::default(),
            pending: Vec::new(),
            cursor: None,
            pages: 0,
            bytes: 0,
        }
    }

    /// The same for a server that spoke this revision the last time: one with sessions is not asked
    /// for the other era first.
    #[must_use]
    pub fn again(client: &'static str, limits: Limits, revision: &str) -> Self {
        let mut survey = Self::new(client, limits);
        if LEGACY_KNOWN.contains(&revision) {
            survey.stage = Stage::Initialize;
        }
        survey
    }

    /// What to send next; `None` when all is known.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        let (method, mut params) = match self.stage {
            Stage::Discover => ("server/discover", json!({})),
            Stage::Initialize => ("initialize", self.introduction()),
            Stage::Initialized => return Some(self.notification("notifications/initialized")),
            Stage::Lists => {
                let params = self.cursor.as_ref().map(|cursor| json!({"cursor": cursor}));
                (
                    self.pending.last()?.method(),
                    params.unwrap_or_else(|| json!({})),
                )
            }
        };
        if self.is_modern()
            && let Some(params) = params.as_object_mut()
        {
            params.insert("_meta".to_owned(), self.meta());
        }
        let message = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        Some(Ask {
            method: "POST",
            body: message.to_string(),
            headers: self.headers(Some(method)),
            id: Some(self.id),
            probes: self.stage == Stage::Discover,
        })
    }

    /// The answer to what was sent last.
    ///
    /// # Errors
    /// The server cannot be surveyed; the conversation is over.
    pub fn answer(&mut self, answer: Answer<'_>) -> Result<(), SurveyError> {
        if matches!(answer.status, 401 | 403) {
            return Err(SurveyError::Unauthorized(answer.status));
        }
        self.bytes += answer.message.map_or(0, <[u8]>::len);
        if self.bytes > self.limits.bytes {
            return Err(SurveyError::TooMuch);
        }
        self.id += 1;
        match self.stage {
            Stage::Discover => self.discovered(answer),
            Stage::Initialize => self.initialized(answer)?,
            Stage::Initialized => self.stage = Stage::Lists,
            Stage::Lists => self.listed(answer)?,
        }
        Ok(())
    }

    /// What ends the session over HTTP, where there is one.
    #[must_use]
    pub fn farewell(&self) -> Option<Ask> {
        self.session.as_ref()?;
        Some(Ask {
            method: "DELETE",
            body: String::new(),
            headers: self.headers(None),
            id: None,
            probes: false,
        })
    }

    /// What was found, once [`Survey::ask`] has nothing more to ask.
    #[must_use]
    pub fn finish(self) -> Found {
        self.found
    }

    /// The revision that the server speaks, once that is known.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.found.revision
    }

    fn is_modern(&self) -> bool {
        self.stage == Stage::Discover || self.found.revision == MODERN
    }

    fn introduction(&self) -> Json {
        json!({
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": self.client_info(),
        })
    }

    fn client_info(&self) -> Json {
        json!({"name": self.client, "version": env!("CARGO_PKG_VERSION")})
    }

    fn meta(&self) -> Json {
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": self.client_info(),
        })
    }

    fn notification(&self, method: &'static str) -> Ask {
        Ask {
            method: "POST",
            body: json!({"jsonrpc": "2.0", "method": method}).to_string(),
            headers: self.headers(Some(method)),
            id: None,
            probes: false,
        }
    }

    fn headers(&self, method: Option<&'static str>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("accept", ACCEPTED.to_owned())];
        if self.is_modern() {
            headers.push(("mcp-protocol-version", MODERN.to_owned()));
            headers.extend(method.map(|method| ("mcp-method", method.to_owned())));
        } else if !self.found.revision.is_empty() {
            headers.push(("mcp-protocol-version", self.found.revision.clone()));
        }
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id", session.clone()));
        }
        headers
    }
}

/// What a client that declares nothing answers to a request of the server; `None` where the
/// message is no request.
#[must_use]
pub fn reply(message: &[u8]) -> Option<String> {
    let message: Json = serde_json::from_slice(message).ok()?;
    let method = message.get("method")?.as_str()?;
    let id = message.get("id").filter(|id| !id.is_null())?;
    let reply = if method == "ping" {
        json!({"jsonrpc": "2.0", "id": id, "result": {}})
    } else {
        let error = json!({"code": -32601, "message": "this client has no such method"});
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    };
    Some(reply.to_string())
}

/// Whether a message is the answer to the request with this id.
#[must_use]
pub fn answers(message: &[u8], id: u64) -> bool {
    serde_json::from_slice::<Json>(message).is_ok_and(|message| {
        message.get("method").is_none() && message.get("id").and_then(Json::as_u64) == Some(id)
    })
}

#[cfg(test)]
mod tests;
