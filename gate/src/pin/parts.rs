//! The parts of a definition that are told apart when it changes.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::ListKind;

/// A definition without what changes with the content of a resource: its size, and when it was
/// modified. All else is pinned.
pub(super) fn settled(kind: ListKind, definition: &Json) -> Json {
    let mut settled = definition.clone();
    if kind != ListKind::Resources {
        return settled;
    }
    if let Some(members) = settled.as_object_mut() {
        members.remove("size");
        if let Some(Json::Object(annotations)) = members.get_mut("annotations") {
            annotations.remove("lastModified");
        }
    }
    settled
}

/// Each part by name: `description`, `argument amount`, `annotations.readOnlyHint`.
pub(super) fn parts(definition: &Json) -> BTreeMap<String, Json> {
    let mut parts = BTreeMap::new();
    let Some(members) = definition.as_object() else {
        return parts;
    };
    for (key, value) in members {
        match (key.as_str(), value) {
            ("inputSchema", Json::Object(schema)) => arguments(schema, &mut parts),
            ("arguments", Json::Array(listed)) => listed_arguments(listed, &mut parts),
            ("annotations", Json::Object(hints)) => {
                for (hint, value) in hints {
                    parts.insert(format!("annotations.{hint}"), value.clone());
                }
            }
            _ => {
                parts.insert(key.clone(), value.clone());
            }
        }
    }
    parts
}

/// Each argument with whether it is required, and what else the schema says.
fn arguments(schema: &Map<String, Json>, parts: &mut BTreeMap<String, Json>) {
    let mut rest = schema.clone();
    let required = rest.remove("required").unwrap_or_default();
    let names = required.as_array().map(Vec::as_slice).unwrap_or_default();
    let properties = rest.remove("properties").unwrap_or_default();
    for (name, value) in properties.as_object().into_iter().flatten() {
        let needed = names.iter().any(|it| it == name);
        let part = serde_json::json!([value, needed]);
        parts.insert(format!("argument {name}"), part);
    }
    parts.insert("inputSchema".to_owned(), Json::Object(rest));
    // One that is required and not declared is a part of its own.
    for name in names.iter().filter_map(Json::as_str) {
        let part = parts.entry(format!("argument {name}"));
        part.or_insert_with(|| Json::Bool(true));
    }
}

fn listed_arguments(listed: &[Json], parts: &mut BTreeMap<String, Json>) {
    for (at, argument) in listed.iter().enumerate() {
        let name = argument.get("name").and_then(Json::as_str);
        let name = name.map_or_else(|| at.to_string(), str::to_owned);
        parts.insert(format!("argument {name}"), argument.clone());
    }
}
