//! A caller of one era before a server of the other: what can be said in both.
//!
//! Requests are rewritten once they are allowed, answers once they are filtered. What one era has
//! and the other lacks is refused in plain words; see `docs/mcp.md`.

mod answers;

use latchkey_engine::id::ServerId;

use crate::{
    admit::{Body, Permit},
    classify::{CAPABILITIES_KEY, VERSION_KEY},
    gate::Gate,
    json::{self, Edit, Object, Value, splice},
    schema::Mirror,
    settings::Era,
    survey::Ask,
};

/// The stateless revision that is spoken.
const MODERN: &str = "2026-07-28";
/// The newest revision with sessions.
const LEGACY: &str = "2025-11-25";
/// Every revision with sessions that a caller may ask for.
const LEGACY_KNOWN: [&str; 4] = [LEGACY, "2025-06-18", "2025-03-26", "2024-11-05"];
/// Where parameters say who asks, and how much is to be logged.
const OWN_KEYS: [&str; 4] = [
    VERSION_KEY,
    CAPABILITIES_KEY,
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];
/// Who asks, when this side speaks for its callers.
const CLIENT: &str = "{\"name\":\"latchkey-sidecar\",\"version\":\"1\"}";

/// How a request and its answer change on their way between the eras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crossing {
    /// It is answered on this side; with nothing, where no answer is expected.
    Here(Option<String>),
    /// To a stateless server: these headers go with it.
    Modern {
        /// Names in lower case.
        headers: Vec<(String, String)>,
        /// The revision of the session that the caller opens with it.
        opens: Option<String>,
    },
    /// To a server with sessions: within one that this side holds for the caller.
    Legacy {
        /// Whether the caller asks what the server is, which the opening of the session has told.
        discovers: bool,
        /// Whether the answer says for how long it may be kept.
        keeps: bool,
        /// What it is called there.
        named: Option<Named>,
    },
}

/// How a request is called in a session that others of its caller share, who may have chosen the
/// same id and the same token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, as JSON.
    name: String,
    /// The id and the token of its progress, as its caller wrote them.
    id: String,
    token: Option<String>,
}

/// A crossing, and the body that goes on the way in place of the one that came.
type Crossed = (Crossing, Option<String>);

/// How an allowed request gets to a server of the other era; none where it is of the server's own,
/// or the policy does not say which that is.
pub(crate) fn cross(
    gate: &Gate,
    server: ServerId,
    permit: &mut Permit,
    asked: &[u8],
    modern: bool,
) -> Option<()> {
    let era = gate.server_settings(server)?.era?;
    if (era == Era::Modern) == modern {
        return None;
    }
    let body = match permit.body() {
        Body::Original => asked.to_vec(),
        Body::Rewritten(bytes) => bytes.to_vec(),
    };
    let document = json::parse(&body).ok()?;
    let root = document.root();
    let method = root.get("method").and_then(|it| it.as_text());
    let id = root.get("id").map(|id| id.raw());
    let (crossing, changed) = match (method, id) {
        (Some(method), Some(id)) if era == Era::Modern => {
            to_modern((gate, server), root, method, id)?
        }
        (Some(method), Some(id)) => to_legacy(root, method, id)?,
        // A notice, or an answer to a request of the server: none of these is passed on.
        _ => (Crossing::Here(None), None),
    };
    permit.cross(crossing, changed);
    Some(())
}

fn to_modern(
    (gate, server): (&Gate, ServerId),
    root: Value<'_>,
    method: &str,
    id: &str,
) -> Option<Crossed> {
    let name = match method {
        "ping" => {
            let pong = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}");
            return Some((Crossing::Here(Some(pong)), None));
        }
        "initialize" => return Some(discover(root, id)),
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "completion/complete" => "",
        _ => return Some(lacks(method, id, MODERN)),
    };
    let params = root.get("params");
    if params.and_then(|it| it.get("task")).is_some() {
        return Some(lacks("task", id, MODERN));
    }
    let mut headers = vec![
        ("mcp-protocol-version".to_owned(), MODERN.to_owned()),
        ("mcp-method".to_owned(), method.to_owned()),
    ];
    if let Some(named) = params.and_then(|it| it.get(name)?.as_text()) {
        headers.push(("mcp-name".to_owned(), routed(named)));
        if method == "tools/call" {
            headers.extend(mirrors(gate, server, named, params?.get("arguments")));
        }
    }
    let opens = None;
    let text = splice(root.raw(), with_meta(root)?)?;
    Some((Crossing::Modern { headers, opens }, Some(text)))
}

