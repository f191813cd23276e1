//! A keyword of a schema that is evidently misspelt: JSON Schema ignores what it does not know.

use serde_json::Value as Json;

use super::Facts;
use crate::{
    diag::{Applicability, Diagnostic, codes, suggest},
    model::Surface,
    source::Span,
    syntax::{Node, node::Value},
};

/// Keywords whose value is a schema.
const ONE: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const MANY: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map from names to schemas.
const NAMED: &[&str] = &[
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// All other keywords, with those of dialects around that mean nothing here.
const OTHER: &[&str] = &[
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "discriminator",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "externalDocs",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "nullable",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
    "xml",
];

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, server) in &facts.model.servers {
        let written = facts.syntax.servers.get(name);
        for (name, surface) in &server.surfaces {
            let Some(schema) = &surface.schema else {
                continue;
            };
            let mut unknown = Vec::new();
            walk(&schema.json, &mut Vec::new(), &mut unknown);
            let input = written.and_then(|it| it.input(name));
            for (path, meant) in unknown {
                found.push(finding(&path, meant, input, surface));
            }
        }
    }
}

fn finding(path: &[String], meant: &str, input: Option<&Node>, surface: &Surface) -> Diagnostic {
    let key = path.last().map_or("", String::as_str);
    let message = format!("`{key}` is no keyword of a schema, so nothing checks it");
    let schema = surface.schema.as_ref().map_or(surface.span, |it| it.span);
    let Some(span) = input.and_then(|it| place(it, path)) else {
        return Diagnostic::new(&codes::SCHEMA_KEYWORD, surface.span, message)
            .also(schema, format!("at `/{}`", path.join("/")))
            .help(format!("it may mean `{meant}`; ask who publishes the tool"));
    };
    Diagnostic::new(&codes::SCHEMA_KEYWORD, span, message)
        .help(format!("did you mean `{meant}`?"))
        .fix(
            format!("replace `{key}` with `{meant}`"),
            Applicability::Maybe,
            span,
            meant,
        )
}

/// The keys that are no keywords, each with its path and what it evidently means.
fn walk(schema: &Json, path: &mut Vec<String>, unknown: &mut Vec<(Vec<String>, &'static str)>) {
    let Some(members) = schema.as_object() else {
        return;
    };
    let all = || [ONE, MANY, NAMED, OTHER].into_iter().flatten().copied();
    for (key, value) in members {
        path.push(key.clone());
        if ONE.contains(&key.as_str()) {
            walk(value, path, unknown);
        } else if MANY.contains(&key.as_str()) {
            for (at, each) in value.as_array().into_iter().flatten().enumerate() {
                path.push(at.to_string());
                walk(each, path, unknown);
                path.pop();
            }
        } else if NAMED.contains(&key.as_str()) {
            for (name, each) in value.as_object().into_iter().flatten() {
                path.push(name.clone());
                walk(each, path, unknown);
                path.pop();
            }
        } else if !OTHER.contains(&key.as_str())
            && !key.starts_with("x-")
            && let Some(meant) = suggest::closest(key, all())
        {
            unknown.push((path.clone(), meant));
        }
        path.pop();
    }
}

/// The key at a path of a schema that is written here.
fn place(schema: &Node, path: &[String]) -> Option<Span> {
    let (last, above) = path.split_last()?;
    let mut node = schema;
    for step in above {
        node = match &node.value {
            Value::List(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => node.get(step)?,
        };
    }
    let pair = node.as_map()?.iter().find(|pair| pair.key.value == *last)?;
    Some(pair.key.span)
}
