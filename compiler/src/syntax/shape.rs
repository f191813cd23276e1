//! From the spanned tree to typed entries, by one declarative table per record.
//!
//! A `record!` lists the keys of a record with their types and documentation, once. The typed
//! struct, the check for unknown keys, did-you-mean, the JSON Schema and the reference all come
//! from that list.

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, Sink, codes, suggest};
use crate::source::{SourceMap, Span};
use crate::syntax::mend::{Hole, Named, Place};
use crate::syntax::node::{Node, Pair, Value};
use crate::syntax::reserved;

/// What reading needs besides the node.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The text, for exact places inside a value.
    pub sources: &'a SourceMap,
    /// Where findings go.
    pub sink: &'a mut Sink,
    /// What could not be read.
    pub(crate) holes: Vec<Hole>,
    /// The named entries that are being read, from the outside in.
    pub(crate) within: Vec<Named>,
    /// How many records are being read, one in the other.
    pub(crate) depth: usize,
    /// Whether an entry is read once more, without what was refused before.
    pub(crate) mending: bool,
    /// The places of values that stand in for others.
    pub(crate) stand_ins: Vec<Span>,
}

/// A type that can be read from a node and described by a JSON Schema.
pub trait Shape: Sized {
    /// Reads the value; `None` means that a finding was reported.
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self>;

    /// The value of a key that is not there; `None` makes the key mandatory.
    fn absent() -> Option<Self> {
        None
    }

    /// A value in place of a mandatory one that was refused or is missing, where the rest of an
    /// entry is to be read; nothing is said of it.
    fn stand_in(_span: Span) -> Option<Self> {
        None
    }

    /// The JSON Schema of what is accepted.
    fn schema() -> Json;
}

impl<T: Shape> Shape for Option<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        T::read(node, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn schema() -> Json {
        T::schema()
    }
}

impl<T: Shape> Shape for Box<T> {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        T::read(node, cx).map(Self::new)
    }

    fn schema() -> Json {
        T::schema()
    }
}

impl Shape for Node {
    fn read(node: &Node, _cx: &mut Reader<'_>) -> Option<Self> {
        (!has_broken(node)).then(|| node.clone())
    }

    fn schema() -> Json {
        json!(true)
    }
}

/// One key of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What it says, as Markdown.
    pub doc: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// The JSON Schema of its value.
    pub schema: fn() -> Json,
}

/// A map with known keys.
pub trait Record: Sized {
    /// The noun for messages, without an article: `issuer`.
    const NOUN: &'static str;
    /// What it is, as Markdown.
    const DOC: &'static str;

    /// Its keys, in the order of the declaration.
    fn fields() -> Vec<Field>;

    /// The same, made once.
    fn known() -> &'static [Field];

    /// Reads the keys; `None` means that a finding was reported.
    fn take(map: &Map<'_>, cx: &mut Reader<'_>) -> Option<Self>;

    /// What no single key can tell; `false` means that a finding was reported.
    fn check(&self, _map: &Map<'_>, _cx: &mut Reader<'_>) -> bool {
        true
    }
}

/// The pairs of a record that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// The pairs.
    pub pairs: &'a [Pair],
    /// Where to say that a key is missing.
    pub blame: Span,
    /// The noun of the record.
    pub noun: &'static str,
    /// Keys that are there under a misspelt name, which was reported.
    pub misspelt: &'a [&'static str],
}

