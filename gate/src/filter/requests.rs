//! What a server asks its client for, on any stream and in results that wait for input.

use std::sync::LazyLock;

use latchkey_engine::{index::SurfaceKind, reason::Reason};
use memchr::{
    memchr_iter,
    memmem::{self, Finder},
};

use super::{
    Edit, FilterError, FilterKind, Line, Object, Value, Viewer, parse, refuse_variants, replaced,
};
use crate::{
    admit::Permit,
    json::{Kind, splice},
    seal::Purpose,
    session,
    settings::{Elicitation, ServerRequests, host},
};

/// The code of the error that sends a user to a page first.
const URL_REQUIRED: f64 = -32042.0;
/// The most hosts that are told of one answer.
const MOST_TOLD: usize = 8;

impl Viewer<'_> {
    /// A request of the server on a stream: an allowed one goes on under an id that only this caller
    /// can answer to, any other is taken out and answered for the client.
    pub(super) fn request(
        &self,
        source: &str,
        message: Object<'_>,
        id: Value<'_>,
    ) -> Result<Line, FilterError> {
        if !matches!(id.kind(), Kind::Text(_) | Kind::Number(_)) {
            return Ok(Line::Drop);
        }
        let Some((sealer, bond)) = self.handles.filter(|(_, bond)| !bond.is_modern()) else {
            return Ok(Line::Drop);
        };
        let method = message.get("method").and_then(|it| it.as_text());
        let params = message.get("params").and_then(|it| it.as_object());
        let asks = method.unwrap_or_default();
        if asks != "ping" && !self.may_ask(asks, params)? {
            let refusal = refusal(id.raw());
            let permit = Permit::answer(self.filter.server, refusal, bond.clone());
            return Ok(Line::Refuse(asked_word(asks), Box::new(permit)));
        }
        let seal = |purpose, value: Value<'_>| {
            let sealed = bond.seal_place(sealer, purpose, value.raw());
            let text = sealed.map(|it| serde_json::Value::from(it).to_string());
            text.map(|text| replaced(value, text))
                .ok_or(FilterError::Shape)
        };
        let mut edits = vec![seal(Purpose::Request, id)?];
        if let Some(token) = progress_token(params)? {
            edits.push(seal(Purpose::Progress, token)?);
        }
        if let Some(params) = params {
            edits.extend(self.related(params)?);
        }
        data(source, edits)
    }

    /// A notification of the server: the requests that it names are named as the client knows them.
    pub(super) fn notification(
        &self,
        source: &str,
        message: Object<'_>,
    ) -> Result<Line, FilterError> {
        let params = message.get("params").and_then(|it| it.as_object());
        let method = message.get("method").and_then(|it| it.as_text());
        if !self.may_hear(method.unwrap_or_default(), params)? {
            return Ok(Line::Drop);
        }
        let (Some(_), Some(params)) = (self.handles, params) else {
            return Ok(Line::Pass);
        };
        let edits = match method.unwrap_or_default() {
            "notifications/cancelled" => self.cancelled(params)?.into_iter().collect(),
            "notifications/subscriptions/acknowledged" => {
                refuse_variants(params, &["notifications"])?;
                self.acknowledged(params).into_iter().collect()
            }
            "notifications/tasks" | "notifications/tasks/status" => match self.noticed(params)? {
                Some(edits) => edits,
                None => return Ok(Line::Drop),
            },
            _ => self.related(params)?.into_iter().collect::<Vec<_>>(),
        };
        if edits.is_empty() {
            return Ok(Line::Pass);
        }
        data(source, edits)
    }

    /// Leave to tell a server, in a session, that nobody waits for the answer to the request any
    /// more. Without one the end of its stream says so.
    #[must_use]
    pub fn cancellation(&self) -> Option<Permit> {
        let (_, bond) = self.handles?;
        bond.session()?;
        let request = parse(self.request).ok()?;
        let method = request.root().get("method")?.as_text()?;
        let id = request
            .root()
            .get("id")
            .filter(|_| method != "initialize")?;
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
             \"params\":{{\"requestId\":{}}}}}",
            id.raw()
        );
        Some(Permit::answer(
            self.filter.server,
            body.into_bytes(),
            bond.clone(),
        ))
    }

    /// The edit that names a request of the server as its client knows it.
    fn cancelled(&self, params: Object<'_>) -> Result<Option<Edit>, FilterError> {
        refuse_variants(params, &["requestId"])?;
        let (Some((sealer, bond)), Some(id)) = (self.handles, params.get("requestId")) else {
            return Ok(None);
        };
        if bond.is_modern() {
            return Ok(None);
        }
        let sealed = bond.seal_place(sealer, Purpose::Request, id.raw());
        let sealed = sealed.ok_or(FilterError::Shape)?;
        let text = serde_json::Value::from(sealed).to_string();
        Ok(Some(replaced(id, text)))
    }

    /// The answer to a call: it may wait for input of the kinds that the server may ask for, its
    /// state opens for this call of this caller only, and a task is this caller's own.
    pub(super) fn waiting(&self, source: &str, result: Object<'_>) -> Result<Vec<u8>, FilterError> {
        const KEYS: [&str; 4] = ["inputRequests", "requestState", "cacheScope", "ttlMs"];
        refuse_variants(result, &KEYS)?;
        let modern = self.handles.is_none_or(|(_, bond)| bond.is_modern());
        if modern {
            self.may_ask_all(result)?;
        }
        let made = self.made(result)?;
        let is_task = made.is_some();
        let mut edits: Vec<Edit> = made.into_iter().collect();
        let state = result.get("requestState").filter(|_| modern);
        if let (Some(state), Some((sealer, bond))) = (state, self.handles) {
            let request = parse(self.request)?;
            let call = session::call(request.root()).ok_or(FilterError::Shape)?;
            let text = state.as_text().ok_or(FilterError::Shape)?;
            let sealed = bond.seal_state(sealer, &call, text, self.now);
            let sealed = serde_json::Value::from(sealed.ok_or(FilterError::Shape)?);
            edits.push(replaced(state, sealed.to_string()));
        }
        // What one caller may read, another may not.
        for (key, text) in [("cacheScope", "\"private\""), ("ttlMs", "0")] {
            // How long a task is kept is called the same.
            let value = result.get(key).filter(|_| modern && !is_task);
            edits.extend(value.map(|it| replaced(it, text.to_owned())));
        }
        let text = splice(source, edits).ok_or(FilterError::Shape)?;
        Ok(text.into_bytes())
    }

    /// Refuses input requests that the server may not make.
    pub(super) fn may_ask_all(&self, result: Object<'_>) -> Result<(), FilterError> {
        let Some(asked) = result.get("inputRequests") else {
            return Ok(());
        };
        for member in asked.as_object().ok_or(FilterError::Shape)?.members() {
            let request = member.value.as_object().ok_or(FilterError::Shape)?;
            refuse_variants(request, &["method", "params"])?;
            let method = request.get("method").and_then(|it| it.as_text());
            let method = method.ok_or(FilterError::Shape)?;
            let params = request.get("params").and_then(|it| it.as_object());
            if !self.may_ask(method, params)? {
                return Err(FilterError::Asked(asked_word(method)));
            }
        }
        Ok(())
    }

    /// Refuses an error that sends the user to a page where the server may not.
    pub(super) fn may_show(&self, error: Value<'_>) -> Result<(), FilterError> {
        let rules = self.gate.server_settings(self.filter.server);
        let rules = rules.map(|it| &it.server_requests.elicitation);
        for page in shown(error)? {
            let open = page
                .zip(rules)
                .is_some_and(|(url, rules)| rules.may_open(url));
            if !open {
                return Err(FilterError::Asked("elicitation"));
            }
        }
        Ok(())
    }

    /// Whether the caller may hear of a change.
    fn may_hear(&self, method: &str, params: Option<Object<'_>>) -> Result<bool, FilterError> {
        Ok(match method {
            "notifications/tools/list_changed" => self.sees(|it| *it == SurfaceKind::Tool),
            "notifications/prompts/list_changed" => self.sees(|it| *it == SurfaceKind::Prompt),
            "notifications/resources/list_changed" => {
                self.sees(|it| matches!(it, SurfaceKind::Resource { .. }))
            }
            "notifications/resources/updated" => {
                let params = params.ok_or(FilterError::Shape)?;
                refuse_variants(params, &["uri"])?;
                let uri = params.get("uri").and_then(|uri| uri.as_text());
                uri.and_then(|uri| self.surface(FilterKind::Resources, uri))
                    .is_some_and(|surface| self.visible(surface))
            }
            _ => true,
        })
    }

    /// Whether the server may ask its client for this.
    pub(super) fn may_ask(
        &self,
        method: &str,
        params: Option<Object<'_>>,
    ) -> Result<bool, FilterError> {
        let settings = self.gate.server_settings(self.filter.server);
        let Some(rules) = settings.map(|it| &it.server_requests) else {
            return Ok(false);
        };
        if let Some(params) = params {
            refuse_variants(params, &["mode", "url", "task", "_meta"])?;
            // A task of the client would have to be followed in the other direction.
            if params.get("task").is_some() {
                return Ok(false);
            }
        }
        Ok(match method {
            "sampling/createMessage" => rules.sampling,
            "roots/list" => rules.roots,
            "elicitation/create" => params.is_some_and(|it| may_elicit(&rules.elicitation, it)),
            _ => false,
        })
    }
}

