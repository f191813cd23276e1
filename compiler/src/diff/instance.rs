//! The plainest instance of an argument schema.

use serde_json::{Map, Value};

/// The deepest nesting that is built.
const MAX_DEPTH: usize = 16;

/// A small value that the schema is likely to accept: whether it does is for the validator to say.
pub(crate) fn plainest(schema: &Value) -> Value {
    build(schema, MAX_DEPTH)
}

fn build(schema: &Value, depth: usize) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|all| all.first())
    {
        return first.clone();
    }
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("object"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    };
    match kind {
        "object" if depth > 0 => object(schema, depth),
        "array" if depth > 0 => array(schema, depth),
        "string" => Value::String(text(schema)),
        "integer" | "number" => number(schema),
        "boolean" => Value::Bool(false),
        "null" => Value::Null,
        _ => Value::Object(Map::new()),
    }
}

fn object(schema: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let mut members = Map::new();
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let inner = schema.get("properties").and_then(|all| all.get(name));
        members.insert(
            name.to_owned(),
            build(inner.unwrap_or(&Value::Null), depth - 1),
        );
    }
    Value::Object(members)
}

fn array(schema: &Value, depth: usize) -> Value {
    let count = schema
        .get("minItems")
        .and_then(Value::as_u64)
        .unwrap_or(0)
        .min(16);
    let item = schema.get("items").unwrap_or(&Value::Null);
    Value::Array((0..count).map(|_| build(item, depth - 1)).collect())
}

fn text(schema: &Value) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some("date") => return "2026-01-01".to_owned(),
        Some("date-time") => return "2026-01-01T00:00:00Z".to_owned(),
        Some("email") => return "someone@example.com".to_owned(),
        Some("uri") => return "https://example.com/".to_owned(),
        Some("uuid") => return "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => {}
    }
    let shortest = schema.get("minLength").and_then(Value::as_u64).unwrap_or(1);
    "x".repeat(usize::try_from(shortest.clamp(1, 4096)).unwrap_or(1))
}

fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    let low = bound("minimum").or(bound("exclusiveMinimum").map(|it| it.saturating_add(1)));
    let high = bound("maximum").or(bound("exclusiveMaximum").map(|it| it.saturating_sub(1)));
    let one = low.unwrap_or(1).max(1).min(high.unwrap_or(i64::MAX));
    Value::from(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_is_required() {
        let schema = serde_json::json!({
            "type": "object", "required": ["a", "n", "e", "o"],
            "properties": {
                "a": {"type": "array", "minItems": 2, "items": {"type": "string", "minLength": 3}},
                "n": {"type": "integer", "minimum": 5, "maximum": 9},
                "e": {"enum": ["x", "y"]},
                "o": {"type": "object", "required": ["b"], "properties": {"b": {"type": "boolean"}}},
                "left-out": {"type": "string"}
            }
        });
        let expected =
            serde_json::json!({"a": ["xxx", "xxx"], "n": 5, "e": "x", "o": {"b": false}});
        assert_eq!(plainest(&schema), expected);
    }
}
