//! Single values: names, texts, enumerations.

use std::fmt;
use std::ops::Deref;

use serde_json::{Value as Json, json};

use crate::diag::{Code, Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::node::{Node, Value};
use crate::syntax::reserved::RESERVED_VALUES;
use crate::syntax::shape::{Reader, Shape, listed, not_enforced, wrong_type};
use crate::text::Text;

mod clock;
mod prose;
mod quantity;
mod time;

pub use clock::{Clock, Date};
pub use prose::Prose;
pub use quantity::{ByteSize, Count, Millis, Per, Rate};
pub use time::Timestamp;

/// A value that is written as one scalar.
pub trait Scalar: Sized {
    /// What belongs here, with its article, for "expected ...".
    const WANTED: &'static str;

    /// Reads a text.
    ///
    /// # Errors
    /// Why the text is not such a value.
    fn parse(text: &str) -> Result<Self, Problem>;

    /// Reads a text that the value may share.
    ///
    /// # Errors
    /// Why the text is not such a value.
    fn share(text: &Text) -> Result<Self, Problem> {
        Self::parse(text)
    }

    /// A value in place of one that was refused, where the rest of an entry is to be read; nothing
    /// is said of it.
    fn stand_in() -> Option<Self> {
        let texts = ["platform", "1970-01-01"];
        texts.iter().find_map(|text| Self::parse(text).ok())
    }

    /// Reads a scalar; only types that take booleans or numbers override it. `None` means that
    /// the kind of scalar is wrong.
    fn from_value(value: &Value) -> Option<Result<Self, Problem>> {
        match value {
            Value::Text(text, _) => Some(Self::share(text)),
            _ => None,
        }
    }

    /// The JSON Schema of what is accepted.
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// Why a text is not the value that belongs here.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The code to report.
    pub code: &'static Code,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The spellings that are allowed, to suggest one of.
    pub known: &'static [&'static str],
    /// What the value is reserved for, when it is.
    pub reserved: Option<&'static str>,
}

impl Problem {
    /// A value that is not allowed here.
    pub fn value(message: impl Into<String>) -> Self {
        Self {
            code: &codes::BAD_VALUE,
            message: message.into(),
            help: None,
            known: &[],
            reserved: None,
        }
    }

    /// A name that is not one.
    pub fn name(message: impl Into<String>) -> Self {
        Self {
            code: &codes::BAD_NAME,
            ..Self::value(message)
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The finding for a scalar that was refused.
pub fn refused(problem: Problem, text: &str, span: Span) -> Diagnostic {
    if let Some(what) = problem.reserved {
        return not_enforced(text, what, span);
    }
    let found = Diagnostic::new(problem.code, span, problem.message);
    let found = match problem.help {
        Some(help) => found.help(help),
        None => found,
    };
    found.did_you_mean(text, span, problem.known.iter().copied())
}

impl<T: Scalar> Shape for Spanned<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        match T::from_value(&node.value) {
            Some(Ok(value)) => Some(Self::new(value, node.span)),
            Some(Err(problem)) => {
                if !node.doubtful {
                    cx.sink.push(refused(
                        problem,
                        node.as_text().unwrap_or_default(),
                        node.span,
                    ));
                }
                None
            }
            None => wrong_scalar::<T, Self>(node, cx),
        }
    }

    fn stand_in(span: Span) -> Option<Self> {
        T::stand_in().map(|value| Self::new(value, span))
    }

    fn schema() -> Json {
        T::schema()
    }
}

/// Reports a scalar of the wrong kind, with the fix to quote it where text belongs.
fn wrong_scalar<T: Scalar, U>(node: &Node, cx: &mut Reader<'_>) -> Option<U> {
    if !matches!(node.value, Value::Number(_) | Value::Bool(_)) || node.doubtful {
        return wrong_type(node, T::WANTED, cx);
    }
    let text = cx.sources.text(node.span).to_owned();
    let message = format!("expected {}, found {}", T::WANTED, node.kind());
    cx.sink.push(
        Diagnostic::new(&codes::WRONG_TYPE, node.span, message)
            .help("quote it if it is meant as text")
            .fix(
                "quote the value",
                crate::diag::Applicability::Maybe,
                node.span,
                format!("\"{text}\""),
            ),
    );
    None
}

impl Scalar for Text {
    const WANTED: &'static str = "text";

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::share(&Self::from(text))
    }

