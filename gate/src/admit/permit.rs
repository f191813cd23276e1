//! The proof that a request was allowed.

use latchkey_engine::{id::ServerId, index::Obligation, reason::Reason};

use super::Facts;
use crate::{
    bridge::Crossing,
    filter::{Filter, FilterKind},
    session::Bond,
    wire::{Refusal, Reply, Unknown},
};

/// Leave to forward one request, once, to its server's upstream URL. Only
/// [`admit`](super::admit) makes one, and the filter for an answer of this side's own; it cannot be
/// copied.
#[derive(Debug)]
pub struct Permit {
    server: ServerId,
    rewritten: Option<Vec<u8>>,
    filter: Option<Filter>,
    charges: Vec<Charge>,
    reply: Reply,
    bond: Option<Bond>,
    crossing: Option<Box<Crossing>>,
    streams: bool,
    tunnels: bool,
}

/// What goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The bytes as they came.
    Original,
    /// These bytes, with forced values in place; they are `application/json`.
    Rewritten(&'a [u8]),
}

/// One obligation and the bucket that it is counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// What is owed.
    pub obligation: Obligation,
    /// Current actor, surface, and the rule or surface that it comes from: by names, so that the
    /// bucket outlives a swap.
    pub key: String,
}

impl Permit {
    /// For protocol traffic.
    pub(super) fn protocol(
        server: ServerId,
        _allowed: &Facts,
        filter: Option<Filter>,
        reply: Reply,
    ) -> Self {
        Self {
            server,
            rewritten: None,
            filter,
            charges: Vec::new(),
            reply,
            bond: None,
            crossing: None,
            streams: false,
            tunnels: false,
        }
    }

    /// For the answer to a request of a server that its client is not shown.
    pub(crate) fn answer(server: ServerId, body: Vec<u8>, bond: Bond) -> Self {
        Self {
            server,
            rewritten: Some(body),
            filter: None,
            charges: Vec::new(),
            reply: Reply::Rpc {
                id: None,
                modern: false,
                silent: true,
                unknown: Unknown::Method,
            },
            bond: Some(bond),
            crossing: None,
            streams: false,
            tunnels: false,
        }
    }

    /// For a call of a surface.
    pub(super) fn surface(
        server: ServerId,
        _allowed: &Facts,
        rewritten: Option<Vec<u8>>,
        charges: Vec<Charge>,
        reply: Reply,
    ) -> Self {
        // What a call of an MCP server answers may come as a stream, between its requests.
        let kind = match reply {
            Reply::Http => None,
            Reply::Rpc { .. } => Some(FilterKind::Call),
        };
        let filter = kind.map(|kind| Filter { server, kind });
        Self {
            server,
            rewritten,
            filter,
            charges,
            reply,
            bond: None,
            crossing: None,
            streams: false,
            tunnels: false,
        }
    }

    /// Lets bodies pass that the surface streams.
    pub(super) fn stream(&mut self) {
        self.streams = true;
    }

    /// Lets the connection become a WebSocket, as the request asks.
    pub(super) fn tunnel(&mut self) {
        self.tunnels = true;
    }

    /// Sends these bytes in place of the ones that came.
    pub(super) fn rewrite(&mut self, body: String) {
        self.rewritten = Some(body.into_bytes());
    }

    /// Sends it to a server of the other era, so changed.
    pub(crate) fn cross(&mut self, crossing: Crossing, body: Option<String>) {
        self.crossing = Some(Box::new(crossing));
        if let Some(body) = body {
            self.rewrite(body);
        }
    }

    /// How it gets to a server of the other era; none where the server is of its own.
    #[must_use]
    pub fn crossing(&self) -> Option<&Crossing> {
        self.crossing.as_deref()
    }

    /// Says what the handles of the exchange are bound to.
    pub(super) fn bind(&mut self, bond: Bond) {
        self.bond = Some(bond);
    }

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

    /// Whether a body may go upstream that nobody has read: [`streamed`](crate::passage::streamed)
    /// says which.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.streams
    }

    /// Whether the connection becomes a WebSocket if the server agrees.
    #[must_use]
    pub fn tunnels(&self) -> bool {
        self.tunnels
    }

    /// What must happen to the answer before the caller sees it; pass it to
    /// [`Viewer::answer`](crate::filter::Viewer::answer), or line by line to
    /// [`Viewer::line`](crate::filter::Viewer::line). `None` passes the answer as it comes.
    #[must_use]
    pub fn filter(&self) -> Option<Filter> {
        self.filter
    }

    /// What the handles of an MCP exchange are bound to. The session and the event that the request
    /// goes upstream with are the ones that this names, and no others.
    #[must_use]
    pub fn bond(&self) -> Option<&Bond> {
        self.bond.as_ref()
    }

    /// What the limiter owes before the request goes on; all must hold.
    #[must_use]
    pub fn obligations(&self) -> &[Charge] {
        &self.charges
    }

    /// Whether no answer is expected.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        matches!(self.reply, Reply::Rpc { silent: true, .. })
    }

    /// The answer when a later stage refuses after all: a limit, the upstream, the audit. The
    /// caller is told it as it is, whatever the server discloses: the call itself was allowed.
    #[must_use]
    pub fn refusal(&self, reason: Reason) -> Refusal {
        Refusal::plain(reason, self.reply.clone())
    }
}
