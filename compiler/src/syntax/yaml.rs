//! YAML text to the spanned tree, on the strict subset of the language.
//!
//! This is the only module that knows the YAML library. Everything outside the subset is reported
//! and reading goes on, so that one run finds what there is to find. The form that nearly every file
//! has is read without the library, to the same result (docs/decisions/0010-everyday-yaml.md).

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span as EventSpan, Tag};
use hashbrown::{HashMap, HashSet};

use crate::diag::{Applicability, Diagnostic, Sink, codes};
use crate::source::{FileId, Span, Spanned};
use crate::syntax::node::{Node, Pair, Style, Value};
use crate::syntax::plain::{Plain, classify};
use crate::text::Text;

mod characters;
mod direct;
pub(crate) mod foreign;
mod recovery;

use recovery::{Recovery, Stop};

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// What a file says: its top value, and what could not be read of it.
#[derive(Debug)]
pub(crate) struct Document {
    /// The top value; `None` for an empty file.
    pub(crate) root: Option<Node>,
    /// The parts that could not be read, so that names of this file may be missing.
    pub(crate) holes: Vec<Range<usize>>,
}

/// Reads one file.
pub(crate) fn parse(file: FileId, text: &str, sink: &mut Sink) -> Document {
    let Some(root) = parse_everyday(file, text) else {
        return parse_any(file, text, sink);
    };
    debug_assert!(is_read_alike(&root, file, text), "{root:?} in {text:?}");
    Document {
        root: Some(root),
        holes: Vec::new(),
    }
}

/// Reads a file of the everyday form in which there is nothing to find; `None` for any other.
fn parse_everyday(file: FileId, text: &str) -> Option<Node> {
    let mut found = Sink::new();
    let mut builder = Builder::new(file, text, text, 0, &mut found);
    direct::read(&mut builder)?;
    let root = builder.root.take()?;
    found.is_empty().then_some(root)
}

/// Whether the library reads the same, to the byte, and finds no mistake either.
fn is_read_alike(root: &Node, file: FileId, text: &str) -> bool {
    let mut found = Sink::new();
    let other = parse_any(file, text, &mut found);
    let theirs = other.root.map(|it| format!("{it:?}"));
    found.is_empty() && other.holes.is_empty() && theirs == Some(format!("{root:?}"))
}

/// Reads any file. What is not well-formed is reported and passed over, and the file is read again
/// without it: a lost bracket hides nothing but the value that it is in.
fn parse_any(file: FileId, text: &str, sink: &mut Sink) -> Document {
    characters::check(file, text, sink);
    // A byte-order mark is reported above; the parser would count it as content.
    let shift = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    let mut recovery = Recovery::new(text.get(shift..).unwrap_or_default());
    loop {
        let mut found = Sink::new();
        let mut builder = Builder::new(file, text, recovery.body(), shift, &mut found);
        let Err(stop) = builder.run() else {
            let Builder {
                root, mut holes, ..
            } = builder;
            holes.extend(recovery.holes());
            sink.append(found);
            return Document { root, holes };
        };
        let parts = builder.broken_parts(stop.at);
        let root = builder.unwind();
        let goes_on = recovery.pass_over(stop, &parts, (file, text));
        sink.append(recovery.told());
        if !goes_on {
            sink.append(found);
            let holes = std::iter::once(0..text.len()).collect();
            return Document { root, holes };
        }
    }
}

/// The comments of one file, without their `#`; those after a syntax error are not seen.
pub(crate) fn comments(file: FileId, text: &str) -> Vec<Spanned<String>> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let shift = text.len() - body.len();
    let options = granit_parser::options! { emit_comments: true };
    let mut found = Vec::new();
    for (event, place) in Parser::new_from_str_with_options(body, options).map_while(Result::ok) {
        if let (Event::Comment(comment, _), Some(range)) = (event, place.byte_range()) {
            let span = Span::new(file, range.start + shift..range.end + shift);
            found.push(Spanned::new(comment.to_string(), span));
        }
    }
    found
}

/// So many bytes of a file have one text that no other is alike, or more.
const BYTES_FOR_A_TEXT: usize = 64;

struct Builder<'a> {
    file: FileId,
    /// The whole text.
    text: &'a str,
    /// The same without its mark and its broken entries.
    body: &'a str,
    shift: usize,
    sink: &'a mut Sink,
    stack: Vec<Open>,
    root: Option<Node>,
    /// Values that were dropped, because their key was refused.
    holes: Vec<Range<usize>>,
    /// Every text so far: those that are alike are one.
    texts: HashSet<Text>,
}

/// A list or map that is still being read.
enum Open {
    List {
        items: Vec<Node>,
        start: Span,
        flow: bool,
    },
    Map {
        pairs: Vec<Pair>,
        seen: Seen,
        key: Option<Key>,
        start: Span,
        flow: bool,
    },
}