impl<'a> Map<'a> {
    /// The pair with this key.
    pub fn pair(&self, key: &str) -> Option<&'a Pair> {
        self.pairs.iter().find(|pair| pair.key.value == key)
    }

    /// Reads one key.
    pub fn take<T: Shape>(&self, key: &str, cx: &mut Reader<'_>) -> Option<T> {
        match self.pair(key) {
            Some(pair) if cx.left_out(&pair.value) => {
                T::absent().or_else(|| cx.stand_in(pair.key.span))
            }
            Some(pair) => cx.part(Place::Key(pair.key.span), |cx| T::read(&pair.value, cx)),
            None => T::absent().or_else(|| cx.stand_in(self.blame)),
        }
    }

    /// Reports two keys that exclude each other, if both are there.
    pub fn exclusive(&self, one: &str, other: &str, why: &str, cx: &mut Reader<'_>) -> bool {
        let (Some(one), Some(other)) = (self.pair(one), self.pair(other)) else {
            return true;
        };
        let message = format!(
            "`{}` and `{}` exclude each other",
            one.key.value, other.key.value
        );
        cx.sink.push(
            Diagnostic::new(&codes::CONFLICTING_KEYS, other.key.span, message)
                .also(one.key.span, "already said by this key")
                .help(why),
        );
        false
    }

    /// Reports that one of two keys must be there, if none is.
    pub fn either(&self, one: &str, other: &str, cx: &mut Reader<'_>) -> bool {
        if self.pair(one).is_some() || self.pair(other).is_some() {
            return true;
        }
        if self.misspelt.contains(&one) || self.misspelt.contains(&other) {
            return false;
        }
        let message = format!("this {} needs `{one}` or `{other}`", self.noun);
        cx.sink
            .push(Diagnostic::new(&codes::MISSING_KEY, self.blame, message));
        false
    }

    /// Reports that `key` is there without `needed`.
    pub fn needs(&self, key: &str, needed: &str, why: &str, cx: &mut Reader<'_>) -> bool {
        let Some(pair) = self.pair(key) else {
            return true;
        };
        if self.pair(needed).is_some() {
            return true;
        }
        let message = format!("`{key}` needs `{needed}`");
        cx.sink
            .push(Diagnostic::new(&codes::CONFLICTING_KEYS, pair.key.span, message).help(why));
        false
    }

    /// Reports a missing key that is needed for a reason of its own.
    pub fn must_have(&self, key: &str, why: &str, cx: &mut Reader<'_>) -> bool {
        if self.pair(key).is_some() {
            return true;
        }
        if self.misspelt.contains(&key) {
            return false;
        }
        let message = format!("this {} has no `{key}`", self.noun);
        cx.sink
            .push(Diagnostic::new(&codes::MISSING_KEY, self.blame, message).help(why));
        false
    }

    /// Reports a key that does not belong beside the others.
    pub fn must_not_have(&self, key: &str, why: &str, cx: &mut Reader<'_>) -> bool {
        let Some(pair) = self.pair(key) else {
            return true;
        };
        let message = format!("`{key}` has no place in this {}", self.noun);
        cx.sink
            .push(Diagnostic::new(&codes::CONFLICTING_KEYS, pair.key.span, message).help(why));
        false
    }
}

/// Reads a record: unknown and reserved keys, mandatory keys, every key, then the whole.
pub fn read_record<T: Record>(node: &Node, cx: &mut Reader<'_>) -> Option<T> {
    cx.depth += 1;
    let record = read_keys(node, cx);
    cx.depth -= 1;
    record
}

fn read_keys<T: Record>(node: &Node, cx: &mut Reader<'_>) -> Option<T> {
    let pairs = expect_map(node, T::NOUN, cx)?;
    let fields = T::known();
    let misspelt = misspelt(pairs, fields);
    let map = Map {
        pairs,
        blame: node.blame,
        noun: T::NOUN,
        misspelt: &misspelt,
    };
    let mut sound = true;
    for pair in pairs {
        let known = fields.iter().any(|field| field.key == pair.key.value);
        if !known && !cx.left_out(&pair.value) {
            unknown_key(pair, T::NOUN, fields, cx);
            let meant = meant(pair, fields).filter(|meant| map.pair(meant).is_none());
            match meant {
                Some(meant) => cx.misspelt(pair.key.span, meant),
                None => cx.hole(Place::Key(pair.key.span)),
            }
            sound = false;
        }
    }
    for field in fields
        .iter()
        .filter(|field| field.required && map.pair(field.key).is_none())
    {
        sound &= cx.is_lenient();
        if misspelt.contains(&field.key) {
            continue;
        }
        let message = format!("this {} has no `{}`", T::NOUN, field.key);
        cx.sink.push(
            Diagnostic::new(&codes::MISSING_KEY, node.blame, message).help(format!(
                "`{}`: {}",
                field.key,
                field.doc.trim()
            )),
        );
    }
    let record = T::take(&map, cx)?;
    let fits = record.check(&map, cx);
    // The keys of an entry that contradict each other are all read: the contradiction was reported.
    (sound && (fits || cx.is_lenient())).then_some(record)
}

/// The keys that unknown ones evidently mean: one mistake is reported once, not also as a missing
/// key.
fn misspelt(pairs: &[Pair], fields: &[Field]) -> Vec<&'static str> {
    pairs
        .iter()
        .filter_map(|pair| meant(pair, fields))
        .collect()
}

/// The key that an unknown one evidently means.
fn meant(pair: &Pair, fields: &[Field]) -> Option<&'static str> {
    let known = || fields.iter().map(|field| field.key);
    let key = pair.key.value.as_str();
    if known().any(|known| known == key) {
        return None;
    }
    suggest::closest(key, known())
}

