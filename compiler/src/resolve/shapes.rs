//! JSON Schemas as the types that conditions are checked against.

use latchkey_engine::condition::{Kind, Shape};
use serde_json::Value as Json;

/// The deepest nesting that is looked at; deeper arguments have no type.
const MAX_DEPTH: usize = 16;

/// What a schema says of the arguments that it accepts. It promises no more than the schema: what
/// only a combination of subschemas says is left out.
pub(super) fn shape(schema: &Json) -> Shape {
    Shape {
        required: true,
        ..part(schema, schema, 0)
    }
}

fn part(schema: &Json, root: &Json, depth: usize) -> Shape {
    if depth > MAX_DEPTH {
        return Shape::default();
    }
    if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
        let target = target
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer));
        return target.map_or_else(Shape::default, |target| part(target, root, depth + 1));
    }
    let values = texts(schema);
    let kind = match schema.get("type").and_then(Json::as_str) {
        Some("string") => Kind::Text,
        Some("integer" | "number") => Kind::Number,
        Some("boolean") => Kind::Bool,
        Some("array") => Kind::List,
        Some("object") => Kind::Object,
        None if values.is_some() => Kind::Text,
        Some(_) | None => Kind::Any,
    };
    let mut shape = Shape::optional(kind);
    match kind {
        Kind::Text => shape.values = values.unwrap_or_default(),
        Kind::List => {
            let items = schema
                .get("items")
                .filter(|_| schema.get("prefixItems").is_none());
            let items = items.filter(|items| items.is_object());
            shape.items = items.map(|items| {
                Box::new(Shape {
                    required: true,
                    ..part(items, root, depth + 1)
                })
            });
        }
        Kind::Object => members(&mut shape, schema, root, depth),
        _ => {}
    }
    shape
}

fn members(shape: &mut Shape, schema: &Json, root: &Json, depth: usize) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(Json::as_object);
    for (name, property) in properties.into_iter().flatten() {
        // `false` is a member that no valid call has.
        if *property == Json::Bool(false) {
            continue;
        }
        let member = Shape {
            required: required.contains(&name.as_str()),
            ..part(property, root, depth + 1)
        };
        shape.fields.insert(name.clone(), member);
    }
    let shut = |key: &str| schema.get(key) == Some(&Json::Bool(false));
    shape.closed = (shut("additionalProperties") || shut("unevaluatedProperties"))
        && schema.get("patternProperties").is_none();
}

/// The values of `enum` or `const`, if all are texts.
fn texts(schema: &Json) -> Option<Vec<String>> {
    let single;
    let values = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => {
            single = vec![value.clone()];
            &single
        }
        (None, Some(Json::Array(values))) => values,
        _ => return None,
    };
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.push(value.as_str()?.to_owned());
    }
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

/// What a path of names leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'s> {
    /// A declared member, and whether every valid call has it.
    Declared(&'s Shape, bool),
    /// No declared member, and the schema accepts undeclared ones.
    Open,
    /// No declared member, and the schema accepts no other. The names that are there, and how many
    /// names of the path were found.
    Closed(&'s Shape, usize),
}

/// Follows a path through a shape.
pub(super) fn find<'s>(shape: &'s Shape, path: &[String]) -> Found<'s> {
    let mut here = shape;
    let mut required = true;
    for (at, name) in path.iter().enumerate() {
        match here.fields.get(name) {
            Some(member) => {
                required &= member.required;
                here = member;
            }
            None if here.closed => return Found::Closed(here, at),
            None => return Found::Open,
        }
    }
    Found::Declared(here, required)
}

/// Changes the member at a path, if it is declared.
pub(super) fn change(shape: &mut Shape, path: &[String], edit: &dyn Fn(&mut Shape)) {
    match path.split_first() {
        None => edit(shape),
        Some((name, rest)) => {
            if let Some(member) = shape.fields.get_mut(name) {
                change(member, rest, edit);
            }
        }
    }
}

/// Whether a shape is a text, or a list of texts.
pub(super) fn is_text(shape: &Shape) -> bool {
    let text = |shape: &Shape| shape.kind == Kind::Text;
    text(shape) || shape.kind == Kind::List && shape.items.as_deref().is_some_and(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_says_types_presence_and_values() {
        let shape = shape(&json!({
            "type": "object",
            "required": ["branch", "files"],
            "properties": {
                "branch": {"$ref": "#/$defs/name"},
                "env": {"enum": ["prod", "dev"]},
                "note": {"type": ["string", "null"]},
                "files": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"path": {"type": "string"}},
                }},
                "never": false,
            },
            "additionalProperties": false,
            "$defs": {"name": {"type": "string"}},
        }));
        assert!(shape.closed && shape.required);
        assert_eq!(shape.fields["branch"], Shape::required(Kind::Text));
        assert_eq!(shape.fields["env"].values, ["dev", "prod"]);
        assert!(!shape.fields["env"].required);
        assert_eq!(shape.fields["note"].kind, Kind::Any);
        assert!(!shape.fields.contains_key("never"));
        let files = shape.fields["files"].items.as_ref().unwrap();
        assert!(files.fields.contains_key("path") && !files.closed);
    }

    #[test]
    fn a_reference_to_itself_ends() {
        let shape = shape(&json!({
            "type": "object",
            "properties": {"child": {"$ref": "#"}, "loop": {"$ref": "#/properties/loop"}},
        }));
        assert_eq!(shape.fields["loop"].kind, Kind::Any);
        assert_eq!(shape.fields["child"].kind, Kind::Object);
    }

    #[test]
    fn paths_tell_closed_from_open() {
        let shape = shape(&json!({
            "type": "object",
            "required": ["body"],
            "properties": {"body": {"type": "object", "properties": {"to": {"type": "string"}}}},
            "additionalProperties": false,
        }));
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert!(matches!(
            find(&shape, &path("body.to")),
            Found::Declared(_, false)
        ));
        assert!(matches!(find(&shape, &path("body.cc")), Found::Open));
        assert!(matches!(
            find(&shape, &path("query.q")),
            Found::Closed(_, 0)
        ));
    }
}
