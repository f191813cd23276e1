//! What a server says of itself, and whether it is what was reviewed.
//!
//! A pin is the SHA-256 of a definition (a tool, prompt, resource or template as the server lists
//! it) in the form of RFC 8785, so that neither the order of its members nor its spacing matters.
//! Beside it stand short digests of its parts: they tell which part has changed, and decide
//! nothing.

mod parts;
mod sightings;

use std::collections::BTreeMap;

use latchkey_engine::index::SurfaceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

pub use sightings::{News, Sightings, Unpinned, has_pins};

use crate::gate::hex;

/// The lists of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

/// The reviewed form of one definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pin {
    /// The SHA-256 of the whole definition, in lower-case hex.
    pub definition: String,
    /// Short digests of its parts, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

/// How a definition differs from the reviewed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference(String);

/// The most parts that a difference names.
const MOST_NAMED: usize = 12;
/// The longest name of a part in a difference, in characters.
const LONGEST_NAME: usize = 64;

impl ListKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The method that asks for the list.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the answer that holds the list.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an entry that names it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// What one entry is called.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::Resources => "resource",
            Self::Templates => "template",
        }
    }

    /// The list that defines a surface; none for a route.
    #[must_use]
    pub fn of(kind: &SurfaceKind) -> Option<Self> {
        match kind {
            SurfaceKind::Tool => Some(Self::Tools),
            SurfaceKind::Prompt => Some(Self::Prompts),
            SurfaceKind::Resource { uri } if uri.contains('{') => Some(Self::Templates),
            SurfaceKind::Resource { .. } => Some(Self::Resources),
            SurfaceKind::Route { .. } => None,
        }
    }
}

impl Pin {
    /// The pin of a definition; `None` when it holds a number that JSON cannot carry.
    #[must_use]
    pub fn of(kind: ListKind, definition: &Json) -> Option<Self> {
        let settled = parts::settled(kind, definition);
        let parts = parts::parts(&settled).into_iter();
        let parts = parts.map(|(name, value)| Some((name, hex(digest(&value)?.get(..4)?))));
        Some(Self {
            definition: hex(&digest(&settled)?),
            parts: parts.collect::<Option<_>>()?,
        })
    }

    /// How a definition differs from this one; `None` when it is the same.
    #[must_use]
    pub fn compare(&self, kind: ListKind, definition: &Json) -> Option<Difference> {
        let Some(seen) = Self::of(kind, definition) else {
            return Some(Difference("holds a number that JSON cannot carry".into()));
        };
        (seen.definition != self.definition).then(|| self.difference(&seen))
    }

    /// In which parts another pin differs from this one.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Difference {
        Difference::between(self, other)
    }
}

impl Difference {
    /// A definition that cannot be read at all.
    #[must_use]
    pub fn unreadable() -> Self {
        Self("the definition is malformed".into())
    }

    /// Which parts differ: their names alone, since what a server says may be a secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn between(old: &Pin, new: &Pin) -> Self {
        let changed = old
            .parts
            .iter()
            .filter_map(|(name, digest)| match new.parts.get(name) {
                None => Some(("gone", name)),
                Some(now) if now != digest => Some(("changed", name)),
                Some(_) => None,
            });
        let added = new
            .parts
            .keys()
            .filter(|name| !old.parts.contains_key(*name));
        let all: Vec<_> = changed.chain(added.map(|name| ("new", name))).collect();
        let mut words: Vec<String> = all
            .iter()
            .take(MOST_NAMED)
            .map(|(what, name)| format!("{} {what}", shown(name)))
            .collect();
        if all.len() > MOST_NAMED {
            words.push(format!("{} more", all.len() - MOST_NAMED));
        }
        if words.is_empty() {
            words.push("the definition differs".to_owned());
        }
        Self(words.join(", "))
    }
}

/// A name that the server chose, made fit for a log.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.$/".contains(c);
    name.chars()
        .take(LONGEST_NAME)
        .map(|c| if plain(c) { c } else { '?' })
        .collect()
}

/// The SHA-256 of a definition that no list has, as a route's, in lower-case hex; `None` when it
/// holds a number that JSON cannot carry.
#[must_use]
pub fn fingerprint(definition: &Json) -> Option<String> {
    digest(definition).map(|digest| hex(&digest))
}

fn digest(value: &Json) -> Option<[u8; 32]> {
    let text = serde_json_canonicalizer::to_vec(value).ok()?;
    Some(Sha256::digest(&text).into())
}

#[cfg(test)]
mod tests;
