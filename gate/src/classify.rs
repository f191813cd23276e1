//! What a request asks for: the parsed body decides, and every header must agree with it.

mod fault;
mod http;
mod mcp;

use latchkey_engine::{
    id::{ServerId, SurfaceId},
    index::Transport,
};

pub use fault::Fault;
pub(crate) use http::members;
pub(crate) use mcp::{CAPABILITIES_KEY, RELATED_TASK, VERSION_KEY, decoded as decoded_header};

use crate::{
    admit::tools,
    filter::FilterKind,
    gate::Gate,
    inbound::Inbound,
    json::{Document, Object, Value},
    method::Note,
    wire::Reply,
};

/// A request that can be read in one way only.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// A JSON-RPC message.
    Rpc(Document<'a>),
    /// A GET or DELETE of an MCP session.
    Session,
    /// A plain HTTP request, with its JSON body if it has one.
    Http(Option<Document<'a>>),
}

impl Message<'_> {
    /// The trace that the message says it belongs to, in the place that MCP has for it.
    pub(crate) fn traceparent(&self) -> Option<String> {
        let Self::Rpc(document) = self else {
            return None;
        };
        let meta = document.root().get("params")?.get("_meta")?;
        let text = meta.get("traceparent")?.as_text()?;
        (text.len() <= 64).then(|| text.to_owned())
    }
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked<'d> {
    /// What it is.
    pub(crate) what: What<'d>,
    /// How it is answered.
    pub(crate) reply: Reply,
    /// The JSON-RPC method, or the HTTP method.
    pub(crate) method: String,
    /// The path, or a route's template, or `/__unmatched__`.
    pub(crate) path: String,
    /// The protocol revision that it names.
    pub(crate) protocol: Option<String>,
}

/// The kinds of requests.
#[derive(Debug)]
pub(crate) enum What<'d> {
    /// Protocol traffic, for callers who see anything of the server.
    Protocol(Option<FilterKind>),
    /// A call of a surface.
    Surface(SurfaceId, Source<'d>),
    /// The answer to a request of the server, which has this id.
    Answer(Value<'d>),
    /// What the client tells of its own side of a session, with its parameters.
    Note(Note, Option<Object<'d>>),
    /// A stream of notifications, of these kinds.
    Listen(Object<'d>),
    /// Something about the task that this names.
    Task(Value<'d>),
    /// What the caller may call.
    Tools,
    /// A completion for a surface's argument.
    Completion(SurfaceId),
    /// Nothing that the registry or the method table knows; whether it names a surface.
    Unmatched {
        /// Whether it asks for a surface, rather than by a method that does not exist.
        surface: bool,
    },
}

/// Where the arguments of a call stand.
#[derive(Debug, Clone)]
pub(crate) enum Source<'d> {
    /// Under `params.arguments` of the message.
    Message(Object<'d>),
    /// Members of an object that is put together from a URI, and the JSON body of the request.
    Parts(String, Option<Value<'d>>),
}

/// Whether a request asks what its caller may call, unless the policy has something there.
fn asks_for_tools(inbound: &Inbound<'_>) -> bool {
    inbound.method == "GET" && inbound.target == tools::PATH && inbound.body.is_empty()
}

/// The question what a caller may call.
fn tools<'d>() -> Asked<'d> {
    Asked {
        what: What::Tools,
        reply: Reply::Http,
        method: "GET".to_owned(),
        path: tools::PATH.to_owned(),
        protocol: None,
    }
}

/// A request that is refused before it is classified, and how it is answered.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) fault: Fault,
    pub(crate) reply: Reply,
}

/// The parse stage: reads the body, strictly.
pub(crate) fn parse<'a>(gate: &Gate, inbound: &Inbound<'a>) -> Result<Message<'a>, Refused> {
    let Some(server) = gate.policy().server_entry(inbound.server) else {
        return Err(Refused {
            fault: Fault::Target("no such server"),
            reply: Reply::Http,
        });
    };
    let limit = server.max_body as usize;
    match server.transport {
        Transport::Mcp => mcp::parse(inbound, limit),
        Transport::Http => http::parse(inbound, limit).map_err(|fault| Refused {
            fault,
            reply: Reply::Http,
        }),
    }
}

/// The classify stage: finds what is asked for.
pub(crate) fn classify<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    message: &'d Message<'_>,
) -> Result<Asked<'d>, Refused> {
    match message {
        Message::Rpc(document) => mcp::classify(gate, inbound, document.root()),
        Message::Session => mcp::session(inbound),
        Message::Http(body) => http::classify(gate, inbound, body.as_ref().map(Document::root))
            .map_err(|fault| Refused {
                fault,
                reply: Reply::Http,
            }),
    }
}

/// How the answer to a request looks of which nothing could be read.
pub(crate) fn blank_reply(gate: &Gate, server: ServerId) -> Reply {
    match gate.policy().server_entry(server).map(|it| it.transport) {
        Some(Transport::Mcp) => mcp::blank(),
        Some(Transport::Http) | None => Reply::Http,
    }
}

/// Headers that some server takes for the real method or path.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Refuses headers that could make the server see another request.
fn check_overrides(inbound: &Inbound<'_>) -> Result<(), Fault> {
    let overridden = |(name, _): &(&str, &[u8])| OVERRIDES.contains(name);
    if inbound.headers.iter().any(overridden) {
        return Err(Fault::Header("a header that overrides the method or path"));
    }
    if inbound.headers.iter().any(takes_away) {
        return Err(Fault::Header(
            "a `Connection` that takes away what is decided by",
        ));
    }
    Ok(())
}

/// Whether a header ends others at this hop that the request is decided by.
fn takes_away((name, value): &(&str, &[u8])) -> bool {
    let decides = |it: &[u8]| {
        let it = it.trim_ascii().to_ascii_lowercase();
        it == b"content-type" || it == b"content-encoding" || it.starts_with(b"mcp-")
    };
    *name == "connection" && value.split(|byte| *byte == b',').any(decides)
}

/// Refuses a body that is not plain UTF-8 JSON by its own declaration.
fn check_media_type(inbound: &Inbound<'_>) -> Result<(), Fault> {
    let encoding = inbound
        .header("content-encoding")
        .map_err(|_| Fault::Header("content-encoding"))?;
    if encoding.is_some_and(|it| !it.eq_ignore_ascii_case("identity")) {
        return Err(Fault::MediaType("the body is compressed; send it plain"));
    }
    let media = inbound
        .header("content-type")
        .map_err(|_| Fault::Header("content-type"))?
        .ok_or(Fault::MediaType("send `content-type: application/json`"))?;
    let mut parts = media.split(';').map(|part| part.trim_matches([' ', '\t']));
    if !parts
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case("application/json"))
    {
        return Err(Fault::MediaType("send `content-type: application/json`"));
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'))
            .unwrap_or(value);
        if !name.eq_ignore_ascii_case("charset") {
            return Err(Fault::MediaType(
                "a parameter of the media type that JSON lacks",
            ));
        }
        if !value.eq_ignore_ascii_case("utf-8") {
            return Err(Fault::MediaType("JSON is UTF-8"));
        }
    }
    Ok(())
}
