//! `scopes` of a server and `scope` of a surface: what the scope of a call is.

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::collection::Names;
use crate::syntax::node::{Node, Pair, Value};
use crate::syntax::reference::ScopePath;
use crate::syntax::scalar::{ArgumentName, choice};
use crate::syntax::shape::{Reader, Shape, record, wrong_type};
use crate::text::Text;

/// Where the scope of a call comes from; exactly one source.
#[derive(Clone, Debug)]
pub enum ScopeSource {
    /// `server`: the server's own `in`.
    Server(Span),
    /// `principal`: the current actor's own `in`.
    Principal(Span),
    /// A closed map from values of an argument.
    Mapped(Mapped),
    /// An argument that the sidecar writes from the current actor.
    Forced(Forced),
    /// Not known: a grant at the server's scope is needed. The text says why.
    Unscoped(Spanned<Text>),
}

record! {
    /// The scope from the value of an argument.
    pub struct Mapped: "scope source" {
        /// What is mapped.
        from "from": MappedFrom;
        /// Scopes by value; exact beats `prefix*`, the longest prefix wins.
        map "map": Names<Spanned<ScopePath>, ArgumentName>;
    }
    check check_mapped;
}

record! {
    /// The argument whose value is mapped.
    pub struct MappedFrom: "scope source" {
        /// Its name.
        argument "argument": Spanned<ArgumentName>;
    }
}

record! {
    /// The scope of the current actor, written into an argument.
    pub struct ForcedScope: "scope source" {
        /// What is forced.
        force "force": Forced;
    }
}

record! {
    /// The argument that is written, and with what.
    pub struct Forced: "forced scope" {
        /// The argument.
        argument "argument": Spanned<ArgumentName>;
        /// What the sidecar writes.
        value "value": Spanned<ForcedValue>;
    }
}

record! {
    /// A call whose scope cannot be told.
    pub struct Unscoped: "scope source" {
        /// Why.
        unscoped "unscoped": Spanned<Text>;
    }
}

choice! {
    /// What the sidecar writes into a forced scope argument.
    pub enum ForcedValue: "value" {
        /// The current actor's organization.
        Organization = "organization",
        /// The current actor's team.
        Team = "team",
    }
}

impl Shape for ScopeSource {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text, _) if text == "server" => Some(Self::Server(node.span)),
            Value::Text(text, _) if text == "principal" => Some(Self::Principal(node.span)),
            Value::Text(text, _) => {
                let message = format!("`{text}` is not a source of scopes");
                cx.sink.push(
                    Diagnostic::new(&codes::BAD_VALUE, node.span, message)
                        .help(
                            "write `server`, `principal`, or a map: `from`, `force` or `unscoped`",
                        )
                        .did_you_mean(text, node.span, ["server", "principal"]),
                );
                None
            }
            Value::Map(pairs) => read_map(node, pairs, cx),
            _ => wrong_type(node, "`server`, `principal` or a map", cx),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "enum": ["server", "principal"] },
            Mapped::schema(), ForcedScope::schema(), Unscoped::schema(),
        ] })
    }
}

fn read_map(node: &Node, pairs: &[Pair], cx: &mut Reader<'_>) -> Option<ScopeSource> {
    let has = |key: &str| pairs.iter().any(|pair| pair.key.value == key);
    if has("from") || has("map") {
        Mapped::read(node, cx).map(ScopeSource::Mapped)
    } else if has("force") {
        ForcedScope::read(node, cx).map(|forced| ScopeSource::Forced(forced.force))
    } else if has("unscoped") {
        Unscoped::read(node, cx).map(|unscoped| ScopeSource::Unscoped(unscoped.unscoped))
    } else {
        let (span, message) = match pairs.first() {
            Some(pair) => (
                pair.key.span,
                format!("a scope source has no key `{}`", pair.key.value),
            ),
            None => (node.span, "a scope source needs a key".to_owned()),
        };
        let found = Diagnostic::new(&codes::UNKNOWN_KEY, span, message)
            .help("write `from` with `map`, or `force`, or `unscoped`");
        let key = pairs.first().map_or("", |pair| pair.key.value.as_str());
        cx.sink
            .push(found.did_you_mean(key, span, ["from", "force", "unscoped"]));
        None
    }
}

fn check_mapped(mapped: &Mapped, map: &crate::syntax::shape::Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = true;
    if mapped.map.is_empty() {
        let message = "a scope map without entries refuses every call";
        cx.sink
            .push(Diagnostic::new(&codes::MISSING_KEY, map.blame, message));
        sound = false;
    }
    for entry in mapped.map.values() {
        let stars = entry.name.matches('*').count();
        if stars > 1 || (stars == 1 && !entry.name.ends_with('*')) {
            let message = format!("`{}` is neither a value nor a prefix", entry.name.value);
            cx.sink.push(
                Diagnostic::new(&codes::BAD_VALUE, entry.name.span, message)
                    .help("a `*` may stand at the end only: `prefix*`"),
            );
            sound = false;
        }
    }
    sound
}
