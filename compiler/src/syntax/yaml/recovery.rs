//! What is read of a file that is not well-formed: all but the values with the mistakes.

use std::{borrow::Cow, ops::Range};

use super::{Builder, Key, Open};
use crate::diag::{Diagnostic, Sink, codes};
use crate::source::{FileId, Span};

/// How many mistakes of one file are passed over before the rest of it is left alone: the file is
/// read again for each.
const MOST_BROKEN: usize = 32;

/// Why reading stopped, and where.
pub(super) struct Stop {
    finding: Box<Diagnostic>,
    pub(super) at: usize,
}

impl Stop {
    pub(super) fn new(finding: Diagnostic, at: usize) -> Self {
        Self {
            finding: Box::new(finding),
            at,
        }
    }
}

/// A text without its broken parts, which are found one by one.
pub(super) struct Recovery<'a> {
    whole: &'a str,
    body: Cow<'a, str>,
    broken: Vec<Range<usize>>,
    /// Where reading stopped last, and how many ways to go on there were tried.
    last: Option<(usize, usize)>,
    told: Sink,
}

impl<'a> Recovery<'a> {
    pub(super) fn new(body: &'a str) -> Self {
        Self {
            whole: body,
            body: Cow::Borrowed(body),
            broken: Vec::new(),
            last: None,
            told: Sink::new(),
        }
    }

    /// What is to be read.
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// The parts that are not in there.
    pub(super) fn holes(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.broken.iter().cloned()
    }

    /// What was found since it was last asked.
    pub(super) fn told(&mut self) -> Sink {
        std::mem::take(&mut self.told)
    }

    /// Leaves out one of these parts, the next that was not tried at this place; false when reading
    /// cannot go on.
    pub(super) fn pass_over(
        &mut self,
        stop: Stop,
        parts: &[Range<usize>],
        (file, text): (FileId, &str),
    ) -> bool {
        let tried = self.last.filter(|(at, _)| *at == stop.at);
        let tried = tried.map(|(_, tried)| tried);
        let part = parts.get(tried.unwrap_or(0)).cloned();
        let Some(part) = part.filter(|_| self.broken.len() < MOST_BROKEN) else {
            // Where the same place still stops the reading, it was told the first time.
            if tried.is_none() {
                self.told.push(*stop.finding);
            }
            return false;
        };
        if tried.is_none() {
            self.told
                .push(passed_over(*stop.finding, file, &part, text));
        }
        self.last = Some((stop.at, tried.unwrap_or(0) + 1));
        self.body = Cow::Owned(blanked(&self.body, text.len() - self.whole.len(), &part));
        self.broken.push(part);
        true
    }
}

