//! Answers that must not show what the caller may never use.

mod entries;
mod requests;
mod tasks;
mod watch;

use std::fmt;

use latchkey_engine::{
    decision::Visibility, id::ServerId, index::SurfaceKind, overlay::Overlay, time::Time,
};

use crate::{
    admit::{Permit, visibility},
    gate::Gate,
    identity::Identity,
    json::{self, Edit, JsonError, Limits, Object, Value, splice},
    pin::Sightings,
    seal::Sealer,
    session::Bond,
    task::Tasks,
};

pub(crate) use requests::capabilities;
pub use requests::{needs_look, pages};
pub use tasks::wants_task;
pub use watch::Watch;

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
    /// Traffic of the protocol: a JSON body must be one answer and passes as it is, and from an event
    /// stream what the server may not ask its client is taken out.
    Answer,
    /// A call: its answer may ask the caller for input, or send it to a page, which is decided, and
    /// give out a state or a task, which are sealed.
    Call,
    /// What a server says of a task.
    Task,
    /// `tasks/list`
    Tasks,
    /// A stream of notifications.
    Listen,
    /// The same for a stream that no request asked for. It may replay the answer to a list, which
    /// is filtered by what it holds.
    Stream,
    /// What is no MCP: it passes as it comes, for as long as its request is allowed.
    Unread,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterError {
    /// It is not one strict JSON text.
    Json(JsonError),
    /// It is not the answer that its request asks for.
    Shape,
    /// It asks the caller for what the server may not ask, in a word.
    Asked(&'static str),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the tool server's answer: {error}"),
            Self::Shape => f.write_str("the tool server's answer is not what was asked for"),
            Self::Asked(asked) => {
                write!(
                    f,
                    "the server asked its client for {asked}: see `serverRequests`"
                )
            }
        }
    }
}

impl std::error::Error for FilterError {}

/// The most values and keys that one answer may have.
const MAX_NODES: usize = 1_000_000;

/// Who looks at an answer, through what.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    /// The policy in force.
    pub gate: &'a Gate,
    /// What is taken away at run time.
    pub overlay: &'a Overlay,
    /// The caller.
    pub identity: Option<&'a Identity>,
    /// The time of the decision.
    pub now: Time,
    /// What the answer is.
    pub filter: Filter,
    /// What the handles in it are sealed with and bound to.
    pub handles: Option<(&'a Sealer, &'a Bond)>,
    /// The body of the request that is answered, as its caller sent it.
    pub request: &'a [u8],
    /// What remembers the definitions in it.
    pub pins: Option<&'a Sightings>,
    /// What remembers the tasks in it.
    pub tasks: Option<&'a Tasks>,
}

impl FilterKind {
    /// Whether it is a stream that is open for as long as its caller likes.
    #[must_use]
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Stream | Self::Listen)
    }
}

impl Viewer<'_> {
    /// Filters one JSON-RPC answer: entries that are not in the registry, or that this caller can
    /// never use, are taken out, caching is made private, and the cursor is sealed: a page may come
    /// out empty. Errors pass unchanged.
    pub fn answer(&self, body: &[u8]) -> Result<Vec<u8>, FilterError> {
        match self.filter.kind {
            FilterKind::Unread => Ok(body.to_vec()),
            FilterKind::Call | FilterKind::Answer | FilterKind::Listen if !needs_look(body) => {
                Ok(body.to_vec())
            }
            _ => self.filtered(body),
        }
    }

    /// Filters one line of an event stream, without its line end: `data:` lines hold one whole JSON
    /// message each, `id:` lines name an event, all other lines pass.
    pub fn line(&self, line: &[u8]) -> Result<Line, FilterError> {
        if self.filter.kind == FilterKind::Unread {
            return Ok(Line::Pass);
        }
        // Clients skip it in front of a stream, and then read what follows.
        if line.starts_with(b"\xef\xbb\xbf") {
            return Err(FilterError::Shape);
        }
        let Some((field, value)) = field(line) else {
            return Ok(Line::Pass);
        };
        match field {
            b"data" if !value.is_empty() => self.message(value),
            b"id" if !value.is_empty() => Ok(self.event_id(value)),
            _ => Ok(Line::Pass),
        }
    }

    fn message(&self, data: &[u8]) -> Result<Line, FilterError> {
        let document = parse(data)?;
        let message = document.root().as_object().ok_or(FilterError::Shape)?;
        refuse_variants(message, &["id", "method", "result", "error", "params"])?;
        if let Some(method) = message.get("method") {
            let changed = |method: &str| method.ends_with("/list_changed");
            if let Some(pins) = self.pins.filter(|_| method.as_text().is_some_and(changed)) {
                pins.raise();
            }
        }
        match (message.get("method"), message.get("id")) {
            (Some(_), Some(id)) => return self.request(document.source(), message, id),
            (Some(_), None) => return self.notification(document.source(), message),
            (None, _) => {}
        }
        let filtered = match (self.filter.kind, message.get("error")) {
            (FilterKind::Answer | FilterKind::Listen, None) => return Ok(Line::Pass),
            (FilterKind::Answer | FilterKind::Listen, Some(error)) => {
                self.may_show(error).map(|()| data.to_vec())
            }
            _ => self.filtered(data),
        };
        match filtered {
            Ok(filtered) => Ok(Line::Replace([b"data: ".as_slice(), &filtered].concat())),
            Err(FilterError::Asked(asked)) => {
                let id = message.get("id").map_or("null", |id| id.raw());
                Ok(Line::Deny(asked, requests::denial(id)))
            }
            Err(error) => Err(error),
        }
    }

    /// An event is named to the caller in a form that only its session resumes after.
    fn event_id(&self, id: &[u8]) -> Line {
        let Some((sealer, bond)) = self.handles else {
            return Line::Pass;
        };
        match bond.seal_event(sealer, id) {
            Some(sealed) => Line::Replace([b"id: ", sealed.as_bytes()].concat()),
            None => Line::Drop,
        }
    }
}

