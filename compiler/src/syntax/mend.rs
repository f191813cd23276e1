//! Entries with mistakes: what is sound of them is read all the same.
//!
//! While an entry is read, each value that is refused leaves a [`Hole`]: the smallest key or item
//! that could not be read. The entry is then read once more with its holes left out, and goes on to
//! the later stages with all that is sound of it. So one mistake hides no other. Nothing is said of
//! what a hole could have held: its words may be names (see `Project::may_hold`), and what only
//! follows from something being absent is not told of an entry with a hole (see `Project::holed`).

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Sink, codes};
use crate::source::{SourceMap, Span};
use crate::syntax::collection::Entry;
use crate::syntax::node::{Node, Pair, Value};
use crate::syntax::shape::{Reader, Shape};
use crate::text::Text;

/// How often an entry is read again: each time leaves out at least one more level of it.
const ROUNDS: usize = 70;

/// Something that could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Hole {
    place: Place,
    what: What,
    /// The named entries around it, from the outside in.
    within: Vec<Named>,
}

/// Which part of a tree a hole is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Place {
    /// A key with its value.
    Key(Span),
    /// An item of a list.
    Item(Span),
}

/// What is left of it.
#[derive(Clone, Copy, Debug)]
enum What {
    Nothing,
    /// A misspelt key: it is read as this one.
    Key(&'static str),
}

/// A named entry that holds a hole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: Span,
    /// All of it.
    pub(crate) whole: Span,
}

impl Named {
    /// The entry of a pair.
    pub(crate) fn of(pair: &Pair) -> Self {
        Self {
            name: pair.key.span,
            whole: whole(pair),
        }
    }

    fn holds(&self, span: Span) -> bool {
        self.whole.file == span.file && self.whole.start <= span.start && span.end <= self.whole.end
    }
}

impl Hole {
    /// A hole in an entry, which is nowhere in its text.
    pub(crate) fn beside(entry: Named) -> Self {
        Self {
            place: Place::Key(entry.name),
            what: What::Nothing,
            within: vec![entry],
        }
    }

    /// Whether a finding at `span` may be due to this hole: it lies in the innermost entry around
    /// the hole, or is the name of an outer one.
    pub(crate) fn touches(&self, span: Span) -> bool {
        let inner = self.within.last();
        inner.is_some_and(|it| it.holds(span)) || self.is_in(span)
    }

    /// Whether it is in the entry with this name.
    pub(crate) fn is_in(&self, name: Span) -> bool {
        self.within.iter().any(|it| it.name == name)
    }
}

impl<'a> Reader<'a> {
    /// A reader of text as it is written.
    pub fn new(sources: &'a SourceMap, sink: &'a mut Sink) -> Self {
        Self {
            sources,
            sink,
            holes: Vec::new(),
            within: Vec::new(),
            depth: 0,
            mending: false,
            stand_ins: Vec::new(),
        }
    }

    /// Whether the keys of a whole entry are being read once more: what is missing or contradicts
    /// was reported, and the rest is taken as it is.
    pub(crate) fn is_lenient(&self) -> bool {
        self.mending && self.depth == 1
    }

    /// A value for a mandatory key that has none, where one is needed to go on.
    pub(crate) fn stand_in<T: Shape>(&mut self, span: Span) -> Option<T> {
        let value = T::stand_in(span).filter(|_| self.is_lenient())?;
        self.stand_ins.push(span);
        Some(value)
    }

    /// Reads one part; where it is refused and no smaller part of it was, it is a hole.
    pub(crate) fn part<T>(
        &mut self,
        place: Place,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let before = self.holes.len();
        let value = read(self);
        if value.is_none() && self.holes.len() == before {
            self.hole(place);
        }
        value
    }

    /// Marks a part as one that could not be read.
    pub(crate) fn hole(&mut self, place: Place) {
        self.push_hole(place, What::Nothing);
    }

    /// Marks a key that evidently means another one.
    pub(crate) fn misspelt(&mut self, key: Span, meant: &'static str) {
        self.push_hole(Place::Key(key), What::Key(meant));
    }

    fn push_hole(&mut self, place: Place, what: What) {
        let within = self.within.clone();
        self.holes.push(Hole {
            place,
            what,
            within,
        });
    }

    /// Reads a named entry, so that holes know what they are in.
    pub(crate) fn named<T>(
        &mut self,
        pair: &Pair,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        self.within.push(Named::of(pair));
        let value = self.part(Place::Key(pair.key.span), read);
        self.within.pop();
        value
    }

    /// Whether a value was refused before and is left out now.
    pub(crate) fn left_out(&self, node: &Node) -> bool {
        self.mending && node.value == Value::Broken
    }
}

