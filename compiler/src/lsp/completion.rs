//! What can be written where the cursor is.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::condition::{Environment, Root, Shape};
use serde_json::{Value as Json, json};

use super::{
    Asked,
    cursor::{Cursor, Place, cursor},
    names::{Expect, Kind, expected_key, expected_value},
    schema, wire,
    world::World,
};
use crate::{
    diag::{Severity, codes},
    model::{Model, Surface, SurfaceName},
};

/// The numbers that the protocol has for kinds of completions.
const KEY: u32 = 10;
const NAME: u32 = 18;
const WORD: u32 = 12;
const FIELD: u32 = 5;

/// One thing to write.
struct Item {
    label: String,
    insert: String,
    kind: u32,
    detail: String,
    doc: String,
    /// What comes first.
    rank: u32,
}

impl Item {
    fn new(label: impl Into<String>, kind: u32, detail: impl Into<String>) -> Self {
        let label = label.into();
        Self {
            insert: label.clone(),
            label,
            kind,
            detail: detail.into(),
            doc: String::new(),
            rank: 1,
        }
    }
}

/// Answers `textDocument/completion`.
pub(super) fn answer(world: &World, asked: &Asked) -> Json {
    let id = world.sources.find(&asked.file);
    let Some(file) = id.and_then(|id| world.sources.file(id)) else {
        return Json::Null;
    };
    let text = file.text();
    let Some(at) = cursor(text, asked.offset as usize) else {
        return Json::Null;
    };
    let word = text
        .get(at.start..asked.offset as usize)
        .unwrap_or_default();
    let (items, start) = match at.place {
        Place::Comment => comment(text, asked.offset as usize),
        _ => items(world, &at, word),
    };
    let after = text.get(asked.offset as usize..).unwrap_or_default();
    let colon = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '-');
    let has_colon = colon.starts_with(':');
    let start = u32::try_from(start).unwrap_or(asked.offset);
    let range = json!({
        "start": wire::position(file, start),
        "end": wire::position(file, asked.offset),
    });
    let items: Vec<Json> = items
        .into_iter()
        .map(|item| {
            let key = item.kind == KEY && has_colon;
            let insert = if key { &item.label } else { &item.insert };
            let mut written = json!({
                "label": item.label,
                "kind": item.kind,
                "sortText": format!("{}{}", item.rank, item.label),
                "filterText": insert,
                "textEdit": {"range": range, "newText": insert},
            });
            if let Some(object) = written.as_object_mut() {
                if !item.detail.is_empty() {
                    object.insert("detail".to_owned(), json!(item.detail));
                }
                if !item.doc.is_empty() {
                    let doc = json!({"kind": "markdown", "value": item.doc});
                    object.insert("documentation".to_owned(), doc);
                }
            }
            written
        })
        .collect();
    json!({"isIncomplete": false, "items": items})
}

/// What belongs at a cursor, and where the replaced text starts.
fn items(world: &World, at: &Cursor, word: &str) -> (Vec<Item>, usize) {
    let mut items = Vec::new();
    let mut map = at.path.clone();
    let is_key = match at.place {
        Place::Key => true,
        // The first word of an item may be a key, if the items are maps.
        Place::Item => {
            if map.last().is_none_or(|it| it != "[]") {
                map.push("[]".to_owned());
            }
            true
        }
        Place::Value | Place::Comment => false,
    };
    if is_key {
        for key in schema::keys(&map) {
            if at.siblings.iter().any(|it| it == key.name) {
                continue;
            }
            let end = if key.deep { ":" } else { ": " };
            items.push(Item {
                insert: format!("{}{end}", key.name),
                doc: key.doc.to_owned(),
                rank: u32::from(!key.required),
                ..Item::new(key.name, KEY, if key.required { "mandatory" } else { "" })
            });
        }
        if let Some(expect) = world.names.expect(expected_key, &map) {
            for mut item in expected(world, &expect, at, &map) {
                if at.siblings.contains(&item.label) {
                    continue;
                }
                item.insert = format!("{}: ", item.insert);
                item.kind = KEY;
                items.push(item);
            }
        }
    }
    if at.place != Place::Key {
        let value = if at.place == Place::Item {
            &map
        } else {
            &at.path
        };
        for word in schema::words(value) {
            let insert = if word == "*" && !at.quoted {
                "\"*\""
            } else {
                &word
            };
            items.push(Item {
                insert: insert.to_owned(),
                ..Item::new(word.clone(), WORD, "")
            });
        }
        match world.names.expect(expected_value, value) {
            Some(Expect::Condition) => return condition(world, at, word),
            Some(expect) => items.extend(expected(world, &expect, at, value)),
            None => {}
        }
    }
    (items, at.start)
}