fn may_elicit(rules: &Elicitation, params: Object<'_>) -> bool {
    let text = |key| params.get(key).map(|value| value.as_text());
    match text("mode") {
        None | Some(Some("form")) => rules.form,
        Some(Some("url")) => text("url").flatten().is_some_and(|url| rules.may_open(url)),
        Some(_) => false,
    }
}

/// What a client says that it can be asked for, without what the server may not ask; `None` where
/// that is all.
pub(crate) fn capabilities(rules: &ServerRequests, said: Object<'_>) -> Option<String> {
    const NAMES: [&str; 4] = ["sampling", "roots", "tasks", "elicitation"];
    if said.refuse_case_variants(&NAMES).is_err() {
        return Some("{}".to_owned());
    }
    let mut changed = false;
    let mut kept = Vec::new();
    for member in said.members() {
        let value = match member.key {
            "sampling" if !rules.sampling => None,
            "roots" if !rules.roots => None,
            // Requests of the server that run as tasks of the client are not let through.
            "tasks" => None,
            "elicitation" => elicitation(&rules.elicitation, member.value),
            _ => Some(member.value.raw().to_owned()),
        };
        changed |= value.as_deref() != Some(member.value.raw());
        let key = serde_json::Value::from(member.key);
        kept.extend(value.map(|value| format!("{key}:{value}")));
    }
    changed.then(|| format!("{{{}}}", kept.join(",")))
}

