//! What has changed between the reviewed definitions and those of a live server, in meaning.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_gate::pin::ListKind;
use serde_json::{Map, Value as Json, json};

use super::schema::{self, Direction};
use crate::syntax::lock::{Definitions, Locked, Routes};

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// What the entry is.
    pub(super) noun: &'static str,
    /// The name or URI of the entry.
    pub(super) name: String,
    /// What has changed.
    pub(super) what: What,
    /// What it was.
    pub(super) old: Option<Json>,
    /// What it is.
    pub(super) new: Option<Json>,
}

/// What has changed of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The entry is new.
    New,
    /// The entry is gone.
    Gone,
    /// An argument is new.
    ArgumentNew(String),
    /// An argument is gone.
    ArgumentGone(String),
    /// An argument must be given now.
    ArgumentRequired(String),
    /// An argument need not be given any more.
    ArgumentOptional(String),
    /// Which values are accepted: the place in the schema, and whether there are more or fewer.
    Schema(String, Direction),
    /// A hint, such as `readOnlyHint`.
    Annotation(String),
    /// Any other member, such as `description`.
    Member(String),
}

impl What {
    /// A stable word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::ArgumentNew(_) => "argument_new",
            Self::ArgumentGone(_) => "argument_gone",
            Self::ArgumentRequired(_) => "argument_required",
            Self::ArgumentOptional(_) => "argument_optional",
            Self::Schema(_, direction) => match direction {
                Direction::Loosened => "schema_loosened",
                Direction::Tightened => "schema_tightened",
                Direction::Changed => "schema_changed",
            },
            Self::Annotation(_) => "annotation_changed",
            Self::Member(_) => "member_changed",
        }
    }

    /// Where in the entry it is.
    pub(super) fn at(&self) -> Option<&str> {
        match self {
            Self::New | Self::Gone => None,
            Self::ArgumentNew(at)
            | Self::ArgumentGone(at)
            | Self::ArgumentRequired(at)
            | Self::ArgumentOptional(at)
            | Self::Schema(at, _)
            | Self::Annotation(at)
            | Self::Member(at) => Some(at),
        }
    }
}

/// Every difference between the definitions of MCP servers, in the order of lists and names.
pub(super) fn changes(old: &Definitions, new: &Definitions) -> Vec<Change> {
    let empty = BTreeMap::new();
    let mut all = Vec::new();
    for kind in ListKind::ALL {
        let (old, new) = (
            old.get(&kind).unwrap_or(&empty),
            new.get(&kind).unwrap_or(&empty),
        );
        let differ = |old: &Locked, new: &Locked, found: &mut Found| {
            if old.pin.definition != new.pin.definition {
                entry(&old.definition, &new.definition, found);
            }
        };
        list(kind.noun(), (old, new), differ, &mut all);
    }
    all
}

/// Every difference between the definitions of routes.
pub(super) fn of_routes(old: &Routes, new: &Routes) -> Vec<Change> {
    let mut all = Vec::new();
    list("route", (old, new), entry, &mut all);
    all
}

fn list<T>(
    noun: &'static str,
    (old, new): (&BTreeMap<String, T>, &BTreeMap<String, T>),
    differ: impl Fn(&T, &T, &mut Found),
    all: &mut Vec<Change>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let mut found = Vec::new();
        match (old.get(name), new.get(name)) {
            (None, _) => found.push((What::New, None, None)),
            (_, None) => found.push((What::Gone, None, None)),
            (Some(old), Some(new)) => differ(old, new, &mut found),
        }
        all.extend(found.into_iter().map(|(what, old, new)| Change {
            noun,
            name: name.clone(),
            what,
            old,
            new,
        }));
    }
}

/// What has changed, what it was, what it is.
pub(super) type Found = Vec<(What, Option<Json>, Option<Json>)>;

fn entry(old: &Json, new: &Json, found: &mut Found) {
    let (old, new) = (members(&as_locked(old)), members(&as_locked(new)));
    for key in keys(&old, &new) {
        let (before, after) = (old.get(&key), new.get(&key));
        if before == after {
            continue;
        }
        match (key.as_str(), before, after) {
            ("inputSchema", Some(before), Some(after)) => schema::input("", before, after, found),
            ("input", Some(before), Some(after)) => schema::parts(before, after, found),
            ("arguments", _, _) => schema::listed(before, after, found),
            ("annotations", _, _) => {
                let none = json!({});
                let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
                let (before, after) = (members(before), members(after));
                for hint in keys(&before, &after) {
                    let (old, new) = (before.get(&hint), after.get(&hint));
                    if old != new {
                        found.push((What::Annotation(hint), old.cloned(), new.cloned()));
                    }
                }
            }
            _ => found.push((What::Member(key), before.cloned(), after.cloned())),
        }
    }
}

/// A definition as a lock holds it: in canonical JSON (RFC 8785), where `1.0` is `1`.
fn as_locked(definition: &Json) -> Json {
    let text = serde_json_canonicalizer::to_string(definition).ok();
    let locked = text.and_then(|it| serde_json::from_str(&it).ok());
    locked.unwrap_or_else(|| definition.clone())
}

/// The members of an object; none of anything else.
pub(super) fn members(value: &Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap_or_default()
}

/// The keys of either object, in order.
pub(super) fn keys(old: &Map<String, Json>, new: &Map<String, Json>) -> Vec<String> {
    let mut keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests;
