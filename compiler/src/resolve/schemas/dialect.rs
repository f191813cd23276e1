//! Schemas of an older draft that mean the same in draft 2020-12.

use serde_json::Value as Json;

/// The drafts whose schemas are taken for draft 2020-12, where they use nothing that changed.
const OLDER: [&str; 4] = [
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];
/// Keywords that draft 2020-12 reads in another way, or not at all.
const CHANGED: [&str; 6] = [
    "additionalItems",
    "dependencies",
    "$id",
    "id",
    "$recursiveRef",
    "$recursiveAnchor",
];
/// Keywords beside a reference that say nothing about values.
const NOTES: [&str; 7] = [
    "$ref",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
];

/// The schema without the name of its draft, where leaving that out changes nothing. Servers
/// written with the older SDKs name draft-07 and use none of what has changed since.
pub(super) fn current(schema: &Json) -> Json {
    let mut schema = schema.clone();
    let named = schema.get("$schema").and_then(Json::as_str);
    let named = named.map(|named| named.trim_end_matches('#'));
    let older = named.is_some_and(|named| OLDER.contains(&named));
    if older
        && means_the_same(&schema)
        && let Some(members) = schema.as_object_mut()
    {
        members.remove("$schema");
    }
    schema
}

/// Whether no keyword of a schema means something else in draft 2020-12. Names of properties are
/// taken for keywords, which errs on the safe side.
fn means_the_same(schema: &Json) -> bool {
    match schema {
        Json::Array(items) => items.iter().all(means_the_same),
        Json::Object(members) => {
            let listed = members.get("items").is_some_and(Json::is_array);
            let alone = !members.contains_key("$ref")
                || members.keys().all(|key| NOTES.contains(&key.as_str()));
            let same = !members.keys().any(|key| CHANGED.contains(&key.as_str()));
            !listed && alone && same && members.values().all(means_the_same)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_older_draft_is_dropped_only_where_nothing_changes() {
        let draft = "http://json-schema.org/draft-07/schema#";
        let kept = |schema: Json| current(&schema).get("$schema").is_some();
        assert!(!kept(
            json!({"$schema": draft, "type": "object", "properties": {"a": {}}})
        ));
        assert!(!kept(
            json!({"$schema": draft, "items": {"$ref": "#/definitions/a", "title": "a"}})
        ));
        assert!(kept(
            json!({"$schema": draft, "items": [{"type": "string"}]})
        ));
        assert!(kept(
            json!({"$schema": draft, "anyOf": [{"dependencies": {"a": ["b"]}}]})
        ));
        assert!(kept(
            json!({"$schema": draft, "items": {"$ref": "#/a", "minLength": 1}})
        ));
        assert!(kept(
            json!({"$schema": "http://json-schema.org/draft-04/schema#"})
        ));
    }
}
