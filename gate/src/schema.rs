//! Argument schemas: one function compiles them, for the compiler and for the gate.

mod nodes;

use std::fmt;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

use crate::json::{self, Limits};

/// The longest schema text that is compiled, in bytes.
const MAX_SCHEMA: usize = 256 * 1024;
/// The deepest nesting of a schema.
const MAX_DEPTH: usize = 64;
/// The most values that a schema has, with its references followed, if it says where an instance
/// fails.
const MAX_SPREAD: u32 = 10_000;
/// The longest instance that is searched for the place where it fails, in bytes.
const MAX_SEARCHED: usize = 64 * 1024;

/// A compiled schema.
#[derive(Debug)]
pub struct Validator {
    inner: jsonschema::Validator<nodes::Strict>,
    /// Header suffixes, in lower case, and the arguments that they mirror (`x-mcp-header`).
    mirrors: Vec<Mirror>,
    /// Whether it says where an instance fails. The library looks for every way to fail before it
    /// tells one, which where a schema refers to itself are exponentially many.
    tells: bool,
}

/// The suffix of a header, and the path of the argument that it mirrors.
pub(crate) type Mirror = (String, Vec<String>);

/// Why a text is not a schema that can be enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// Where in the schema, as a JSON Pointer; empty is the whole.
    pub pointer: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{} at {}", self.what, self.pointer)
        }
    }
}

impl std::error::Error for SchemaError {}

/// Where an instance fails its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where in the instance, as a JSON Pointer; empty is the whole.
    pub pointer: String,
    /// The keyword that failed; the message is left out because it quotes the value.
    pub keyword: String,
}

/// Compiles a schema: draft 2020-12, formats asserted, patterns in linear time, references only
/// inside the schema itself.
pub fn compile(text: &str) -> Result<Validator, SchemaError> {
    let fault = |pointer: &str, what: &str| SchemaError {
        pointer: pointer.to_owned(),
        what: what.to_owned(),
    };
    if text.len() > MAX_SCHEMA {
        return Err(fault("", "the schema is larger than 256 KiB"));
    }
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| fault("", &format!("the schema is not JSON: {error}")))?;
    if !schema.is_object() {
        return Err(fault("", "a schema is an object"));
    }
    check(&schema, &mut String::new(), 0)?;
    jsonschema::options_for::<nodes::Strict>()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map(|inner| Validator {
            inner,
            mirrors: mirrors(&schema),
            tells: is_small(&schema, &schema, 0, &mut { MAX_SPREAD }),
        })
        .map_err(|error| fault(&error.instance_path().to_string(), &error.to_string()))
}

/// The arguments that MCP clients mirror into `Mcp-Param-*` headers.
fn mirrors(schema: &Value) -> Vec<Mirror> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut found = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let path = vec![name.clone()];
        if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
            found.push((header.to_ascii_lowercase(), path));
        }
        for (header, inner) in mirrors(property) {
            found.push((header, [vec![name.clone()], inner].concat()));
        }
    }
    found
}

/// Whether a part of a schema, with its references followed, stays within what is left of `most`
/// and is not deep, and its errors quote nothing that is larger than where they are.
fn is_small(schema: &Value, part: &Value, depth: usize, most: &mut u32) -> bool {
    let Some(left) = most.checked_sub(1).filter(|_| depth <= 2 * MAX_DEPTH) else {
        return false;
    };
    *most = left;
    let is_small = |part, most: &mut u32| is_small(schema, part, depth + 1, most);
    match part {
        Value::Object(members) => members.iter().all(|(key, value)| {
            let target = match key.as_str() {
                "propertyNames" | "$dynamicRef" => return false,
                "$ref" => value
                    .as_str()
                    .and_then(|it| schema.pointer(it.strip_prefix('#')?)),
                _ => return is_small(value, most),
            };
            target.is_some_and(|target| is_small(target, most))
        }),
        Value::Array(items) => items.iter().all(|item| is_small(item, most)),
        _ => true,
    }
}

/// What the library would accept and this project does not: other dialects, references outside the
/// schema, absurd depth.
fn check(schema: &Value, pointer: &mut String, depth: usize) -> Result<(), SchemaError> {
    let fault = |pointer: &str, what: &str| {
        Err(SchemaError {
            pointer: pointer.to_owned(),
            what: what.to_owned(),
        })
    };
    if depth > MAX_DEPTH {
        return fault(pointer, "the schema is nested deeper than 64");
    }
    let length = pointer.len();
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                if let (Some(word), Value::String(text)) = (keyword(key), value) {
                    word.judge(text)
                        .or_else(|what| fault(pointer.as_str(), what))?;
                }
                check(value, pointer, depth + 1)?;
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&at.to_string());
                check(item, pointer, depth + 1)?;
                pointer.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A keyword whose text is judged here.
enum Keyword {
    Dialect,
    Reference,
    Id,
}

fn keyword(key: &str) -> Option<Keyword> {
    match key {
        "$schema" => Some(Keyword::Dialect),
        "$ref" | "$dynamicRef" => Some(Keyword::Reference),
        "$id" => Some(Keyword::Id),
        _ => None,
    }
}

impl Keyword {
    fn judge(&self, text: &str) -> Result<(), &'static str> {
        let dialect = "https://json-schema.org/draft/2020-12/schema";
        match self {
            Self::Dialect if text.trim_end_matches('#') != dialect => {
                Err("only draft 2020-12 is read; leave `$schema` out or name that draft")
            }
            Self::Reference if !text.starts_with('#') => {
                Err("a reference may only point into the schema itself; inline what it names")
            }
            Self::Id => Err("`$id` moves the base of references; leave it out"),
            _ => Ok(()),
        }
    }
}

