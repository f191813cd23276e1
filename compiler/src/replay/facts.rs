//! The facts of a recorded call, as another policy reads them.

use std::collections::BTreeMap;

use latchkey_engine::{decimal::Decimal, id::AttributeId, index::Index, slot::Slot};
use latchkey_gate::event::{Event, SlotRecord, attribute_name};
use serde_json::Value as Json;

/// What the log holds of one argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Held {
    Absent,
    /// Not logged, or as a digest only.
    Unknown,
    Opaque,
    Bool(bool),
    Number(Decimal),
    Text(String),
    List(Vec<Held>),
}

impl Held {
    /// Reads the record of an attribute.
    pub(super) fn of(slots: &BTreeMap<String, SlotRecord>, name: &str) -> Self {
        match slots.get(name) {
            None | Some(SlotRecord::Digest(_)) => Self::Unknown,
            Some(SlotRecord::Absent) => Self::Absent,
            Some(SlotRecord::Value(text)) => {
                serde_json::from_str(text).map_or(Self::Unknown, |value| Self::value(&value))
            }
        }
    }

    /// Reads a value as policy does.
    pub(crate) fn value(value: &Json) -> Self {
        match value {
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => {
                Decimal::parse(&number.to_string()).map_or(Self::Opaque, Self::Number)
            }
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(values) => Self::List(values.iter().map(Self::value).collect()),
            Json::Null | Json::Object(_) => Self::Opaque,
        }
    }

    /// The texts that it is or holds, if it is nothing else.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Text(text) => Some(vec![text]),
            Self::List(values) => values
                .iter()
                .map(|it| match it {
                    Self::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    /// The elements as slots, if it is a list.
    pub(crate) fn elements(&self) -> Vec<Slot<'_>> {
        match self {
            Self::List(values) => values.iter().map(|it| it.slot(&[])).collect(),
            _ => Vec::new(),
        }
    }

    /// The value as a slot; `elements` are its own if it is a list.
    pub(crate) fn slot<'s>(&'s self, elements: &'s [Slot<'s>]) -> Slot<'s> {
        match self {
            Self::Absent => Slot::Absent,
            Self::Unknown => Slot::Unknown,
            Self::Opaque => Slot::Opaque,
            Self::Bool(value) => Slot::Bool(*value),
            Self::Number(value) => Slot::Number(*value),
            Self::Text(text) => Slot::Text(text),
            Self::List(_) => Slot::List(elements),
        }
    }
}

/// The arguments that a policy reads of a call, as far as the log holds them.
#[derive(Debug)]
pub(super) struct Arguments {
    held: Vec<(String, Held)>,
}

impl Arguments {
    pub(super) fn of(index: &Index, attributes: &[AttributeId], event: &Event) -> Self {
        let held = attributes.iter().map(|id| {
            let attribute = index.attributes.get(id.index());
            let name = attribute.map_or_else(String::new, |it| attribute_name(&it.path));
            let value = Held::of(&event.authz.input.slots, &name);
            (name, value)
        });
        Self {
            held: held.collect(),
        }
    }

    /// The names of those that are not known.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &String> {
        let unknown = self.held.iter().filter(|(_, held)| *held == Held::Unknown);
        unknown.map(|(name, _)| name)
    }

    /// Lends all of them as slots.
    pub(super) fn with_slots<T>(&self, then: impl FnOnce(&[Slot<'_>]) -> T) -> T {
        let elements: Vec<Vec<Slot<'_>>> = self.held.iter().map(|(_, it)| it.elements()).collect();
        let slots: Vec<Slot<'_>> = self
            .held
            .iter()
            .zip(&elements)
            .map(|((_, held), elements)| held.slot(elements))
            .collect();
        then(&slots)
    }
}
