//! Our own JSON nodes as the validator sees them: an instance is judged where it stands, and no
//! second tree is built.

use std::borrow::Cow;

use jsonschema::{
    JsonType,
    json::{Array as ArrayNode, Json, JsonNumber, Node, NodeIdentity, Object as ObjectNode},
};
use serde_json::Value as Copied;

use crate::json::{self, Array, Kind, Members, Object, Value, Values};

/// The representation of [`crate::json`].
#[derive(Debug)]
pub(super) struct Strict;

/// The key of a property, looked up in each instance.
type Key = Box<str>;

impl Json for Strict {
    type Node<'a> = Value<'a>;
    type PreparedKey = Key;
    type StringBuffer = json::Single;

    fn prepare_key(key: &str) -> Key {
        key.into()
    }

    fn with_string_node<T>(
        buffer: &mut json::Single,
        string: &str,
        f: impl FnOnce(Value<'_>) -> T,
    ) -> T {
        f(buffer.text(string))
    }
}

impl<'a> Node<'a, Strict> for Value<'a> {
    type Object = Object<'a>;
    type Array = Array<'a>;
    type Number = Number<'a>;

    fn as_object(&self) -> Option<Object<'a>> {
        Value::as_object(self)
    }

    fn as_array(&self) -> Option<Array<'a>> {
        Value::as_array(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_text().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Number<'a>> {
        Value::as_number(self).map(Number)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.as_bool()
    }

    fn is_null(&self) -> bool {
        Value::is_null(self)
    }

    fn json_type(&self) -> JsonType {
        match self.kind() {
            Kind::Null => JsonType::Null,
            Kind::Bool(_) => JsonType::Boolean,
            Kind::Number(_) => JsonType::Number,
            Kind::Text(_) => JsonType::String,
            Kind::Array(_) => JsonType::Array,
            Kind::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Copied) -> bool {
        match (self.kind(), expected) {
            (Kind::Text(text), expected) => expected.as_str() == Some(text),
            (Kind::Bool(value), expected) => expected.as_bool() == Some(value),
            (Kind::Null, expected) => expected.is_null(),
            (_, Copied::String(_) | Copied::Bool(_) | Copied::Null) => false,
            _ => jsonschema::json::cmp::equal(&Node::to_value(self), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Copied> {
        // Numbers that would change on the way were refused before, so a copy always succeeds.
        Cow::Owned(json::to_value(*self).unwrap_or_default())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(self.address()))
    }
}

/// A number as it is written; one that means the same everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a>(&'a str);

impl JsonNumber for Number<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        // `-0` is a double, as everywhere else here.
        self.0.parse().ok().filter(|_| self.0 != "-0")
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(json::exact(self.0).unwrap_or_else(|| 0.into()))
    }

    fn is_integer(&self) -> bool {
        self.as_i64().is_some()
            || self.as_u64().is_some()
            || self.as_f64().is_some_and(|double| double.fract() == 0.0)
    }
}

impl<'a> ObjectNode<'a, Strict> for Object<'a> {
    type Node = Value<'a>;
    type MemberName = &'a str;
    type MembersIter = Pairs<'a>;

    fn len(&self) -> usize {
        Object::len(self)
    }

    fn get(&self, key: &Key) -> Option<Value<'a>> {
        Object::get(self, key)
    }

    fn members(&self) -> Pairs<'a> {
        Pairs(Object::members(self))
    }
}

/// The members of an object, as pairs.
#[derive(Debug)]
pub(super) struct Pairs<'a>(Members<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|member| (member.key, member.value))
    }
}

impl<'a> ArrayNode<'a, Strict> for Array<'a> {
    type Node = Value<'a>;
    type ElementsIter = Values<'a>;

    fn len(&self) -> usize {
        Array::len(self)
    }

    fn elements(&self) -> Values<'a> {
        self.values()
    }
}

#[cfg(test)]
mod tests {
    use jsonschema::json::conformance;
    use latchkey_engine::testing::Rng;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nodes_are_what_the_validator_relies_on() {
        let text = conformance::document().to_string();
        let document = json::parse(text.as_bytes()).unwrap();
        conformance::assert_conformance::<Strict>(&document.root());
    }

