//! What a refused caller is told: the projection of a reason onto the wire.

use latchkey_engine::reason::Reason;

/// A refusal, ready to be told to its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
}

/// What only the listener knows of an exchange.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exchange<'a> {
    /// The id that the audit event carries.
    pub request_id: &'a str,
    /// The URL of the server's RFC 9728 metadata, for challenges.
    pub resource_metadata: Option<&'a str>,
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

impl Refusal {
    /// A refusal told as plain HTTP, before anything is known of the request.
    #[must_use]
    pub fn http(reason: Reason) -> Self {
        Self { reason }
    }

    /// The true reason, for audit and metrics; never for the caller.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The answer on the wire.
    #[must_use]
    pub fn response(&self, exchange: &Exchange<'_>) -> Response {
        let _ = exchange;
        Response {
            status: 500,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}
