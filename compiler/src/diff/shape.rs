//! What an argument schema says of one attribute: the part of JSON Schema that the analysis reads.
//! Anything else is settled by replaying the witness.

use latchkey_engine::{
    condition::{Attribute, Comparison, Root, Segment},
    index::Fold,
};
use serde_json::Value;

use super::texts::Language;

/// The values that one attribute can have. `None` in a kind is *the schema does not say*.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact of a schema"
)]
pub(super) struct Shape {
    pub(super) required: bool,
    pub(super) boolean: Option<bool>,
    pub(super) number: Option<bool>,
    pub(super) text: Option<bool>,
    pub(super) list: Option<bool>,
    pub(super) time: bool,
    pub(super) address: bool,
    pub(super) integer: bool,
    /// In billionths.
    pub(super) minimum: Option<i128>,
    pub(super) maximum: Option<i128>,
    /// The enumeration, if there is one.
    pub(super) values: Option<Vec<Value>>,
    /// Whether it may be a list besides the enumerated values.
    pub(super) or_list: bool,
    /// What every list has among its elements.
    pub(super) member: Option<String>,
    /// What the schema asks of texts as they are sent.
    texts: Vec<Language>,
    /// The least and the most elements of a list.
    items: (Option<u64>, Option<u64>),
    /// Whether some type is named that policy cannot read, or none is named at all.
    other: bool,
}

impl Shape {
    /// What can be said of an attribute under a schema; `None` is no schema.
    pub(super) fn of(attribute: &Attribute, schema: Option<&Value>) -> Self {
        match attribute.root {
            Root::Args => Self::argument(&attribute.path, schema),
            Root::Request if attribute.path == [Segment::Field("time".to_owned())] => Self {
                required: true,
                time: true,
                ..Self::nothing()
            },
            Root::Request => Self {
                address: true,
                ..Self::nothing()
            },
            Root::Principal | Root::Subject if is_list(&attribute.path) => Self {
                required: true,
                list: Some(true),
                ..Self::nothing()
            },
            Root::Principal | Root::Subject => Self {
                text: Some(true),
                ..Self::nothing()
            },
            Root::Scope => Self::nothing(),
        }
    }

    /// Whether a value can be present and yet not readable.
    pub(super) fn may_be_opaque(&self, fold: Option<Fold>) -> bool {
        let unbounded = !self.integer || self.minimum.is_none() || self.maximum.is_none();
        self.other
            || (self.number == Some(true) && unbounded)
            || (self.text == Some(true) && fold.is_some())
    }

