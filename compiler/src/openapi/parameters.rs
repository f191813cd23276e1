//! Parameters: what stands in a path or a query is text to the sidecar.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::{
    refs::Refs,
    schema::{self, Schemas},
};

/// A whole number as text.
const INTEGER: &str = "^-?[0-9]+$";
/// Any number as text.
const NUMBER: &str = "^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$";
/// Keywords of texts that are kept.
const OF_TEXTS: [&str; 3] = ["minLength", "maxLength", "pattern"];
/// Keywords of numbers that a text cannot be held to.
const OF_NUMBERS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
/// Headers that the specification leaves out of parameters.
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];
/// How many parameters a route may have.
const MOST_PARAMETERS: usize = 1000;
/// The deepest nesting of a parameter's schema.
const MAX_DEPTH: usize = 16;

/// The parameters of an operation: its own, and those of its path that it does not replace.
pub(super) fn merged<'d>(
    refs: Refs<'d>,
    item: &'d Map<String, Json>,
    operation: &'d Map<String, Json>,
) -> Result<Vec<&'d Json>, String> {
    let mut all: Vec<&Json> = Vec::new();
    let count = |map: &Map<String, Json>| Some(map.get("parameters")?.as_array()?.len());
    if count(item).unwrap_or_default() + count(operation).unwrap_or_default() > MOST_PARAMETERS {
        return Err(format!("it has more than {MOST_PARAMETERS} parameters"));
    }
    for listed in [operation, item] {
        let listed = listed.get("parameters").and_then(Json::as_array);
        let mut more = Vec::new();
        for parameter in listed.into_iter().flatten() {
            let parameter = refs.follow(parameter)?;
            let same = |other: &&&Json| {
                ["name", "in"]
                    .iter()
                    .all(|key| other.get(*key) == parameter.get(*key))
            };
            if all.iter().find(same).is_none() {
                more.push(parameter);
            }
        }
        all.extend(more);
    }
    Ok(all)
}

