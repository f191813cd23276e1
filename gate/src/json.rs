//! One strict reading of JSON, after which the original bytes are safe to forward.
//!
//! Whatever two real parsers could read differently is refused (duplicate members, a byte-order
//! mark, invalid UTF-8, lone surrogates, U+0000, absurd numbers, deep nesting, trailing bytes), so
//! the meaning seen here is the meaning that any upstream sees. A [`Document`] borrows the source:
//! values know their byte span, and [`splice`] rewrites single values while every other byte stays.

mod number;
mod parse;
mod splice;

use std::fmt;
use std::ops::Range;

pub(crate) use number::exact;
pub use number::{check_numbers, to_value};
pub(crate) use parse::plain_until;
pub use parse::{Limits, parse, parse_with};
pub use splice::{Edit, splice};

/// A parsed JSON text; it borrows the source and holds one flat list of nodes.
#[derive(Debug)]
pub struct Document<'a> {
    source: &'a str,
    root: Node,
    rest: Vec<Node>,
}

impl<'a> Document<'a> {
    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            source: self.source,
            node: &self.root,
            rest: &self.rest,
        }
    }

    /// The text that was parsed, byte for byte.
    pub fn source(&self) -> &'a str {
        self.source
    }
}

/// The document `{}`.
#[must_use]
pub fn empty() -> Document<'static> {
    Document {
        source: "{}",
        root: Node {
            kind: NodeKind::Object { len: 0 },
            start: 0,
            end: 2,
            size: 1,
        },
        rest: Vec::new(),
    }
}

/// One value of a document: cheap to copy, and it knows where it stands in the source.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    source: &'d str,
    node: &'d Node,
    /// Nodes after this one; the first `node.size - 1` of them are its descendants.
    rest: &'d [Node],
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'d> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number exactly as written; valid RFC 8259 and of finite magnitude.
    Number(&'d str),
    /// A string, decoded.
    Text(&'d str),
    /// An array.
    Array(Array<'d>),
    /// An object; its keys are distinct after decoding.
    Object(Object<'d>),
}

impl<'d> Value<'d> {
    /// What this value is.
    pub fn kind(&self) -> Kind<'d> {
        match &self.node.kind {
            NodeKind::Null => Kind::Null,
            NodeKind::Bool(value) => Kind::Bool(*value),
            NodeKind::Number => Kind::Number(self.raw()),
            NodeKind::Text(decoded) => Kind::Text(text(self.source, self.node, decoded.as_deref())),
            NodeKind::Array { .. } => Kind::Array(Array(*self)),
            NodeKind::Object { .. } => Kind::Object(Object(*self)),
        }
    }

    /// The bytes of the source that spell this value.
    pub fn span(&self) -> Range<usize> {
        self.node.span()
    }

    /// This value as it is written in the source.
    pub fn raw(&self) -> &'d str {
        self.source.get(self.node.span()).unwrap_or_default()
    }

    /// The decoded string, if this is one.
    pub fn as_text(&self) -> Option<&'d str> {
        match &self.node.kind {
            NodeKind::Text(decoded) => Some(text(self.source, self.node, decoded.as_deref())),
            _ => None,
        }
    }

    /// The number as written, if this is one.
    pub fn as_number(&self) -> Option<&'d str> {
        matches!(self.node.kind, NodeKind::Number).then(|| self.raw())
    }

    /// The integer, if this is a number written as one (no fraction, no exponent) that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.parse().ok()
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.node.kind {
            NodeKind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<Object<'d>> {
        matches!(self.node.kind, NodeKind::Object { .. }).then_some(Object(*self))
    }

    /// The array, if this is one.
    pub fn as_array(&self) -> Option<Array<'d>> {
        matches!(self.node.kind, NodeKind::Array { .. }).then_some(Array(*self))
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.node.kind, NodeKind::Null)
    }

    /// The member `key` of this value, if it is an object that has it.
    pub fn get(&self, key: &str) -> Option<Value<'d>> {
        self.as_object()?.get(key)
    }

    /// What tells this value from all others of living documents.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self.node) as usize
    }

    /// How many values and keys it holds, itself included.
    pub(crate) fn size(&self) -> usize {
        self.node.size as usize
    }

    /// The numbers in this value, as written, and where.
    fn numbers(&self) -> impl Iterator<Item = (&'d str, usize)> {
        let below = self.rest.get(..self.size().saturating_sub(1));
        let source = self.source;
        std::iter::once(self.node)
            .chain(below.unwrap_or_default())
            .filter(|node| matches!(node.kind, NodeKind::Number))
            .map(move |node| {
                (
                    source.get(node.span()).unwrap_or_default(),
                    node.start as usize,
                )
            })
    }

    fn children(&self) -> Children<'d> {
        let own = (self.node.size as usize).saturating_sub(1);
        Children {
            source: self.source,
            rest: self.rest.get(..own).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw())
    }
}

/// An array of a document.
#[derive(Clone, Copy, Debug)]
pub struct Array<'d>(Value<'d>);

