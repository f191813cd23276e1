//! How upstreams fold texts, so that policy compares what they compare.

use std::borrow::Cow;

use latchkey_engine::index::Fold;

/// Folds a text; `None` when its folded form is not settled.
#[must_use]
pub fn fold(how: Fold, text: &str) -> Option<Cow<'_, str>> {
    match how {
        Fold::AsciiLower => ascii_lower(text),
        Fold::PosixPath => posix_path(text),
    }
}

fn ascii_lower(text: &str) -> Option<Cow<'_, str>> {
    if !text.is_ascii() {
        return None;
    }
    Some(if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    })
}

fn posix_path(text: &str) -> Option<Cow<'_, str>> {
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            // Above the root, and above wherever a relative path starts.
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let root = if text.starts_with('/') { "/" } else { "" };
    let directory = if text.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    let folded = format!("{root}{}{directory}", parts.join("/"));
    match folded.as_str() {
        "" => None,
        same if same == text => Some(Cow::Borrowed(text)),
        _ => Some(Cow::Owned(folded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds() {
        for (how, text, expected) in [
            (Fold::AsciiLower, "Ledger", Some("ledger")),
            (Fold::AsciiLower, "ledger", Some("ledger")),
            (Fold::AsciiLower, "", Some("")),
            (Fold::AsciiLower, "L\u{e9}dger", None),
            (Fold::AsciiLower, "\u{212a}", None),
            (Fold::PosixPath, "/a/./b", Some("/a/b")),
            (Fold::PosixPath, "/a//b/../c", Some("/a/c")),
            (Fold::PosixPath, "a/b/", Some("a/b/")),
            (Fold::PosixPath, "a/b//", Some("a/b/")),
            (Fold::PosixPath, "/", Some("/")),
            (Fold::PosixPath, "//", Some("/")),
            (Fold::PosixPath, "/..", None),
            (Fold::PosixPath, "../a", None),
            (Fold::PosixPath, "a/../../b", None),
            (Fold::PosixPath, "", None),
            (Fold::PosixPath, ".", None),
            (Fold::PosixPath, "a/..", None),
            (Fold::PosixPath, "/a/..", Some("/")),
        ] {
            assert_eq!(fold(how, text).as_deref(), expected, "{how:?} {text:?}");
        }
    }
}