    /// The texts that the schema enumerates.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let values = self.values.iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned)
    }

    /// What every text that policy reads is: as the schema asks, or as the fold leaves it.
    pub(super) fn required_of_texts(&self, fold: Option<Fold>) -> Vec<Language> {
        let folded = |pattern: &str| vec![Language::Search(pattern.to_owned())];
        match fold {
            None => self.texts.clone(),
            Some(Fold::AsciiLower) => folded(r"^[\x00-@\[-\x7f]*$"),
            Some(Fold::PosixPath) => folded(PATH),
        }
    }

    /// The least and the most elements that a list can have.
    pub(super) fn items(&self) -> (u64, u64) {
        (self.items.0.unwrap_or(0), self.items.1.unwrap_or(u64::MAX))
    }

    /// One of some texts; also a list, where the schema lets it be one.
    pub(super) fn confined(mut self, texts: Vec<Value>) -> Self {
        let may_be = |is: fn(&Value) -> bool, kind: Option<bool>| match &self.values {
            Some(values) => values.iter().any(is),
            None => kind != Some(false),
        };
        let text = may_be(Value::is_string, self.text);
        self.or_list |= may_be(Value::is_array, self.list);
        self.values = Some(if text || !self.or_list {
            texts
        } else {
            Vec::new()
        });
        self
    }

    /// Never there.
    pub(super) fn absent() -> Self {
        Self::nothing()
    }

    /// No value of any kind.
    fn nothing() -> Self {
        let no = Some(false);
        Self {
            boolean: no,
            number: no,
            text: no,
            list: no,
            ..Self::default()
        }
    }

    fn argument(path: &[Segment], schema: Option<&Value>) -> Self {
        let mut required = true;
        let mut at = schema;
        for segment in path {
            let (next, must) = match segment {
                Segment::Field(name) => (
                    at.and_then(|at| at.get("properties")?.get(name)),
                    at.and_then(|at| at.get("required")?.as_array())
                        .is_some_and(|names| names.iter().any(|it| it == name.as_str())),
                ),
                Segment::Each => (at.and_then(|at| at.get("items")), true),
            };
            required &= must;
            at = next;
        }
        let Some(at) = at else {
            return Self {
                required,
                other: true,
                ..Self::default()
            };
        };
        Self {
            required,
            ..Self::leaf(at)
        }
    }

    fn leaf(schema: &Value) -> Self {
        let values = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => Some(values.clone()),
            (_, Some(value)) => Some(vec![value.clone()]),
            _ => None,
        };
        let types: Option<Vec<&str>> = match schema.get("type") {
            Some(Value::String(one)) => Some(vec![one]),
            Some(Value::Array(many)) => Some(many.iter().filter_map(Value::as_str).collect()),
            _ => None,
        };
        let Some(types) = types else {
            return Self {
                values,
                other: true,
                texts: of_texts(schema),
                items: of_lists(schema),
                ..Self::default()
            };
        };
        let has = |name: &str| types.contains(&name);
        let (minimum, maximum) = bounds(schema);
        Self {
            values,
            boolean: Some(has("boolean")),
            number: Some(has("number") || has("integer")),
            integer: has("integer") && !has("number"),
            text: Some(has("string")),
            list: Some(has("array")),
            other: has("object") || has("null"),
            texts: of_texts(schema),
            items: of_lists(schema),
            minimum,
            maximum,
            ..Self::default()
        }
    }
}

/// A path in its final form: no empty part, none that is one dot or two.
const PATH: &str = concat!(
    r"^(?:/|/?(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)",
    r"(?:/(?:[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*/?)$",
);

/// What a schema asks of texts.
fn of_texts(schema: &Value) -> Vec<Language> {
    let length = |name: &str| schema.get(name).and_then(Value::as_u64);
    let least = length("minLength").filter(|it| *it > 0);
    let most = length("maxLength");
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let lengths = [
        least.map(|it| Language::Length(Comparison::GreaterOrEqual, it)),
        most.map(|it| Language::Length(Comparison::LessOrEqual, it)),
    ];
    let pattern = pattern.map(|it| Language::Search(it.to_owned()));
    lengths.into_iter().flatten().chain(pattern).collect()
}

/// How many elements a schema asks for.
fn of_lists(schema: &Value) -> (Option<u64>, Option<u64>) {
    let count = |name: &str| schema.get(name).and_then(Value::as_u64);
    (count("minItems"), count("maxItems"))
}

/// Whether an attribute of a caller is a list.
fn is_list(path: &[Segment]) -> bool {
    matches!(path, [Segment::Field(name)] if name == "tags" || name == "groups")
}

/// The inclusive bounds of a numeric schema, in billionths. What of them is no integer is left to
/// where intervals of integers are made.
fn bounds(schema: &Value) -> (Option<i128>, Option<i128>) {
    let read = |name: &str| {
        let text = schema.get(name)?.as_number()?.to_string();
        Some(latchkey_engine::decimal::Decimal::parse(&text)?.billionths())
    };
    let minimum = read("minimum").max(read("exclusiveMinimum").map(|bound| bound + 1));
    let maximum = match (
        read("maximum"),
        read("exclusiveMaximum").map(|bound| bound - 1),
    ) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    (minimum, maximum)
}