/// The names that belong somewhere.
fn expected(world: &World, expect: &Expect, at: &Cursor, path: &[String]) -> Vec<Item> {
    let names = |kind: Kind| world.names.known(kind).into_iter();
    let one = |kind: Kind| names(kind).map(move |it| Item::new(it, NAME, kind.noun()));
    match expect {
        Expect::One(kind) => {
            let own = path.get(1);
            // Nothing inherits itself.
            let own = |item: &Item| *kind == Kind::Role && own == Some(&item.label);
            one(*kind).filter(|it| !own(it)).collect()
        }
        Expect::Scope => {
            let platform = Item::new("platform", NAME, "everything");
            let scopes = one(Kind::Organization).chain(one(Kind::Team));
            scopes.chain([platform]).collect()
        }
        Expect::Who => {
            let prefixed = |kind: Kind, prefix: &'static str| {
                names(kind)
                    .map(move |it| format!("{prefix}{it}"))
                    .collect::<Vec<_>>()
            };
            let mut others = prefixed(Kind::Group, "group:");
            others.extend(prefixed(Kind::Tag, "tag:"));
            others.extend(["human", "service", "agent"].map(|it| format!("type:{it}")));
            if path.first().is_some_and(|it| it == "rules") {
                others.push("everyone".to_owned());
            }
            let others = others.into_iter().map(|label| {
                let insert = if at.quoted || !label.contains(':') {
                    label.clone()
                } else {
                    format!("\"{label}\"")
                };
                Item {
                    insert,
                    rank: 2,
                    ..Item::new(label, NAME, "")
                }
            });
            one(Kind::Principal).chain(others).collect()
        }
        Expect::Surface(server) => surfaces(world, server),
        Expect::Argument(server, surface) => {
            let arguments = arguments(world, server, surface.as_deref());
            arguments
                .into_iter()
                .map(|(name, detail)| Item::new(name, FIELD, detail))
                .collect()
        }
        Expect::Declare(_)
        | Expect::DeclareIn(..)
        | Expect::MatrixSurface(_)
        | Expect::Permission
        | Expect::Condition
        | Expect::Outcomes => Vec::new(),
    }
}

/// The surfaces and operations of a server.
fn surfaces(world: &World, server: &str) -> Vec<Item> {
    let mut items = Vec::new();
    for kind in [Kind::Surface, Kind::Operation] {
        for full in world.names.known(kind) {
            let Some((own, name)) = full.split_once('/') else {
                continue;
            };
            if own != server {
                continue;
            }
            let mut item = Item::new(name, NAME, kind.noun());
            let surface = SurfaceName {
                server: server.into(),
                name: name.into(),
            };
            let known = world.meant.as_ref().and_then(|it| it.surface(&surface));
            if let Some(surface) = known {
                crate::model::risk_name(surface.risk).clone_into(&mut item.detail);
            }
            item.rank = 1 + u32::from(kind == Kind::Operation);
            items.push(item);
        }
    }
    items
}

/// The top arguments of one surface of a server, or of all of them.
fn arguments(world: &World, server: &str, surface: Option<&str>) -> BTreeMap<String, String> {
    let server = world.meant.as_ref().and_then(|it| it.servers.get(server));
    let surfaces = server.into_iter().flat_map(|it| &it.surfaces);
    let surfaces = surfaces.filter(|(name, _)| surface.is_none_or(|it| it == *name));
    let shapes = surfaces.filter_map(|(_, it)| Some(&it.schema.as_ref()?.shape));
    let mut found = BTreeMap::new();
    for shape in shapes {
        for (name, field) in &shape.fields {
            found.insert(name.clone(), described(field));
        }
    }
    found
}

fn described(shape: &Shape) -> String {
    let kind = format!("{:?}", shape.kind).to_lowercase();
    if shape.required {
        kind
    } else {
        format!("{kind}, may be absent")
    }
}