/// An empty object is a form, as before there was anything else.
fn elicitation(rules: &Elicitation, said: Value<'_>) -> Option<String> {
    let modes = said.as_object()?;
    let (form, url) = (modes.get("form"), modes.get("url"));
    let has_form = form.is_some() || url.is_none();
    let may_form = has_form && rules.form;
    let may_url = url.is_some() && !rules.url.is_empty();
    if may_form == has_form && may_url == url.is_some() {
        return Some(said.raw().to_owned());
    }
    let mut kept = Vec::new();
    if may_form {
        kept.push(format!("\"form\":{}", form.map_or("{}", |it| it.raw())));
    }
    if let Some(url) = url.filter(|_| may_url) {
        kept.push(format!("\"url\":{}", url.raw()));
    }
    (!kept.is_empty()).then(|| format!("{{{}}}", kept.join(",")))
}

fn progress_token(params: Option<Object<'_>>) -> Result<Option<Value<'_>>, FilterError> {
    let meta = params.and_then(|params| params.get("_meta")?.as_object());
    let Some(meta) = meta else { return Ok(None) };
    refuse_variants(meta, &["progressToken"])?;
    Ok(meta.get("progressToken"))
}

fn data(source: &str, edits: Vec<Edit>) -> Result<Line, FilterError> {
    let text = splice(source, edits).ok_or(FilterError::Shape)?;
    Ok(Line::Replace([b"data: ", text.as_bytes()].concat()))
}

/// The answer to a server whose request is not let through; the code is JSON-RPC's for a method that
/// the other side does not have.
fn refusal(id: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"this client \
         takes no such request\"}}}}"
    )
    .into_bytes()
}

