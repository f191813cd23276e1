//! What a change of a schema lets through that was refused, or the other way round.

use serde_json::{Map, Value as Json};

use super::change::{Found, What, keys, members};

/// Whether more values are accepted than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// More, or all that were.
    Loosened,
    /// Fewer.
    Tightened,
    /// Others, or it cannot be said.
    Changed,
}

/// Limits from above: a larger one accepts more.
const MOST: [&str; 6] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
    "maxContains",
];
/// Limits from below: a smaller one accepts more.
const LEAST: [&str; 6] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
    "minContains",
];
/// Keywords that accept nothing more when they are added.
const TESTS: [&str; 9] = [
    "const",
    "pattern",
    "format",
    "multipleOf",
    "not",
    "propertyNames",
    "dependentRequired",
    "allOf",
    "uniqueItems",
];
/// How many values a schema may have when what it names stands where it is named.
const MOST_EXPANDED: usize = 50_000;
/// How many names may lead to one another there.
const MOST_OPEN: usize = 16;
/// Schemas inside a schema.
const INNER: [&str; 3] = ["items", "additionalProperties", "contains"];

/// The arguments of a route: those in its path, its query and its body.
pub(super) fn parts(old: &Json, new: &Json, found: &mut Found) {
    let (old, new) = (expanded(old), expanded(new));
    let (mut old, mut new) = (members(&old), members(&new));
    let (needed_before, needed_after) = (required(&mut old), required(&mut new));
    let (before, after) = (properties(&mut old), properties(&mut new));
    for name in keys(&before, &after) {
        let needed = |list: &[Json]| list.iter().any(|it| *it == name.as_str());
        match (before.get(&name), after.get(&name)) {
            (Some(old), Some(new)) => {
                match (needed(&needed_before), needed(&needed_after)) {
                    (false, true) if name == "body" => {
                        found.push((What::ArgumentRequired(name.clone()), None, None));
                    }
                    (true, false) if name == "body" => {
                        found.push((What::ArgumentOptional(name.clone()), None, None));
                    }
                    _ => {}
                }
                input(&format!("{name}."), old, new, found);
            }
            (None, schema) => found.push((What::ArgumentNew(name), None, schema.cloned())),
            (schema, None) => found.push((What::ArgumentGone(name), schema.cloned(), None)),
        }
    }
    compare("", &Json::Object(old), &Json::Object(new), found);
}

/// The arguments of a tool; `prefix` stands before their names.
pub(super) fn input(prefix: &str, old: &Json, new: &Json, found: &mut Found) {
    let (mut old, mut new) = (members(old), members(new));
    let (before, after) = (required(&mut old), required(&mut new));
    let (own_before, own_after) = (properties(&mut old), properties(&mut new));
    for own in keys(&own_before, &own_after) {
        let name = format!("{prefix}{own}");
        let needed = |list: &[Json]| list.iter().any(|it| *it == own.as_str());
        match (own_before.get(&own), own_after.get(&own)) {
            (None, schema) => {
                found.push((What::ArgumentNew(name.clone()), None, schema.cloned()));
                if needed(&after) {
                    found.push((What::ArgumentRequired(name), None, None));
                }
            }
            (schema, None) => found.push((What::ArgumentGone(name), schema.cloned(), None)),
            (Some(old), Some(new)) => {
                match (needed(&before), needed(&after)) {
                    (false, true) => found.push((What::ArgumentRequired(name.clone()), None, None)),
                    (true, false) => found.push((What::ArgumentOptional(name.clone()), None, None)),
                    _ => {}
                }
                compare(&name, old, new, found);
            }
        }
    }
    compare(
        prefix.trim_end_matches('.'),
        &Json::Object(old),
        &Json::Object(new),
        found,
    );
}

/// A schema in which what is named stands where it is named: whether it is named once or more often
/// is no change of meaning. What names itself stays a reference.
fn expanded(schema: &Json) -> Json {
    let shared = schema.get("$defs").cloned().unwrap_or_default();
    let mut left = MOST_EXPANDED;
    let mut whole = expand(schema, &shared, &mut Vec::new(), &mut left);
    if left == 0 {
        return schema.clone();
    }
    if let Some(members) = whole.as_object_mut() {
        members.remove("$defs");
    }
    whole
}

fn expand(schema: &Json, shared: &Json, open: &mut Vec<String>, left: &mut usize) -> Json {
    *left = left.saturating_sub(1);
    match schema {
        _ if *left == 0 => Json::Null,
        Json::Array(items) => {
            let items = items.iter().map(|it| expand(it, shared, open, left));
            Json::Array(items.collect())
        }
        Json::Object(members) => {
            let named = members.get("$ref").and_then(Json::as_str);
            let name = named.and_then(|it| it.strip_prefix("#/$defs/"));
            if let Some((name, target)) = name.and_then(|it| Some((it, shared.get(it)?)))
                && open.len() < MOST_OPEN
                && !open.iter().any(|it| it == name)
            {
                open.push(name.to_owned());
                let whole = expand(target, shared, open, left);
                open.pop();
                return whole;
            }
            let members = members.iter().filter(|(key, _)| *key != "$defs");
            let members = members.map(|(key, it)| (key.clone(), expand(it, shared, open, left)));
            Json::Object(members.collect())
        }
        plain => plain.clone(),
    }
}

