//! The language's own schema, walked by paths: keys with their documentation, and their values.

use std::sync::OnceLock;

use serde_json::Value as Json;

use crate::syntax;

fn language() -> &'static Json {
    static LANGUAGE: OnceLock<Json> = OnceLock::new();
    LANGUAGE.get_or_init(syntax::schema)
}

/// A key that a map may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key<'s> {
    pub(super) name: &'s str,
    pub(super) doc: &'s str,
    pub(super) required: bool,
    /// Whether its value can only be a map or a list.
    pub(super) deep: bool,
}

/// What may stand at a path, every alternative by itself.
pub(super) fn at(path: &[String]) -> Vec<&'static Json> {
    let mut here = alternatives(language());
    for step in path {
        let below = here.into_iter().filter_map(|schema| {
            if step == "[]" {
                return schema.get("items");
            }
            let own = schema.get("properties").and_then(|it| it.get(step));
            own.or_else(|| schema.get("additionalProperties"))
        });
        here = below.flat_map(alternatives).collect();
    }
    here
}

/// The keys that the map at a path may have.
pub(super) fn keys(path: &[String]) -> Vec<Key<'static>> {
    let mut keys: Vec<Key<'static>> = Vec::new();
    for schema in at(path) {
        let required = schema.get("required").and_then(Json::as_array);
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            if keys.iter().any(|it| it.name == name) {
                continue;
            }
            let deep = alternatives(schema).into_iter().all(|it| {
                matches!(
                    it.get("type").and_then(Json::as_str),
                    Some("object" | "array")
                )
            });
            keys.push(Key {
                name,
                doc: schema
                    .get("description")
                    .and_then(Json::as_str)
                    .unwrap_or_default()
                    .trim(),
                required: required.is_some_and(|it| it.iter().any(|it| it == name)),
                deep,
            });
        }
    }
    keys
}

/// The documentation of the key that a path ends with.
pub(super) fn doc(path: &[String]) -> Option<&'static str> {
    let (key, map) = path.split_last()?;
    let keys = keys(map);
    let key = keys.into_iter().find(|it| it.name == key)?;
    Some(key.doc).filter(|it| !it.is_empty())
}

/// The words that may stand as the value at a path.
pub(super) fn words(path: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for schema in at(path) {
        let listed = schema.get("enum").and_then(Json::as_array);
        words.extend(
            listed
                .into_iter()
                .flatten()
                .chain(schema.get("const"))
                .map(word),
        );
        if schema.get("type").is_some_and(|it| it == "boolean") {
            words.extend(["true", "false"].map(str::to_owned));
        }
    }
    words.dedup();
    words
}

fn word(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn alternatives(schema: &'static Json) -> Vec<&'static Json> {
    match schema.get("anyOf").and_then(Json::as_array) {
        Some(each) => each.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn paths_lead_to_keys_documentation_and_words() {
        let names =
            |text: &str| -> Vec<&str> { keys(&path(text)).into_iter().map(|it| it.name).collect() };
        assert!(names("").contains(&"roles"));
        assert!(names("roles x").contains(&"inherits"));
        assert!(names("servers s tools t scope").contains(&"unscoped"));
        assert_eq!(names("servers s tools t scope from"), ["argument"]);
        assert!(names("nowhere x").is_empty());
        assert_eq!(words(&path("rules r effect")), ["deny", "require"]);
        assert_eq!(words(&path("rules r surfaces s")), ["*"]);
        assert_eq!(words(&path("principals p suspended")), ["true", "false"]);
        let risk = words(&path("roles r allow s risk []"));
        assert_eq!(risk, ["read", "write", "destructive"]);
        assert_eq!(
            doc(&path("roles r inherits")),
            Some("Roles whose surfaces it has as well.")
        );
        assert_eq!(doc(&path("roles r nothing")), None);
    }
}
