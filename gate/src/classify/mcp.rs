//! MCP over HTTP, in both eras.
//!
//! The era is what the body says: a revision in `params._meta` makes a request stateless (from
//! 2026-07-28 on), anything else is of the era with handshakes. Headers never decide, they agree
//! or the request is refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use latchkey_engine::{id::SurfaceId, index::SurfaceKind, name};

use super::{
    Asked, Fault, Message, Refused, Source, What, asks_for_tools, check_media_type,
    check_overrides, http, tools,
};
use crate::{
    filter::FilterKind,
    gate::Gate,
    inbound::Inbound,
    json::{self, Kind, Object, Value},
    method::{Method, Need},
    route,
    wire::{Reply, Unknown},
};

/// The stateless revisions.
const MODERN: [&str; 1] = ["2026-07-28"];
/// The revisions with a handshake.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// Where the parameters name the stateless revision.
pub(crate) const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// Where they say what the client can be asked for.
pub(crate) const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// Where a message says which task it belongs to.
pub(crate) const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// Keys with a meaning in the envelope.
const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// Keys with a meaning in the parameters of some method.
const PARAMS: [&str; 17] = [
    "name",
    "arguments",
    "uri",
    "ref",
    "argument",
    "_meta",
    "cursor",
    "level",
    "protocolVersion",
    "capabilities",
    "requestId",
    "progressToken",
    "requestState",
    "inputResponses",
    "task",
    "taskId",
    "notifications",
];

/// Reads the body.
pub(super) fn parse<'a>(inbound: &Inbound<'a>, limit: usize) -> Result<Message<'a>, Refused> {
    let refused = |fault| Refused {
        fault,
        reply: blank(),
    };
    check_overrides(inbound).map_err(refused)?;
    if inbound.query().is_some() {
        return Err(refused(Fault::Target("MCP requests have no query")));
    }
    if inbound.body.len() > limit {
        return Err(refused(Fault::TooLarge));
    }
    match inbound.method {
        "POST" => {}
        "GET" | "DELETE" if inbound.body.is_empty() => return Ok(Message::Session),
        "GET" | "DELETE" => return Err(refused(Fault::Envelope("a body where none belongs"))),
        _ => return Err(refused(Fault::Method)),
    }
    check_media_type(inbound).map_err(refused)?;
    json::parse(inbound.body)
        .map(Message::Rpc)
        .map_err(|error| refused(Fault::Json(error)))
}

/// A reply to a message whose id could not be read.
pub(super) fn blank() -> Reply {
    Reply::Rpc {
        id: None,
        modern: false,
        silent: false,
        unknown: Unknown::Method,
    }
}

/// A GET stream or a DELETE: only of a session, only in the era that has them.
pub(super) fn session<'d>(inbound: &Inbound<'_>) -> Result<Asked<'d>, Refused> {
    let refused = |fault| Refused {
        fault,
        reply: blank(),
    };
    let header = |name| {
        inbound
            .header(name)
            .map_err(|_| refused(Fault::Header(name)))
    };
    let version = header("mcp-protocol-version")?;
    let session = header("mcp-session-id")?;
    if session.is_none() && asks_for_tools(inbound) {
        return Ok(tools());
    }
    if version.is_some_and(|version| MODERN.contains(&version)) || session.is_none() {
        return Err(refused(Fault::Method));
    }
    if version.is_some_and(|version| !LEGACY.contains(&version)) {
        return Err(refused(Fault::Version));
    }
    let stream = inbound.method == "GET";
    Ok(Asked {
        what: What::Protocol(stream.then_some(FilterKind::Stream)),
        reply: blank(),
        method: inbound.method.to_owned(),
        path: inbound.path().to_owned(),
        protocol: version.map(str::to_owned),
    })
}

/// The envelope of a message.
struct Envelope<'d> {
    id: Option<Value<'d>>,
    method: Option<&'d str>,
    params: Option<Object<'d>>,
    modern: Option<&'d str>,
}

