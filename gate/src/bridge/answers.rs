//! Answers on their way between the eras.

use super::{Crossing, MODERN, Named, without};
use crate::json::{self, Edit, Limits, Object, Value, splice};

/// The most values and keys that one answer may have.
const MAX_NODES: usize = 1_000_000;

impl Crossing {
    /// The answer of the server as the caller's era has it; as it comes, where it is none or there is
    /// nothing to change.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let limits = Limits {
            nodes: MAX_NODES,
            ..Limits::REQUEST
        };
        let document = json::parse_with(message, limits).ok()?;
        let root = document.root();
        let text = match self {
            Self::Here(_) => return None,
            Self::Modern { opens, .. } => {
                let (id, result) = (root.get("id")?, root.get("result")?.as_object()?);
                opens.as_ref().map_or_else(
                    || of_modern(id, result),
                    |revision| Some(opened(id, result, revision)),
                )?
            }
            Self::Legacy {
                discovers: true, ..
            } => discovered(root.get("id")?, root.get("result")?.as_object()?),
            Self::Legacy { keeps, named, .. } => {
                let mut edits: Vec<Edit> = named.iter().filter_map(|it| it.back(root)).collect();
                let result = root.get("result").and_then(|it| it.as_object());
                edits.extend(
                    result
                        .into_iter()
                        .flat_map(|it| it.set(of_modern_era(*keeps))),
                );
                if edits.is_empty() {
                    return None;
                }
                splice(document.source(), edits)?
            }
        };
        Some(text.into_bytes())
    }
}

impl Named {
    /// The edit that calls the request in a message as its caller does.
    fn back(&self, message: Value<'_>) -> Option<Edit> {
        let (called, text) = match message.get("method") {
            None => (message.get("id")?, Some(&self.id)),
            Some(_) => (
                message.get("params")?.get("progressToken")?,
                self.token.as_ref(),
            ),
        };
        let text = text.filter(|_| called.raw() == self.name)?.clone();
        let at = called.span();
        Some(Edit { at, text })
    }
}

/// What a result has in the stateless era only.
fn of_modern_era(keeps: bool) -> Vec<(&'static str, String)> {
    let mut members = vec![("resultType", "\"complete\"".to_owned())];
    if keeps {
        members.push(("ttlMs", "0".to_owned()));
        members.push(("cacheScope", "\"private\"".to_owned()));
    }
    members
}

/// A result that waits for something cannot be told in the era with sessions.
fn of_modern(id: Value<'_>, result: Object<'_>) -> Option<String> {
    let kind = result.get("resultType").and_then(|it| it.as_text());
    let waits = kind.is_some_and(|it| it != "complete");
    waits.then(|| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{{\"code\":-32603,\"message\":\"the server \
             waits for something that a client of the era with sessions cannot give here\"}}}}",
            id.raw()
        )
    })
}

/// What a session opens with, from what a stateless server says of itself.
fn opened(id: Value<'_>, result: Object<'_>, revision: &str) -> String {
    let offered = ["tools", "prompts", "resources", "completions"];
    let said = result.get("capabilities");
    // Its changes are told on streams of the other era.
    let capabilities = offered
        .into_iter()
        .filter(|name| said.and_then(|it| it.get(name)).is_some())
        .map(|name| format!("\"{name}\":{{}}"));
    let capabilities: Vec<String> = capabilities.collect();
    let info = info(result).unwrap_or("{\"name\":\"server\",\"version\":\"0\"}");
    let instructions = result.get("instructions");
    let instructions = instructions.map(|it| format!(",\"instructions\":{}", it.raw()));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"protocolVersion\":\"{revision}\",\
         \"capabilities\":{{{}}},\"serverInfo\":{info}{}}}}}",
        id.raw(),
        capabilities.join(","),
        instructions.unwrap_or_default(),
    )
}

/// What a stateless server says of itself, from what a session opened with.
fn discovered(id: Value<'_>, result: Object<'_>) -> String {
    let capabilities = result.get("capabilities").and_then(|it| it.as_object());
    let shown = capabilities.into_iter().flat_map(|it| it.members());
    let shown = shown
        .filter(|it| ["tools", "prompts", "resources", "completions"].contains(&it.key))
        .filter_map(|it| {
            let plain = without(it.value.as_object()?, &["listChanged", "subscribe"]);
            Some(format!("\"{}\":{plain}", it.key))
        });
    let shown: Vec<String> = shown.collect();
    let meta = info(result).map_or(String::new(), |info| {
        format!(",\"_meta\":{{\"io.modelcontextprotocol/serverInfo\":{info}}}")
    });
    let instructions = result.get("instructions");
    let instructions = instructions.map(|it| format!(",\"instructions\":{}", it.raw()));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"resultType\":\"complete\",\
         \"supportedVersions\":[\"{MODERN}\"],\"capabilities\":{{{}}}{}{meta},\"ttlMs\":0,\
         \"cacheScope\":\"private\"}}}}",
        id.raw(),
        shown.join(","),
        instructions.unwrap_or_default(),
    )
}

/// Who the server says that it is.
fn info(result: Object<'_>) -> Option<&str> {
    let meta = || {
        let meta = result.get("_meta")?;
        meta.get("io.modelcontextprotocol/serverInfo")
    };
    let info = result.get("serverInfo").or_else(meta)?;
    info.as_object().map(|_| info.raw())
}
