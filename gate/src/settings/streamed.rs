//! Bodies that pass as they come.

use serde::{Deserialize, Serialize};

/// Which bodies of a route pass as they come: no stage reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Streamed {
    /// The largest of them, in bytes.
    pub limit: u64,
    /// Their media types: `type/subtype`, `type/*` or `*/*`, in lower case.
    pub stream: Vec<String>,
}

impl Streamed {
    /// Whether a body of this media type, as its header names it, passes as it comes.
    #[must_use]
    pub fn takes(&self, content_type: &str) -> bool {
        let media = content_type.split(';').next().unwrap_or_default();
        let media = media.trim_matches([' ', '\t']).to_ascii_lowercase();
        let Some((kind, _)) = media.split_once('/').filter(|_| is_media_type(&media)) else {
            return false;
        };
        self.stream.iter().any(|range| {
            let whole = range.strip_suffix("/*");
            *range == media || whole.is_some_and(|whole| whole == "*" || whole == kind)
        })
    }
}

/// Whether a text names media types as [`Streamed::stream`] does.
#[must_use]
pub fn is_media_range(text: &str) -> bool {
    let kind = text.strip_suffix("/*");
    kind.is_some_and(|kind| kind == "*" || is_token(kind)) || is_media_type(text)
}

fn is_media_type(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(kind, rest)| is_token(kind) && is_token(rest))
}

fn is_token(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte)
    };
    !text.is_empty() && text.len() <= 127 && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(ranges: &[&str], content_type: &str) -> bool {
        let stream = ranges.iter().map(|it| (*it).to_owned()).collect();
        Streamed { limit: 1, stream }.takes(content_type)
    }

    #[test]
    fn a_body_is_taken_by_its_media_type() {
        for (ranges, content_type, taken) in [
            (&["image/png"][..], "image/png", true),
            (&["image/png"], "IMAGE/PNG; x=y", true),
            (&["image/png"], "image/jpeg", false),
            (&["image/*"], "image/jpeg", true),
            (&["image/*"], "images/jpeg", false),
            (&["image/*"], "image", false),
            (&["*/*"], "a/b", true),
            (&["*/*"], "", false),
            (&["*/*"], "a/b, c/d", false),
            (&["*/*"], "a/b/c", false),
            (&["text/plain", "application/zip"], "application/zip", true),
        ] {
            assert_eq!(
                takes(ranges, content_type),
                taken,
                "{ranges:?} {content_type}"
            );
        }
    }

    #[test]
    fn ranges_are_written_in_one_way() {
        for good in ["*/*", "image/*", "application/vnd.api+json"] {
            assert!(is_media_range(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "image",
            "*/png",
            "Image/png",
            "a/b;c=d",
            "a/*b",
            "a/b/c",
        ] {
            assert!(!is_media_range(bad), "{bad}");
        }
    }
}