impl Builder<'_> {
    /// What can be passed over so that the rest can be read, the least first: the line where
    /// reading stopped with what is indented below it, if a key should begin there, and the values
    /// that were being read, from the inside out.
    pub(super) fn broken_parts(&self, at: usize) -> Vec<Range<usize>> {
        let block = |open: &&Open| {
            matches!(
                open,
                Open::List { flow: false, .. } | Open::Map { flow: false, .. }
            )
        };
        let keys = self
            .stack
            .iter()
            .take_while(block)
            .filter_map(|open| match open {
                Open::Map {
                    key: Some(Key(Some(key))),
                    ..
                } => Some(key.span),
                _ => None,
            });
        let mut parts: Vec<_> = keys.filter_map(|key| self.value_of(key)).collect();
        let line = self.line_of(at);
        if matches!(
            self.stack.last(),
            Some(Open::Map {
                key: None,
                flow: false,
                ..
            })
        ) {
            parts.extend(line);
        } else if let Some(line) = line {
            parts.insert(0, line);
        }
        parts.reverse();
        parts.retain(|part| self.is_written(part));
        parts
    }

    /// All that stands after the colon of a key.
    fn value_of(&self, key: Span) -> Option<Range<usize>> {
        let (_, end) = self.below(key.start as usize)?;
        let after = self.text.get(key.end as usize..end)?;
        let colon = after.find(':')? + 1;
        Some(key.end as usize + colon..end)
    }

    fn line_of(&self, at: usize) -> Option<Range<usize>> {
        let at = self.visible(at).start as usize;
        let line = self.text.get(..at)?.rfind('\n').map_or(0, |at| at + 1);
        let text = self.text.get(line..)?;
        let start = line + text.len() - text.trim_start_matches(' ').len();
        let (_, end) = self.below(start)?;
        Some(start..end)
    }

    fn is_written(&self, part: &Range<usize>) -> bool {
        let start = part.start.checked_sub(self.shift);
        let end = part.end.checked_sub(self.shift);
        let text = start
            .zip(end)
            .and_then(|(start, end)| self.body.get(start..end));
        text.is_some_and(|text| !text.trim().is_empty())
    }

    /// The line of a key that stands first on it, and the end of all that is indented below.
    fn below(&self, key: usize) -> Option<(usize, usize)> {
        let line = self.text.get(..key)?.rfind('\n').map_or(0, |at| at + 1);
        let indent = self.text.get(line..key)?;
        if !indent.chars().all(|c| c == ' ') {
            return None;
        }
        let mut end = line;
        for next in self.text.get(line..)?.split_inclusive('\n') {
            let text = next.trim_start_matches(' ');
            let column = next.len() - text.len();
            let item = column == indent.len() && text.starts_with("- ");
            let inside = column > indent.len() || item || text.trim().is_empty();
            if end > line && !inside {
                break;
            }
            end += next.len();
        }
        Some((line, end))
    }

    /// Whether a broken value was left out after the colon at or after this place.
    pub(super) fn is_blanked(&self, after: usize) -> bool {
        let written = self.text.get(after..).unwrap_or_default().as_bytes();
        let read = after
            .checked_sub(self.shift)
            .and_then(|at| self.body.get(at..));
        let read = read.unwrap_or_default();
        let rest = read.trim_start_matches(|c: char| c.is_whitespace() || c == ':');
        let until = read.len() - rest.len();
        written.get(..until) != read.as_bytes().get(..until)
    }
}

/// Says what of the file is not read because of a finding.
fn passed_over(finding: Diagnostic, file: FileId, part: &Range<usize>, text: &str) -> Diagnostic {
    if finding.code != &codes::YAML_SYNTAX {
        return finding;
    }
    let count = |range: Range<usize>| text.get(range).unwrap_or_default().matches('\n').count();
    let first = count(0..part.start) + 1;
    let body = text.get(part.clone()).unwrap_or_default().trim_end();
    let last = first + body.matches('\n').count();
    let finding = finding.help(if first == last {
        format!("line {first} was not read; the rest of this file was")
    } else {
        format!("lines {first} to {last} were not read; the rest of this file was")
    });
    let start = text.get(..part.start).unwrap_or_default();
    let line = start.rfind('\n').map_or(0, |at| at + 1);
    let key = text.get(line..part.start).unwrap_or_default();
    let name = key.trim_end_matches(':').trim();
    let own = finding.primary();
    let own = own.is_some_and(|it| (line..part.end).contains(&(it.start as usize)));
    if own || name.is_empty() {
        return finding;
    }
    let at = line + key.len() - key.trim_start().len();
    let span = Span::new(file, at..at + name.len());
    finding.also(span, "the value of this key does not end as it should")
}

/// The text without a part: blanks of the same length, so that all else keeps its place.
fn blanked(body: &str, shift: usize, part: &Range<usize>) -> String {
    let mut out = String::with_capacity(body.len());
    for (at, c) in body.char_indices() {
        if part.contains(&(at + shift)) && !matches!(c, '\n' | '\r') {
            out.extend(std::iter::repeat_n(' ', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}