impl<'d> Array<'d> {
    /// The elements in order.
    pub fn values(&self) -> Values<'d> {
        Values(self.0.children())
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self.0.node.kind {
            NodeKind::Array { len } => len as usize,
            _ => 0,
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An object of a document.
#[derive(Clone, Copy, Debug)]
pub struct Object<'d>(Value<'d>);

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'d> {
    /// The decoded key.
    pub key: &'d str,
    /// Where the key stands in the source, with its quotes.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Value<'d>,
}

impl<'d> Object<'d> {
    /// The members in the order of the source.
    pub fn members(&self) -> Members<'d> {
        Members(self.pairs())
    }

    /// The value of `key`, compared with the decoded keys.
    pub fn get(&self, key: &str) -> Option<Value<'d>> {
        let mut pairs = self.pairs();
        let found = pairs.find(|(name, _)| name.is_text(self.0.source, key));
        found.map(|(_, value)| value)
    }

    /// The value of `key`; another key that folds to the same is refused, as by
    /// [`Object::refuse_case_variants`].
    pub fn get_only(&self, key: &str) -> Result<Option<Value<'d>>, JsonError> {
        let source = self.0.source;
        let mut found = None;
        for (name, value) in self.pairs() {
            if !may_fold_equal(name.first_byte(source), key) {
                continue;
            }
            if name.is_text(source, key) {
                found = Some(value);
            } else if name.varies(source, key) {
                return Err(name.variant());
            }
        }
        Ok(found)
    }

    fn pairs(&self) -> Pairs<'d> {
        Pairs(self.0.children())
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        match self.0.node.kind {
            NodeKind::Object { len } => len as usize,
            _ => 0,
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the source that spell this object, braces included.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }

    /// Refuses a key that a case-insensitive parser would read as one of `names` but is not it.
    ///
    /// Go servers match keys by Unicode simple folding, where U+017F is an `s` and U+212A a `k`;
    /// `names` are expected to be ASCII.
    pub fn refuse_case_variants(&self, names: &[&str]) -> Result<(), JsonError> {
        for (key, _) in self.pairs() {
            let first = key.first_byte(self.0.source);
            // Nearly all are told apart by their first letter.
            let varies = |name| may_fold_equal(first, name) && key.varies(self.0.source, name);
            if names.iter().any(|name| varies(name)) {
                return Err(key.variant());
            }
        }
        Ok(())
    }
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Values<'d>(Children<'d>);

impl<'d> Iterator for Values<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_value()
    }
}

/// The members of an object, in the order of the source.
#[derive(Clone, Debug)]
pub struct Members<'d>(Pairs<'d>);

impl<'d> Iterator for Members<'d> {
    type Item = Member<'d>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.0.next()?;
        let NodeKind::Text(decoded) = &key.kind else {
            return None;
        };
        Some(Member {
            key: text(value.source, key, decoded.as_deref()),
            key_span: key.span(),
            value,
        })
    }
}

/// The nodes of keys, each with its value.
#[derive(Clone, Debug)]
struct Pairs<'d>(Children<'d>);

impl<'d> Iterator for Pairs<'d> {
    type Item = (&'d Node, Value<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        // A key has nothing below it.
        let (key, rest) = self.0.rest.split_first()?;
        self.0.rest = rest;
        Some((key, self.0.next_value()?))
    }
}

/// Why a text is not taken as JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset in the source of what is wrong.
    pub at: usize,
    /// What is wrong there.
    pub what: JsonFault,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what.message(), self.at)
    }
}

impl std::error::Error for JsonError {}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JsonFault {
    /// The text is longer than the limit.
    TooLarge,
    /// The text starts with a byte-order mark.
    ByteOrderMark,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text ends inside a value, or is empty.
    UnexpectedEnd,
    /// A byte that cannot stand there.
    UnexpectedByte,
    /// An unescaped control character in a string.
    ControlCharacter,
    /// An escape that RFC 8259 does not know.
    BadEscape,
    /// A `\u` escape of half a surrogate pair.
    LoneSurrogate,
    /// U+0000, at which some parsers end a string.
    NulCharacter,
    /// A number not spelled as RFC 8259 says.
    BadNumber,
    /// A number too long or too large to mean the same everywhere.
    NumberRange,
    /// A number that a double cannot hold exactly as written.
    NumberPrecision,
    /// The same key twice in one object, after decoding.
    DuplicateKey,
    /// A key that differs only in case from one that has a meaning here.
    CaseVariant,
    /// Nested deeper than the limit.
    TooDeep,
    /// More values than the limit.
    TooManyValues,
    /// Something follows the value.
    TrailingBytes,
}

