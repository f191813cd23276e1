//! Section `matrices`: callers x calls with the expected outcome.

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::collection::{List, Listing, Names};
use crate::syntax::node::{Node, Pair, Value};
use crate::syntax::reference::SurfaceRef;
use crate::syntax::scalar::{Label, Prose, Scalar, SurfaceName, Timestamp, Title, refused};
use crate::syntax::shape::{Map, Reader, Shape, record, wrong_type};
use crate::syntax::surface::Method;
use crate::syntax::table::{self, Table};
use crate::text::Text;

record! {
    /// A golden table for one server.
    pub struct Matrix: "matrix" {
        /// The server that is called.
        server "server": Spanned<Label>;
        /// The time of the calls.
        at "at": Spanned<Timestamp>;
        /// Who calls.
        callers "callers": Names<Caller>;
        /// What is called.
        calls "calls": Names<Call, Title>;
        /// The outcome of each call by each caller: a table with a column for each caller.
        expect "expect": Table;
        /// What else each caller may ever reach, by discovery; for all the rest it is never.
        others "others": Names<Listing<Spanned<SurfaceRef>>>;
    }
    check check_matrix;
}

record! {
    /// A caller as its token would describe it, in the words of `latchkey eval`.
    pub struct Caller: "caller" {
        ..actor: Actor;
        /// For whom it acts: the next of the chain first.
        on_behalf_of "on_behalf_of": Option<List<Actor>>;
        /// The permissions that its token is restricted to; none at all if empty.
        token_permissions "token_permissions": Option<Listing<Spanned<Text>>>;
        /// The identity of its token.
        token_id "token_id": Option<Spanned<Text>>;
        /// The address it calls from.
        ip "ip": Option<Spanned<Text>>;
    }
    check check_caller;
}

record! {
    /// One of a chain of callers.
    pub struct Actor: "caller" {
        /// A declared principal.
        principal "principal": Option<Spanned<Label>>;
        /// The issuer of the token, where the principal has several or is undeclared.
        issuer "issuer": Option<Spanned<Label>>;
        /// The subject of the token, for a caller that is not declared.
        subject "subject": Option<Spanned<Text>>;
        /// The values of the group claim.
        groups "groups": Listing<Spanned<Text>>;
        /// That the caller shows no token.
        anonymous "anonymous": Option<Spanned<bool>>;
    }
    check check_actor;
}

/// One call of a matrix.
#[derive(Clone, Debug)]
pub enum Call {
    /// A tool or prompt with its arguments.
    Surface {
        /// The name of the surface.
        name: Spanned<Text>,
        /// The arguments, a map.
        arguments: Node,
    },
    /// A resource.
    Resource {
        /// Its URI.
        uri: Spanned<Text>,
    },
    /// A request to a route.
    Route(RouteCall),
}

record! {
    /// A request to a route.
    pub struct RouteCall: "call" {
        /// The method.
        method "method": Spanned<Method>;
        /// The path with its query.
        path "path": Spanned<Text>;
        /// The body.
        body "body": Option<Node>;
    }
}

record! {
    /// A read of a resource.
    pub struct ResourceCall: "call" {
        /// Its URI.
        uri "uri": Spanned<Text>;
    }
}

impl Shape for Call {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(pairs) = &node.value else {
            return wrong_type(node, "a map from the surface to its arguments", cx);
        };
        let text = |key: &str| node.get(key).is_some_and(|value| value.as_text().is_some());
        if text("method") || text("path") {
            return RouteCall::read(node, cx).map(Self::Route);
        }
        if text("uri") {
            return ResourceCall::read(node, cx).map(|call| Self::Resource { uri: call.uri });
        }
        if let [pair] = pairs.as_slice() {
            return read_surface(pair, cx);
        }
        let message = "a call names one surface with its arguments";
        cx.sink.push(
            Diagnostic::new(&codes::WRONG_TYPE, node.blame, message)
                .help("write {tool: {argument: value}}, or {method: ..., path: ...}"),
        );
        None
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            RouteCall::schema(),
            ResourceCall::schema(),
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": SurfaceName::schema(),
                "additionalProperties": { "type": "object" },
            },
        ] })
    }
}