/// Finds what a message asks for.
pub(super) fn classify<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    root: Value<'d>,
) -> Result<Asked<'d>, Refused> {
    let envelope = match envelope(root) {
        Ok(envelope) => envelope,
        Err(fault) => {
            let reply = reply(readable_id(root), None, false, Unknown::Method);
            return Err(Refused { fault, reply });
        }
    };
    let id = envelope.id;
    let modern = envelope.modern.is_some();
    let refused = |fault| Refused {
        fault,
        reply: reply(id, envelope.method, modern, Unknown::Method),
    };
    let header_version = check_headers(inbound, &envelope).map_err(refused)?;
    let (what, unknown) = find(gate, inbound, &envelope).map_err(refused)?;
    let protocol = envelope.modern.map(str::to_owned).or(header_version);
    // Whether an answer or a note is taken is settled later, by the session.
    let unmatched = matches!(what, What::Unmatched { .. });
    Ok(Asked {
        what,
        reply: reply(id, envelope.method, modern, unknown),
        method: match envelope.method {
            Some(method) if Method::find(method, modern).is_some() => method.to_owned(),
            Some(_) => "__unmatched__".to_owned(),
            None => "__response__".to_owned(),
        },
        path: if unmatched {
            "/__unmatched__".to_owned()
        } else {
            inbound.path().to_owned()
        },
        protocol,
    })
}

fn reply(id: Option<Value<'_>>, method: Option<&str>, modern: bool, unknown: Unknown) -> Reply {
    let answers = method.is_none() && id.is_some();
    Reply::Rpc {
        id: id.map(|id| id.raw().to_owned()).filter(|_| !answers),
        modern,
        silent: id.is_none() || answers,
        unknown,
    }
}