/// The headers that mirror arguments, as the reviewed schema says.
fn mirrors(
    gate: &Gate,
    server: ServerId,
    tool: &str,
    arguments: Option<Value<'_>>,
) -> Vec<(String, String)> {
    let policy = gate.policy();
    let entry = policy.surface(server, tool);
    let entry = entry.and_then(|it| policy.surface_entry(it));
    let schema = entry.and_then(|it| it.schema);
    let validator = schema.and_then(|it| gate.validator(it.index()));
    let (Some(arguments), Some(validator)) = (arguments, validator) else {
        return Vec::new();
    };
    let header = |(suffix, path): &Mirror| {
        let value = path.iter().try_fold(arguments, |at, name| at.get(name))?;
        let text = match value.as_text() {
            Some(text) => routed(text),
            None => value.raw().to_owned(),
        };
        Some((format!("mcp-param-{suffix}"), text))
    };
    validator.mirrors().iter().filter_map(header).collect()
}

impl Crossing {
    /// What opens a session with a server, on behalf of a caller of which it carries nothing.
    #[must_use]
    pub fn opening() -> Ask {
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{{\
             \"protocolVersion\":\"{LEGACY}\",\"capabilities\":{{}},\"clientInfo\":{CLIENT}}}}}"
        );
        ask(body, None, Some(1))
    }

    /// Whether a server has opened a session with this answer.
    #[must_use]
    pub fn has_opened(message: &[u8]) -> bool {
        let document = json::parse(message).ok();
        let result = document.as_ref().and_then(|it| it.root().get("result"));
        let revision = result.and_then(|it| it.get("protocolVersion")?.as_text());
        revision.is_some_and(|it| LEGACY_KNOWN.contains(&it))
    }

    /// What is said once it is open, or ends it.
    #[must_use]
    pub fn within(session: Option<&str>, ends: bool) -> Ask {
        if ends {
            let mut ask = ask(String::new(), session, None);
            ask.method = "DELETE";
            return ask;
        }
        let body = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
        ask(body.to_owned(), session, None)
    }

    /// The headers that a request to a server with sessions goes with, beside its session.
    #[must_use]
    pub fn revision() -> (&'static str, &'static str) {
        ("mcp-protocol-version", LEGACY)
    }
}

fn ask(body: String, session: Option<&str>, id: Option<u64>) -> Ask {
    let accepted = "application/json, text/event-stream";
    let mut headers = vec![("accept", accepted.to_owned())];
    if id.is_none() {
        headers.push(("mcp-protocol-version", LEGACY.to_owned()));
    }
    headers.extend(session.map(|session| ("mcp-session-id", session.to_owned())));
    Ask {
        method: "POST",
        body,
        headers,
        id,
        probes: false,
    }
}

/// The question that opens no session but tells as much as opening one does.
fn discover(root: Value<'_>, id: &str) -> Crossed {
    let wanted = root.get("params").and_then(|it| it.get("protocolVersion"));
    let wanted = wanted.and_then(|it| it.as_text()).unwrap_or_default();
    let known = LEGACY_KNOWN.into_iter().find(|it| *it == wanted);
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"server/discover\",\"params\":{{\
         \"_meta\":{{{}}}}}}}",
        own_meta()
    );
    let headers = vec![
        ("mcp-protocol-version".to_owned(), MODERN.to_owned()),
        ("mcp-method".to_owned(), "server/discover".to_owned()),
    ];
    let opens = Some(known.unwrap_or(LEGACY).to_owned());
    (Crossing::Modern { headers, opens }, Some(body))
}

