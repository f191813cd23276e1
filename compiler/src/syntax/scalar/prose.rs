//! Text with a grammar of its own inside: conditions and tables, with exact places.

use std::ops::Range;

use serde_json::{Value as Json, json};

use crate::source::{SourceMap, Span};
use crate::syntax::node::{Node, Style, Value};
use crate::syntax::shape::{Reader, Shape, wrong_type};
use crate::text::Text;

/// A text whose parts can be pointed at, whatever its quotes, escapes and indentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prose {
    /// The text as read.
    pub value: Text,
    /// Where all of it stands.
    pub span: Span,
    offsets: Offsets,
}

/// For each byte of the value, and its end, the byte of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Offsets {
    /// They follow each other from here: the value stands in the file as it is.
    Straight(u32),
    Each(Box<[u32]>),
}

impl Prose {
    /// The text of a scalar that stands at `span`.
    pub(crate) fn of(value: &Text, style: Style, span: Span, sources: &SourceMap) -> Self {
        let raw = sources.text(span);
        if let Some(start) = straight(value, raw, style) {
            return Self {
                value: value.clone(),
                span,
                offsets: Offsets::Straight(span.start + start),
            };
        }
        // Only a literal block takes off what its lines are indented by; a line's number is costly.
        let indent = match style {
            Style::Literal => sources.position(span).column as usize - 1,
            _ => 0,
        };
        let place = |at: usize| span.start + u32::try_from(at).unwrap_or_default();
        Self {
            value: value.clone(),
            span,
            offsets: Offsets::Each(align(value, raw, (style, indent), place).into()),
        }
    }

    /// No text.
    pub(crate) fn empty(span: Span) -> Self {
        Self {
            value: Text::default(),
            span,
            offsets: Offsets::Straight(span.start),
        }
    }

    /// The place of some bytes of the value.
    pub fn span_of(&self, range: Range<usize>) -> Span {
        let at = |index: usize| {
            let last = || self.offset(self.value.len());
            self.offset(index).or_else(last).unwrap_or(self.span.start)
        };
        let start = at(range.start);
        // The end of a part is one past its last byte, not the start of what comes after it.
        let end = match range.end.checked_sub(1).filter(|&last| last >= range.start) {
            Some(last) => at(range.end).min(self.after(last)),
            None => start,
        };
        Span {
            file: self.span.file,
            start,
            end: end.max(start),
        }
    }

    /// The place of a byte of the value, or of its end.
    fn offset(&self, index: usize) -> Option<u32> {
        match &self.offsets {
            Offsets::Each(all) => all.get(index).copied(),
            Offsets::Straight(start) => {
                let index = (index <= self.value.len()).then_some(index)?;
                start.checked_add(u32::try_from(index).ok()?)
            }
        }
    }

    fn after(&self, last: usize) -> u32 {
        let mut first = last;
        while first > 0 && !self.value.is_char_boundary(first) {
            first -= 1;
        }
        let here = self.offset(first).unwrap_or(self.span.end);
        let width = self.value.get(first..).and_then(|rest| rest.chars().next());
        let raw = width.map_or(1, char::len_utf8);
        let next = self.offset(first + raw).unwrap_or(self.span.end);
        // In a block, the next character may stand on the next line, after its indentation.
        if width == Some('\n') {
            here + 1
        } else {
            next.max(here)
        }
    }
}

impl Shape for Prose {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Text(value, style) = &node.value else {
            return wrong_type(node, "text", cx);
        };
        Some(Self::of(value, *style, node.span, cx.sources))
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Where in the raw text the value stands as it is, if it does.
fn straight(value: &str, raw: &str, style: Style) -> Option<u32> {
    let (start, escape) = match style {
        Style::Plain => (0, None),
        Style::Single => (1, Some('\'')),
        Style::Double => (1, Some('\\')),
        Style::Literal | Style::Folded => return None,
    };
    let same = raw.get(start as usize..)?.starts_with(value);
    let escaped = escape.is_some_and(|it| value.contains(it));
    (same && !escaped).then_some(start)
}

/// For each byte of the value, and its end, the place of the byte of the raw text that it came
/// from.
fn align(
    value: &str,
    raw: &str,
    (style, indent): (Style, usize),
    place: impl Fn(usize) -> u32,
) -> Vec<u32> {
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut at = usize::from(matches!(style, Style::Single | Style::Double));
    for c in value.chars() {
        let length;
        (at, length) = step(c, raw, at, style);
        for byte in 0..c.len_utf8() {
            let inner = if length == c.len_utf8() { byte } else { 0 };
            offsets.push(place(at + inner));
        }
        at += length;
        if style == Style::Literal && c == '\n' {
            at += spaces(raw.get(at..).unwrap_or_default()).min(indent);
        }
    }
    offsets.push(place(at.min(raw.len())));
    offsets
}

/// Where in the raw text the character stands, and how many bytes it takes there.
fn step(c: char, raw: &str, at: usize, style: Style) -> (usize, usize) {
    let rest = raw.get(at..).unwrap_or_default();
    match rest.chars().next() {
        Some('\\') if style == Style::Double => (at, escape(rest)),
        Some('\'') if style == Style::Single => (at, 2),
        Some('\r') if c == '\n' => (at, 2),
        Some(found) if found == c => (at, c.len_utf8()),
        // A folded line break: the value has one space or line feed for a run of blanks.
        Some(found) if found.is_whitespace() && c.is_whitespace() => {
            (at, rest.len() - rest.trim_start().len())
        }
        // Blanks that folding dropped.
        Some(found) if found.is_whitespace() => {
            let skipped = rest.len() - rest.trim_start().len();
            (at + skipped, c.len_utf8())
        }
        _ => (at, 0),
    }
}

fn escape(rest: &str) -> usize {
    match rest.chars().nth(1) {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        Some(c) => 1 + c.len_utf8(),
        None => 1,
    }
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}