/// The id of a message whose envelope is wrong elsewhere.
fn readable_id(root: Value<'_>) -> Option<Value<'_>> {
    root.get("id").filter(|id| is_id(*id))
}

fn is_id(id: Value<'_>) -> bool {
    match id.kind() {
        Kind::Text(text) => text.len() <= 256,
        Kind::Number(_) => id.as_i64().is_some(),
        _ => false,
    }
}

fn envelope(root: Value<'_>) -> Result<Envelope<'_>, Fault> {
    if root.as_array().is_some() {
        return Err(Fault::Batch);
    }
    let object = root
        .as_object()
        .ok_or(Fault::Envelope("a message is an object"))?;
    object
        .refuse_case_variants(&ENVELOPE)
        .map_err(Fault::Json)?;
    if object.get("jsonrpc").and_then(|it| it.as_text()) != Some("2.0") {
        return Err(Fault::Envelope("`jsonrpc` is not \"2.0\""));
    }
    let id = object.get("id");
    if id.is_some_and(|id| !is_id(id)) {
        return Err(Fault::Envelope("an id is a text or an integer"));
    }
    let answers = object.get("result").is_some() || object.get("error").is_some();
    let method = match object.get("method") {
        Some(_) if answers => return Err(Fault::Envelope("a request and an answer in one")),
        Some(method) => Some(
            method
                .as_text()
                .ok_or(Fault::Envelope("`method` is not a text"))?,
        ),
        // What is read in one place must not stand in the other.
        None if answers && object.get("params").is_some() => {
            return Err(Fault::Envelope("`params` beside an answer"));
        }
        None if answers && id.is_some() => None,
        None => return Err(Fault::Envelope("neither a request nor an answer")),
    };
    let params = match object.get("params") {
        None => None,
        Some(params) => Some(
            params
                .as_object()
                .ok_or(Fault::Envelope("`params` is not an object"))?,
        ),
    };
    Ok(Envelope {
        id,
        method,
        params,
        modern: modern(params)?,
    })
}

/// The stateless revision that the parameters name.
fn modern(params: Option<Object<'_>>) -> Result<Option<&str>, Fault> {
    let Some(params) = params else {
        return Ok(None);
    };
    params.refuse_case_variants(&PARAMS).map_err(Fault::Json)?;
    let Some(meta) = params.get("_meta") else {
        return Ok(None);
    };
    let meta = meta
        .as_object()
        .ok_or(Fault::Envelope("`_meta` is not an object"))?;
    meta.refuse_case_variants(&[VERSION_KEY, CAPABILITIES_KEY])
        .map_err(Fault::Json)?;
    let Some(version) = meta.get(VERSION_KEY) else {
        return Ok(None);
    };
    let version = version
        .as_text()
        .ok_or(Fault::Envelope("the protocol revision is not a text"))?;
    if MODERN.contains(&version) {
        Ok(Some(version))
    } else {
        Err(Fault::Version)
    }
}

/// Checks that the headers say what the body says; answers the revision of the header.
fn check_headers(inbound: &Inbound<'_>, envelope: &Envelope<'_>) -> Result<Option<String>, Fault> {
    let header = |name| inbound.header(name).map_err(|_| Fault::Header(name));
    let version = header("mcp-protocol-version")?;
    let method = header("mcp-method")?;
    let target = header("mcp-name")?;
    if let Some(named) = envelope.modern {
        if version != Some(named) {
            return Err(Fault::Mismatch("mcp-protocol-version"));
        }
        if method.is_none() {
            return Err(Fault::Mismatch("mcp-method"));
        }
        if header("mcp-session-id")?.is_some() {
            return Err(Fault::Header("a session in the era that has none"));
        }
    } else if version.is_some_and(|it| MODERN.contains(&it)) {
        return Err(Fault::Mismatch("mcp-protocol-version"));
    } else if version.is_some_and(|it| !LEGACY.contains(&it)) {
        return Err(Fault::Version);
    }
    if method.is_some() && method != envelope.method {
        return Err(Fault::Mismatch("mcp-method"));
    }
    let named = envelope.method.and_then(|method| {
        let key = match method {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => "taskId",
            _ => return None,
        };
        envelope.params?.get(key)?.as_text()
    });
    let routed = envelope.method.is_some_and(|it| !it.starts_with("tasks/"));
    let required = envelope.modern.is_some() && named.is_some() && routed;
    match target {
        None if required => return Err(Fault::Mismatch("mcp-name")),
        Some(target) if decoded(target).as_deref() != named => {
            return Err(Fault::Mismatch("mcp-name"));
        }
        _ => {}
    }
    Ok(version.map(str::to_owned))
}

/// The value of a routing header: as it stands, or in the base64 form of MCP.
pub(crate) fn decoded(value: &str) -> Option<String> {
    let inner = value
        .strip_prefix("=?base64?")
        .and_then(|it| it.strip_suffix("?="));
    match inner {
        None => Some(value.to_owned()),
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
    }
}

/// The row of the method table, turned into what is asked for.
fn find<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    envelope: &Envelope<'d>,
) -> Result<(What<'d>, Unknown), Fault> {
    let nothing = Ok((What::Unmatched { surface: false }, Unknown::Method));
    if let (None, Some(id), None) = (envelope.method, envelope.id, envelope.modern) {
        return Ok((What::Answer(id), Unknown::Method));
    }
    let row = envelope
        .method
        .and_then(|method| Method::find(method, envelope.modern.is_some()));
    let Some(row) = row else {
        return nothing;
    };
    if row.notification != envelope.id.is_none() {
        return Err(Fault::Envelope(
            "a request without an id, or a notification with one",
        ));
    }
    match row.need {
        Need::Never => nothing,
        Need::Listen => {
            let wanted = envelope
                .params
                .and_then(|it| it.get("notifications")?.as_object());
            let fault = Fault::Envelope("`notifications` is not an object");
            Ok((What::Listen(wanted.ok_or(fault)?), Unknown::Method))
        }
        Need::Task => {
            let task = envelope.params.and_then(|it| it.get("taskId"));
            let fault = Fault::Envelope("the parameters lack a `taskId`");
            Ok((What::Task(task.ok_or(fault)?), Unknown::Task))
        }
        Need::Own(note) => Ok((What::Note(note, envelope.params), Unknown::Method)),
        Need::Visible => Ok((What::Protocol(None), Unknown::Method)),
        Need::Filtered(kind) => Ok((What::Protocol(Some(kind)), Unknown::Method)),
        Need::Tool | Need::Prompt => named(gate, inbound, envelope, row.need == Need::Tool),
        Need::Resource => resource(gate, inbound, envelope),
        Need::Completion => completion(gate, inbound, envelope),
    }
}

fn text<'d>(params: Option<Object<'d>>, key: &str) -> Result<&'d str, Fault> {
    params
        .and_then(|params| params.get(key)?.as_text())
        .ok_or(Fault::Envelope("the parameters lack a name or URI"))
}

