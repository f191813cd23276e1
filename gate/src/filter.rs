//! Answers that must not show what the caller may never use.

use std::fmt;

use latchkey_engine::{id::ServerId, overlay::Overlay, time::Time};

use crate::{gate::Gate, identity::Identity, json::JsonError};

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The server that answers.
    pub server: ServerId,
    /// What it answers to.
    pub kind: FilterKind,
}

/// The kind of answer that is filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    ResourceTemplates,
    /// `initialize` and `server/discover`
    Handshake,
    /// A stream that no request asked for: server requests are dropped.
    Stream,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterError {
    /// It is not one strict JSON text.
    Json(JsonError),
    /// It is not the answer that its request asks for.
    Shape,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the tool server's answer: {error}"),
            Self::Shape => f.write_str("the tool server's answer is not what was asked for"),
        }
    }
}

impl std::error::Error for FilterError {}

/// Filters one JSON-RPC answer: entries that are not in the registry, or that this caller can
/// never use, are taken out; caching is made private. Errors pass unchanged.
pub fn list(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    filter: Filter,
    body: &[u8],
) -> Result<Vec<u8>, FilterError> {
    let _ = (gate, overlay, identity, now, filter, body);
    Err(FilterError::Shape)
}

/// Filters one line of an event stream, without its line end: `data:` lines hold one whole JSON
/// message each, all other lines pass. `None` drops the message.
pub fn line(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    filter: Filter,
    line: &[u8],
) -> Result<Option<Vec<u8>>, FilterError> {
    let _ = (gate, overlay, identity, now, filter, line);
    Err(FilterError::Shape)
}
