//! Schemas of a document as JSON Schema draft 2020-12, on their own.
//!
//! A schema that is named once stands where it is named; one that is named more often, or names
//! itself, stands under `$defs`, so that cycles mean what they mean in the document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::refs::Refs;

/// The deepest nesting; the gate compiles none that is deeper.
const MAX_DEPTH: usize = 64;
/// How many schemas a route may name.
const MOST_NAMED: usize = 1000;
/// How many schemas the parameters of a route may consist of.
const MOST_TEXTS: usize = 10_000;
/// Keywords that are kept as they are.
const KEPT: [&str; 19] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "dependentRequired",
];
/// Keywords whose value is a schema.
const ONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "not",
    "contains",
    "propertyNames",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map of schemas.
const NAMED: [&str; 3] = ["properties", "patternProperties", "dependentSchemas"];
/// Keywords that say nothing about which values are right.
const SILENT: [&str; 17] = [
    "$comment",
    "$defs",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "description",
    "example",
    "examples",
    "externalDocs",
    "nullable",
    "readOnly",
    "title",
    "writeOnly",
    "xml",
];
/// Keywords that make a schema mean something else elsewhere.
const MOVING: [&str; 5] = [
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
];
/// Formats that are checked.
const FORMATS: [&str; 14] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "json-pointer",
    "regex",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// The schemas of one route.
pub(super) struct Schemas<'d> {
    pub(super) refs: Refs<'d>,
    /// Whether they are written in the dialect of version 3.0.
    old: bool,
    /// How often each reference is made.
    counts: BTreeMap<&'d str, usize>,
    /// The names under `$defs` of those that are made more than once.
    names: BTreeMap<&'d str, String>,
    /// What waits for its place under `$defs`.
    waiting: Vec<&'d str>,
    /// How many more schemas of parameters are looked at.
    pub(super) budget: usize,
}

type Notes = BTreeSet<String>;

impl<'d> Schemas<'d> {
    pub(super) fn new(refs: Refs<'d>, old: bool) -> Self {
        Self {
            refs,
            old,
            counts: BTreeMap::new(),
            names: BTreeMap::new(),
            waiting: Vec::new(),
            budget: MOST_TEXTS,
        }
    }

    /// The body of a request: its schema where it is JSON, none where nothing of it can be checked.
    pub(super) fn body(
        &mut self,
        method: &str,
        body: &'d Json,
        notes: &mut Notes,
    ) -> Result<Option<Json>, String> {
        if !matches!(method, "POST" | "PUT" | "PATCH" | "DELETE") {
            notes.insert(format!("a {method} has no body: the sidecar takes none"));
            return Ok(None);
        }
        let content = body.get("content").and_then(Json::as_object);
        let (mut json, mut others) = (None, Vec::new());
        for (media, value) in content.into_iter().flatten() {
            let plain = media.split(';').next().unwrap_or_default().trim();
            let plain = plain.to_ascii_lowercase();
            let is_json = plain == "application/json" || plain.ends_with("+json");
            if is_json && (json.is_none() || plain == "application/json") {
                json = Some(value);
            } else if !is_json {
                others.push(plain);
            }
        }
        for media in others {
            notes.insert(format!(
                "a body of the type `{media}` cannot be checked and is refused; \
                 `body: {{stream: [...]}}` on the route lets it pass unread"
            ));
        }
        let Some(json) = json else { return Ok(None) };
        let Some(schema) = json.get("schema") else {
            notes.insert("the body has no schema: any JSON passes".to_owned());
            return Ok(Some(json!({})));
        };
        self.count(schema)?;
        self.schema(schema, 0, notes).map(Some)
    }