/// What could not be read of an entry, and what could.
#[derive(Debug)]
pub(crate) struct Mended<T> {
    /// The sound rest, if it still makes an entry.
    pub(crate) entry: Option<Entry<T>>,
    /// All holes.
    pub(crate) holes: Vec<Hole>,
    /// The words in the holes; any of them may be a name.
    pub(crate) words: BTreeSet<String>,
    /// Where values stand in for others.
    pub(crate) stand_ins: Vec<Span>,
}

/// Reads what is sound of an entry that has these holes.
pub(crate) fn entry<T: Shape>(pair: &Pair, mut holes: Vec<Hole>, cx: &mut Reader<'_>) -> Mended<T> {
    let mut tree = pair.clone();
    let mut words = BTreeSet::new();
    let mut from = 0;
    let mut value = None;
    let mut stand_ins = Vec::new();
    for _ in 0..ROUNDS {
        leave_out(
            &mut tree,
            holes.get(from..).unwrap_or_default(),
            &mut |span| {
                words_of(cx.sources.text(span), &mut words);
            },
        );
        from = holes.len();
        let mut found = Sink::new();
        let mut again = Reader {
            mending: true,
            within: vec![Named::of(pair)],
            ..Reader::new(cx.sources, &mut found)
        };
        value = T::read(&tree.value, &mut again);
        holes.append(&mut again.holes);
        stand_ins = std::mem::take(&mut again.stand_ins);
        report(found, &words, &stand_ins, cx);
        if value.is_some() || holes.len() == from {
            break;
        }
    }
    let entry = value.map(|value| Entry {
        name: pair.key.clone(),
        whole: whole(pair),
        value,
    });
    if entry.is_none() {
        words_of(cx.sources.text(whole(pair)), &mut words);
    }
    Mended {
        entry,
        holes,
        words,
        stand_ins,
    }
}

/// Takes in what only the second reading found; nothing that a hole could have held is missed.
fn report(found: Sink, words: &BTreeSet<String>, stand_ins: &[Span], cx: &mut Reader<'_>) {
    for finding in found.into_found() {
        let missing = [&codes::MISSING_KEY, &codes::EMPTY_LIST].contains(&finding.code)
            || finding.labels.iter().any(|it| stand_ins.contains(&it.span))
            || finding.code == &codes::CONFLICTING_KEYS && !stand_ins.is_empty();
        let mut own = BTreeSet::new();
        if let Some(span) = finding.primary() {
            words_of(cx.sources.text(span), &mut own);
        }
        if !missing && own.is_disjoint(words) {
            cx.sink.push(finding);
        }
    }
}

/// Empties the holes of a tree, and tells where they are.
fn leave_out(pair: &mut Pair, holes: &[Hole], told: &mut impl FnMut(Span)) {
    let holes: BTreeMap<Place, What> = holes.iter().map(|it| (it.place, it.what)).collect();
    if !holes.is_empty() {
        empty(&mut pair.value, &holes, told);
    }
}

fn empty(node: &mut Node, holes: &BTreeMap<Place, What>, told: &mut impl FnMut(Span)) {
    match &mut node.value {
        Value::Map(pairs) => {
            for pair in pairs {
                match holes.get(&Place::Key(pair.key.span)) {
                    Some(What::Key(meant)) => {
                        pair.key.value = Text::from(*meant);
                        empty(&mut pair.value, holes, told);
                    }
                    Some(What::Nothing) => {
                        told(whole(pair));
                        pair.value.value = Value::Broken;
                    }
                    None => empty(&mut pair.value, holes, told),
                }
            }
        }
        Value::List(items) => {
            for item in items {
                if holes.contains_key(&Place::Item(item.span)) {
                    told(item.span.to(end_of(item)));
                    item.value = Value::Broken;
                } else {
                    empty(item, holes, told);
                }
            }
        }
        Value::Broken | Value::Bool(_) | Value::Number(_) | Value::Text(..) => {}
    }
}

/// From the key of a pair to the end of all that stands in it.
pub(crate) fn whole(pair: &Pair) -> Span {
    pair.key.span.to(end_of(&pair.value))
}

/// The last place of a value; the span of a block map is its first key alone.
pub(crate) fn end_of(node: &Node) -> Span {
    let ends = match &node.value {
        Value::Map(pairs) => pairs.last().map(|pair| end_of(&pair.value)),
        Value::List(items) => items.last().map(end_of),
        _ => None,
    };
    ends.map_or(node.span, |end| node.span.to(end))
}

/// Adds the words of a text: whatever could be a name.
pub(crate) fn words_of(text: &str, words: &mut BTreeSet<String>) {
    let apart = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let each = text.split(apart).filter(|word| !word.is_empty());
    words.extend(each.map(str::to_owned));
}
