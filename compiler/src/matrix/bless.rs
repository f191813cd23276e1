//! Blessing: the cells that changed, rewritten in place, byte by byte.

use std::collections::BTreeMap;

use super::{Run, outcome};
use crate::source::{SourceMap, Span};

/// New texts of files, by path, and how many cells changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    /// The whole new text of each changed file.
    pub files: BTreeMap<String, String>,
    /// How many cells changed.
    pub cells: usize,
}

/// The texts in which each cell says what happened. Nothing but changed cells, and the blanks
/// after them, is touched.
pub fn bless(run: &Run<'_>, sources: &SourceMap) -> Edits {
    let mut changes: BTreeMap<&str, Vec<(Span, String)>> = BTreeMap::new();
    let mut edits = Edits::default();
    for cell in run.cells.iter().filter(|cell| !cell.passed) {
        let path = sources.path(cell.span.file);
        let text = outcome::blessed(cell.expected, &cell.actual);
        changes.entry(path).or_default().push((cell.span, text));
        edits.cells += 1;
    }
    for (path, mut changes) in changes {
        // From the end, so that earlier places stay where they are.
        changes.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        let file = sources.find(path).and_then(|id| sources.file(id));
        let mut text = file.map(|file| file.text().to_owned()).unwrap_or_default();
        for (span, insert) in changes {
            replace(&mut text, span, &insert);
        }
        edits.files.insert(path.to_owned(), text);
    }
    edits
}

/// Replaces a cell, and takes from or adds to the blanks after it, so that the next column stays
/// where it is when there is room.
fn replace(text: &mut String, span: Span, insert: &str) {
    let range = span.range();
    let old = range.len();
    let rest = text.get(range.end..).unwrap_or_default();
    let blanks = rest.len() - rest.trim_start_matches(' ').len();
    let last = rest.trim_start_matches(' ').starts_with(['\n', '\r']) || blanks == rest.len();
    let end = range.end + blanks;
    let wanted = (old + blanks).saturating_sub(insert.len());
    // Columns are kept apart by at least one blank; lines end without any.
    let pad = if last { 0 } else { wanted.max(1) };
    if text.get(range.start..end).is_some() {
        text.replace_range(range.start..end, &format!("{insert}{}", " ".repeat(pad)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn a_cell_is_replaced_and_its_neighbours_stay() {
        let cases = [
            (
                "a  allow          allow\n",
                3..8,
                "no_permission",
                "a  no_permission  allow\n",
            ),
            (
                "a  no_permission  allow\n",
                3..16,
                "allow",
                "a  allow          allow\n",
            ),
            (
                "a  allow allow\n",
                3..8,
                "scope_invalid",
                "a  scope_invalid allow\n",
            ),
            ("a  allow\n", 3..8, "no_permission", "a  no_permission\n"),
            ("a  allow  \r\n", 3..8, "x", "a  x\r\n"),
        ];
        for (before, range, insert, after) in cases {
            let mut text = before.to_owned();
            replace(&mut text, Span::new(FileId(0), range), insert);
            assert_eq!(text, after);
        }
    }
}