    fn share(text: &Text) -> Result<Self, Problem> {
        if text.trim().is_empty() {
            return Err(Problem::value("the text is empty"));
        }
        Ok(text.clone())
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

impl Scalar for bool {
    const WANTED: &'static str = "`true` or `false`";

    fn parse(_text: &str) -> Result<Self, Problem> {
        Err(Problem::value("expected `true` or `false`"))
    }

    fn from_value(value: &Value) -> Option<Result<Self, Problem>> {
        match value {
            Value::Bool(value) => Some(Ok(*value)),
            _ => None,
        }
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// Any scalar as a JSON value: an argument's text, number or boolean.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// Text, perhaps empty.
    Text(Text),
}

impl Scalar for Literal {
    const WANTED: &'static str = "text, a number or a boolean";

    fn parse(text: &str) -> Result<Self, Problem> {
        Ok(Self::Text(text.into()))
    }

    fn from_value(value: &Value) -> Option<Result<Self, Problem>> {
        match value {
            Value::Bool(value) => Some(Ok(Self::Bool(*value))),
            Value::Number(number) => Some(Ok(Self::Number(number.clone()))),
            Value::Text(text, _) => Some(Ok(Self::Text(text.clone()))),
            Value::Broken | Value::List(_) | Value::Map(_) => None,
        }
    }

    fn schema() -> Json {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident, $wanted:literal, $check:path, $pattern:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Text);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name, to be shared.
            pub fn text(&self) -> &Text {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Scalar for $name {
            const WANTED: &'static str = $wanted;

            fn parse(text: &str) -> Result<Self, Problem> {
                Self::share(&Text::from(text))
            }

            fn share(text: &Text) -> Result<Self, Problem> {
                $check(text)?;
                Ok(Self(text.clone()))
            }

            fn schema() -> Json {
                json!({ "type": "string", "pattern": $pattern })
            }
        }
    )+};
}

names! {
    /// A DNS label: lowercase letters, digits and `-`, 1 to 63 characters, no `-` at an end.
    Label, "a name", label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    /// The name of a tool, prompt, resource or route: what MCP allows, 1 to 128 characters.
    SurfaceName, "the name of a tool, prompt, resource or route", surface_name,
        "^[A-Za-z0-9_.-]{1,128}$";
    /// The name of an argument, any text.
    ArgumentName, "the name of an argument", free_text, "^.+$";
    /// A free title, such as the name of a call in a matrix: no line breaks or outer spaces.
    Title, "a title", title, "^\\S(.*\\S)?$";
    /// A lowercase UUID.
    Uuid, "a UUID in lowercase", uuid,
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
}

/// Whether a text is a [`Label`].
pub(super) fn label(text: &str) -> Result<(), Problem> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let valid = (1..=63).contains(&text.len())
        && text.bytes().all(|b| inner(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if valid {
        return Ok(());
    }
    Err(Problem::name(format!("`{text}` is not a name")).help(
        "names are DNS labels: lowercase letters, digits and `-`, at most 63 characters, \
         no `-` at either end",
    ))
}

/// Whether a text is a [`SurfaceName`].
pub(super) fn surface_name(text: &str) -> Result<(), Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(Problem::name(format!(
        "`{text}` is not the name of a tool, prompt, resource or route"
    ))
    .help("these names have 1 to 128 of the characters A-Z a-z 0-9 `_` `.` `-`"))
}

fn free_text(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::name("the name is empty"));
    }
    Ok(())
}

fn title(text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.trim() != text || text.contains(['\n', '\r']) {
        return Err(Problem::name(format!("{text:?} is not a title"))
            .help("a title is one line without spaces at its ends"));
    }
    Ok(())
}

fn uuid(text: &str) -> Result<(), Problem> {
    let groups: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.bytes().all(hex)) {
        return Ok(());
    }
    Err(
        Problem::value(format!("`{text}` is not a UUID in lowercase"))
            .help("write it as 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01"),
    )
}

/// Declares an enumeration with the spelling of each member; `reserved` members are refused.
macro_rules! choice {
    (
        $(#[$doc:meta])+
        pub enum $name:ident: $noun:literal {
            $($(#[$member_doc:meta])+ $member:ident = $text:literal,)+
        }
    ) => {
        $(#[$doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$member_doc])+ $member,)+
        }

        impl $name {
            /// Every member, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];

            /// The spelling in YAML.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }
        }

        impl $crate::syntax::scalar::Scalar for $name {
            const WANTED: &'static str = concat!("a value of `", $noun, "`");

            fn parse(text: &str) -> Result<Self, $crate::syntax::scalar::Problem> {
                match text {
                    $($text => Ok(Self::$member),)+
                    _ => Err($crate::syntax::scalar::not_a_choice($noun, text, &[$($text),+])),
                }
            }

            fn stand_in() -> Option<Self> {
                Self::ALL.first().copied()
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($text),+] })
            }
        }
    };
}

pub(crate) use choice;

/// The problem of a text that is none of the allowed ones.
pub(crate) fn not_a_choice(noun: &str, text: &str, known: &'static [&'static str]) -> Problem {
    let row = RESERVED_VALUES
        .iter()
        .find(|row| row.noun == noun && row.key == text);
    let problem = Problem::value(format!("`{text}` is not a value of `{noun}`"))
        .help(format!("write one of {}", listed(known)));
    Problem {
        known,
        reserved: row.map(|row| row.what),
        ..problem
    }
}
