//! One value of the arguments, as policy reads it.

use std::borrow::Cow;

use latchkey_engine::{decimal::Decimal, index::Fold, slot::Slot};

use super::fold::fold;
use crate::json::{Kind, Value};

/// A value that can be lent to `decide` as a [`Slot`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held<'d> {
    Absent,
    Opaque,
    Bool(bool),
    Number(Decimal),
    Text(Cow<'d, str>),
    /// Elements, none of them a list.
    List(Vec<Held<'d>>),
}

impl<'d> Held<'d> {
    /// Reads a value; a fold applies to a text, and to each element of a list.
    pub(crate) fn of(value: Value<'d>, how: Option<Fold>) -> Self {
        match value.kind() {
            Kind::Bool(value) => Self::Bool(value),
            Kind::Number(lexeme) => Decimal::parse(lexeme).map_or(Self::Opaque, Self::Number),
            Kind::Text(text) => match how {
                None => Self::Text(Cow::Borrowed(text)),
                Some(how) => fold(how, text).map_or(Self::Opaque, Self::Text),
            },
            Kind::Array(array) => {
                let element = |value| Self::of(value, how).flat();
                Self::List(array.values().map(element).collect())
            }
            Kind::Null | Kind::Object(_) => Self::Opaque,
        }
    }

    /// The value as an element of a list: a list inside a list cannot be read.
    pub(crate) fn flat(self) -> Self {
        match self {
            Self::List(_) => Self::Opaque,
            other => other,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a slot; `elements` are its own if it is a list.
    pub(crate) fn slot<'s>(&'s self, elements: &'s [Slot<'s>]) -> Slot<'s> {
        match self {
            Self::Absent => Slot::Absent,
            Self::Opaque => Slot::Opaque,
            Self::Bool(value) => Slot::Bool(*value),
            Self::Number(value) => Slot::Number(*value),
            Self::Text(text) => Slot::Text(text),
            Self::List(_) => Slot::List(elements),
        }
    }

    /// The elements as slots, if it is a list.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Slot<'_>> {
        let values = match self {
            Self::List(values) => values.as_slice(),
            _ => &[],
        };
        values.iter().map(|value| value.slot(&[]))
    }

    /// The value as JSON text, for digests and the log; what cannot be read is `{}`.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Absent => "null".to_owned(),
            Self::Opaque => "{}".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            // A text can always be written.
            Self::Text(text) => serde_json::to_string(text).unwrap_or_default(),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(Self::canonical).collect();
                format!("[{}]", values.join(","))
            }
        }
    }
}
