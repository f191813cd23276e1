//! The everyday part of YAML, read without the library: what nearly every policy file is made of.
//!
//! Keys, plain and quoted values of one line, lists, flow collections and block texts, indented
//! with spaces. Whatever is not certainly of that form, and every file with a finding, is left to
//! the library: this only ever says what the library says, sooner. Tests and the fuzz target
//! `parse` hold the two against each other. Sections named here are those of YAML 1.2.2.

use super::{Builder, Open, Seen, characters};
use crate::source::Span;

mod scalars;

use scalars::{Scalar, may_end, may_end_in_flow};

/// The longest key, in bytes; section 7.4.2 allows 1,024 characters.
const LONGEST_KEY: usize = 1000;

/// Reads all of the builder's text; `None` at the first thing that is not of the everyday form,
/// and what was built so far means nothing then.
pub(super) fn read(builder: &mut Builder<'_>) -> Option<()> {
    let text = builder.text;
    if !text.ends_with('\n') || !characters::everyday(text) {
        return None;
    }
    let mut reader = Reader {
        text,
        at: 0,
        line: 0,
        builder,
    };
    reader.lines();
    if reader.at == reader.line && text.get(reader.at..)?.starts_with("---\n") {
        reader.at = reader.line_end();
        reader.next_line();
        reader.lines();
    }
    let column = reader.column()?;
    reader.block(column)?;
    reader.column().is_none().then_some(())
}

/// Every method begins at the first byte of what it is named for and ends behind it; those that
/// read a value to the end of its line go on to the next line that says something.
struct Reader<'b, 'a> {
    text: &'a str,
    at: usize,
    /// Where the line of `at` begins.
    line: usize,
    builder: &'b mut Builder<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// A block list or map whose first line begins in this column.
    fn block(&mut self, column: usize) -> Option<()> {
        if self.is_at_dash() {
            return self.list(column);
        }
        let first = self.scalar(may_end)?;
        self.map(column, first)
    }

    fn map(&mut self, column: usize, first: Scalar<'a>) -> Option<()> {
        self.open_map(first.start, false)?;
        let mut key = first;
        loop {
            self.key(&key)?;
            self.value(column)?;
            if self.column() != Some(column) || self.is_at_dash() {
                break;
            }
            key = self.scalar(may_end)?;
        }
        self.close()
    }

    fn list(&mut self, column: usize) -> Option<()> {
        self.open_list(self.at, false)?;
        while self.column() == Some(column) && self.is_at_dash() {
            self.at += 1;
            self.item(column)?;
        }
        self.close()
    }

    /// What follows the dash of a list in this column.
    fn item(&mut self, column: usize) -> Option<()> {
        self.spaces();
        if self.says_no_more() {
            self.end_line()?;
            let below = self.column().filter(|it| *it > column)?;
            return self.block(below);
        }
        let inner = self.at - self.line;
        if self.is_at_dash() {
            return self.list(inner);
        }
        self.inline(column, Some(inner))
    }

    /// What follows the colon of a key in this column.
    fn value(&mut self, column: usize) -> Option<()> {
        self.spaces();
        if self.says_no_more() {
            self.end_line()?;
            let below = self.column()?;
            // The items of a list may stand right below its key (section 8.2.1).
            let list = below == column && self.is_at_dash();
            return if below > column || list {
                self.block(below)
            } else {
                None
            };
        }
        self.inline(column, None)
    }

    /// A value that begins on the line of its entry or item in this column; an item can be a map,
    /// whose first key is in the inner one.
    fn inline(&mut self, column: usize, inner: Option<usize>) -> Option<()> {
        match self.peek() {
            b'|' | b'>' => return self.block_text(column),
            b'[' | b'{' => self.flow(column)?,
            _ => {
                let scalar = self.scalar(may_end)?;
                if let Some(inner) = inner.filter(|_| self.peek() == b':') {
                    return self.map(inner, scalar);
                }
                self.take(&scalar);
            }
        }
        self.end_line()
    }

    fn flow(&mut self, column: usize) -> Option<()> {
        if self.peek() == b'[' {
            self.flow_list(column)
        } else {
            self.flow_map(column)
        }
    }

    fn flow_list(&mut self, column: usize) -> Option<()> {
        self.open_list(self.at, true)?;
        self.at += 1;
        while self.flow_goes_on(column, b']')? {
            self.flow_value(column)?;
        }
        self.close()
    }