/// What a letter may be hidden behind: an escape of ASCII.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u00"));

/// The keys whose values are decided or sealed, and the one that no answer has.
const KEYS: [&[u8]; 6] = [
    b"method",
    b"error",
    b"cacheScope",
    b"inputRequests",
    b"requestState",
    b"taskId",
];

/// Whether an answer may hold anything that is decided or sealed, or be more than one message: a
/// cheap look, which neither escapes in keys nor capital letters get past.
#[must_use]
pub fn needs_look(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    let is_key = |quote: usize| {
        let rest = body.get(quote + 1..).unwrap_or_default();
        KEYS.iter().any(|key| says(rest, key))
    };
    let is_one = body.is_empty() || body.starts_with(b"{");
    !is_one || ESCAPE.find(body).is_some() || memchr_iter(b'"', body).any(is_key)
}

/// Whether a text, up to its quote, folds to the same as a key: in whatever case, and with the two
/// letters outside ASCII that fold to `s` and `k`.
pub(super) fn says(mut text: &[u8], key: &[u8]) -> bool {
    for letter in key {
        text = match text {
            [said, rest @ ..] if said.eq_ignore_ascii_case(letter) => rest,
            [0xc5, 0xbf, rest @ ..] if letter.eq_ignore_ascii_case(&b's') => rest,
            [0xe2, 0x84, 0xaa, rest @ ..] if letter.eq_ignore_ascii_case(&b'k') => rest,
            _ => return false,
        };
    }
    text.first() == Some(&b'"')
}

/// The pages that an answer sends its user to, if it is the error that does: their hosts, for the
/// record.
#[must_use]
pub fn pages(body: &[u8]) -> Option<String> {
    memmem::find(body, b"elicitations")?;
    let document = parse(body).ok()?;
    let pages = shown(document.root().get("error")?).ok()?;
    let hosts: Vec<String> = pages
        .into_iter()
        .filter_map(|url| host(url?))
        .take(MOST_TOLD)
        .collect();
    (!hosts.is_empty()).then(|| hosts.join(", "))
}

/// The addresses of the pages that an error sends its user to; none for what is no address.
fn shown(error: Value<'_>) -> Result<Vec<Option<&str>>, FilterError> {
    let Some(error) = error.as_object() else {
        return Ok(Vec::new());
    };
    refuse_variants(error, &["code", "data"])?;
    let code = error
        .get("code")
        .and_then(|it| it.as_number()?.parse().ok());
    let asks = |code: f64| (code - URL_REQUIRED).abs() < 0.5;
    let Some(data) = error.get("data").filter(|_| code.is_some_and(asks)) else {
        return Ok(Vec::new());
    };
    let Some(data) = data.as_object() else {
        return Ok(Vec::new());
    };
    refuse_variants(data, &["elicitations"])?;
    let mut shown = Vec::new();
    let Some(pages) = data.get("elicitations").and_then(|it| it.as_array()) else {
        return Ok(shown);
    };
    for page in pages.values() {
        let page = page.as_object().ok_or(FilterError::Shape)?;
        refuse_variants(page, &["mode", "url"])?;
        shown.push(page.get("url").and_then(|url| url.as_text()));
    }
    Ok(shown)
}

/// What a caller gets in place of an answer that asks it for what the server may not ask.
pub(super) fn denial(id: &str) -> Vec<u8> {
    let reason = Reason::ServerRequestDenied;
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":9033,\"message\":\"{reason}: \
         {}\",\"data\":{{\"code\":\"{reason}\"}}}}}}",
        reason.title()
    )
    .into_bytes()
}

/// A word of this side's own for what a server asks for.
fn asked_word(method: &str) -> &'static str {
    match method {
        "sampling/createMessage" => "sampling",
        "roots/list" => "roots",
        "elicitation/create" => "elicitation",
        _ => "something unknown",
    }
}
