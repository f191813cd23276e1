//! Where in a half-typed file the cursor is: read from indentation and brackets alone, for a file
//! that is being typed has no tree.

/// What is being typed, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The keys that lead here; items of lists are `[]`. Of a value, its own key is the last.
    pub(super) path: Vec<String>,
    /// What it is.
    pub(super) place: Place,
    /// Where the word starts that the cursor is in, after a quote.
    pub(super) start: usize,
    /// Whether a quote was opened.
    pub(super) quoted: bool,
    /// The keys that the same map has already, as far as they stand above or in the same line.
    pub(super) siblings: Vec<String>,
}

/// What is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of the map at the path.
    Key,
    /// The value at the path.
    Value,
    /// The first word of a list's item: a value, or the first key of a map.
    Item,
    /// A comment.
    Comment,
}

/// What the lines above left open.
#[derive(Debug)]
struct Level {
    indent: usize,
    key: String,
    /// The keys of the map below it, so far.
    keys: Vec<String>,
}

/// A bracket that is open.
#[derive(Debug)]
struct Bracket {
    list: bool,
    key: Option<String>,
    siblings: Vec<String>,
}

/// Reads where the cursor is; `None` in the text of a block.
pub(super) fn cursor(text: &str, offset: usize) -> Option<Cursor> {
    let before = text.get(..offset)?;
    let mut reading = Reading::default();
    let mut start = top(before);
    let rest = before.get(start..)?;
    let mut lines = rest.split('\n').peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            return reading.last(line, start);
        }
        reading.line(line.trim_end_matches('\r'));
        start += line.len() + 1;
    }
    None
}

/// Where the section starts that the end of a text is in.
fn top(before: &str) -> usize {
    let mut start = before.len();
    while let Some(line) = before.get(..start).map(|it| it.rfind('\n')) {
        let begin = line.map_or(0, |at| at + 1);
        let first = before.get(begin..).and_then(|it| it.chars().next());
        let opens =
            first.is_some_and(|c| !c.is_whitespace() && !matches!(c, '#' | '-' | ']' | '}'));
        // The line of the cursor itself is no section before its end.
        if begin == 0 || opens && before.get(begin..).is_some_and(|it| it.contains('\n')) {
            return begin;
        }
        start = begin - 1;
    }
    0
}

#[derive(Debug, Default)]
struct Reading {
    levels: Vec<Level>,
    brackets: Vec<Bracket>,
    /// The indentation of the key whose value is a block of text.
    block: Option<usize>,
    /// The keys of the top level, so far.
    keys: Vec<String>,
}

