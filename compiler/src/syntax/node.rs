//! The spanned tree: what one YAML (or TOML) file says, before it means anything.

use std::fmt::Write as _;

use crate::source::{Span, Spanned};
use crate::text::Text;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The text of the value, quotes included. For a block map or list it is the first key or
    /// item, because underlining a whole block helps nobody.
    pub span: Span,
    /// Where to say that something is missing: the key of the value, or the value itself.
    pub blame: Span,
    /// The value.
    pub value: Value,
    /// A finding about this value was already made, so a wrong type is not said as well.
    pub doubtful: bool,
}

/// What a node says.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Could not be read, and was reported.
    Broken,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written; JSON's grammar without an exponent.
    Number(String),
    /// Any other scalar.
    Text(Text, Style),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, without duplicates.
    Map(Vec<Pair>),
}

/// How a text was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// A block after `|`.
    Literal,
    /// A block after `>`.
    Folded,
}

/// One key and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair {
    /// The key.
    pub key: Spanned<Text>,
    /// The value.
    pub value: Node,
}

impl PartialEq for Node {
    /// Equal values; where they stand does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A node that blames itself.
    pub fn new(value: Value, span: Span) -> Self {
        Self {
            span,
            blame: span,
            value,
            doubtful: false,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// The pairs, if it is a map.
    pub fn as_map(&self) -> Option<&[Pair]> {
        match &self.value {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value under a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?
            .iter()
            .find(|pair| pair.key.value == key)
            .map(|pair| &pair.value)
    }

    /// The keys that lead to what stands at a byte offset, joined by dots; an item of a list is
    /// told by its text, where it has one.
    pub fn path_at(&self, offset: u32) -> String {
        let mut path = String::new();
        let mut node = self;
        loop {
            let (step, next) = match &node.value {
                Value::Map(pairs) => {
                    let pair = pairs.iter().rfind(|it| it.key.span.start <= offset);
                    let Some(pair) = pair else { return path };
                    (pair.key.value.to_string(), &pair.value)
                }
                Value::List(items) => {
                    let at = items.iter().rposition(|it| it.span.start <= offset);
                    let Some((at, item)) = at.and_then(|at| Some((at, items.get(at)?))) else {
                        return path;
                    };
                    let number = || at.to_string();
                    (item.as_text().map_or_else(number, str::to_owned), item)
                }
                _ => return path,
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step);
            node = next;
        }
    }

    /// What kind of value it is, with its article.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Broken => "nothing readable",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(..) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value as JSON text, numbers exactly as written; `None` if a part could not be read.
    pub fn to_json(&self) -> Option<String> {
        let mut out = String::new();
        self.write_json(&mut out)?;
        Some(out)
    }

    fn write_json(&self, out: &mut String) -> Option<()> {
        match &self.value {
            Value::Broken => return None,
            Value::Bool(value) => write!(out, "{value}").ok()?,
            Value::Number(number) => out.push_str(number),
            Value::Text(text, _) => out.push_str(&serde_json::to_string(text).ok()?),
            Value::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    item.write_json(out)?;
                }
                out.push(']');
            }
            Value::Map(pairs) => {
                out.push('{');
                for (at, pair) in pairs.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(&serde_json::to_string(&pair.key.value).ok()?);
                    out.push(':');
                    pair.value.write_json(out)?;
                }
                out.push('}');
            }
        }
        Some(())
    }
}