/// The keys of a map, each where it was said last.
#[derive(Default)]
struct Seen {
    /// The first of them: most maps are small.
    few: Vec<Spanned<Text>>,
    more: HashMap<Text, Span>,
}

impl Seen {
    /// How many keys are compared one by one.
    const FEW: usize = 12;

    /// Adds a key, and answers where it was said before.
    fn insert(&mut self, key: &Spanned<Text>) -> Option<Span> {
        if let Some(known) = self.few.iter_mut().find(|it| it.value == key.value) {
            return Some(std::mem::replace(&mut known.span, key.span));
        }
        if self.few.len() < Self::FEW {
            self.few.push(key.clone());
            return None;
        }
        self.more.insert(key.value.clone(), key.span)
    }
}

/// A key that waits for its value; `None` if the key was refused and its value is dropped.
struct Key(Option<Spanned<Text>>);

impl<'a> Builder<'a> {
    fn new(file: FileId, text: &'a str, body: &'a str, shift: usize, sink: &'a mut Sink) -> Self {
        Self {
            file,
            text,
            body,
            shift,
            sink,
            stack: Vec::new(),
            root: None,
            holes: Vec::new(),
            texts: HashSet::with_capacity(text.len() / BYTES_FOR_A_TEXT),
        }
    }

    fn run(&mut self) -> Result<(), Stop> {
        let options = granit_parser::options! {
            disallow_directives: true,
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            emit_comments: false,
        };
        let mut documents = 0;
        let body = self.body;
        for next in Parser::new_from_str_with_options(body, options) {
            let (event, place) = next.map_err(|error| self.syntax_error(&error))?;
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents == 2 {
                    self.second_document(&place);
                }
            }
            self.event(event, &place)?;
        }
        Ok(())
    }

    /// Takes one event.
    fn event(&mut self, event: Event<'_>, place: &EventSpan) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.as_deref(), place);
                self.scalar(&text, style, self.span(place), tag.is_some());
            }
            Event::SequenceStart(style, _, tag) => {
                self.tag(tag.as_deref(), place);
                let flow = style == granit_parser::StructureStyle::Flow;
                let start = self.span(place);
                self.open(Open::List {
                    items: Vec::new(),
                    start,
                    flow,
                })?;
            }
            Event::MappingStart(style, _, tag) => {
                self.tag(tag.as_deref(), place);
                let flow = style == granit_parser::StructureStyle::Flow;
                let start = self.span(place);
                self.open(Open::Map {
                    pairs: Vec::new(),
                    seen: Seen::default(),
                    key: None,
                    start,
                    flow,
                })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(self.span(place)),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let span = self.span(place);
                self.anchor(
                    span,
                    "an alias stands for text that is elsewhere in the file",
                );
                self.add(Node::new(Value::Broken, span));
            }
            Event::Anchor(..) => {
                let span = self.span(place);
                self.anchor(span, "an anchor gives this value a name for aliases");
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            let (Open::List { start, .. } | Open::Map { start, .. }) = &open;
            return Err(too_deep(*start));
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self, end: Span) {
        if let Some(open) = self.stack.pop() {
            self.add(close(open, Some(end)));
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span, tagged: bool) {
        if matches!(self.stack.last(), Some(Open::Map { key: None, .. })) {
            let name = Spanned::new(self.shared(text), span);
            if let Some(Open::Map { key, .. }) = self.stack.last_mut() {
                *key = Some(Key(Some(name)));
            }
            self.check_key();
            return;
        }
        let style = match style {
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            ScalarStyle::Plain => Style::Plain,
        };
        let mut node = if style == Style::Plain {
            self.plain(text, span)
        } else {
            let text = self.unterminated(text, style, span);
            Node::new(Value::Text(self.shared(text), style), span)
        };
        // What a tag makes of the value is not known, and was reported.
        node.doubtful |= tagged;
        self.add(node);
    }

    /// A text, held once however often it is written.
    fn shared(&mut self, text: &str) -> Text {
        self.texts
            .get_or_insert_with(text, |it| Text::from(it))
            .clone()
    }

    /// A block at the end of a file without a last line break: the library adds one to the value,
    /// which the standard and other readers do not.
    fn unterminated<'t>(&self, text: &'t str, style: Style, span: Span) -> &'t str {
        let block = matches!(style, Style::Literal | Style::Folded);
        let last = span.end as usize >= self.text.len() && !self.text.ends_with(['\n', '\r']);
        if block && last {
            text.strip_suffix('\n').unwrap_or(text)
        } else {
            text
        }
    }

    fn plain(&mut self, text: &str, span: Span) -> Node {
        let value = match classify(text) {
            Plain::Null => {
                self.null(span);
                Value::Broken
            }
            Plain::Bool(value) => Value::Bool(value),
            Plain::Number => Value::Number(text.to_owned()),
            Plain::Text => Value::Text(self.shared(text), Style::Plain),
            Plain::Ambiguous(kind) => {
                self.sink.push(ambiguous(text, kind, span));
                let value = Value::Text(self.shared(text), Style::Plain);
                return Node {
                    doubtful: true,
                    ..Node::new(value, span)
                };
            }
        };
        Node::new(value, span)
    }

    fn null(&mut self, span: Span) {
        let key = match self.stack.last() {
            Some(Open::Map {
                key: Some(Key(Some(key))),
                ..
            }) => Some(key.clone()),
            _ => None,
        };
        let found = match key {
            // What stood here is broken, and was reported.
            Some(key) if self.is_blanked(key.span.end as usize) => return,
            Some(key) if span.start == span.end => {
                let message = format!("`{}` has no value", key.value);
                Diagnostic::new(&codes::NULL_VALUE, key.span, message)
                    .help("give it a value, `{}` for an empty map, or remove the key")
            }
            _ => Diagnostic::new(&codes::NULL_VALUE, span, "null is not a value here")
                .help("remove the key or the item; what is absent is left out"),
        };
        self.sink.push(found);
    }

    /// Refuses keys that are empty, a merge, or already there; their values are still read.
    fn check_key(&mut self) {
        let outermost = self.stack.len() == 1;
        let Some(Open::Map {
            seen,
            key: Some(slot),
            ..
        }) = self.stack.last_mut()
        else {
            return;
        };
        let Some(key) = &slot.0 else { return };
        let earlier = seen.insert(key);
        let found = if key.value == "<<" {
            Diagnostic::new(
                &codes::YAML_ANCHOR,
                key.span,
                "merge keys are not used here",
            )
            .label("this would copy entries from an anchor")
            .help("write the entries out: what a policy says must stand where it is read")
        } else if key.span.start == key.span.end {
            Diagnostic::new(&codes::NULL_VALUE, key.span, "a key is empty")
                .help("give the entry a name")
        } else if let Some(earlier) = earlier {
            Diagnostic::new(
                &codes::DUPLICATE_KEY,
                key.span,
                format!("the key `{}` is already in this map", key.value),
            )
            .label("said again here")
            .also(earlier, "said before here")
            .help("keep one of them: YAML readers differ on which one counts")
        } else {
            return;
        };
        // A section may go on elsewhere in the file as far as its entries are concerned.
        if earlier.is_none() || !outermost {
            slot.0 = None;
        }
        self.sink.push(found);
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, mut node: Node) {
        match self.stack.last_mut() {
            None => match (&mut self.root, node) {
                // The sections of a second document are read as well.
                (
                    Some(Node {
                        value: Value::Map(all),
                        ..
                    }),
                    Node {
                        value: Value::Map(more),
                        ..
                    },
                ) => {
                    all.extend(more);
                }
                (root, node) => *root = Some(node),
            },
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { pairs, key, .. }) => match key.take() {
                Some(Key(Some(key))) => {
                    node.blame = key.span;
                    pairs.push(Pair { key, value: node });
                }
                Some(Key(None)) => {
                    let end = crate::syntax::mend::end_of(&node).end.max(node.span.end);
                    self.holes.push(node.span.start as usize..end as usize);
                }
                None => {
                    *key = Some(Key(None));
                    if !matches!(node.value, Value::Broken) {
                        let message = format!("a key must be text, and this is {}", node.kind());
                        self.sink
                            .push(Diagnostic::new(&codes::WRONG_TYPE, node.span, message));
                    }
                }
            },
        }
    }

    /// Closes what is still open after reading stopped early, and gives the root.
    ///
    /// The sections and their finished entries stay; an entry that was cut off is dropped, so
    /// that nothing is said to be missing from it.
    fn unwind(&mut self) -> Option<Node> {
        while let Some(open) = self.stack.pop() {
            let whole = self.stack.len() < 2 && matches!(open, Open::Map { .. });
            let mut node = close(open, None);
            if !whole {
                node.value = Value::Broken;
            }
            self.add(node);
        }
        self.root.take()
    }

    fn tag(&mut self, tag: Option<&Tag>, place: &EventSpan) {
        if tag.is_none() {
            return;
        }
        let start = place.tag_start().and_then(|mark| mark.byte_offset());
        let start = start.map_or(self.span(place).start as usize, |at| at + self.shift);
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let span = Span::new(self.file, start..start + length);
        self.sink.push(
            Diagnostic::new(&codes::YAML_TAG, span, "YAML tags are not used here")
                .help("remove the tag; every key of the language has one type"),
        );
    }

    fn anchor(&mut self, span: Span, why: &str) {
        self.sink.push(
            Diagnostic::new(
                &codes::YAML_ANCHOR,
                span,
                "anchors and aliases are not used here",
            )
            .label(why)
            .help("write the value out: what a policy says must stand where it is read"),
        );
    }

    fn second_document(&mut self, place: &EventSpan) {
        let span = self.span(place);
        self.sink.push(
            Diagnostic::new(
                &codes::YAML_DOCUMENTS,
                span,
                "a file holds one YAML document",
            )
            .label("a second document starts here")
            .help("merge its sections into the first one, or move them to a file of their own"),
        );
    }

    fn syntax_error(&self, error: &granit_parser::ScanError) -> Stop {
        let at = error
            .marker()
            .byte_offset()
            .map_or(self.text.len(), |at| at + self.shift);
        let span = self.visible(at);
        if *error.kind() == granit_parser::ErrorKind::RecursionLimitExceeded {
            return too_deep(span);
        }
        if *error.kind() == granit_parser::ErrorKind::DirectiveDisallowed {
            let message = "YAML directives are not used here";
            let finding =
                Diagnostic::new(&codes::YAML_DOCUMENTS, span, message).help("remove the line");
            return Stop::new(finding, at);
        }
        let found = Diagnostic::new(&codes::YAML_SYNTAX, span, error.info())
            .label("reading stopped here")
            .help("what stands above was read; the rest of this file was not");
        let finding = match self.opening_quote(at) {
            Some(quote) => found.also(quote, "perhaps this quote is never closed"),
            None => found,
        };
        Stop::new(finding, at)
    }

    /// One visible character at or before `at`, so that there is something to underline.
    fn visible(&self, at: usize) -> Span {
        let at = (0..=at.min(self.text.len()))
            .rev()
            .find(|&at| self.text.is_char_boundary(at));
        let before = self.text.get(..at.unwrap_or(0)).unwrap_or_default();
        let here = self
            .text
            .get(before.len()..)
            .and_then(|rest| rest.chars().next());
        if let Some(c) = here.filter(|c| !c.is_whitespace()) {
            return Span::new(self.file, before.len()..before.len() + c.len_utf8());
        }
        let end = before.trim_end().len();
        let last = before.get(..end).and_then(|text| text.chars().next_back());
        Span::new(self.file, end - last.map_or(0, char::len_utf8)..end)
    }

    /// A quote that opens before `at` on a line with an odd number of them.
    fn opening_quote(&self, at: usize) -> Option<Span> {
        let before = self.text.get(..at)?.trim_end();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.get(start..)?;
        let quote = ['"', '\'']
            .into_iter()
            .find(|&q| line.matches(q).count() % 2 == 1)?;
        let at = start + line.rfind(quote)?;
        Some(Span::new(self.file, at..at + 1))
    }

    fn span(&self, place: &EventSpan) -> Span {
        let range = place
            .byte_range()
            .unwrap_or(self.text.len()..self.text.len());
        Span::new(self.file, range.start + self.shift..range.end + self.shift)
    }
}

