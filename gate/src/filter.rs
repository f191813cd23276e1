//! Answers that must not show what the caller may never use.

mod entries;

use std::fmt;

use latchkey_engine::{
    decision::Visibility, id::ServerId, index::SurfaceKind, overlay::Overlay, time::Time,
};

use crate::{
    admit::visibility,
    gate::Gate,
    identity::Identity,
    json::{self, Edit, JsonError, Limits, Object, Value, splice},
};

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
    /// A call: a JSON body passes as it comes, and from an event stream the requests of the server
    /// to the client are taken out, since none is allowed.
    Answer,
    /// The same for a stream that no request asked for. It may replay the answer to a list, which
    /// is filtered by what it holds.
    Stream,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterError {
    /// It is not one strict JSON text.
    Json(JsonError),
    /// It is not the answer that its request asks for.
    Shape,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the tool server's answer: {error}"),
            Self::Shape => f.write_str("the tool server's answer is not what was asked for"),
        }
    }
}

impl std::error::Error for FilterError {}

/// The most values and keys that one answer may have.
const MAX_NODES: usize = 1_000_000;

/// Filters one JSON-RPC answer: entries that are not in the registry, or that this caller can
/// never use, are taken out, and caching is made private. Errors pass unchanged, and so does the
/// cursor: a page may come out empty.
pub fn list(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    filter: Filter,
    body: &[u8],
) -> Result<Vec<u8>, FilterError> {
    let viewer = Viewer {
        gate,
        overlay,
        identity,
        now,
        filter,
    };
    if matches!(filter.kind, FilterKind::Answer | FilterKind::Stream) {
        return Ok(body.to_vec());
    }
    viewer.answer(body)
}

/// Filters one line of an event stream, without its line end: `data:` lines hold one whole JSON
/// message each, all other lines pass. `None` drops the message: a request of the server.
pub fn line(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    filter: Filter,
    line: &[u8],
) -> Result<Option<Vec<u8>>, FilterError> {
    // Clients skip it in front of a stream, and then read what follows.
    if line.starts_with(b"\xef\xbb\xbf") {
        return Err(FilterError::Shape);
    }
    let Some(data) = line.strip_prefix(b"data:") else {
        return Ok(Some(line.to_vec()));
    };
    let data = data.strip_prefix(b" ").unwrap_or(data);
    if data.is_empty() {
        return Ok(Some(line.to_vec()));
    }
    let viewer = Viewer {
        gate,
        overlay,
        identity,
        now,
        filter,
    };
    let document = parse(data)?;
    let message = document.root().as_object().ok_or(FilterError::Shape)?;
    refuse_variants(message, &["id", "method", "result", "error", "params"])?;
    if message.get("method").is_some() {
        // A notification passes, a request of the server does not.
        return Ok(message.get("id").is_none().then(|| line.to_vec()));
    }
    if filter.kind == FilterKind::Answer {
        return Ok(Some(line.to_vec()));
    }
    let mut out = b"data: ".to_vec();
    out.extend(viewer.answer(data)?);
    Ok(Some(out))
}

/// Whether the caller may still watch a stream that no request asked for: its token is not revoked,
/// and it sees something of the server.
#[must_use]
pub fn may_watch(
    gate: &Gate,
    overlay: &Overlay,
    identity: Option<&Identity>,
    now: Time,
    filter: Filter,
) -> bool {
    let viewer = Viewer {
        gate,
        overlay,
        identity,
        now,
        filter,
    };
    viewer.sees(|_| true)
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
        .refuse_case_variants(names.iter().copied())
        .map_err(FilterError::Json)
}

/// Who looks, through what.
struct Viewer<'a> {
    gate: &'a Gate,
    overlay: &'a Overlay,
    identity: Option<&'a Identity>,
    now: Time,
    filter: Filter,
}

impl Viewer<'_> {
    fn answer(&self, body: &[u8]) -> Result<Vec<u8>, FilterError> {
        let document = parse(body)?;
        let root = document.root();
        let message = root.as_object().ok_or(FilterError::Shape)?;
        refuse_variants(message, &["id", "method", "result", "error", "params"])?;
        if message.get("method").is_some() {
            return Err(FilterError::Shape);
        }
        let Some(result) = message.get("result") else {
            return match message.get("error") {
                Some(_) => Ok(body.to_vec()),
                None => Err(FilterError::Shape),
            };
        };
        let result = result.as_object().ok_or(FilterError::Shape)?;
        let mut edits = match self.filter.kind {
            FilterKind::Handshake => self.handshake(result)?,
            FilterKind::Stream => self.replayed(result)?,
            kind => vec![self.entries(result, kind)?],
        };
        edits.extend(private(result)?);
        splice(document.source(), edits)
            .map(String::into_bytes)
            .ok_or(FilterError::Shape)
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