    fn flow_map(&mut self, column: usize) -> Option<()> {
        self.open_map(self.at, true)?;
        self.at += 1;
        while self.flow_goes_on(column, b'}')? {
            let key = self.scalar(may_end_in_flow)?;
            self.key(&key)?;
            self.spaces();
            self.flow_value(column)?;
        }
        self.close()
    }

    fn flow_value(&mut self, column: usize) -> Option<()> {
        if matches!(self.peek(), b'[' | b'{') {
            self.flow(column)?;
        } else {
            let scalar = self.scalar(may_end_in_flow)?;
            self.take(&scalar);
        }
        self.flow_space(column)?;
        match self.peek() {
            b',' => self.at += 1,
            b']' | b'}' => {}
            _ => return None,
        }
        Some(())
    }

    /// Whether something stands before the closing bracket, which is passed if not.
    fn flow_goes_on(&mut self, column: usize, bracket: u8) -> Option<bool> {
        self.flow_space(column)?;
        let ends = self.peek() == bracket;
        self.at += usize::from(ends);
        Some(!ends)
    }

    /// The space between two parts of a flow collection. Its lines are indented deeper than what
    /// it belongs to.
    fn flow_space(&mut self, column: usize) -> Option<()> {
        self.spaces();
        if self.says_no_more() {
            self.end_line()?;
            self.column().filter(|it| *it > column)?;
        }
        Some(())
    }

    /// Takes a scalar as a key, and passes its colon.
    fn key(&mut self, key: &Scalar<'_>) -> Option<()> {
        let spaced = matches!(self.peek_next(), b' ' | b'\n');
        if self.peek() != b':' || !spaced || key.end - key.start > LONGEST_KEY {
            return None;
        }
        self.take(key);
        self.at += 1;
        Some(())
    }

    fn take(&mut self, scalar: &Scalar<'_>) {
        let span = Span::new(self.builder.file, scalar.start..scalar.end);
        self.builder.scalar(&scalar.text, scalar.style, span, false);
    }

    fn open_list(&mut self, start: usize, flow: bool) -> Option<()> {
        let start = Span::new(self.builder.file, start..start + usize::from(flow));
        let items = Vec::new();
        let open = Open::List { items, start, flow };
        self.builder.open(open).ok()
    }

    fn open_map(&mut self, start: usize, flow: bool) -> Option<()> {
        let open = Open::Map {
            pairs: Vec::new(),
            seen: Seen::default(),
            key: None,
            start: Span::new(self.builder.file, start..start + usize::from(flow)),
            flow,
        };
        self.builder.open(open).ok()
    }

    /// Ends a list or map; one in brackets ends right here.
    fn close(&mut self) -> Option<()> {
        let end = self.at.checked_sub(1)?..self.at;
        self.builder.close(Span::new(self.builder.file, end));
        Some(())
    }

    /// The rest of a line that says no more, and the lines that say nothing.
    fn end_line(&mut self) -> Option<()> {
        self.spaces();
        if !self.says_no_more() {
            return None;
        }
        self.at = self.line_end();
        self.next_line();
        self.lines();
        Some(())
    }

    /// Blank lines and comments, up to the first character of a line that says something.
    fn lines(&mut self) {
        loop {
            self.spaces();
            match self.peek() {
                b'\n' => {}
                b'#' => self.at = self.line_end(),
                _ => return,
            }
            self.next_line();
        }
    }

    /// Whether nothing but a comment is left of this line.
    fn says_no_more(&self) -> bool {
        let before = self.at.checked_sub(1);
        let before = before.and_then(|at| self.text.as_bytes().get(at));
        self.peek() == b'\n' || self.peek() == b'#' && matches!(before, Some(b' ' | b'\n'))
    }

    fn spaces(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// From a line break to what comes after it.
    fn next_line(&mut self) {
        self.at += 1;
        self.line = self.at;
    }

    fn line_end(&self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |it| self.at + it)
    }

    /// The column of what is next; `None` at the end of the text.
    fn column(&self) -> Option<usize> {
        (self.at < self.text.len()).then(|| self.at - self.line)
    }

    fn is_at_dash(&self) -> bool {
        self.peek() == b'-' && matches!(self.peek_next(), b' ' | b'\n')
    }

    /// The byte here; none of the everyday ones at the end of the text.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn peek_next(&self) -> u8 {
        self.text.as_bytes().get(self.at + 1).copied().unwrap_or(0)
    }
}