/// The members of what stands before the last dot of a condition.
fn condition(world: &World, at: &Cursor, word: &str) -> (Vec<Item>, usize) {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let from = word.rfind(|c| !part(c)).map_or(0, |it| {
        it + word
            .get(it..)
            .and_then(|it| it.chars().next())
            .map_or(1, char::len_utf8)
    });
    let path = word.get(from..).unwrap_or_default();
    let (before, last) = path.rsplit_once('.').unwrap_or(("", path));
    let start = at.start + word.len() - last.len();
    let environments: Vec<Environment> = surfaces_of(world, &at.path)
        .into_iter()
        .map(|it| Environment::new(it.schema.as_ref().map(|it| it.shape.clone())))
        .collect();
    if before.is_empty() {
        let roots = ["args", "principal", "request", "scope", "subject"];
        let roots = roots.map(|it| Item::new(it, FIELD, ""));
        let tests = ["has", "size", "cidr", "timestamp"].map(|it| Item {
            insert: format!("{it}("),
            rank: 2,
            ..Item::new(it, 3, "")
        });
        return (roots.into_iter().chain(tests).collect(), start);
    }
    let mut found: BTreeMap<&str, &Shape> = BTreeMap::new();
    for environment in &environments {
        let mut steps = before.split('.');
        let root = match steps.next() {
            Some("args") => Root::Args,
            Some("principal") => Root::Principal,
            Some("subject") => Root::Subject,
            Some("scope") => Root::Scope,
            Some("request") => Root::Request,
            _ => continue,
        };
        let mut shape = environment.root(root);
        for step in steps {
            shape = shape.and_then(|it| it.fields.get(step));
        }
        for (name, field) in shape.into_iter().flat_map(|it| &it.fields) {
            found.entry(name).or_insert(field);
        }
    }
    let named = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let items = found.into_iter().filter(|(name, _)| named(name));
    let items = items.map(|(name, shape)| Item {
        doc: values(shape),
        ..Item::new(name, FIELD, described(shape))
    });
    (items.collect(), start)
}

fn values(shape: &Shape) -> String {
    let values: Vec<String> = shape
        .values
        .iter()
        .map(|it| format!("`\"{it}\"`"))
        .collect();
    values.join(", ")
}

/// The surfaces that the binding or rule at a path speaks of, as far as it is known; all others
/// where it is new. There is always one, for what every call has.
fn surfaces_of<'w>(world: &'w World, path: &[String]) -> Vec<&'w Surface> {
    let Some(model) = &world.meant else {
        return Vec::new();
    };
    let named = match path {
        [section, name, ..] if section == "bindings" => {
            model.bindings.get(name.as_str()).map(|binding| {
                let roles = binding.roles.iter();
                let roles = roles.filter_map(|it| model.roles.get(&it.value));
                let granted = roles.flat_map(|it| it.permissions.keys());
                granted.map(|it| &it.surface).collect::<BTreeSet<_>>()
            })
        }
        [section, name, ..] if section == "rules" => model.rules.get(name.as_str()).map(|rule| {
            let meant = rule.permissions.keys();
            meant.map(|it| &it.surface).collect::<BTreeSet<_>>()
        }),
        _ => None,
    };
    match named.filter(|it| !it.is_empty()) {
        Some(named) => named
            .into_iter()
            .filter_map(|it| model.surface(it))
            .collect(),
        None => all(model),
    }
}

fn all(model: &Model) -> Vec<&Surface> {
    let servers = model.servers.values();
    servers.flat_map(|it| it.surfaces.values()).collect()
}

/// The lints that a comment can silence.
fn comment(text: &str, offset: usize) -> (Vec<Item>, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let Some((_, slug)) = line.rsplit_once("allow(") else {
        return (Vec::new(), offset);
    };
    if slug.contains(')') || !line.contains("latchkey:") {
        return (Vec::new(), offset);
    }
    let lints = codes::TABLE.iter();
    let lints = lints.filter(|it| it.severity == Severity::Warning);
    let items = lints.map(|code| Item {
        doc: code.title.to_owned(),
        ..Item::new(code.slug, WORD, code.id)
    });
    (items.collect(), offset - slug.len())
}
