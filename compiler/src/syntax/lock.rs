//! Lock files: what a server said of itself, or a document said of it, when it was reviewed.

use std::collections::BTreeMap;

use latchkey_gate::pin::{ListKind, Pin, fingerprint};
use serde_json::{Map, Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{FileId, Span, Spanned};
use crate::syntax::shape::Reader;
use crate::text::Text;

/// The version of the format.
const VERSION: u64 = 1;
/// The key of the definitions of routes.
const ROUTES: &str = "routes";
/// What stands before the digest of a pin.
const DIGEST: &str = "sha256:";

/// The definitions of each list of a server, by name or URI.
pub type Definitions = BTreeMap<ListKind, BTreeMap<String, Locked>>;

/// The definitions of routes, by method and path: `GET /pets/{id}`.
pub type Routes = BTreeMap<String, Json>;

/// What an import saw of a server, reviewed and pinned.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The lock file.
    pub file: FileId,
    /// The definitions that it holds of an MCP server.
    pub definitions: Definitions,
    /// The definitions that it holds of an HTTP server.
    pub routes: Routes,
}

/// What a lock file says.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The definitions of an MCP server.
    pub definitions: Definitions,
    /// The definitions of an HTTP server.
    pub routes: Routes,
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

    /// A route by its method and path.
    pub fn route(&self, method: &str, path: &str) -> Option<&Json> {
        self.routes.get(&route_key(method, path))
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
pub(crate) fn read(name: &Spanned<Text>, cx: &mut Reader<'_>) -> Option<Lock> {
    let (file, value) = super::json::read(name, ".lock.json", cx)?;
    match contents(&value) {
        Ok(contents) => Some(Lock {
            file,
            definitions: contents.definitions,
            routes: contents.routes,
        }),
        Err(problems) => {
            for problem in problems {
                let start = Span::new(file, 0..1);
                cx.sink.push(
                    Diagnostic::new(&codes::BAD_LOCK_FILE, start, problem)
                        .also(name.span, "named here")
                        .help("write the lock again with `latchkey import`, and review it"),
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
pub fn contents(value: &Json) -> Result<Contents, Vec<String>> {
    let mut problems = Vec::new();
    let mut contents = Contents::default();
    let Some(top) = value.as_object() else {
        return Err(vec!["a lock file holds a JSON object".to_owned()]);
    };
    if top.get("version").and_then(Json::as_u64) != Some(VERSION) {
        problems.push(format!("the version of the lock file is not {VERSION}"));
    }
    for (key, entries) in top.iter().filter(|(key, _)| *key != "version") {
        let kind = ListKind::ALL.into_iter().find(|kind| section(*kind) == key);
        if kind.is_none() && key != ROUTES {
            problems.push(format!("a lock file has no key `{key}`"));
            continue;
        }
        let Some(entries) = entries.as_object() else {
            problems.push(format!("`{key}` is not a JSON object"));
            continue;
        };
        let Some(kind) = kind else {
            for (name, entry) in entries {
                match route(name, entry) {
                    Ok(definition) => {
                        contents.routes.insert(name.clone(), definition);
                    }
                    Err(why) => problems.push(format!("the route `{name}` {why}")),
                }
            }
            continue;
        };
        let list = contents.definitions.entry(kind).or_default();
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
        Ok(contents)
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

/// The text of the lock file of an HTTP server: one value has one text, with a line for each route,
/// so that a difference shows the routes. `None` when a definition holds a number that JSON cannot
/// carry.
pub fn routes_text(routes: &Routes) -> Option<String> {
    let entry = |(name, definition): (&String, &Json)| {
        let pin = format!("{DIGEST}{}", fingerprint(definition)?);
        let definition = serde_json_canonicalizer::to_string(definition).ok()?;
        let (name, pin) = (Json::from(name.as_str()), Json::from(pin));
        Some(format!(
            "    {name}: {{\n      \"definition\": {definition},\n      \"pin\": {pin}\n    }}"
        ))
    };
    let entries: Vec<String> = routes.iter().map(entry).collect::<Option<_>>()?;
    let entries = match entries.as_slice() {
        [] => "{}".to_owned(),
        entries => format!("{{\n{}\n  }}", entries.join(",\n")),
    };
    Some(format!(
        "{{\n  \"{ROUTES}\": {entries},\n  \"version\": {VERSION}\n}}\n"
    ))
}

/// The key under which the entries of a list stand.
fn section(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Templates => "templates",
        kind => kind.member(),
    }
}

fn route(name: &str, entry: &Json) -> Result<Json, &'static str> {
    let (definition, pin) = members(entry)?;
    let part = |key: &str| definition.get(key).and_then(Json::as_str);
    let own = part("method").zip(part("path"));
    if own.is_none_or(|(method, path)| name != route_key(method, path)) {
        return Err("has a definition of another route");
    }
    let own = fingerprint(definition).ok_or("has a number that JSON cannot carry")?;
    if pin.strip_prefix(DIGEST) != Some(own.as_str()) {
        return Err("has a pin that is not the digest of its definition");
    }
    Ok(definition.clone())
}

/// How a lock names a route.
pub fn route_key(method: &str, path: &str) -> String {
    format!("{method} {path}")
}

/// The definition and the pin of an entry.
fn members(entry: &Json) -> Result<(&Json, &str), &'static str> {
    let members = entry.as_object().ok_or("is not a JSON object")?;
    if members
        .keys()
        .any(|key| !matches!(key.as_str(), "definition" | "pin"))
    {
        return Err("has other keys than `definition` and `pin`");
    }
    let definition = members.get("definition").filter(|it| it.is_object());
    let definition = definition.ok_or("has no object `definition`")?;
    let pin = members.get("pin").and_then(Json::as_str);
    Ok((definition, pin.unwrap_or_default()))
}

fn locked(kind: ListKind, name: &str, entry: &Json) -> Result<Locked, &'static str> {
    let (definition, pin) = members(entry)?;
    if definition.get(kind.key()).and_then(Json::as_str) != Some(name) {
        return Err("has a definition of another name");
    }
    let locked = Locked::new(kind, definition.clone());
    let locked = locked.ok_or("has a number that JSON cannot carry")?;
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
