//! Where a row is written, byte by byte, so that all else of the file stays as it is.

use std::collections::BTreeMap;

use crate::{
    diag::Sink,
    model::{Matrix, Model},
    source::{FileId, SourceMap, Span},
    syntax::{
        node::{Node, Value},
        yaml,
    },
};

/// What is written where.
#[derive(Debug, Clone)]
pub enum Paste {
    /// A row of a matrix that is there.
    Row {
        /// The file of the matrix.
        file: String,
        /// The line under `calls`.
        call: Insert,
        /// The line under `expect`.
        row: Insert,
    },
    /// A matrix of its own, under `matrices`.
    Matrix {
        /// Its lines, not indented.
        lines: Vec<String>,
        /// The file with matrices of the server, and the place in it, where there is one.
        place: Option<(String, Insert)>,
    },
}

/// Whole lines that come before a byte of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The byte: the start of a line, or the end of the file.
    pub offset: usize,
    /// The lines, each with its line break.
    pub text: String,
}

/// How a matrix is laid out, where a row can be added to it.
#[derive(Debug)]
pub(super) struct Layout {
    file: String,
    calls: usize,
    call_indent: String,
    rows: usize,
    row_indent: String,
    /// The columns of the cells, in characters from the start of the name of a call.
    columns: Vec<usize>,
    /// Whether the last row lacks its line break.
    unbroken: bool,
}

impl Layout {
    /// Reads it off the first call and the rows; none where they are not on lines of their own, or
    /// stand in brackets or quotes.
    pub(super) fn of(matrix: &Matrix, sources: &SourceMap) -> Option<Self> {
        let call = matrix.calls.first()?;
        let (calls, call_indent) = line_of(call.name.span, sources)?;
        let width = matrix.callers.len();
        let first = matrix.cells.get(..width)?;
        is_in_block(first.first()?.expected.span, sources)?;
        let last = matrix.cells.last()?;
        let file = sources.file(last.expected.span.file)?;
        let text = file.text();
        let start = text
            .get(..first.first()?.expected.span.range().start)?
            .rfind('\n')?
            + 1;
        let line = text.get(start..)?;
        let row_indent: String = line.chars().take_while(|c| *c == ' ').collect();
        if !line
            .get(row_indent.len()..)?
            .starts_with(call.name.value.as_str())
        {
            return None;
        }
        let before = |span: Span| text.get(start + row_indent.len()..span.range().start);
        let columns: Option<Vec<usize>> = first
            .iter()
            .map(|cell| Some(before(cell.expected.span)?.chars().count()))
            .collect();
        let end = last.expected.span.range().end;
        let rest = text.get(end..)?;
        let broken = rest.find('\n');
        Some(Self {
            file: file.path().to_owned(),
            calls,
            call_indent,
            rows: broken.map_or(text.len(), |at| end + at + 1),
            row_indent,
            columns: columns?,
            unbroken: broken.is_none(),
        })
    }

    /// A row of this matrix.
    pub(super) fn row(&self, name: &str, line: &str, words: &[&str]) -> Paste {
        let mut row = name.to_owned();
        for (word, column) in words.iter().zip(&self.columns) {
            let used = row.chars().count();
            let blanks = column.saturating_sub(used).max(2);
            row.push_str(&" ".repeat(blanks));
            row.push_str(word);
        }
        let lead = if self.unbroken { "\n" } else { "" };
        Paste::Row {
            file: self.file.clone(),
            call: Insert {
                offset: self.calls,
                text: format!("{}{line}\n", self.call_indent),
            },
            row: Insert {
                offset: self.rows,
                text: format!("{lead}{}{row}\n", self.row_indent),
            },
        }
    }
}

/// The start of the line that a key of block style begins, and its indentation.
fn line_of(key: Span, sources: &SourceMap) -> Option<(usize, String)> {
    let before = sources.file(key.file)?.text().get(..key.range().start)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let indent = before.get(start..)?;
    let blank = indent.chars().all(|c| c == ' ');
    is_in_block(key, sources)?;
    blank.then(|| (start, indent.to_owned()))
}

/// That a part of a file stands in no brackets and no quotes, so that a line before it is an entry
/// more.
fn is_in_block(part: Span, sources: &SourceMap) -> Option<()> {
    let text = sources.file(part.file)?.text();
    let root = yaml::parse(part.file, text, &mut Sink::new()).root?;
    let mut inner: Vec<&Node> = vec![&root];
    while let Some(node) = inner.pop() {
        let range = node.span.range();
        let encloses = range.start < part.range().start && part.range().end <= range.end;
        if encloses && text.get(range)?.starts_with(['{', '[', '"', '\'']) {
            return None;
        }
        match &node.value {
            Value::Map(pairs) => inner.extend(pairs.iter().map(|pair| &pair.value)),
            Value::List(items) => inner.extend(items),
            _ => {}
        }
    }
    Some(())
}

/// A matrix before the first one of the same server, or else of any.
pub(super) fn whole(model: &Model, sources: &SourceMap, server: &str, lines: Vec<String>) -> Paste {
    let mut matrices: Vec<&Matrix> = model.matrices.values().collect();
    matrices.sort_by_key(|it| (it.server != server, it.span.file, it.span.start));
    let place = matrices.iter().find_map(|matrix| {
        let (offset, indent) = line_of(matrix.span, sources)?;
        let indented = lines
            .iter()
            .map(|line| [indent.as_str(), line, "\n"].concat());
        let text = indented.collect::<String>();
        Some((
            sources.path(matrix.span.file).to_owned(),
            Insert { offset, text },
        ))
    });
    Paste::Matrix { lines, place }
}

/// The whole new text of each file that rows are added to. Rows without a place are left out.
pub fn apply<'r>(
    rows: impl IntoIterator<Item = &'r super::Row>,
    sources: &SourceMap,
) -> BTreeMap<String, String> {
    let mut inserts: BTreeMap<&str, Vec<&Insert>> = BTreeMap::new();
    for row in rows {
        match &row.paste {
            Paste::Row { file, call, row } => {
                inserts.entry(file).or_default().extend([call, row]);
            }
            Paste::Matrix { place, .. } => {
                if let Some((file, insert)) = place {
                    inserts.entry(file).or_default().push(insert);
                }
            }
        }
    }
    let mut files = BTreeMap::new();
    for (path, mut inserts) in inserts {
        let file: Option<FileId> = sources.find(path);
        let Some(file) = file.and_then(|id| sources.file(id)) else {
            continue;
        };
        let mut text = file.text().to_owned();
        // From the end, so that earlier places stay; what comes first at one place stays first.
        inserts.reverse();
        inserts.sort_by_key(|insert| std::cmp::Reverse(insert.offset));
        for insert in inserts {
            if text.is_char_boundary(insert.offset) {
                text.insert_str(insert.offset, &insert.text);
            }
        }
        files.insert(path.to_owned(), text);
    }
    files
}