/// What becomes of a line of an event stream.
#[derive(Debug)]
pub enum Line {
    /// It passes as it came.
    Pass,
    /// This passes in its place.
    Replace(Vec<u8>),
    /// It is left out.
    Drop,
    /// It is left out: the server asks its client for what it may not, in a word. The answer to it
    /// may go to the server.
    Refuse(&'static str, Box<Permit>),
    /// An answer that asks the caller for what the server may not ask, in a word; this passes in its
    /// place.
    Deny(&'static str, Vec<u8>),
}

/// The field and value of a line of an event stream; `None` for a comment or an empty line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b':');
    let (field, value) = match at {
        Some(at) => (line.get(..at)?, line.get(at + 1..)?),
        None => (line, &[][..]),
    };
    let value = value.strip_prefix(b" ").unwrap_or(value);
    (!field.is_empty()).then_some((field, value))
}

fn parse(body: &[u8]) -> Result<json::Document<'_>, FilterError> {
    let limits = Limits {
        nodes: MAX_NODES,
        ..Limits::REQUEST
    };
    json::parse_with(body, limits).map_err(FilterError::Json)
}

fn refuse_variants(object: Object<'_>, names: &[&str]) -> Result<(), FilterError> {
    object
        .refuse_case_variants(names)
        .map_err(FilterError::Json)
}

impl Viewer<'_> {
    fn filtered(&self, body: &[u8]) -> Result<Vec<u8>, FilterError> {
        let document = parse(body)?;
        let root = document.root();
        let message = root.as_object().ok_or(FilterError::Shape)?;
        refuse_variants(message, &["id", "method", "result", "error", "params"])?;
        // Clients take whatever has a method for a request, wherever it stands.
        if message.get("method").is_some() {
            return Err(FilterError::Shape);
        }
        let Some(result) = message.get("result") else {
            let error = message.get("error").ok_or(FilterError::Shape)?;
            self.may_show(error)?;
            return Ok(body.to_vec());
        };
        if matches!(self.filter.kind, FilterKind::Answer | FilterKind::Listen) {
            return Ok(body.to_vec());
        }
        let result = result.as_object().ok_or(FilterError::Shape)?;
        let mut edits = match self.filter.kind {
            FilterKind::Handshake => self.handshake(result)?,
            FilterKind::Stream => self.replayed(result)?,
            FilterKind::Call => return self.waiting(document.source(), result),
            FilterKind::Task => return self.of_task(document.source(), result),
            FilterKind::Tasks => vec![self.own_tasks(result)?],
            kind => vec![self.entries(result, kind)?],
        };
        edits.extend(private(result)?);
        edits.extend(self.next_cursor(result)?);
        splice(document.source(), edits)
            .map(String::into_bytes)
            .ok_or(FilterError::Shape)
    }

    /// The edit that seals where a list goes on.
    fn next_cursor(&self, result: Object<'_>) -> Result<Option<Edit>, FilterError> {
        refuse_variants(result, &["nextCursor"])?;
        let cursor = result.get("nextCursor").filter(|it| !it.is_null());
        let (Some(cursor), Some((sealer, bond))) = (cursor, self.handles) else {
            return Ok(None);
        };
        let text = cursor.as_text().ok_or(FilterError::Shape)?;
        let sealed = bond.seal_cursor(sealer, text).ok_or(FilterError::Shape)?;
        Ok(Some(replaced(
            cursor,
            serde_json::Value::from(sealed).to_string(),
        )))
    }

    /// Whether the caller sees anything of a kind.
    fn sees(&self, wanted: fn(&SurfaceKind) -> bool) -> bool {
        let policy = self.gate.policy();
        let mut surfaces = policy.surfaces(self.filter.server);
        surfaces.any(|surface| {
            let entry = policy.surface_entry(surface);
            entry.is_some_and(|entry| wanted(&entry.kind)) && self.visible(surface)
        })
    }

    fn visible(&self, surface: latchkey_engine::id::SurfaceId) -> bool {
        let seen = visibility(self.gate, self.overlay, self.identity, self.now, surface);
        seen != Visibility::Never
    }
}

/// The edits that keep a filtered answer out of shared caches, in the era that has them.
fn private(result: Object<'_>) -> Result<Vec<Edit>, FilterError> {
    refuse_variants(result, &["cacheScope", "ttlMs", "resultType"])?;
    let modern = ["cacheScope", "ttlMs", "resultType"]
        .iter()
        .any(|key| result.get(key).is_some());
    if !modern {
        return Ok(Vec::new());
    }
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for (key, text) in [("cacheScope", "\"private\""), ("ttlMs", "0")] {
        match result.get(key) {
            Some(value) => edits.push(replaced(value, text.to_owned())),
            None => missing.push((key, text.to_owned())),
        }
    }
    edits.extend(result.set(missing));
    Ok(edits)
}

fn replaced(value: Value<'_>, text: String) -> Edit {
    Edit {
        at: value.span(),
        text,
    }
}

#[cfg(test)]
mod tests;
