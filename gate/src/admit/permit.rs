//! The proof that a request was allowed.

use latchkey_engine::{id::ServerId, index::Obligation, reason::Reason};

use super::Facts;
use crate::{
    bridge::{self, Crossing},
    filter::{Filter, FilterKind},
    session::Bond,
    wire::{Refusal, Reply, Unknown},
};

/// Leave to forward one request, once, to its server's upstream URL. Only
/// [`admit`](super::admit) makes one, and the filter for an answer of this side's own; it cannot be
/// copied. Boxed, because it goes from stage to stage.
#[derive(Debug)]
pub struct Permit(Box<Terms>);

#[derive(Debug)]
struct Terms {
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
    /// For a request whose answer goes to its caller as `reply` says, and which owes nothing yet.
    fn plain(server: ServerId, reply: Reply) -> Self {
        Self(Box::new(Terms {
            server,
            rewritten: None,
            filter: None,
            charges: Vec::new(),
            reply,
            bond: None,
            crossing: None,
            streams: false,
            tunnels: false,
        }))
    }

    /// For protocol traffic.
    pub(super) fn protocol(
        server: ServerId,
        _allowed: &Facts,
        filter: Option<Filter>,
        reply: Reply,
    ) -> Self {
        let mut permit = Self::plain(server, reply);
        permit.0.filter = filter;
        permit
    }

    /// For the answer to a request of a server that its client is not shown.
    pub(crate) fn answer(server: ServerId, body: Vec<u8>, bond: Bond) -> Self {
        let silent = Reply::Rpc {
            id: None,
            modern: false,
            silent: true,
            unknown: Unknown::Method,
        };
        let mut permit = Self::plain(server, silent);
        permit.0.rewritten = Some(body);
        permit.0.bond = Some(bond);
        permit
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
        let mut permit = Self::plain(server, reply);
        permit.0.rewritten = rewritten;
        permit.0.filter = kind.map(|kind| Filter { server, kind });
        permit.0.charges = charges;
        permit
    }

    /// Lets bodies pass that the surface streams.
    pub(super) fn stream(&mut self) {
        self.0.streams = true;
    }

    /// Lets the connection become a WebSocket, as the request asks.
    pub(super) fn tunnel(&mut self) {
        self.0.tunnels = true;
    }

    /// Sends these bytes in place of the ones that came.
    pub(super) fn rewrite(&mut self, body: String) {
        self.0.rewritten = Some(body.into_bytes());
    }

    /// Sends it to a server of the other era, so changed.
    pub(crate) fn cross(&mut self, crossing: Crossing, body: Option<String>) {
        self.0.crossing = Some(Box::new(crossing));
        if let Some(body) = body {
            self.rewrite(body);
        }
    }

    /// How it gets to a server of the other era; none where the server is of its own.
    #[must_use]
    pub fn crossing(&self) -> Option<&Crossing> {
        self.0.crossing.as_deref()
    }

    /// Gives the request a name of its own, where it goes within a session that its caller's other
    /// requests share; `asked` is its body as it came.
    pub fn name(&mut self, name: &str, asked: &[u8]) {
        let Some(Crossing::Legacy {
            discovers: false,
            named,
            ..
        }) = self.0.crossing.as_deref_mut()
        else {
            return;
        };
        let body = self.0.rewritten.as_deref().unwrap_or(asked);
        if let Some((renamed, called)) = bridge::named(body, name) {
            *named = Some(called);
            self.0.rewritten = Some(renamed.into_bytes());
        }
    }

    /// Says what the handles of the exchange are bound to.
    pub(super) fn bind(&mut self, bond: Bond) {
        self.0.bond = Some(bond);
    }

    /// The server that the request may go to.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.0.server
    }

    /// What goes upstream.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        self.0
            .rewritten
            .as_deref()
            .map_or(Body::Original, Body::Rewritten)
    }

    /// Whether a body may go upstream that nobody has read: [`streamed`](crate::passage::streamed)
    /// says which.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.0.streams
    }

    /// Whether the connection becomes a WebSocket if the server agrees.
    #[must_use]
    pub fn tunnels(&self) -> bool {
        self.0.tunnels
    }

    /// What must happen to the answer before the caller sees it; pass it to
    /// [`Viewer::answer`](crate::filter::Viewer::answer), or line by line to
    /// [`Viewer::line`](crate::filter::Viewer::line). `None` passes the answer as it comes.
    #[must_use]
    pub fn filter(&self) -> Option<Filter> {
        self.0.filter
    }

    /// What the handles of an MCP exchange are bound to. The session and the event that the request
    /// goes upstream with are the ones that this names, and no others.
    #[must_use]
    pub fn bond(&self) -> Option<&Bond> {
        self.0.bond.as_ref()
    }

    /// What the limiter owes before the request goes on; all must hold.
    #[must_use]
    pub fn obligations(&self) -> &[Charge] {
        &self.0.charges
    }

    /// Whether no answer is expected.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        matches!(self.0.reply, Reply::Rpc { silent: true, .. })
    }

    /// The answer when a later stage refuses after all: a limit, the upstream, the audit. The
    /// caller is told it as it is, whatever the server discloses: the call itself was allowed.
    #[must_use]
    pub fn refusal(&self, reason: Reason) -> Refusal {
        Refusal::plain(reason, self.0.reply.clone())
    }
}