/// A tool or prompt, by its exact name.
fn named<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    envelope: &Envelope<'d>,
    tool: bool,
) -> Result<(What<'d>, Unknown), Fault> {
    let name = text(envelope.params, "name")?;
    // Before the registry is asked, so that the answer is the same for a name that it lacks.
    envelope.params.map_or(Ok(()), check_arguments)?;
    let shown = name::is_surface(name).then(|| name.to_owned());
    let unknown = if tool {
        Unknown::Tool(shown)
    } else {
        Unknown::Prompt(shown)
    };
    let surface = gate.policy().surface(inbound.server, name).filter(|it| {
        let kind = gate.policy().surface_entry(*it).map(|entry| &entry.kind);
        match kind {
            Some(SurfaceKind::Tool) => tool,
            Some(SurfaceKind::Prompt) => !tool,
            _ => false,
        }
    });
    let what = match (surface, envelope.params) {
        (Some(surface), Some(params)) => What::Surface(surface, Source::Message(params)),
        _ => What::Unmatched { surface: true },
    };
    Ok((what, unknown))
}

fn check_arguments(params: Object<'_>) -> Result<(), Fault> {
    match params.get("arguments") {
        Some(value) if value.as_object().is_none() && !value.is_null() => {
            Err(Fault::Envelope("`arguments` is not an object"))
        }
        _ => Ok(()),
    }
}

/// A resource, by the pattern that its URI matches.
fn resource<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    envelope: &Envelope<'d>,
) -> Result<(What<'d>, Unknown), Fault> {
    let uri = text(envelope.params, "uri")?;
    let segments = route::uri_segments(uri).map_err(|it| Fault::Target(it.0))?;
    let what = match gate.routes().resource(inbound.server, &segments) {
        Some((surface, variables)) => {
            let pairs = variables
                .iter()
                .map(|(name, value)| (*name, value.as_str()));
            What::Surface(surface, Source::Parts(http::members(pairs), None))
        }
        None => What::Unmatched { surface: true },
    };
    Ok((what, Unknown::Resource))
}

/// A completion, by the prompt or pattern that it refers to.
fn completion<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    envelope: &Envelope<'d>,
) -> Result<(What<'d>, Unknown), Fault> {
    let reference = envelope
        .params
        .and_then(|params| params.get("ref")?.as_object())
        .ok_or(Fault::Envelope(
            "a completion refers to a prompt or resource",
        ))?;
    reference
        .refuse_case_variants(&["type", "name", "uri"])
        .map_err(Fault::Json)?;
    let kind = text(Some(reference), "type")?;
    let (surface, unknown): (Option<SurfaceId>, _) = match kind {
        "ref/prompt" => {
            let name = text(Some(reference), "name")?;
            let shown = name::is_surface(name).then(|| name.to_owned());
            let surface = gate.policy().surface(inbound.server, name).filter(|it| {
                let entry = gate.policy().surface_entry(*it);
                entry.is_some_and(|entry| entry.kind == SurfaceKind::Prompt)
            });
            (surface, Unknown::Prompt(shown))
        }
        "ref/resource" => {
            let uri = text(Some(reference), "uri")?;
            let index = gate.policy().index();
            let found = gate.routes().resource_template(index, inbound.server, uri);
            (found, Unknown::Resource)
        }
        _ => {
            return Err(Fault::Envelope(
                "a completion refers to a prompt or resource",
            ));
        }
    };
    let what = surface.map_or(What::Unmatched { surface: true }, What::Completion);
    Ok((what, unknown))
}