impl JsonFault {
    /// The stable word for logs and audit events.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::ByteOrderMark => "byte_order_mark",
            Self::NotUtf8 => "not_utf8",
            Self::UnexpectedEnd => "unexpected_end",
            Self::UnexpectedByte => "unexpected_byte",
            Self::ControlCharacter => "control_character",
            Self::BadEscape => "bad_escape",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NulCharacter => "nul_character",
            Self::BadNumber => "bad_number",
            Self::NumberRange => "number_range",
            Self::NumberPrecision => "number_precision",
            Self::DuplicateKey => "duplicate_key",
            Self::CaseVariant => "case_variant",
            Self::TooDeep => "too_deep",
            Self::TooManyValues => "too_many_values",
            Self::TrailingBytes => "trailing_bytes",
        }
    }

    /// One phrase for people that says what is wrong; it never quotes the input.
    pub fn message(self) -> &'static str {
        match self {
            Self::TooLarge => "the JSON text is too large",
            Self::ByteOrderMark => "a byte-order mark; send plain UTF-8",
            Self::NotUtf8 => "bytes that are not UTF-8",
            Self::UnexpectedEnd => "the JSON text ends too early",
            Self::UnexpectedByte => "a character that JSON does not allow here",
            Self::ControlCharacter => "an unescaped control character in a string",
            Self::BadEscape => "an unknown escape in a string",
            Self::LoneSurrogate => "half a surrogate pair in a string",
            Self::NulCharacter => "U+0000 in a string",
            Self::BadNumber => "a number that JSON does not allow",
            Self::NumberRange => "a number that is too long or too large",
            Self::NumberPrecision => "a number with more digits than a double holds",
            Self::DuplicateKey => "a key that its object already has",
            Self::CaseVariant => "a key that differs only in case from a known one",
            Self::TooDeep => "nesting that is too deep",
            Self::TooManyValues => "more values than one request may hold",
            Self::TrailingBytes => "something after the end of the JSON value",
        }
    }
}

/// One value or key, in document order; a container is followed by its descendants.
#[derive(Clone, Debug)]
struct Node {
    kind: NodeKind,
    start: u32,
    end: u32,
    /// Number of nodes in this subtree, itself included.
    size: u32,
}

#[derive(Clone, Debug)]
enum NodeKind {
    Null,
    Bool(bool),
    Number,
    /// The decoded text where it differs from the source.
    Text(Option<Box<str>>),
    Array {
        len: u32,
    },
    Object {
        len: u32,
    },
}

impl Node {
    fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// What a string holds, decoded, as bytes; empty for what is none.
    fn bytes<'d>(&'d self, source: &'d str) -> &'d [u8] {
        match &self.kind {
            NodeKind::Text(Some(decoded)) => decoded.as_bytes(),
            NodeKind::Text(None) => {
                let inner = self.start as usize + 1..(self.end as usize).saturating_sub(1);
                source.as_bytes().get(inner).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// Whether this, which is a string, says `text`.
    fn is_text(&self, source: &str, text: &str) -> bool {
        self.bytes(source) == text.as_bytes()
    }

    fn first_byte(&self, source: &str) -> Option<u8> {
        self.bytes(source).first().copied()
    }

    /// Whether this, which is a key, is not a name but folds to the same.
    fn varies(&self, source: &str, name: &str) -> bool {
        let NodeKind::Text(decoded) = &self.kind else {
            return false;
        };
        let key = text(source, self, decoded.as_deref());
        key != name && folds_equal(key, name)
    }

    fn variant(&self) -> JsonError {
        JsonError {
            at: self.start as usize,
            what: JsonFault::CaseVariant,
        }
    }
}

/// A text that is a value of its own, outside any document.
#[derive(Debug, Default)]
pub(crate) struct Single(Option<Node>);

impl Single {
    /// Holds a text, and shows it as a value.
    pub(crate) fn text(&mut self, text: &str) -> Value<'_> {
        let node = self.0.insert(Node {
            kind: NodeKind::Text(Some(text.into())),
            start: 0,
            end: 0,
            size: 1,
        });
        Value {
            source: "",
            node,
            rest: &[],
        }
    }
}

/// Walks the direct children in a run of nodes.
#[derive(Clone, Debug)]
struct Children<'d> {
    source: &'d str,
    rest: &'d [Node],
}

impl<'d> Children<'d> {
    fn next_value(&mut self) -> Option<Value<'d>> {
        let (node, rest) = self.rest.split_first()?;
        let below = (node.size as usize).saturating_sub(1);
        self.rest = rest.get(below..).unwrap_or_default();
        Some(Value {
            source: self.source,
            node,
            rest,
        })
    }
}

/// The text of a string node: what was decoded, or the source between the quotes.
fn text<'d>(source: &'d str, node: &'d Node, decoded: Option<&'d str>) -> &'d str {
    let inner = node.start as usize + 1..(node.end as usize).saturating_sub(1);
    decoded.unwrap_or_else(|| source.get(inner).unwrap_or_default())
}

/// Whether a key that begins with `first` can fold to the same as a name.
fn may_fold_equal(first: Option<u8>, name: &str) -> bool {
    match (first, name.as_bytes().first()) {
        (Some(one), Some(other)) if one.is_ascii() && other.is_ascii() => {
            one.eq_ignore_ascii_case(other)
        }
        _ => true,
    }
}

/// Whether a key folds to the same as a name.
fn folds_equal(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

#[cfg(test)]
mod tests;