fn too_deep(span: Span) -> Stop {
    let message = format!("values are nested deeper than {MAX_DEPTH} levels");
    let finding = Diagnostic::new(&codes::TOO_DEEP, span, message)
        .label("what holds this is not read")
        .help("no entry of the language needs this depth; look for a lost bracket");
    Stop::new(finding, span.start as usize)
}

fn close(open: Open, end: Option<Span>) -> Node {
    let (value, start, flow, first) = match open {
        Open::List { items, start, flow } => {
            let first = items.first().map(|item| item.span);
            (Value::List(items), start, flow, first)
        }
        Open::Map {
            pairs, start, flow, ..
        } => {
            let first = pairs.first().map(|pair| pair.key.span);
            (Value::Map(pairs), start, flow, first)
        }
    };
    let span = match (flow, end) {
        (true, Some(end)) => start.to(end),
        _ => first.unwrap_or(start),
    };
    Node::new(value, span)
}

fn ambiguous(text: &str, kind: &str, span: Span) -> Diagnostic {
    // Quoting keeps what the author saw; for `no` it may not be what the author meant.
    let sure = kind != "a boolean" && kind != "null";
    let applicability = if sure {
        Applicability::Always
    } else {
        Applicability::Maybe
    };
    let found = Diagnostic::new(
        &codes::AMBIGUOUS_VALUE,
        span,
        format!("`{text}` is text for some YAML readers and {kind} for others"),
    )
    .label("must be quoted");
    let found = match kind {
        "a boolean" => found.help("write `true` or `false`, or quote it if it is text"),
        "a number" => found.help("quote it if it is text, or write it as a plain decimal number"),
        _ => found.help("quote it"),
    };
    let quoted = serde_json::to_string(text).unwrap_or_default();
    found.fix("quote the value", applicability, span, quoted)
}

#[cfg(test)]
mod tests;