impl Validator {
    /// Whether an instance is valid. Its numbers must mean the same everywhere
    /// ([`json::check_numbers`]).
    #[must_use]
    pub fn accepts(&self, instance: json::Value<'_>) -> bool {
        self.inner.is_valid(instance)
    }

    /// Whether a value that did not come off the wire is valid.
    #[must_use]
    pub fn is_valid(&self, instance: &Value) -> bool {
        let text = instance.to_string();
        let limits = Limits {
            bytes: usize::MAX,
            nodes: usize::MAX,
            ..Limits::REQUEST
        };
        json::parse_with(text.as_bytes(), limits).is_ok_and(|it| self.accepts(it.root()))
    }

    /// The argument that the header `mcp-param-<suffix>` mirrors.
    pub(crate) fn mirrored(&self, suffix: &str) -> Option<&[String]> {
        let found = self.mirrors.iter().find(|(header, _)| header == suffix);
        found.map(|(_, argument)| argument.as_slice())
    }

    /// The suffixes of such headers, each with the argument that it mirrors.
    pub(crate) fn mirrors(&self) -> &[Mirror] {
        &self.mirrors
    }

    /// The first place where an instance is not valid; `None` where it is, and where finding the
    /// place would cost more than the place is worth.
    #[must_use]
    pub fn violation(&self, instance: json::Value<'_>) -> Option<Violation> {
        if !self.tells || instance.raw().len() > MAX_SEARCHED {
            return None;
        }
        let error = self.inner.iter_errors(instance).next()?;
        Some(Violation {
            pointer: error.instance_path().to_string(),
            keyword: error.kind().keyword().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_enforced_is_refused_with_its_place() {
        for (text, pointer, part) in [
            ("", "", "not JSON"),
            ("true", "", "an object"),
            (
                r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#,
                "/$schema",
                "2020-12",
            ),
            (
                r#"{"properties":{"a":{"$ref":"https://x.example/s"}}}"#,
                "/properties/a/$ref",
                "inline",
            ),
            (r#"{"$id":"https://x.example/s"}"#, "/$id", "leave it out"),
            (r#"{"type":"strin"}"#, "/type", "strin"),
            (r#"{"pattern":"a(?=b)"}"#, "", ""),
            (
                r#"{"properties":{"a":{"format":"unheard-of"}}}"#,
                "",
                "unheard-of",
            ),
        ] {
            let error = compile(text).unwrap_err();
            assert!(error.what.contains(part), "{text}: {error}");
            assert!(error.pointer.contains(pointer), "{text}: {error}");
        }
        let deep = "{\"not\":".repeat(100) + "{}" + &"}".repeat(100);
        assert!(compile(&deep).is_err());
    }

    #[test]
    fn formats_and_local_references_are_enforced() {
        let text = r##"{"$defs":{"m":{"type":"string","format":"date"}},"properties":{"d":{"$ref":"#/$defs/m"}}}"##;
        let validator = compile(text).unwrap();
        assert!(validator.is_valid(&serde_json::json!({"d": "2026-12-01"})));
        let document = json::parse(br#"{"d": "yesterday"}"#).unwrap();
        let violation = validator.violation(document.root()).unwrap();
        assert_eq!(
            (violation.pointer.as_str(), violation.keyword.as_str()),
            ("/d", "format")
        );
    }

    #[test]
    fn mirrored_arguments_are_known() {
        let text = r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
        let path = |path: &[&str]| -> Vec<String> { path.iter().map(|it| (*it).into()).collect() };
        let mirrored = |text, suffix| compile(text).unwrap().mirrored(suffix).map(<[_]>::to_vec);
        assert_eq!(mirrored(text, "region"), Some(path(&["region"])));
        let nested = format!(r#"{{"properties":{{"at":{text}}}}}"#);
        assert_eq!(mirrored(&nested, "region"), Some(path(&["at", "region"])));
    }

    /// A library that collects all errors would still be at it.
    #[test]
    fn what_refers_to_itself_is_decided_and_not_searched() {
        let recursive = r##"{"$ref":"#/$defs/f","$defs":{
            "f":{"oneOf":[{"$ref":"#/$defs/and"},{"$ref":"#/$defs/or"},{"$ref":"#/$defs/leaf"}]},
            "and":{"type":"object","properties":{"args":{"type":"array","items":{"$ref":"#/$defs/f"}},"op":{"const":"and"}}},
            "or":{"type":"object","properties":{"args":{"type":"array","items":{"$ref":"#/$defs/f"}},"op":{"const":"or"}}},
            "leaf":{"type":"object","required":["value"],"properties":{"op":{"const":"eq"},"value":{"type":"string"}}}}}"##;
        let names = r#"{"propertyNames":{"maxLength":3}}"#;
        let plain = r##"{"properties":{"a":{"$ref":"#/$defs/m"},"b":{"$ref":"#/$defs/m"}},"$defs":{"m":{"anyOf":[{"type":"string"},{"type":"null"}]}}}"##;
        let (depth, width) = (28, 20_000);
        let deep = r#"{"op":"and","args":["#.repeat(depth)
            + r#"{"op":"eq","value":5}"#
            + &"]}".repeat(depth);
        let wide: Vec<String> = (0..width).map(|n| format!("\"name-{n}\":1")).collect();
        let wide = format!("{{{}}}", wide.join(","));
        for (schema, instance, told) in [
            (recursive, deep.as_str(), None),
            (names, &wide, None),
            (plain, r#"{"a":null,"b":1}"#, Some("/b")),
        ] {
            let (validator, document) = (
                compile(schema).unwrap(),
                json::parse(instance.as_bytes()).unwrap(),
            );
            assert!(!validator.accepts(document.root()));
            let violation = validator.violation(document.root());
            assert_eq!(violation.map(|it| it.pointer).as_deref(), told, "{schema}");
        }
    }
}
