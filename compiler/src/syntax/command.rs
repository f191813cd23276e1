//! What a server that the sidecar runs itself is started with.

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::node::{Node, Value};
use crate::syntax::scalar::{Problem, Scalar};
use crate::syntax::shape::{Reader, Shape, wrong_type};

/// A program and its arguments; no shell reads them.
#[derive(Clone, Debug)]
pub struct Command(pub Vec<String>);

/// A variable that the program gets: `NAME` with the sidecar's own value, or `NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` for the sidecar's own.
    pub value: Option<String>,
}

/// One word of a command; unlike most texts it may be empty.
#[derive(Debug)]
struct Word(String);

impl Shape for Command {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return wrong_type(node, "a list (the program and its arguments)", cx);
        };
        let words = items.iter().map(|item| Spanned::<Word>::read(item, cx));
        let words: Vec<Option<Spanned<Word>>> = words.collect();
        if words
            .first()
            .is_none_or(|it| it.as_ref().is_some_and(|it| it.value.0.is_empty()))
        {
            cx.sink.push(
                Diagnostic::new(&codes::EMPTY_LIST, node.span, "`command` names no program")
                    .help("write the program and its arguments: `command: [node, server.js]`"),
            );
            return None;
        }
        let words: Option<Vec<String>> = words.into_iter().map(|it| Some(it?.value.0)).collect();
        words.map(Self)
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
    }
}

impl Scalar for Word {
    const WANTED: &'static str = "text";

    fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains('\0') {
            return Err(Problem::value("no program can be given U+0000"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Scalar for Variable {
    const WANTED: &'static str = "`NAME` or `NAME=value`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let mut letters = name.chars();
        let sound = letters
            .next()
            .is_some_and(|it| it.is_ascii_alphabetic() || it == '_')
            && letters.all(|it| it.is_ascii_alphanumeric() || it == '_');
        if !sound {
            return Err(
                Problem::value(format!("`{name}` is not the name of a variable"))
                    .help("write `NAME` for the sidecar's own value, or `NAME=value`"),
            );
        }
        if text.contains('\0') {
            return Err(Problem::value("no program can be given U+0000"));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*(=.*)?$" })
    }
}
