//! JSON files that sections name: lock files and key files.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

use crate::diag::{Diagnostic, codes};
use crate::source::{FileId, SourceMap, Span, Spanned};
use crate::syntax::shape::Reader;
use crate::text::Text;

/// Reads the key file that an issuer names.
pub(crate) fn read_keys(name: &Spanned<Text>, cx: &mut Reader<'_>) -> Option<Json> {
    read(name, ".jwks.json", cx).map(|(_, value)| value)
}

/// Parses JSON that is strict: no duplicate keys, nothing after the value.
///
/// # Errors
/// What is wrong, and the byte offset.
pub fn parse(text: &str) -> Result<Json, (String, usize)> {
    serde_json::from_str::<Strict>(text)
        .map(|strict| strict.0)
        .map_err(|error| {
            let message = error.to_string();
            // The library counts lines and bytes from 1; column 0 is the end of the line before.
            let start: usize = text
                .split_inclusive('\n')
                .take(error.line().saturating_sub(1))
                .map(str::len)
                .sum();
            let at = (start + error.column().saturating_sub(1)).min(text.len());
            let message = message
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            (message, at)
        })
}

pub(super) fn read(
    name: &Spanned<Text>,
    suffix: &str,
    cx: &mut Reader<'_>,
) -> Option<(FileId, Json)> {
    let refuse = |cx: &mut Reader<'_>, message: String, help: &str| {
        cx.sink
            .push(Diagnostic::new(&codes::BAD_LOCK_FILE, name.span, message).help(help));
    };
    if !name.ends_with(suffix) && Some(name.value.as_str()) != suffix.strip_prefix('.') {
        let message = format!("`{}` does not end in `{suffix}`", name.value);
        refuse(cx, message, "the ending tells what a file is; rename it");
        return None;
    }
    let Some(path) = beside(cx.sources.path(name.span.file), name) else {
        let message = format!("`{}` is not a path inside the project", name.value);
        refuse(
            cx,
            message,
            "write it relative to this file, with `/` between its parts",
        );
        return None;
    };
    let Some(id) = cx.sources.find(&path) else {
        refuse(
            cx,
            format!("there is no file `{path}`"),
            "the path is relative to this file",
        );
        return None;
    };
    match parse(cx.sources.file(id).map_or("", crate::source::File::text)) {
        Ok(value) => Some((id, value)),
        Err((message, at)) => {
            let span = visible(cx.sources, id, at);
            cx.sink.push(
                Diagnostic::new(&codes::BAD_LOCK_FILE, span, message)
                    .also(name.span, "named here")
                    .help("the file must be one JSON value without duplicate keys"),
            );
            None
        }
    }
}

fn visible(sources: &SourceMap, id: FileId, at: usize) -> Span {
    let text = sources.file(id).map_or("", crate::source::File::text);
    let start = (0..=at)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let width = text
        .get(start..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    Span::new(id, start..start + width)
}

/// A path relative to the folder of `from`; `None` if it leaves the project.
pub(crate) fn beside(from: &str, name: &str) -> Option<String> {
    if name.starts_with('/') || name.contains('\\') {
        return None;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A JSON value whose objects have no duplicate keys.
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` is there twice")));
            }
            map.insert(key, value);
        }
        Ok(Json::Object(map))
    }
}