impl<'d> Schemas<'d> {
    /// The schemas of `path` and `query`: both are closed, since the document lists what they have.
    pub(super) fn parameters(
        &mut self,
        path: &str,
        listed: &[&'d Json],
        notes: &mut BTreeSet<String>,
    ) -> Result<(Json, Json), String> {
        let (mut in_path, mut in_query) = (Part::default(), Part::default());
        let variables = variables(path);
        for parameter in listed {
            let text = |key: &str| parameter.get(key).and_then(Json::as_str);
            let name = text("name").ok_or("a parameter has no name")?;
            match text("in").unwrap_or_default() {
                "path" if variables.contains(&name) => {
                    let schema = self.parameter(parameter, "simple", notes);
                    let schema = schema.map_err(|why| format!("the path's `{name}` {why}"))?;
                    in_path.add(name, schema, true);
                }
                "path" => {
                    notes.insert(format!("the path has no `{{{name}}}`"));
                }
                "query" => self.in_query(name, parameter, &mut in_query, notes)?,
                "header" if NOT_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {}
                "header" => {
                    let what = "headers are no arguments, and nothing checks them";
                    notes.insert(what.to_owned());
                }
                "cookie" => {
                    let what = "cookies are no arguments, and nothing checks them";
                    notes.insert(what.to_owned());
                }
                other => return Err(format!("its parameter `{name}` is in `{other}`")),
            }
        }
        for variable in variables {
            if !in_path.properties.contains_key(variable) {
                notes.insert(format!(
                    "the document does not say what `{{{variable}}}` may be"
                ));
                in_path.add(variable, json!({"type": "string"}), true);
            }
        }
        Ok((in_path.schema(), in_query.schema()))
    }

    fn in_query(
        &mut self,
        name: &str,
        parameter: &'d Json,
        query: &mut Part,
        notes: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        let needed = parameter.get("required").and_then(Json::as_bool) == Some(true);
        let schema = if name.contains(['[', ']']) || name.eq_ignore_ascii_case("_method") {
            Err("has a name that servers read in several ways".to_owned())
        } else {
            self.parameter(parameter, "form", notes)
        };
        match schema {
            Ok(schema) => query.add(name, schema, needed),
            Err(why) if needed => return Err(format!("the query's `{name}` {why}")),
            Err(why) => {
                notes.insert(format!("the query's `{name}` {why}: it is refused"));
            }
        }
        Ok(())
    }

    /// The schema of a parameter as the text that the sidecar sees.
    fn parameter(
        &mut self,
        parameter: &'d Json,
        style: &str,
        notes: &mut BTreeSet<String>,
    ) -> Result<Json, String> {
        let said = parameter
            .get("style")
            .and_then(Json::as_str)
            .unwrap_or(style);
        let Some(schema) = parameter.get("schema") else {
            if parameter.get("content").is_some() {
                notes
                    .insert("a parameter is JSON as text: what it holds is not checked".to_owned());
            }
            return Ok(json!({"type": "string"}));
        };
        let followed = self.refs.follow(schema)?;
        let kind = followed.get("type").and_then(Json::as_str);
        if said == "deepObject" || kind == Some("object") {
            return Err("is an object, which the sidecar does not read".to_owned());
        }
        if said != style && kind != Some("array") {
            return Err(format!(
                "has the style `{said}`, which the sidecar does not read"
            ));
        }
        if kind == Some("array") {
            let explode = parameter.get("explode").and_then(Json::as_bool);
            if said == "form" && explode.unwrap_or(true) {
                notes.insert(
                    "a list in a query may have one item: the sidecar takes no name twice".into(),
                );
                let item = followed.get("items");
                return item.map_or_else(
                    || Ok(json!({"type": "string"})),
                    |it| self.text(it, 0, notes),
                );
            }
            notes.insert("a list in a path or query is one text: its items are not checked".into());
            return Ok(json!({"type": "string"}));
        }
        self.text(schema, 0, notes)
    }

    /// What texts a schema accepts, when its values are written as texts.
    fn text(
        &mut self,
        schema: &'d Json,
        depth: usize,
        notes: &mut BTreeSet<String>,
    ) -> Result<Json, String> {
        self.budget = self.budget.saturating_sub(1);
        if depth > MAX_DEPTH || self.budget == 0 {
            return Err("is nested too deep".to_owned());
        }
        let schema = self.refs.follow(schema)?;
        let Some(members) = schema.as_object() else {
            return Ok(json!({"type": "string"}));
        };
        let mut out = Map::new();
        out.insert("type".to_owned(), json!("string"));
        if let Some(values) = members.get("const").map_or_else(
            || members.get("enum").and_then(Json::as_array).cloned(),
            |value| Some(vec![value.clone()]),
        ) {
            let texts: BTreeSet<String> = values.iter().filter_map(written).collect();
            out.insert("enum".to_owned(), json!(texts));
            return Ok(Json::Object(out));
        }
        for (key, into) in [("allOf", "allOf"), ("anyOf", "anyOf"), ("oneOf", "anyOf")] {
            let Some(list) = members.get(key).and_then(Json::as_array) else {
                continue;
            };
            let list: Vec<_> = list
                .iter()
                .map(|it| self.text(it, depth + 1, notes))
                .collect();
            // An alternative that no text can be is one fewer.
            let some = into == "anyOf" && list.iter().any(Result::is_ok);
            if some && list.iter().any(Result::is_err) {
                let what = "a list or an object as one alternative in a path or query is refused";
                notes.insert(what.to_owned());
            }
            let list = list.into_iter().filter(|it| !some || it.is_ok());
            out.insert(into.to_owned(), list.collect::<Result<Vec<_>, _>>()?.into());
        }
        if OF_NUMBERS.iter().any(|key| members.contains_key(*key)) {
            let what = "a number in a path or query is a text: its bounds are not checked";
            notes.insert(what.to_owned());
        }
        let kinds = match members.get("type") {
            Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).collect(),
            kind => kind.and_then(Json::as_str).into_iter().collect::<Vec<_>>(),
        };
        let kinds: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "null").collect();
        match kinds.as_slice() {
            ["integer"] => pattern(INTEGER, &mut out),
            ["number"] | ["integer", "number"] | ["number", "integer"] => pattern(NUMBER, &mut out),
            ["boolean"] => {
                out.insert("enum".to_owned(), json!(["true", "false"]));
            }
            kinds if kinds.contains(&"string") || kinds.is_empty() => {
                if kinds.len() < 2 {
                    of_text(members, &mut out, notes);
                }
            }
            _ => return Err("may be a list or an object beside other things".to_owned()),
        }
        Ok(Json::Object(out))
    }
}

fn of_text(members: &Map<String, Json>, out: &mut Map<String, Json>, notes: &mut BTreeSet<String>) {
    for key in OF_TEXTS {
        if let Some(value) = members.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    // `int32` and its kin are of numbers.
    if let Some(format) = members
        .get("format")
        .filter(|_| members.contains_key("type"))
    {
        schema::format(format, out, notes);
    }
}

/// The parameters of one place.
#[derive(Default)]
struct Part {
    properties: Map<String, Json>,
    required: Vec<String>,
}

impl Part {
    fn add(&mut self, name: &str, schema: Json, required: bool) {
        self.properties.insert(name.to_owned(), schema);
        if required {
            self.required.push(name.to_owned());
        }
    }

    fn schema(mut self) -> Json {
        let mut schema = json!({"type": "object", "additionalProperties": false});
        let Some(members) = schema.as_object_mut() else {
            return schema;
        };
        if !self.properties.is_empty() {
            members.insert("properties".to_owned(), Json::Object(self.properties));
        }
        if !self.required.is_empty() {
            self.required.sort();
            members.insert("required".to_owned(), json!(self.required));
        }
        schema
    }
}

/// The variables of a path that can be matched.
fn variables(path: &str) -> Vec<&str> {
    let parts = path.split('{').skip(1);
    parts.filter_map(|part| part.split('}').next()).collect()
}

fn pattern(pattern: &str, out: &mut Map<String, Json>) {
    out.insert("pattern".to_owned(), pattern.into());
}

/// A value as it is written in a path or query; none for null, a list or an object.
fn written(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}
