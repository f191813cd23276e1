//! References inside a document.

use serde_json::Value as Json;

/// How many references may lead to one another.
const MAX_HOPS: usize = 32;

/// A document as the target of references.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refs<'d> {
    root: &'d Json,
}

impl<'d> Refs<'d> {
    pub(super) fn new(root: &'d Json) -> Self {
        Self { root }
    }

    /// What a reference names.
    pub(super) fn target(self, reference: &str) -> Result<&'d Json, String> {
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!(
                "`{reference}` is in another document: bundle all into one first"
            ));
        };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!(
                "`{reference}` names an anchor; write where it stands"
            ));
        }
        let decoded = percent_decoded(pointer);
        let found = self.root.pointer(pointer);
        let found = found.or_else(|| self.root.pointer(&decoded));
        found.ok_or_else(|| format!("`{reference}` is not in the document"))
    }

    /// The value, or what its reference leads to.
    pub(super) fn follow(self, value: &'d Json) -> Result<&'d Json, String> {
        let mut value = value;
        for _ in 0..MAX_HOPS {
            match value.get("$ref").and_then(Json::as_str) {
                None => return Ok(value),
                Some(reference) => value = self.target(reference)?,
            }
        }
        let reference = value.get("$ref").and_then(Json::as_str).unwrap_or_default();
        Err(format!("`{reference}` leads back to itself"))
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let hex = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(hex.unwrap_or(byte));
        rest = if hex.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