/// The arguments of a prompt.
pub(super) fn listed(old: Option<&Json>, new: Option<&Json>, found: &mut Found) {
    let list = |list: Option<&Json>| -> Map<String, Json> {
        let entries = list.and_then(Json::as_array).into_iter().flatten();
        let named = |entry: &Json| Some((entry.get("name")?.as_str()?.to_owned(), entry.clone()));
        entries.filter_map(named).collect()
    };
    let (old, new) = (list(old), list(new));
    for name in keys(&old, &new) {
        let needed = |it: &Json| it.get("required") == Some(&Json::Bool(true));
        match (old.get(&name), new.get(&name)) {
            (None, entry) => {
                found.push((What::ArgumentNew(name.clone()), None, entry.cloned()));
                if entry.is_some_and(needed) {
                    found.push((What::ArgumentRequired(name), None, None));
                }
            }
            (entry, None) => found.push((What::ArgumentGone(name), entry.cloned(), None)),
            (Some(old), Some(new)) => {
                match (needed(old), needed(new)) {
                    (false, true) => found.push((What::ArgumentRequired(name.clone()), None, None)),
                    (true, false) => found.push((What::ArgumentOptional(name.clone()), None, None)),
                    _ => {}
                }
                let (mut old, mut new) = (members(old), members(new));
                old.remove("required");
                new.remove("required");
                compare(&name, &Json::Object(old), &Json::Object(new), found);
            }
        }
    }
}

/// Every keyword that differs, at its path.
fn compare(path: &str, old: &Json, new: &Json, found: &mut Found) {
    let at = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let (Json::Object(before), Json::Object(after)) = (old, new) else {
        if old != new {
            let direction = match (old, new) {
                (Json::Bool(false), _) | (_, Json::Bool(true)) => Direction::Loosened,
                (Json::Bool(true), _) | (_, Json::Bool(false)) => Direction::Tightened,
                _ => Direction::Changed,
            };
            let what = What::Schema(path.to_owned(), direction);
            found.push((what, Some(old.clone()), Some(new.clone())));
        }
        return;
    };
    for key in keys(before, after) {
        let (old, new) = (before.get(&key), after.get(&key));
        if old == new {
            continue;
        }
        match (key.as_str(), old, new) {
            ("properties" | "$defs" | "definitions", Some(old), Some(new)) => {
                let (old, new) = (members(old), members(new));
                for name in keys(&old, &new) {
                    match (old.get(&name), new.get(&name)) {
                        (Some(old), Some(new)) => compare(&at(&name), old, new, found),
                        (old, new) => {
                            let what = What::Schema(at(&name), Direction::Changed);
                            found.push((what, old.cloned(), new.cloned()));
                        }
                    }
                }
            }
            (inner, Some(old), Some(new)) if INNER.contains(&inner) => {
                compare(&at(inner), old, new, found);
            }
            _ => {
                let what = What::Schema(at(&key), direction(&key, old, new));
                found.push((what, old.cloned(), new.cloned()));
            }
        }
    }
}

fn direction(key: &str, old: Option<&Json>, new: Option<&Json>) -> Direction {
    let limits = MOST.contains(&key) || LEAST.contains(&key) || TESTS.contains(&key);
    let closes = limits || matches!(key, "enum" | "type" | "required" | "items" | "contains");
    match (old, new) {
        (None, Some(Json::Bool(true))) | (Some(Json::Bool(true)), None) if INNER.contains(&key) => {
            Direction::Changed
        }
        (None, Some(Json::Bool(false))) if INNER.contains(&key) => Direction::Tightened,
        (Some(Json::Bool(false)), None) if INNER.contains(&key) => Direction::Loosened,
        (None, Some(_)) if closes => Direction::Tightened,
        (Some(_), None) if closes => Direction::Loosened,
        (Some(old), Some(new)) => between(key, old, new),
        _ => Direction::Changed,
    }
}

fn between(key: &str, old: &Json, new: &Json) -> Direction {
    if let (Some(old), Some(new)) = (old.as_f64(), new.as_f64()) {
        return match (MOST.contains(&key), LEAST.contains(&key)) {
            (true, _) if new > old => Direction::Loosened,
            (_, true) if new < old => Direction::Loosened,
            (true, _) | (_, true) => Direction::Tightened,
            _ => Direction::Changed,
        };
    }
    let (old, new) = (values(old), values(new));
    let within = |some: &[Json], all: &[Json]| some.iter().all(|it| all.contains(it));
    match key {
        "enum" | "type" if within(&old, &new) => Direction::Loosened,
        "enum" | "type" if within(&new, &old) => Direction::Tightened,
        "required" if within(&new, &old) => Direction::Loosened,
        "required" if within(&old, &new) => Direction::Tightened,
        _ => Direction::Changed,
    }
}

fn values(value: &Json) -> Vec<Json> {
    value
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![value.clone()])
}

fn required(schema: &mut Map<String, Json>) -> Vec<Json> {
    let list = schema.remove("required").unwrap_or_default();
    list.as_array().cloned().unwrap_or_default()
}

fn properties(schema: &mut Map<String, Json>) -> Map<String, Json> {
    members(&schema.remove("properties").unwrap_or_default())
}