impl Reading {
    /// Takes in a whole line.
    fn line(&mut self, line: &str) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if self.brackets.is_empty() {
            if content.is_empty() || content.starts_with('#') || self.in_block(indent) {
                return;
            }
            self.block = None;
            let (column, content, _) = self.descend(indent, content);
            let Some((key, value)) = split_key(content) else {
                self.flow(content);
                return;
            };
            self.push_key(column, key);
            let value = value.trim_start();
            if value.starts_with(['|', '>']) {
                self.block = Some(column);
            } else {
                self.flow(value);
            }
        } else {
            self.flow(content);
        }
    }

    fn in_block(&self, indent: usize) -> bool {
        self.block.is_some_and(|own| indent > own)
    }

    /// Closes what a line of this indentation ends, and opens its items: the column of the rest,
    /// the rest, and whether there was an item.
    fn descend<'t>(&mut self, indent: usize, content: &'t str) -> (usize, &'t str, bool) {
        let is_item = |content: &str| content == "-" || content.starts_with("- ");
        let item = is_item(content);
        // A list may stand at the column of its key.
        let ends =
            |it: &Level| it.indent > indent || it.indent == indent && (!item || it.key == "[]");
        while self.levels.last().is_some_and(ends) {
            self.levels.pop();
        }
        let (mut column, mut content) = (indent, content);
        while is_item(content) {
            self.levels.push(Level {
                indent: column,
                key: "[]".to_owned(),
                keys: Vec::new(),
            });
            let rest = content.get(1..).unwrap_or_default();
            let trimmed = rest.trim_start();
            column += 1 + rest.len() - trimmed.len();
            content = trimmed;
        }
        (column, content, item)
    }

    fn push_key(&mut self, indent: usize, key: &str) {
        let keys = match self.levels.last_mut() {
            Some(above) => &mut above.keys,
            None => &mut self.keys,
        };
        keys.push(key.to_owned());
        self.levels.push(Level {
            indent,
            key: key.to_owned(),
            keys: Vec::new(),
        });
    }

    /// Takes in text that may have brackets: where the last word of it starts.
    fn flow(&mut self, text: &str) -> usize {
        let mut word = 0;
        let mut quote = None;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let blank = text
                .get(..at)
                .is_none_or(|it| it.ends_with([' ', '\t']) || it.is_empty());
            let empty = || text.get(word..at).is_none_or(|it| it.trim().is_empty());
            match (quote, c) {
                (Some('"'), '\\') => {
                    chars.next();
                }
                (Some(open), _) if c == open => quote = None,
                (None, '"' | '\'') if empty() => quote = Some(c),
                (None, '#') if blank => return text.len(),
                (None, '[' | '{') if empty() => {
                    self.brackets.push(Bracket {
                        list: c == '[',
                        key: None,
                        siblings: Vec::new(),
                    });
                    word = at + 1;
                }
                (None, _) if self.brackets.is_empty() => {}
                (None, ']' | '}') => {
                    self.brackets.pop();
                    word = at + 1;
                }
                (None, ',') => {
                    if let Some(open) = self.brackets.last_mut() {
                        open.key = None;
                    }
                    word = at + 1;
                }
                (None, ':') if chars.peek().is_none_or(|(_, c)| matches!(c, ' ' | '"')) => {
                    let key = text.get(word..at).unwrap_or_default();
                    if let Some(open) = self.brackets.last_mut().filter(|it| !it.list) {
                        let key = unquoted(key).to_owned();
                        open.siblings.push(key.clone());
                        open.key = Some(key);
                        word = at + 1;
                    }
                }
                _ => {}
            }
        }
        word
    }

    /// Takes in the line of the cursor, up to the cursor; the line starts at a byte of the text.
    fn last(mut self, line: &str, start: usize) -> Option<Cursor> {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if comment(line) {
            return Some(self.cursor(Place::Comment, "", start + line.len()));
        }
        if !self.brackets.is_empty() {
            let word = self.flow(content);
            return Some(self.in_flow(content.get(word..).unwrap_or_default(), start + line.len()));
        }
        if !content.is_empty() && self.in_block(indent) {
            return None;
        }
        let (column, content, item) = self.descend(indent, content);
        if let Some((key, value)) = split_key(content) {
            self.push_key(column, key);
            let value = value.trim_start();
            if value.starts_with(['|', '>']) {
                return None;
            }
            let word = self.flow(value);
            let word = value.get(word..).unwrap_or_default();
            if self.brackets.is_empty() {
                return Some(self.cursor(Place::Value, value, start + line.len()));
            }
            return Some(self.in_flow(word, start + line.len()));
        }
        let word = self.flow(content);
        if !self.brackets.is_empty() {
            let word = content.get(word..).unwrap_or_default();
            return Some(self.in_flow(word, start + line.len()));
        }
        let place = if item { Place::Item } else { Place::Key };
        Some(self.cursor(place, content, start + line.len()))
    }

    fn in_flow(self, word: &str, end: usize) -> Cursor {
        let place = match self.brackets.last() {
            Some(open) if open.list => Place::Item,
            Some(open) if open.key.is_none() => Place::Key,
            _ => Place::Value,
        };
        self.cursor(place, word, end)
    }

    fn cursor(self, place: Place, word: &str, end: usize) -> Cursor {
        let mut siblings = self.levels.last().map_or(self.keys, |it| it.keys.clone());
        let mut path: Vec<String> = self.levels.into_iter().map(|it| it.key).collect();
        for open in self.brackets {
            if open.list {
                path.push("[]".to_owned());
            }
            siblings = open.siblings;
            path.extend(open.key);
        }
        let word = word.trim_start();
        let quoted = word.starts_with(['"', '\'']);
        Cursor {
            path,
            place,
            start: end - word.len() + usize::from(quoted),
            quoted,
            siblings,
        }
    }
}

/// Whether the end of a line is in a comment.
fn comment(line: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '#' && before.is_whitespace() => return true,
            None if matches!(c, '"' | '\'') && matches!(before, ' ' | '[' | '{' | ',' | ':') => {
                quote = Some(c);
            }
            Some(_) | None => {}
        }
        before = c;
    }
    false
}

/// `key: value` of a block map's line.
fn split_key(content: &str) -> Option<(&str, &str)> {
    if content.starts_with(['[', '{', '#']) {
        return None;
    }
    if let Some(quote) = content.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (key, rest) = content.get(1..)?.split_once(quote)?;
        return Some((key, rest.trim_start().strip_prefix(':')?));
    }
    let at = content.match_indices(':').map(|(at, _)| at);
    let mut ends = at.filter(|at| {
        let after = content.get(at + 1..).and_then(|it| it.chars().next());
        after.is_none_or(char::is_whitespace)
    });
    let at = ends.next()?;
    Some((content.get(..at)?, content.get(at + 1..)?))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.trim_matches(|c| matches!(c, '"' | '\''))
}

#[cfg(test)]
mod tests;
