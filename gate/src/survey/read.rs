//! What the answers of a server mean.

use serde_json::Value as Json;

use super::{Answer, LEGACY_KNOWN, MODERN, Stage, Survey, SurveyError};
use crate::{
    json::{self, Limits as JsonLimits, Object, to_value},
    pin::ListKind,
};

/// JSON-RPC: there is no such method.
const NO_METHOD: i64 = -32601;
/// The most values and keys that one answer may have.
const MAX_NODES: usize = 1_000_000;

impl Survey {
    /// A server that does not know `server/discover`, or not this revision, is of the other era.
    pub(super) fn discovered(&mut self, answer: Answer<'_>) {
        self.stage = Stage::Initialize;
        let Ok(result) = result("server/discover", answer) else {
            return;
        };
        let versions = result.get("supportedVersions").and_then(Json::as_array);
        if versions.is_some_and(|versions| versions.iter().any(|it| it == MODERN)) {
            MODERN.clone_into(&mut self.found.revision);
            self.offered(&result);
            self.stage = Stage::Lists;
        }
    }

    pub(super) fn initialized(&mut self, answer: Answer<'_>) -> Result<(), SurveyError> {
        let result = result("initialize", answer)?;
        let revision = result.get("protocolVersion").and_then(Json::as_str);
        let known = |revision: &&str| LEGACY_KNOWN.contains(revision);
        let revision = revision.filter(known).ok_or(SurveyError::Revision)?;
        revision.clone_into(&mut self.found.revision);
        if let Some(session) = answer.session {
            if session.is_empty() || !session.bytes().all(|byte| byte.is_ascii_graphic()) {
                let what = "the session id has other than visible characters".to_owned();
                return Err(SurveyError::Malformed("initialize", what));
            }
            self.session = Some(session.to_owned());
        }
        self.offered(&result);
        self.stage = Stage::Initialized;
        Ok(())
    }

    /// Which lists there are, from the capabilities.
    fn offered(&mut self, result: &Json) {
        let own = result.pointer("/serverInfo/name");
        let own = own.or_else(|| {
            let meta = result.get("_meta")?;
            meta.get("io.modelcontextprotocol/serverInfo")?.get("name")
        });
        self.found.name = own.and_then(Json::as_str).map(shown);
        let has = |name: &str| result.pointer(&format!("/capabilities/{name}")).is_some();
        let offers = |kind: &ListKind| match kind {
            ListKind::Tools => has("tools"),
            ListKind::Prompts => has("prompts"),
            ListKind::Resources | ListKind::Templates => has("resources"),
        };
        self.pending = ListKind::ALL.into_iter().filter(offers).rev().collect();
        for kind in &self.pending {
            self.found.lists.entry(*kind).or_default();
        }
    }

    pub(super) fn listed(&mut self, answer: Answer<'_>) -> Result<(), SurveyError> {
        let Some(kind) = self.pending.last().copied() else {
            return Ok(());
        };
        self.pages += 1;
        if self.pages > self.limits.pages {
            return Err(SurveyError::TooMuch);
        }
        self.cursor = match self.page(kind, answer) {
            // Servers with resources need not have templates.
            Err(SurveyError::Refused(_, NO_METHOD, _)) if self.cursor.is_none() => None,
            cursor => cursor?,
        };
        if self.cursor.is_none() {
            self.pending.pop();
        }
        Ok(())
    }

    /// Takes the entries of one page; answers the cursor of the next.
    fn page(&mut self, kind: ListKind, answer: Answer<'_>) -> Result<Option<String>, SurveyError> {
        let method = kind.method();
        let malformed = |what: &str| SurveyError::Malformed(method, what.to_owned());
        let result = result(method, answer)?;
        let entries = result.get(kind.member()).and_then(Json::as_array);
        let entries = entries.ok_or_else(|| malformed("there is no list in it"))?;
        for entry in entries {
            let name = entry.get(kind.key()).and_then(Json::as_str);
            let name = name.ok_or_else(|| malformed("an entry has no name"))?;
            if self.found.count() >= self.limits.entries {
                return Err(SurveyError::TooMuch);
            }
            let list = self.found.lists.entry(kind).or_default();
            if list.insert(name.to_owned(), entry.clone()).is_some() {
                return Err(SurveyError::Twice(kind, shown(name)));
            }
        }
        match result.get("nextCursor") {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(cursor)) => Ok(Some(cursor.clone())),
            Some(_) => Err(malformed("the cursor is no text")),
        }
    }
}

/// The result in an answer.
fn result(method: &'static str, answer: Answer<'_>) -> Result<Json, SurveyError> {
    let malformed = |what: String| SurveyError::Malformed(method, what);
    let Some(message) = answer.message else {
        return Err(SurveyError::Status(method, answer.status));
    };
    let limits = JsonLimits {
        nodes: MAX_NODES,
        ..JsonLimits::REQUEST
    };
    let document =
        json::parse_with(message, limits).map_err(|error| malformed(error.to_string()))?;
    let object = document.root().as_object();
    let object = object.ok_or_else(|| malformed("it is no object".to_owned()))?;
    if let Some(error) = object.get("error").and_then(|error| error.as_object()) {
        return Err(refused(method, error));
    }
    let Some(result) = object.get("result") else {
        // An HTTP error whose body is no JSON-RPC message.
        return Err(match answer.status {
            200 => malformed("there is neither a result nor an error".to_owned()),
            status => SurveyError::Status(method, status),
        });
    };
    to_value(result).map_err(|error| malformed(error.to_string()))
}

fn refused(method: &'static str, error: Object<'_>) -> SurveyError {
    let code = error.get("code").and_then(|code| code.as_i64());
    let why = error.get("message").and_then(|why| why.as_text());
    SurveyError::Refused(
        method,
        code.unwrap_or_default(),
        shown(why.unwrap_or_default()),
    )
}

/// What a server said, made fit for a terminal.
fn shown(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(200).map(visible).collect()
}
