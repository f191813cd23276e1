//! What can be wrong with a request before the policy is asked.

use std::fmt;

use latchkey_engine::reason::Reason;

use crate::json::{JsonError, JsonFault};

/// Why a request can be read in more than one way, or not at all. It quotes nothing of the
/// request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The body is not one strict JSON text.
    Json(JsonError),
    /// The body is larger than the server's limit.
    TooLarge,
    /// The body is an array: JSON-RPC batches are not taken.
    Batch,
    /// The JSON-RPC envelope, or a method's parameters, are not as they must be.
    Envelope(&'static str),
    /// The media type, charset or content encoding.
    MediaType(&'static str),
    /// A header that is doubled, unreadable, or has no place here.
    Header(&'static str),
    /// A routing header is missing or says something else than the body.
    Mismatch(&'static str),
    /// A protocol revision that is not known.
    Version,
    /// An HTTP method that MCP does not have.
    Method,
    /// The path, query or URI.
    Target(&'static str),
}

impl Fault {
    /// The reason.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::PayloadTooLarge,
            Self::Json(error) if error.what == JsonFault::TooLarge => Reason::PayloadTooLarge,
            _ => Reason::MalformedRequest,
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::MediaType(_) => 415,
            _ if self.reason() == Reason::PayloadTooLarge => 413,
            _ => 400,
        }
    }

    /// The JSON-RPC code, with its meaning in JSON-RPC 2.0 and MCP 2026-07-28.
    pub(crate) fn rpc_code(self) -> i32 {
        match self {
            Self::Json(_) => -32700,
            Self::Mismatch(_) => -32020,
            Self::Version => -32022,
            _ => -32600,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::TooLarge => f.write_str("the body is larger than the server takes"),
            Self::Batch => f.write_str("a batch; send one message in each request"),
            Self::Envelope(what) | Self::MediaType(what) | Self::Target(what) => f.write_str(what),
            Self::Header(what) => write!(f, "header: {what}"),
            Self::Mismatch(what) => write!(f, "{what} does not agree with the body"),
            Self::Version => f.write_str("an unknown protocol revision"),
            Self::Method => f.write_str("MCP uses POST, GET and DELETE"),
        }
    }
}