fn to_legacy(root: Value<'_>, method: &str, id: &str) -> Option<Crossed> {
    let keeps = matches!(
        method,
        "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    );
    let discovers = method == "server/discover";
    let known = matches!(method, "tools/call" | "prompts/get" | "completion/complete");
    if !keeps && !known && !discovers {
        return Some(lacks(method, id, LEGACY));
    }
    let edits = without_meta(root);
    let text = if edits.is_empty() {
        None
    } else {
        Some(splice(root.raw(), edits)?)
    };
    let crossing = Crossing::Legacy {
        discovers,
        keeps,
        named: None,
    };
    Some((crossing, text))
}

/// A request under this name.
pub(crate) fn named(body: &[u8], name: &str) -> Option<(String, Named)> {
    let document = json::parse(body).ok()?;
    let root = document.root();
    let name = serde_json::Value::from(name).to_string();
    let rename = |it: Value<'_>| Edit {
        at: it.span(),
        text: name.clone(),
    };
    let id = root.get("id")?;
    let meta = root.get("params").and_then(|it| it.get("_meta"));
    let token = meta.and_then(|it| it.get("progressToken"));
    let edits = [Some(id), token]
        .into_iter()
        .flatten()
        .map(rename)
        .collect();
    let text = splice(document.source(), edits)?;
    let named = Named {
        id: id.raw().to_owned(),
        token: token.map(|it| it.raw().to_owned()),
        name,
    };
    Some((text, named))
}

/// What the server's era does not have is not there: in the words of JSON-RPC.
fn lacks(what: &str, id: &str, revision: &str) -> Crossed {
    let message = serde_json::Value::from(format!(
        "Method not found: the server speaks {revision}, which has no such `{what}`"
    ));
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":{message}}}}}"
    );
    (Crossing::Here(Some(body)), None)
}

/// What a stateless request says of itself: a client that can be asked for nothing, because the
/// caller's era is asked in another way.
fn own_meta() -> String {
    format!(
        "\"{VERSION_KEY}\":\"{MODERN}\",\"{CAPABILITIES_KEY}\":{{}},\
         \"io.modelcontextprotocol/clientInfo\":{CLIENT}"
    )
}

fn with_meta(root: Value<'_>) -> Option<Vec<Edit>> {
    let own = own_meta();
    let Some(params) = root.get("params") else {
        let params = format!("{{\"_meta\":{{{own}}}}}");
        return Some(root.as_object()?.set([("params", params)]));
    };
    let params = params.as_object()?;
    let Some(meta) = params.get("_meta") else {
        return Some(params.set([("_meta", format!("{{{own}}}"))]));
    };
    // What the caller says of itself there is of the other era, or would stand there twice.
    let rest = without(meta.as_object()?, &OWN_KEYS);
    let comma = if rest == "{}" { "" } else { "," };
    let rest = rest.strip_prefix('{')?;
    Some(vec![Edit {
        at: meta.span(),
        text: format!("{{{own}{comma}{rest}"),
    }])
}

fn without_meta(root: Value<'_>) -> Vec<Edit> {
    let meta = root.get("params").and_then(|it| it.get("_meta"));
    let Some((value, meta)) = meta.and_then(|it| Some((it, it.as_object()?))) else {
        return Vec::new();
    };
    vec![Edit {
        at: value.span(),
        text: without(meta, &OWN_KEYS),
    }]
}

/// An object without some of its members.
fn without(object: Object<'_>, keys: &[&str]) -> String {
    let kept = object.members().filter(|it| !keys.contains(&it.key));
    let kept = kept.map(|it| {
        let key = serde_json::Value::from(it.key);
        format!("{key}:{}", it.value.raw())
    });
    format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
}

/// The value of a routing header: as it stands where it can, or in the base64 form of MCP.
#[must_use]
pub fn routed(name: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let graphic = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if graphic && name.trim() == name && !name.starts_with("=?") {
        return name.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(name))
}

#[cfg(test)]
mod tests;
