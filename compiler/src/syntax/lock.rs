//! Lock files: what a server said of itself when it was reviewed.

use std::collections::BTreeMap;

use latchkey_gate::pin::{ListKind, Pin};
use serde_json::{Map, Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{FileId, Span, Spanned};
use crate::syntax::shape::Reader;

/// The version of the format.
const VERSION: u64 = 1;
/// What stands before the digest of a pin.
const DIGEST: &str = "sha256:";

/// The definitions of each list of a server, by name or URI.
pub type Definitions = BTreeMap<ListKind, BTreeMap<String, Locked>>;

/// What `latchkey import mcp` saw of a server, reviewed and pinned.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The lock file.
    pub file: FileId,
    /// What it holds.
    pub definitions: Definitions,
}

/// The pinned definition of one tool, prompt, resource or template.
#[derive(Clone, Debug, PartialEq)]
pub struct Locked {
    /// The definition, as the server gave it.
    pub definition: Json,
    /// Its digest.
    pub pin: Pin,
}

impl Lock {
    /// A definition by its name or URI.
    pub fn get(&self, kind: ListKind, name: &str) -> Option<&Locked> {
        self.definitions.get(&kind)?.get(name)
    }

    /// A tool by its name.
    pub fn tool(&self, name: &str) -> Option<&Locked> {
        self.get(ListKind::Tools, name)
    }

    /// The names in one of the lists.
    pub fn names(&self, kind: ListKind) -> impl Iterator<Item = &str> {
        let list = self.definitions.get(&kind);
        list.into_iter()
            .flat_map(BTreeMap::keys)
            .map(String::as_str)
    }
}

impl Locked {
    /// A definition with its pin; `None` when it holds a number that JSON cannot carry.
    pub fn new(kind: ListKind, definition: Json) -> Option<Self> {
        let pin = Pin::of(kind, &definition)?;
        Some(Self { definition, pin })
    }

    /// The JSON Schema of its arguments.
    pub fn input(&self) -> Option<&Json> {
        self.definition
            .get("inputSchema")
            .filter(|it| it.is_object())
    }

    /// One of its annotations, where it is a boolean.
    pub fn hint(&self, name: &str) -> Option<bool> {
        self.definition.get("annotations")?.get(name)?.as_bool()
    }
}

/// Reads the lock file that a server names.
pub(crate) fn read(name: &Spanned<String>, cx: &mut Reader<'_>) -> Option<Lock> {
    let (file, value) = super::json::read(name, ".lock.json", cx)?;
    match definitions(&value) {
        Ok(definitions) => Some(Lock { file, definitions }),
        Err(problems) => {
            for problem in problems {
                let start = Span::new(file, 0..1);
                cx.sink.push(
                    Diagnostic::new(&codes::BAD_LOCK_FILE, start, problem)
                        .also(name.span, "named here")
                        .help("write the lock again with `latchkey import mcp`, and review it"),
                );
            }
            None
        }
    }
}

/// What a lock file says.
///
/// # Errors
/// Everything that is wrong with it.
pub fn definitions(value: &Json) -> Result<Definitions, Vec<String>> {
    let mut problems = Vec::new();
    let mut definitions = Definitions::new();
    let Some(top) = value.as_object() else {
        return Err(vec!["a lock file holds a JSON object".to_owned()]);
    };
    if top.get("version").and_then(Json::as_u64) != Some(VERSION) {
        problems.push(format!("the version of the lock file is not {VERSION}"));
    }
    for (key, entries) in top.iter().filter(|(key, _)| *key != "version") {
        let Some(kind) = ListKind::ALL.into_iter().find(|kind| section(*kind) == key) else {
            problems.push(format!("a lock file has no key `{key}`"));
            continue;
        };
        let Some(entries) = entries.as_object() else {
            problems.push(format!("`{key}` is not a JSON object"));
            continue;
        };
        let list = definitions.entry(kind).or_default();
        for (name, entry) in entries {
            match locked(kind, name, entry) {
                Ok(locked) => {
                    list.insert(name.clone(), locked);
                }
                Err(why) => problems.push(format!("the {} `{name}` {why}", kind.noun())),
            }
        }
    }
    if problems.is_empty() {
        Ok(definitions)
    } else {
        Err(problems)
    }
}

/// The text of a lock file: one value has one text.
pub fn text(definitions: &Definitions) -> String {
    let mut top = Map::new();
    for (kind, entries) in definitions {
        let entries = entries.iter().map(|(name, locked)| {
            let pin = format!("{DIGEST}{}", locked.pin.definition);
            (
                name.clone(),
                json!({"definition": locked.definition, "pin": pin}),
            )
        });
        top.insert(section(*kind).to_owned(), Json::Object(entries.collect()));
    }
    top.insert("version".to_owned(), VERSION.into());
    let top = sorted(&Json::Object(top));
    // A value of this kind is always written.
    let mut text = serde_json::to_string_pretty(&top).unwrap_or_default();
    text.push('\n');
    text
}

/// The key under which the entries of a list stand.
fn section(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Templates => "templates",
        kind => kind.member(),
    }
}

fn locked(kind: ListKind, name: &str, entry: &Json) -> Result<Locked, &'static str> {
    let members = entry.as_object().ok_or("is not a JSON object")?;
    if members
        .keys()
        .any(|key| !matches!(key.as_str(), "definition" | "pin"))
    {
        return Err("has other keys than `definition` and `pin`");
    }
    let definition = members.get("definition").filter(|it| it.is_object());
    let definition = definition.ok_or("has no object `definition`")?;
    if definition.get(kind.key()).and_then(Json::as_str) != Some(name) {
        return Err("has a definition of another name");
    }
    let locked = Locked::new(kind, definition.clone());
    let locked = locked.ok_or("has a number that JSON cannot carry")?;
    let pin = members
        .get("pin")
        .and_then(Json::as_str)
        .unwrap_or_default();
    if pin.strip_prefix(DIGEST) != Some(locked.pin.definition.as_str()) {
        return Err("has a pin that is not the digest of its definition");
    }
    Ok(locked)
}

/// A value whose objects have their members in the order of the names, whatever the library does.
fn sorted(value: &Json) -> Json {
    match value {
        Json::Array(items) => items.iter().map(sorted).collect(),
        Json::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let members = members
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Json::Object(members.collect())
        }
        plain => plain.clone(),
    }
}
