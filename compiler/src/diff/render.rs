//! A review in every form.

pub mod html;
pub mod human;
pub mod markdown;
pub mod sarif;

use std::fmt::Write as _;

use super::review::{Entry, shortened};

/// What a report cannot speak of, said in each.
const OUTSIDE: &str = "Every finding was replayed on both sides. Not in the model: rates used up, \
     revocations, activations, who the identity provider puts in a group.";

/// The first names of a set, each shown in its own way, and how many more.
pub(super) fn list<'n>(
    names: impl IntoIterator<Item = &'n str>,
    most: usize,
    show: impl Fn(&str) -> String,
) -> String {
    let (first, more) = shortened(names, most);
    let mut text = first.into_iter().map(show).collect::<Vec<_>>().join(", ");
    if more > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text
}

/// How many more calls an entry stands for than its witness.
fn others(entry: &Entry<'_>) -> usize {
    entry.findings.len().saturating_sub(1)
}

/// `1 thing`, `2 things`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Text that cannot steer a terminal or hide what it says.
fn visible(text: &str) -> String {
    let steers = |c: char| {
        let bidirectional = matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}');
        bidirectional || c.is_control()
    };
    let shown = |c: char| {
        if steers(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}
