//! Rewriting single values of a text while every other byte stays as it came.

use std::ops::Range;

use super::Object;

/// One replacement: the bytes of `at` become `text`; an empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the source that go.
    pub at: Range<usize>,
    /// JSON text that comes in their place.
    pub text: String,
}

impl Object<'_> {
    /// The edits that give each named member its value, replaced in place or added in front.
    ///
    /// The values are JSON text; the caller answers for their being valid.
    pub fn set<'n>(&self, members: impl IntoIterator<Item = (&'n str, String)>) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut added = String::new();
        for (key, text) in members {
            if let Some(present) = self.get(key) {
                edits.push(Edit {
                    at: present.span(),
                    text,
                });
                continue;
            }
            if !added.is_empty() {
                added.push(',');
            }
            added.push_str(&serde_json::Value::from(key).to_string());
            added.push(':');
            added.push_str(&text);
        }
        if !added.is_empty() {
            if !self.is_empty() {
                added.push(',');
            }
            let front = self.span().start + 1;
            edits.push(Edit {
                at: front..front,
                text: added,
            });
        }
        edits
    }
}

/// Applies edits to the text they were made for; `None` if two overlap or one lies outside it.
pub fn splice(source: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let growth: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = String::with_capacity(source.len() + growth);
    let mut done = 0;
    for edit in &edits {
        out.push_str(source.get(done..edit.at.start)?);
        out.push_str(&edit.text);
        done = edit.at.end;
    }
    out.push_str(source.get(done..)?);
    Some(out)
}