    /// What stands under `$defs`.
    pub(super) fn shared(&mut self, notes: &mut Notes) -> Result<Map<String, Json>, String> {
        let mut shared = Map::new();
        while let Some(reference) = self.waiting.pop() {
            let name = self.names.get(reference).cloned().unwrap_or_default();
            if !shared.contains_key(&name) {
                let schema = self.schema(self.refs.target(reference)?, 0, notes)?;
                shared.insert(name, schema);
            }
        }
        Ok(shared)
    }

    /// Counts the references that a schema leads to, each target once.
    fn count(&mut self, schema: &'d Json) -> Result<(), String> {
        let mut open = vec![(schema, 0)];
        while let Some((schema, depth)) = open.pop() {
            within(depth)?;
            let Some(members) = schema.as_object() else {
                continue;
            };
            if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
                let count = self.counts.entry(reference).or_default();
                *count += 1;
                if *count == 1 {
                    open.push((self.refs.target(reference)?, 0));
                }
                if self.counts.len() > MOST_NAMED {
                    return Err(format!("it names more than {MOST_NAMED} schemas"));
                }
                if self.old {
                    continue;
                }
            }
            for (key, value) in members {
                let key = key.as_str();
                if MANY.contains(&key) {
                    let list = value.as_array().into_iter().flatten();
                    open.extend(list.map(|it| (it, depth + 1)));
                } else if NAMED.contains(&key) {
                    let map = value.as_object().into_iter().flat_map(Map::values);
                    open.extend(map.map(|it| (it, depth + 1)));
                } else if ONE.contains(&key) {
                    open.push((value, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn schema(
        &mut self,
        schema: &'d Json,
        depth: usize,
        notes: &mut Notes,
    ) -> Result<Json, String> {
        within(depth)?;
        let members = match schema {
            Json::Bool(_) => return Ok(schema.clone()),
            Json::Object(members) => members,
            _ => return Err("a schema is neither a map nor a boolean".to_owned()),
        };
        let Some(reference) = members.get("$ref") else {
            return self.members(members, depth, notes);
        };
        let reference = reference.as_str().ok_or("a `$ref` is no text")?;
        let target = self.named(reference, depth, notes)?;
        // In version 3.0 nothing counts that stands beside a reference.
        if self.old || members.len() == 1 {
            return Ok(target);
        }
        let beside = self.members(members, depth, notes)?;
        if beside.as_object().is_some_and(Map::is_empty) {
            return Ok(target);
        }
        Ok(json!({"allOf": [target, beside]}))
    }

    fn named(
        &mut self,
        reference: &'d str,
        depth: usize,
        notes: &mut Notes,
    ) -> Result<Json, String> {
        if self.counts.get(reference).copied().unwrap_or_default() < 2 {
            return self.schema(self.refs.target(reference)?, depth + 1, notes);
        }
        if !self.names.contains_key(reference) {
            let last = reference.rsplit('/').next().unwrap_or_default();
            let fit = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            let name: String = last.chars().filter(|c| fit(*c)).collect();
            let taken: BTreeSet<&String> = self.names.values().collect();
            let mut free = name.clone();
            let mut number = 2;
            while free.is_empty() || taken.contains(&free) {
                free = format!("{name}-{number}");
                number += 1;
            }
            self.names.insert(reference, free);
            self.waiting.push(reference);
        }
        let name = self.names.get(reference).cloned().unwrap_or_default();
        Ok(json!({"$ref": format!("#/$defs/{name}")}))
    }

    fn members(
        &mut self,
        members: &'d Map<String, Json>,
        depth: usize,
        notes: &mut Notes,
    ) -> Result<Json, String> {
        let mut out = Map::new();
        for (key, value) in members {
            let name = key.as_str();
            if SILENT.contains(&name) || name == "$ref" || name.starts_with("x-") {
                continue;
            }
            if KEPT.contains(&name) {
                out.insert(key.clone(), value.clone());
            } else if MANY.contains(&name) {
                let list = value
                    .as_array()
                    .ok_or_else(|| format!("`{key}` is no list"))?;
                let list = list.iter().map(|it| self.schema(it, depth + 1, notes));
                out.insert(key.clone(), list.collect::<Result<Vec<_>, _>>()?.into());
            } else if NAMED.contains(&name) {
                let map = value
                    .as_object()
                    .ok_or_else(|| format!("`{key}` is no map"))?;
                let map = map.iter().map(|(name, it)| {
                    let schema = self.schema(it, depth + 1, notes)?;
                    Ok((name.clone(), schema))
                });
                out.insert(
                    key.clone(),
                    Json::Object(map.collect::<Result<_, String>>()?),
                );
            } else if name == "required" {
                self.required(members, value, &mut out);
            } else if name == "format" {
                format(value, &mut out, notes);
            } else if ONE.contains(&name) {
                let schema = self.schema(value, depth + 1, notes)?;
                out.insert(key.clone(), schema);
            } else if MOVING.contains(&name) {
                return Err(format!("`{key}` moves what references mean"));
            } else if name == "discriminator" {
                let what = "a `discriminator` says which alternative is meant, and all are tried";
                notes.insert(what.to_owned());
            } else {
                notes.insert(format!(
                    "`{key}` is no keyword of schemas, and checks nothing"
                ));
            }
        }
        if self.old {
            out = modern(out, members.get("nullable") == Some(&Json::Bool(true)));
        }
        Ok(Json::Object(out))
    }

    /// What only answers hold is not asked of a request.
    fn required(&self, members: &'d Map<String, Json>, value: &Json, out: &mut Map<String, Json>) {
        let Some(names) = value.as_array() else {
            out.insert("required".to_owned(), value.clone());
            return;
        };
        let answered = |name: &Json| {
            let property = members.get("properties")?.get(name.as_str()?)?;
            let followed = self.refs.follow(property).ok()?;
            let said = property
                .get("readOnly")
                .or_else(|| followed.get("readOnly"));
            said.and_then(Json::as_bool)
        };
        let asked = names.iter().filter(|name| answered(name) != Some(true));
        let asked: Vec<_> = asked.cloned().collect();
        if !asked.is_empty() {
            out.insert("required".to_owned(), asked.into());
        }
    }
}

fn within(depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("its schema is nested deeper than {MAX_DEPTH}"));
    }
    Ok(())
}

/// A format that is checked is kept; one that is a range of numbers becomes one.
pub(super) fn format(value: &Json, out: &mut Map<String, Json>, notes: &mut Notes) {
    let Some(name) = value.as_str() else {
        return;
    };
    if FORMATS.contains(&name) {
        out.insert("format".to_owned(), value.clone());
    } else if name == "int32" {
        // Bounds of its own are read after the format, and take the place of these.
        out.insert("minimum".to_owned(), i32::MIN.into());
        out.insert("maximum".to_owned(), i32::MAX.into());
    } else {
        notes.insert(format!("the format `{name}` is not checked"));
    }
}

/// A schema of version 3.0 in draft 2020-12.
fn modern(mut out: Map<String, Json>, nullable: bool) -> Map<String, Json> {
    for (exclusive, bound) in [
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ] {
        match out.get(exclusive) {
            Some(Json::Bool(true)) => {
                out.remove(exclusive);
                if let Some(limit) = out.remove(bound) {
                    out.insert(exclusive.to_owned(), limit);
                }
            }
            Some(Json::Bool(false)) => {
                out.remove(exclusive);
            }
            _ => {}
        }
    }
    if !nullable {
        return out;
    }
    match (out.get("type").cloned(), out.contains_key("enum")) {
        (Some(Json::String(kind)), false) => {
            out.insert("type".to_owned(), json!([kind, "null"]));
            out
        }
        // An `enum` without null, or a combination, would still refuse it.
        _ if out.is_empty() => out,
        _ => {
            let either = json!([{"type": "null"}, out]);
            Map::from_iter([("anyOf".to_owned(), either)])
        }
    }
}
