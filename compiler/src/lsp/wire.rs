//! The forms of the protocol: paths as URIs, places in UTF-16.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::{
    diag::render::sarif::uri as escaped,
    source::{File, SourceMap, Span},
};

/// A part of a message; null where it is not there.
pub(super) fn part<'j>(message: &'j Json, pointer: &str) -> &'j Json {
    message.pointer(pointer).unwrap_or(&Json::Null)
}

/// The path of a `file:` URI.
pub(super) fn path(uri: &Json) -> Option<PathBuf> {
    let rest = uri.as_str()?.strip_prefix("file://")?;
    // A host is this machine, or nobody that could be read from.
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    path.is_absolute().then_some(path)
}

/// The `file:` URI of a path.
pub(super) fn uri(path: &Path) -> String {
    format!("file://{}", escaped(&path.to_string_lossy()))
}

/// The byte offset of a position; past the end of a line it is the end of the line.
pub(super) fn offset(file: &File, position: &Json) -> u32 {
    let number = |it: &Json| it.as_u64().and_then(|it| u32::try_from(it).ok());
    let line = number(part(position, "/line"))
        .unwrap_or(0)
        .saturating_add(1);
    let units = number(part(position, "/character")).unwrap_or(0) as usize;
    let end = file.text().len();
    let Some(range) = file.line(line) else {
        return u32::try_from(end).unwrap_or(u32::MAX);
    };
    let text = file.text().get(range.clone()).unwrap_or_default();
    let mut left = units;
    let mut at = range.start;
    for c in text.chars() {
        // A position inside of a character means its start.
        if left < c.len_utf16() {
            break;
        }
        left -= c.len_utf16();
        at += c.len_utf8();
    }
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The position of a byte offset.
pub(super) fn position(file: &File, offset: u32) -> Json {
    let line = file.position(offset as usize).line;
    let start = file.line(line).map_or(0, |it| it.start);
    let before = file
        .text()
        .get(start..(offset as usize).min(file.text().len()));
    let units = before.unwrap_or_default().encode_utf16().count();
    json!({"line": line - 1, "character": units})
}

/// The range of a span.
pub(super) fn range(sources: &SourceMap, span: Span) -> Json {
    match sources.file(span.file) {
        Some(file) => {
            json!({"start": position(file, span.start), "end": position(file, span.end)})
        }
        None => json!({
            "start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0},
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn places_count_in_utf_16() {
        let text = "a: é\n# 😀x\r\nb: ü";
        let files = [("a.yaml".to_owned(), text.as_bytes().to_vec())];
        let sources = SourceMap::from_files(files.into());
        let file = sources.file(FileId(0)).unwrap();
        for (at, c) in text.char_indices() {
            if matches!(c, '\r' | '\n') {
                continue;
            }
            let at = u32::try_from(at).unwrap();
            assert_eq!(offset(file, &position(file, at)), at, "{c:?}");
        }
        let x = u32::try_from(text.find('x').unwrap()).unwrap();
        assert_eq!(position(file, x), json!({"line": 1, "character": 4}));
        // Inside of the pair, past the line, past the text.
        let at = |line: u32, character: u32| {
            offset(file, &json!({"line": line, "character": character})) as usize
        };
        assert_eq!(at(1, 3), text.find('😀').unwrap());
        assert_eq!(at(1, 99), text.find('\r').unwrap());
        assert_eq!(at(99, 0), text.len());
    }

    #[test]
    fn paths_and_uris_are_each_others_inverse() {
        for text in ["/a/b c/é%20.yaml", "/x"] {
            let path = PathBuf::from(text);
            assert_eq!(super::path(&json!(uri(&path))), Some(path));
        }
        assert_eq!(path(&json!("file:///a%2")), None);
        assert_eq!(path(&json!("untitled:1")), None);
        assert_eq!(path(&json!("file:///a%ff")), None);
    }
}
