//! The table of a matrix: a header row of callers, then a row for each call.
//!
//! Columns are separated by spaces. The last columns of a row are its cells, so the name of a
//! call may have spaces. Every cell keeps its exact place, so that a tool can rewrite one cell.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::scalar::Prose;
use crate::syntax::shape::Reader;
use crate::text::Text;

/// The table as written.
#[derive(Clone, Debug)]
pub struct Table {
    /// The whole text, for exact places.
    pub text: Prose,
    /// The callers, in the order of the columns.
    pub header: Vec<Spanned<Text>>,
    /// The rows, in order.
    pub rows: Vec<Row>,
}

/// The row of one call.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the call.
    pub call: Spanned<Text>,
    /// The outcomes, one for each caller of the header.
    pub cells: Vec<Spanned<Text>>,
}

impl Table {
    /// The cell of a call and a caller.
    pub fn cell(&self, call: &str, caller: &str) -> Option<&Spanned<Text>> {
        let column = self.header.iter().position(|name| name.value == caller)?;
        self.rows
            .iter()
            .find(|row| row.call.value == call)?
            .cells
            .get(column)
    }
}

/// Reads the shape of the table; whether its names exist is for [`check`].
pub(crate) fn read(text: Prose, cx: &mut Reader<'_>) -> Option<Table> {
    let mut lines = lines(&text.value).filter(|range| !words(&text.value, range).is_empty());
    let Some(first) = lines.next() else {
        refuse(
            cx,
            text.span,
            "the table is empty",
            "begin with a row `.` and the callers",
        );
        return None;
    };
    let mut sound = true;
    let header: Vec<_> = words(&text.value, &first)
        .into_iter()
        .map(|word| part(&text, word))
        .collect();
    let columns = match header.split_first() {
        Some((dot, columns)) if dot.value == "." => columns.to_vec(),
        _ => {
            let place = text.span_of(trimmed(&text.value, &first));
            refuse(
                cx,
                place,
                "the first row must begin with `.`",
                "write `.` and the callers",
            );
            return None;
        }
    };
    let mut rows = Vec::new();
    for line in lines {
        if let Some(row) = row(&text, &line, columns.len()) {
            rows.push(row);
            continue;
        }
        sound = false;
        let place = text.span_of(trimmed(&text.value, &line));
        let (wanted, count) = (columns.len(), words(&text.value, &line).len());
        let message = format!("this row needs a call and {wanted} outcomes, and has {count} words");
        refuse(
            cx,
            place,
            &message,
            "write one outcome for each caller of the first row",
        );
    }
    sound.then_some(Table {
        text,
        header: columns,
        rows,
    })
}

/// The cells of a table that is sound, row by row, as bytes of its text.
pub(crate) fn outcomes(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rows = lines(text)
        .map(|line| words(text, &line))
        .filter(|row| !row.is_empty());
    let columns = rows.next().map_or(0, |header| header.len() - 1);
    rows.flat_map(move |row| {
        let names = row.len().saturating_sub(columns);
        row.into_iter().skip(names)
    })
}

/// Reports rows and columns that match nothing, are missing, or come twice.
pub(crate) fn check(
    table: &Table,
    callers: &[&str],
    calls: &[&str],
    blame: Span,
    cx: &mut Reader<'_>,
) -> bool {
    let rows: Vec<_> = table.rows.iter().map(|row| row.call.clone()).collect();
    let columns = matches_names(&table.header, callers, "caller", "column", blame, cx);
    matches_names(&rows, calls, "call", "row", blame, cx) && columns
}

fn matches_names(
    found: &[Spanned<Text>],
    known: &[&str],
    noun: &str,
    place: &str,
    blame: Span,
    cx: &mut Reader<'_>,
) -> bool {
    let mut sound = true;
    let mut seen = BTreeMap::new();
    let exists: BTreeSet<_> = known.iter().copied().collect();
    for name in found {
        if let Some(earlier) = seen.insert(name.value.as_str(), name.span) {
            let message = format!("the {noun} `{}` already has a {place}", name.value);
            cx.sink.push(
                Diagnostic::new(&codes::BAD_EXPECT_TABLE, name.span, message).also(earlier, "here"),
            );
            sound = false;
        } else if !exists.contains(name.value.as_str()) {
            let message = format!("this matrix has no {noun} `{}`", name.value);
            cx.sink.push(
                Diagnostic::new(&codes::BAD_EXPECT_TABLE, name.span, message)
                    .help(format!("a {place} of the table is the name of a {noun}"))
                    .did_you_mean(name, name.span, known.iter().copied()),
            );
            sound = false;
        }
    }
    // A name that is misspelt is reported once, not also as missing.
    let missing = known.iter().find(|known| !seen.contains_key(**known));
    if let Some(missing) = missing.filter(|_| sound) {
        let message = format!("the table has no {place} for the {noun} `{missing}`");
        refuse(
            cx,
            blame,
            &message,
            &format!("add a {place}, or remove the {noun}"),
        );
        sound = false;
    }
    sound
}

fn row(text: &Prose, line: &Range<usize>, columns: usize) -> Option<Row> {
    let words = words(&text.value, line);
    let first = words.first()?.start;
    let split = words
        .len()
        .checked_sub(columns)
        .filter(|&split| split > 0)?;
    let (name, cells) = words.split_at_checked(split)?;
    let call = part(text, first..name.last()?.end);
    let cells = cells.iter().map(|word| part(text, word.clone())).collect();
    Some(Row { call, cells })
}

fn part(text: &Prose, range: Range<usize>) -> Spanned<Text> {
    let value = text.value.get(range.clone()).unwrap_or_default().to_owned();
    Spanned::new(value.into(), text.span_of(range))
}

fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let range = start..start + line.len();
        start = range.end + 1;
        range
    })
}

fn words(text: &str, line: &Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = line.start;
    for piece in text.get(line.clone()).unwrap_or_default().split(' ') {
        if !piece.trim().is_empty() {
            words.push(at..at + piece.len());
        }
        at += piece.len() + 1;
    }
    words
}

fn trimmed(text: &str, line: &Range<usize>) -> Range<usize> {
    match words(text, line).as_slice() {
        [first, .., last] => first.start..last.end,
        [only] => only.clone(),
        [] => line.clone(),
    }
}

fn refuse(cx: &mut Reader<'_>, span: Span, message: &str, help: &str) {
    cx.sink
        .push(Diagnostic::new(&codes::BAD_EXPECT_TABLE, span, message).help(help));
}
