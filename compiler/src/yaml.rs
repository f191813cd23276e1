//! A JSON value as YAML that the strict subset reads back.

use std::fmt::Write as _;

use serde_json::{Number, Value as Json};

/// The longest list that stays on one line, in bytes.
const LINE: usize = 80;

/// The value in block style, with a line break at its end.
pub(crate) fn write(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Object(fields) if !fields.is_empty() => block(value, 0, &mut out),
        _ => {
            out.push_str(&inline(value));
            out.push('\n');
        }
    }
    out
}

fn block(value: &Json, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                let _ = write!(out, "{indent}{}:", text(key));
                below(value, depth, out);
            }
        }
        Json::Array(items) => {
            for item in items {
                // JSON is YAML's flow style.
                let _ = writeln!(out, "{indent}- {}", inline(item));
            }
        }
        _ => {
            let _ = writeln!(out, "{indent}{}", inline(value));
        }
    }
}

/// The value of a key: on its line if it is short, below it otherwise.
fn below(value: &Json, depth: usize, out: &mut String) {
    let nested = match value {
        Json::Object(fields) => !fields.is_empty(),
        Json::Array(items) => {
            let structured = items.iter().any(|it| it.is_object() || it.is_array());
            !items.is_empty() && (structured || inline(value).len() > LINE)
        }
        _ => false,
    };
    if nested {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        let _ = writeln!(out, " {}", inline(value));
    }
}

/// The value on one line, in flow style.
pub(crate) fn inline(value: &Json) -> String {
    match value {
        Json::String(it) => text(it),
        Json::Number(it) => number(it),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), inline(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        _ => value.to_string(),
    }
}

/// The strict subset has no exponents, and this keeps a float a float.
fn number(number: &Number) -> String {
    let short = number.to_string();
    let float = number.as_f64().filter(|_| short.contains('e'));
    float.map_or(short, |float| {
        let long = float.to_string();
        let dot = if long.contains('.') { "" } else { ".0" };
        long + dot
    })
}

/// Words that some YAML version reads as something else than text.
const WORDS: &[&str] = &[
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
];

/// Plain where every YAML version reads it as this text, quoted as JSON otherwise.
pub(crate) fn text(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else {
        Json::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let value = json!({
            "a-b": {"on": "no", "n": 1, "deep": {"list": ["x", "1:30", "", "a: b", "*"]}},
            "empty": [], "none": {}, "structured": [{"k": "v", "w": [1, true]}],
            "long": (0..40).map(|n| format!("entry-{n}")).collect::<Vec<_>>(),
        });
        let read: Json = serde_yaml::from_str(&write(&value)).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn numbers_are_written_without_an_exponent() {
        let numbers = json!([1e16, 1e-10, -2.5, 7, u64::MAX]);
        let text = inline(&numbers);
        assert_eq!(
            text,
            "[10000000000000000.0, 0.0000000001, -2.5, 7, 18446744073709551615]"
        );
        assert_eq!(serde_yaml::from_str::<Json>(&text).unwrap(), numbers);
    }
}