/// The JSON Schema of a record: closed, with its documentation.
pub fn record_schema<T: Record>() -> Json {
    let fields = T::fields();
    let properties: serde_json::Map<_, _> = fields
        .iter()
        .map(|field| {
            (
                field.key.to_owned(),
                documented((field.schema)(), field.doc),
            )
        })
        .collect();
    let required: Vec<_> = fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.key)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": T::DOC.trim(),
        "properties": properties,
        "additionalProperties": false,
    });
    if let (false, Some(map)) = (required.is_empty(), schema.as_object_mut()) {
        map.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The pairs of a node that must be a map.
pub fn expect_map<'a>(node: &'a Node, noun: &str, cx: &mut Reader<'_>) -> Option<&'a [Pair]> {
    if let Value::Map(pairs) = &node.value {
        return Some(pairs);
    }
    wrong_type(node, &format!("a map ({noun})"), cx)
}

/// Reports that a node is not what belongs here.
pub fn wrong_type<T>(node: &Node, wanted: &str, cx: &mut Reader<'_>) -> Option<T> {
    if !node.doubtful && node.value != Value::Broken {
        let message = format!("expected {wanted}, found {}", node.kind());
        let found = Diagnostic::new(&codes::WRONG_TYPE, node.span, message);
        let found = if node.span == node.blame {
            found
        } else {
            found.also(node.blame, "the value of this key")
        };
        cx.sink.push(found);
    }
    None
}

fn unknown_key(pair: &Pair, noun: &'static str, fields: &[Field], cx: &mut Reader<'_>) {
    let key = &pair.key;
    if let Some(what) = reserved::reason(noun, key) {
        cx.sink.push(not_enforced(&key.value, what, key.span));
        return;
    }
    let known: Vec<_> = fields.iter().map(|field| field.key).collect();
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    let message = format!("{article} {noun} has no key `{}`", key.value);
    let found = Diagnostic::new(&codes::UNKNOWN_KEY, key.span, message);
    cx.sink
        .push(if suggest::closest(key, known.iter().copied()).is_some() {
            found.did_you_mean(key, key.span, known)
        } else {
            found.help(format!(
                "the keys of {article} {noun} are {}",
                listed(&known)
            ))
        });
}

/// The finding for a key that is reserved and not enforced.
pub fn not_enforced(key: &str, what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(
        &codes::NOT_ENFORCED,
        span,
        format!("`{key}` is not enforced in this version"),
    )
    .label(format!("reserved for {what}"))
    .help("remove it: a policy must not promise what nothing enforces")
}

/// `a`, `b` and `c`, each in backquotes.
pub fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

fn documented(mut schema: Json, doc: &str) -> Json {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), json!(doc.trim()));
        return schema;
    }
    json!({ "description": doc.trim() })
}

fn has_broken(node: &Node) -> bool {
    match &node.value {
        Value::Broken => true,
        Value::List(items) => items.iter().any(has_broken),
        Value::Map(pairs) => pairs.iter().any(|pair| has_broken(&pair.value)),
        Value::Bool(_) | Value::Number(_) | Value::Text(..) => false,
    }
}

/// Declares a record: its documentation, noun, keys and types, in one place.
///
/// The type of a key says whether it is mandatory: `Option<T>` and collections that may be empty
/// are not. `..field: Type` takes the keys of another record in.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident: $noun:literal {
            $(..$base:ident: $base_type:ty;)?
            $($(#[doc = $field_doc:literal])+ $field:ident $key:literal: $type:ty;)*
        }
        $(check $check:path;)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $(
                #[doc = "The keys that it has in common with others."]
                pub $base: $base_type,
            )?
            $($(#[doc = $field_doc])+ pub $field: $type,)*
        }

        impl $crate::syntax::shape::Record for $name {
            const NOUN: &'static str = $noun;
            const DOC: &'static str = concat!($($doc),+);

            fn fields() -> Vec<$crate::syntax::shape::Field> {
                let own: Vec<$crate::syntax::shape::Field> = vec![$($crate::syntax::shape::Field {
                    key: $key,
                    doc: concat!($($field_doc),+),
                    required: <$type as $crate::syntax::shape::Shape>::absent().is_none(),
                    schema: <$type as $crate::syntax::shape::Shape>::schema,
                }),*];
                [$(<$base_type as $crate::syntax::shape::Record>::fields(),)? own].concat()
            }

            fn known() -> &'static [$crate::syntax::shape::Field] {
                static KNOWN: std::sync::OnceLock<Vec<$crate::syntax::shape::Field>> =
                    std::sync::OnceLock::new();
                KNOWN.get_or_init(<Self as $crate::syntax::shape::Record>::fields)
            }

            fn take(
                map: &$crate::syntax::shape::Map<'_>,
                cx: &mut $crate::syntax::shape::Reader<'_>,
            ) -> Option<Self> {
                // Every key is read before the first failure counts, to find all mistakes.
                $(let $base =
                    <$base_type as $crate::syntax::shape::Record>::take(map, cx);)?
                $(let $field = map.take::<$type>($key, cx);)*
                Some(Self { $($base: $base?,)? $($field: $field?,)* })
            }

            $(fn check(
                &self,
                map: &$crate::syntax::shape::Map<'_>,
                cx: &mut $crate::syntax::shape::Reader<'_>,
            ) -> bool {
                $check(self, map, cx)
            })?
        }

        impl $crate::syntax::shape::Shape for $name {
            fn read(
                node: &$crate::syntax::node::Node,
                cx: &mut $crate::syntax::shape::Reader<'_>,
            ) -> Option<Self> {
                $crate::syntax::shape::read_record(node, cx)
            }

            fn schema() -> serde_json::Value {
                $crate::syntax::shape::record_schema::<Self>()
            }
        }
    };
}

pub(crate) use record;
