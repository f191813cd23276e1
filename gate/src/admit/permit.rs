//! The proof that a request was allowed.

use latchkey_engine::{id::ServerId, index::Obligation, reason::Reason};

use crate::{filter::Filter, wire::Refusal};

/// Leave to forward one request, once. Only [`admit`](super::admit) makes one.
#[derive(Debug)]
pub struct Permit {
    server: ServerId,
    rewritten: Option<Vec<u8>>,
    filter: Option<Filter>,
    surface: Option<String>,
    caller: String,
    obligations: Vec<Obligation>,
    notification: bool,
}

/// What goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The bytes as they came.
    Original,
    /// These bytes, with forced values in place.
    Rewritten(&'a [u8]),
}

impl Permit {
    /// The server that the request may go to.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// What goes upstream.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        self.rewritten
            .as_deref()
            .map_or(Body::Original, Body::Rewritten)
    }

    /// What must happen to the answer before the caller sees it; pass it to
    /// [`filter::list`](crate::filter::list).
    #[must_use]
    pub fn filter(&self) -> Option<Filter> {
        self.filter
    }

    /// What the limiter owes: one bucket for each, keyed by
    /// `(caller, surface or server, obligation)`.
    #[must_use]
    pub fn obligations(&self) -> &[Obligation] {
        &self.obligations
    }

    /// The current actor's name, as a key; `anonymous` without identity.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// The surface as `server/name`, as a key; `None` for protocol traffic.
    #[must_use]
    pub fn surface(&self) -> Option<&str> {
        self.surface.as_deref()
    }

    /// Whether no answer is expected.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        self.notification
    }

    /// The answer when a later stage refuses after all: a limit, the upstream, the audit.
    #[must_use]
    pub fn refusal(&self, reason: Reason) -> Refusal {
        Refusal::http(reason)
    }
}