fn read_surface(pair: &Pair, cx: &mut Reader<'_>) -> Option<Call> {
    if let Err(problem) = SurfaceName::parse(&pair.key) {
        cx.sink.push(refused(problem, &pair.key, pair.key.span));
        return None;
    }
    let arguments = Node::read(&pair.value, cx)?;
    if arguments.as_map().is_none() {
        return wrong_type(&arguments, "a map of arguments, `{}` for none", cx);
    }
    Some(Call::Surface {
        name: pair.key.clone(),
        arguments,
    })
}

fn check_actor(actor: &Actor, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = map.exclusive(
        "principal",
        "subject",
        "a principal has its own subject",
        cx,
    );
    for key in ["principal", "issuer", "subject", "groups"] {
        sound &= map.exclusive("anonymous", key, "who shows no token has no claims", cx);
    }
    if actor.principal.is_none() && actor.subject.is_none() && actor.anonymous.is_none() {
        let message = "this caller says nothing about who it is";
        cx.sink.push(
            Diagnostic::new(&codes::MISSING_KEY, map.blame, message)
                .help("write `principal`, or `issuer` with `subject`, or `anonymous: true`"),
        );
        sound = false;
    }
    let why = "a subject is known only together with its issuer";
    sound & map.needs("subject", "issuer", why, cx) & is_true(actor.anonymous, "anonymous", cx)
}

fn check_caller(caller: &Caller, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = check_actor(&caller.actor, map, cx);
    for key in ["on_behalf_of", "token_permissions", "token_id"] {
        sound &= map.exclusive("anonymous", key, "who shows no token has no claims", cx);
    }
    sound
}

fn is_true(flag: Option<Spanned<bool>>, key: &str, cx: &mut Reader<'_>) -> bool {
    let Some(flag) = flag.filter(|flag| !flag.value) else {
        return true;
    };
    let message = format!("`{key}: false` says nothing");
    cx.sink
        .push(Diagnostic::new(&codes::BAD_VALUE, flag.span, message).help("remove the key"));
    false
}

fn check_matrix(matrix: &Matrix, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let callers: Vec<_> = matrix.callers.keys().map(Text::as_str).collect();
    let calls: Vec<_> = matrix.calls.keys().map(Text::as_str).collect();
    let blame = map.pair("expect").map_or(map.blame, |pair| pair.key.span);
    let mut sound = table::check(&matrix.expect, &callers, &calls, blame, cx);
    for entry in matrix.others.values() {
        if !callers.contains(&entry.name.value.as_str()) {
            unknown_caller(&entry.name, &callers, cx);
            sound = false;
        }
    }
    sound
}

fn unknown_caller(name: &Spanned<Text>, callers: &[&str], cx: &mut Reader<'_>) {
    let message = format!("`{}` is not a caller of this matrix", name.value);
    cx.sink.push(
        Diagnostic::new(&codes::BAD_EXPECT_TABLE, name.span, message).did_you_mean(
            name,
            name.span,
            callers.iter().copied(),
        ),
    );
}

impl Matrix {
    /// The expected outcome of a call by a caller, and where it stands.
    pub fn expected(&self, call: &str, caller: &str) -> Option<&Spanned<Text>> {
        self.expect.cell(call, caller)
    }

    /// Where the whole table stands.
    pub fn table_span(&self) -> Span {
        self.expect.text.span
    }
}

impl Shape for Table {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        Prose::read(node, cx).and_then(|text| table::read(text, cx))
    }

    fn stand_in(span: Span) -> Option<Self> {
        Some(Self {
            text: Prose::empty(span),
            header: Vec::new(),
            rows: Vec::new(),
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}