    /// Values that schemas and instances are made of, some of which are easily mistaken.
    const SCALARS: [&str; 24] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "1.0",
        "1e0",
        "-1",
        "0.5",
        "5e-1",
        "1.5",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "1e300",
        "\"\"",
        "\"a\"",
        "\"ab\"",
        "\"\\u00e9\"",
        "\"\u{1f600}\"",
        "\"1\"",
        "\"2026-12-01\"",
    ];
    const KEYS: [&str; 4] = ["a", "b", "ab", "\u{e9}"];

    fn value(rng: &mut Rng, depth: usize) -> String {
        let count = rng.below(4);
        match rng.below(if depth == 0 { 4 } else { 8 }) {
            0..4 => (*rng.pick(&SCALARS)).to_owned(),
            4 | 5 => {
                let values: Vec<_> = (0..count).map(|_| value(rng, depth - 1)).collect();
                format!("[{}]", values.join(","))
            }
            _ => {
                let mut keys = KEYS.to_vec();
                keys.truncate(count);
                let member = |key| format!("\"{key}\":{}", value(rng, depth - 1));
                let members: Vec<_> = keys.into_iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn schema(rng: &mut Rng, depth: usize) -> String {
        let count = 1 + rng.below(3);
        let mut words = std::collections::BTreeMap::new();
        for _ in 0..count {
            let (word, text) = keyword(rng, depth);
            words.insert(word, text);
        }
        let words: Vec<_> = words
            .into_iter()
            .map(|(word, text)| format!("\"{word}\":{text}"))
            .collect();
        format!("{{{}}}", words.join(","))
    }

    fn keyword(rng: &mut Rng, depth: usize) -> (&'static str, String) {
        let number = ["0", "1", "1.0", "0.5", "-1", "9007199254740993", "1e300"];
        let size = rng.below(3).to_string();
        let below = |rng: &mut Rng| schema(rng, depth.saturating_sub(1));
        let types = [
            "null", "boolean", "integer", "number", "string", "array", "object",
        ];
        match rng.below(if depth == 0 { 12 } else { 25 }) {
            0 => ("type", format!("\"{}\"", rng.pick(&types))),
            1 => ("type", format!("[\"{}\",\"null\"]", rng.pick(&types[1..]))),
            2 => ("minimum", (*rng.pick(&number)).to_owned()),
            3 => ("exclusiveMaximum", (*rng.pick(&number)).to_owned()),
            4 => ("multipleOf", (*rng.pick(&["1", "0.5", "2"])).to_owned()),
            5 => ("minLength", size),
            6 => ("maxItems", size),
            7 => ("uniqueItems", "true".to_owned()),
            8 => ("required", format!("[\"{}\"]", rng.pick(&KEYS))),
            9 => ("pattern", "\"^a\"".to_owned()),
            10 => ("format", "\"date\"".to_owned()),
            11 => ("maxProperties", size),
            12 | 13 => ("const", value(rng, 1)),
            14 => ("enum", format!("[{},{}]", value(rng, 1), value(rng, 0))),
            15 => ("items", below(rng)),
            16 | 17 => {
                let (one, other) = (below(rng), below(rng));
                ("properties", format!("{{\"a\":{one},\"ab\":{other}}}"))
            }
            18 => ("additionalProperties", "false".to_owned()),
            19 => ("additionalProperties", below(rng)),
            20 => ("propertyNames", below(rng)),
            21 => ("not", below(rng)),
            22 => ("anyOf", format!("[{},{}]", below(rng), below(rng))),
            23 => ("unevaluatedProperties", "false".to_owned()),
            _ => ("contains", below(rng)),
        }
    }

    #[test]
    fn judges_as_the_library_judges_a_copy() {
        let (mut valid, mut invalid) = (0, 0);
        for seed in 0..3_000 {
            let mut rng = Rng::new(seed);
            let text = schema(&mut rng, 2);
            let own = crate::schema::compile(&text).unwrap_or_else(|it| panic!("{text}: {it}"));
            let parsed: Copied = serde_json::from_str(&text).unwrap();
            let library = jsonschema::options()
                .should_validate_formats(true)
                .with_pattern_options(jsonschema::PatternOptions::regex())
                .build(&parsed)
                .unwrap();
            for _ in 0..10 {
                let text = value(&mut rng, 2);
                let document = json::parse(text.as_bytes()).unwrap();
                let Ok(copy) = json::to_value(document.root()) else {
                    assert!(json::check_numbers(document.root()).is_err(), "{text}");
                    continue;
                };
                assert!(json::check_numbers(document.root()).is_ok(), "{text}");
                let expected = library.is_valid(&copy);
                let case = format!("seed {seed}: {parsed} on {text}");
                assert_eq!(own.accepts(document.root()), expected, "{case}");
                let place = own
                    .violation(document.root())
                    .map(|it| (it.pointer, it.keyword));
                let errors = library.iter_errors(&copy).next();
                let errors = errors.map(|it| {
                    let place = it.instance_path().to_string();
                    (place, it.kind().keyword().to_owned())
                });
                assert_eq!(place.is_some(), own.tells && errors.is_some(), "{case}");
                if expected { valid += 1 } else { invalid += 1 }
            }
        }
        assert!(
            valid > 5_000 && invalid > 5_000,
            "{valid} valid, {invalid} invalid"
        );
    }

    #[test]
    fn numbers_are_integers_as_the_library_says() {
        for (text, integer) in [
            ("1", true),
            ("1.0", true),
            ("-0", true),
            ("1e2", true),
            ("1.5", false),
        ] {
            let number = Number(text);
            assert_eq!(number.is_integer(), integer, "{text}");
            let copied = json!(json::exact(text));
            let library = jsonschema::is_valid(&json!({"type": "integer"}), &copied);
            assert_eq!(library, integer, "{text}");
        }
    }
}
