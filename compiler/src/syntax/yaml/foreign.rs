//! YAML that others wrote, as JSON values: what the strict subset leaves out is read, in bounds.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value as Json};

/// The deepest nesting that is read, as of the JSON library.
const MAX_DEPTH: usize = 127;
/// How many values there may be when every alias stands for what it names.
const MAX_VALUES: usize = 4_000_000;

/// Why a text could not be read, and on which line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignError {
    /// The line.
    pub(crate) line: usize,
    /// What is wrong there.
    pub(crate) what: String,
}

/// Every document of a text. A text that begins as JSON does is read as JSON.
///
/// # Errors
/// It is neither YAML nor JSON, says a key twice, or goes beyond the bounds.
pub(crate) fn read(text: &str) -> Result<Vec<Json>, ForeignError> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    if body.trim_start().starts_with(['{', '['])
        && let Ok(value) = crate::syntax::json::parse(body)
    {
        return Ok(vec![value]);
    }
    let mut builder = Builder::default();
    let mut line = 1;
    for next in Parser::new_from_str(body) {
        let (event, place) = next.map_err(|error| ForeignError {
            line: error.marker().line(),
            what: match error.kind() {
                ErrorKind::RecursionLimitExceeded => too_deep(),
                _ => error.info(),
            },
        })?;
        line = place.start.line();
        builder
            .event(event)
            .map_err(|what| ForeignError { line, what })?;
    }
    if builder.stack.is_empty() {
        return Ok(builder.documents);
    }
    let what = "the text ends in the middle of a value".to_owned();
    Err(ForeignError { line, what })
}

#[derive(Default)]
struct Builder {
    documents: Vec<Json>,
    stack: Vec<Open>,
    /// What an anchor names, and how many values that is.
    anchors: HashMap<usize, (Json, usize)>,
    values: usize,
}

/// A list or map that is still being read.
struct Open {
    what: What,
    anchor: usize,
    /// How many values were read before it.
    before: usize,
}

enum What {
    List(Vec<Json>),
    Map {
        members: Map<String, Json>,
        key: Option<String>,
        merged: Vec<Json>,
    },
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let text_wanted = tag.is_some_and(|tag| tag.suffix() == "str");
                return self.scalar(&text, style, anchor, text_wanted);
            }
            Event::SequenceStart(_, anchor, _) => self.open(What::List(Vec::new()), anchor)?,
            Event::MappingStart(_, anchor, _) => {
                let what = What::Map {
                    members: Map::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.open(what, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(),
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor).cloned();
                let (value, count) = found.ok_or("an alias stands inside what it names")?;
                self.count(count)?;
                return self.add(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        text_wanted: bool,
    ) -> Result<(), String> {
        if let Some(Open {
            what: What::Map {
                key: key @ None, ..
            },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.count(1)?;
        let plain = style == ScalarStyle::Plain && !text_wanted;
        let value = if plain { meant(text) } else { text.into() };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), 1));
        }
        self.add(value)
    }

    fn open(&mut self, what: What, anchor: usize) -> Result<(), String> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        if let Some(Open {
            what: What::Map { key: None, .. },
            ..
        }) = self.stack.last()
        {
            return Err("a key must be text, and this is a list or a map".to_owned());
        }
        let before = self.values;
        self.count(1)?;
        self.stack.push(Open {
            what,
            anchor,
            before,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let value = match open.what {
            What::List(items) => Json::Array(items),
            What::Map {
                mut members,
                merged,
                ..
            } => {
                for each in merged {
                    merge(&mut members, each)?;
                }
                Json::Object(members)
            }
        };
        if open.anchor != 0 {
            let count = self.values - open.before;
            self.anchors.insert(open.anchor, (value.clone(), count));
        }
        self.add(value)
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.values += more;
        if self.values > MAX_VALUES {
            return Err(format!("there are more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, value: Json) -> Result<(), String> {
        match self.stack.last_mut().map(|open| &mut open.what) {
            None => self.documents.push(value),
            Some(What::List(items)) => items.push(value),
            Some(What::Map {
                members,
                key,
                merged,
            }) => match (key.take(), value) {
                (None, Json::String(text)) => *key = Some(text),
                (None, _) => return Err("a key must be text".to_owned()),
                (Some(name), value) if name == "<<" => merged.push(value),
                (Some(name), value) => {
                    if members.contains_key(&name) {
                        return Err(format!("the key `{name}` is there twice"));
                    }
                    members.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("values are nested deeper than {MAX_DEPTH} levels")
}

/// The members of a merged map that are not there already.
fn merge(members: &mut Map<String, Json>, merged: Json) -> Result<(), String> {
    match merged {
        Json::Object(more) => {
            for (name, value) in more {
                members.entry(name).or_insert(value);
            }
            Ok(())
        }
        Json::Array(all) if all.iter().all(Json::is_object) => {
            all.into_iter().try_for_each(|it| merge(members, it))
        }
        _ => Err("`<<` merges a map, or a list of maps".to_owned()),
    }
}

/// A plain scalar by the core schema of YAML 1.2.
fn meant(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| text.into(), Json::Number)
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with("0x") || digits.starts_with("0o") {
        let radix = if digits.starts_with("0x") { 16 } else { 8 };
        let own = i64::from_str_radix(digits.get(2..)?, radix).ok();
        return own.filter(|_| digits == text).map(Number::from);
    }
    let first = digits.strip_prefix('.').unwrap_or(digits);
    if !first.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    let known = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let float = text.parse::<f64>().ok()?;
    text.bytes()
        .all(known)
        .then(|| Number::from_f64(float))
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_strict_subset_leaves_out_is_read() {
        let text = "a: &x {n: 0x10, f: 1.50, d: 2024-01-01, y: yes}\nb: *x\nc:\n  <<: *x\n  n: ~\n\
                    200: !!str 7\n";
        let x = json!({"n": 16, "f": 1.5, "d": "2024-01-01", "y": "yes"});
        let c = json!({"n": null, "f": 1.5, "d": "2024-01-01", "y": "yes"});
        let expected = json!({"a": x, "b": x, "c": c, "200": "7"});
        assert_eq!(read(text).unwrap(), [expected]);
        let two = read("---\na: 1\n---\n- b\n").unwrap();
        assert_eq!(two, [json!({"a": 1}), json!(["b"])]);
    }

    #[test]
    fn bad_texts_say_where() {
        let wrong = |text: &str| read(text).unwrap_err();
        assert_eq!(wrong("a: 1\nb: 2\na: 3\n").line, 3);
        assert!(wrong("a: [1\n").what.contains("bracket"));
        assert!(wrong("a: *b\n").line == 1);
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(wrong(&deep).what.contains("deep"), "{:?}", wrong(&deep));
        assert!(wrong("? [a]\n: b\n").what.contains("key"));
    }

    #[test]
    fn an_alias_bomb_ends() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let items = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &[
                "a",
                &n.to_string(),
                ": &a",
                &n.to_string(),
                " [",
                &items,
                "]\n",
            ]
            .concat();
        }
        assert!(read(&text).unwrap_err().what.contains("more than"));
    }
}
