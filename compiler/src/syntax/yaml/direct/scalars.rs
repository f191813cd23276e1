//! Keys and values that are no lists or maps.

use std::borrow::Cow;

use granit_parser::ScalarStyle;

use super::Reader;

/// A key or a value, and where it stands.
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) style: ScalarStyle,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Whether a plain value of a block may end before this byte.
pub(super) fn may_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b':' | b'#')
}

/// Whether one in brackets may.
pub(super) fn may_end_in_flow(byte: u8) -> bool {
    may_end(byte) || matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

impl<'a> Reader<'_, 'a> {
    /// A scalar of one line.
    pub(super) fn scalar(&mut self, may_end: impl Fn(u8) -> bool) -> Option<Scalar<'a>> {
        match self.peek() {
            b'"' => self.double(),
            b'\'' => self.single(),
            _ => self.plain(may_end),
        }
    }

    /// A value without quotes (section 7.3.3), from the first byte of a few that need no thought.
    fn plain(&mut self, may_end: impl Fn(u8) -> bool) -> Option<Scalar<'a>> {
        let start = self.at;
        let usual = |b: u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b"_/.+$(<^".contains(&b);
        let negative = self.peek() == b'-' && self.peek_next().is_ascii_alphanumeric();
        // Dots in the first column may end the document.
        if !(usual(self.peek()) && (self.peek() != b'.' || start > self.line) || negative) {
            return None;
        }
        let rest = self.text.as_bytes().get(start..)?;
        let mut length = 0;
        loop {
            length += rest.get(length..)?.iter().position(|b| may_end(*b))?;
            let ends = match rest.get(length)? {
                b':' => b" \n,[]{}".contains(rest.get(length + 1)?),
                b'#' => rest.get(length - 1) == Some(&b' '),
                _ => true,
            };
            if ends {
                break;
            }
            length += 1;
        }
        let text = self.text.get(start..start + length)?.trim_end_matches(' ');
        self.at = start + text.len();
        Some(self.since(start, Cow::Borrowed(text), ScalarStyle::Plain))
    }

    fn single(&mut self) -> Option<Scalar<'a>> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|b| matches!(b, b'\'' | b'\n'))?;
            if self.peek() == b'\n' {
                return None;
            }
            self.at += 1;
            if self.peek() != b'\'' {
                break;
            }
            self.at += 1;
        }
        let inner = self.text.get(start + 1..self.at - 1)?;
        let text = if inner.contains('\'') {
            Cow::Owned(inner.replace("''", "'"))
        } else {
            Cow::Borrowed(inner)
        };
        Some(self.since(start, text, ScalarStyle::SingleQuoted))
    }

    fn double(&mut self) -> Option<Scalar<'a>> {
        let start = self.at;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.text.get(self.at..)?;
            let length = rest
                .bytes()
                .position(|b| matches!(b, b'"' | b'\\' | b'\n'))?;
            let part = rest.get(..length)?;
            if text.is_empty() {
                text = Cow::Borrowed(part);
            } else {
                text.to_mut().push_str(part);
            }
            self.at += length;
            match self.peek() {
                b'"' => break,
                b'\\' => text.to_mut().push(unescaped(self.peek_next())?),
                _ => return None,
            }
            self.at += 2;
        }
        self.at += 1;
        Some(self.since(start, text, ScalarStyle::DoubleQuoted))
    }

    /// The scalar that ends here.
    fn since(&self, start: usize, text: Cow<'a, str>, style: ScalarStyle) -> Scalar<'a> {
        Scalar {
            text,
            style,
            start,
            end: self.at,
        }
    }

    /// A text in lines of their own (section 8.1), of an entry or item in this column.
    pub(super) fn block_text(&mut self, column: usize) -> Option<()> {
        let style = if self.peek() == b'|' {
            ScalarStyle::Literal
        } else {
            ScalarStyle::Folded
        };
        self.at += 1;
        let strip = self.peek() == b'-';
        self.at += usize::from(strip);
        if self.peek() != b'\n' {
            return None;
        }
        self.next_line();
        self.spaces();
        let indent = self.at - self.line;
        if indent <= column || self.peek() == b'\n' {
            return None;
        }
        let start = self.at;
        let mut text = String::new();
        let mut breaks = 0;
        while let Some(content) = self.block_line(indent) {
            if content.is_empty() {
                breaks += 1;
            } else {
                // Folding has more rules for these than are worth a second copy of them.
                let odd = content.starts_with(' ') || content.ends_with(' ') || breaks > 1;
                match style {
                    ScalarStyle::Folded if odd => return None,
                    ScalarStyle::Folded => text.push_str(if breaks == 1 { " " } else { "" }),
                    _ => text.extend(std::iter::repeat_n('\n', breaks)),
                }
                text.push_str(content);
                breaks = 1;
            }
            self.at = self.line_end();
            self.next_line();
        }
        if !strip {
            text.push('\n');
        }
        self.spaces();
        self.take(&self.since(start, Cow::Owned(text), style));
        self.lines();
        Some(())
    }

    /// A line of a block text without its indentation, empty for a blank one; `None` if the line
    /// is not of the text any more.
    fn block_line(&self, indent: usize) -> Option<&'a str> {
        let line = self.text.get(self.line..self.line_end())?;
        let content = line.trim_start_matches(' ');
        if content.is_empty() && line.len() <= indent {
            return (self.line < self.text.len()).then_some("");
        }
        if line.len() - content.len() < indent {
            return None;
        }
        line.get(indent..)
    }
}

/// What a backslash and this byte stand for, of the escapes that people write (section 5.7).
fn unescaped(byte: u8) -> Option<char> {
    match byte {
        b'"' | b'\\' | b'/' => Some(char::from(byte)),
        b'n' => Some('\n'),
        b't' => Some('\t'),
        b'r' => Some('\r'),
        _ => None,
    }
}
