//! How entries speak of each other: scopes, subjects, surfaces.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::collection::List;
use crate::syntax::node::{Node, Value};
use crate::syntax::scalar::{Label, Problem, Scalar, SurfaceName, choice};
use crate::syntax::shape::{Reader, Shape, record, wrong_type};

choice! {
    /// What a caller is.
    pub enum PrincipalType: "type" {
        /// A person.
        Human = "human",
        /// A program with a fixed task.
        Service = "service",
        /// A program that decides for itself what to call.
        Agent = "agent",
    }
}

choice! {
    /// What a call can do.
    pub enum Risk: "risk" {
        /// It changes nothing.
        Read = "read",
        /// It changes what can be changed back.
        Write = "write",
        /// It destroys or cannot be undone.
        Destructive = "destructive",
    }
}

/// A place in the scope tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ScopePath {
    /// `platform`: everything.
    Platform,
    /// An organization.
    Organization(String),
    /// A team of an organization.
    Team(String, String),
}

impl fmt::Display for ScopePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Organization(organization) => f.write_str(organization),
            Self::Team(organization, team) => write!(f, "{organization}/{team}"),
        }
    }
}

impl Scalar for ScopePath {
    const WANTED: &'static str = "a scope";

    fn parse(text: &str) -> Result<Self, Problem> {
        let name = |text: &str| {
            Label::parse(text).map_err(|_| {
                Problem::name(format!(
                    "`{text}` is not the name of an organization or team"
                ))
                .help("a scope is `platform`, an organization, or `organization/team`")
            })
        };
        if text == "platform" {
            return Ok(Self::Platform);
        }
        match text.split_once('/') {
            None => Ok(Self::Organization(name(text)?.to_string())),
            Some((organization, team)) => Ok(Self::Team(
                name(organization)?.to_string(),
                name(team)?.to_string(),
            )),
        }
    }

    fn schema() -> Json {
        let pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$";
        json!({ "type": "string", "pattern": pattern })
    }
}

/// Whom a binding or rule speaks of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    /// One principal, by name.
    Principal(String),
    /// `group:<name>`.
    Group(String),
    /// `type:<type>`.
    Type(PrincipalType),
    /// `tag:<tag>`.
    Tag(String),
    /// `everyone`; rules only.
    Everyone,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(name) => f.write_str(name),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Type(kind) => write!(f, "type:{}", kind.text()),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
            Self::Everyone => f.write_str("everyone"),
        }
    }
}

impl Scalar for Who {
    const WANTED: &'static str = "a principal, `group:`, `type:`, `tag:` or `everyone`";

    fn parse(text: &str) -> Result<Self, Problem> {
        let Some((kind, name)) = text.split_once(':') else {
            return match text {
                "everyone" => Ok(Self::Everyone),
                _ => Ok(Self::Principal(Label::parse(text)?.to_string())),
            };
        };
        match kind {
            "group" => Ok(Self::Group(Label::parse(name)?.to_string())),
            "tag" => Ok(Self::Tag(Label::parse(name)?.to_string())),
            "type" => {
                let problem = |problem: Problem| Problem {
                    known: &[],
                    ..problem
                };
                Ok(Self::Type(PrincipalType::parse(name).map_err(problem)?))
            }
            _ => Err(Problem::value(format!("`{kind}:` is no kind of subject"))
                .help("write a principal's name, `group:<name>`, `type:<type>` or `tag:<tag>`")),
        }
    }
}

/// A surface of a server, or one operation of it: `tool` or `tool:operation`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SurfaceRef {
    /// The name of the surface.
    pub name: String,
    /// The operation, if one is named.
    pub operation: Option<String>,
}

impl fmt::Display for SurfaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            None => f.write_str(&self.name),
            Some(operation) => write!(f, "{}:{operation}", self.name),
        }
    }
}

impl Scalar for SurfaceRef {
    const WANTED: &'static str = "the name of a surface";

    fn parse(text: &str) -> Result<Self, Problem> {
        let (name, operation) = match text.split_once(':') {
            None => (text, None),
            Some((_, "")) => {
                return Err(Problem::name(format!("`{text}` names no operation"))
                    .help("write the operation after the colon, or no colon"));
            }
            Some((name, operation)) => (name, Some(operation.to_owned())),
        };
        Ok(Self {
            name: SurfaceName::parse(name)?.to_string(),
            operation,
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}(:.+)?$" })
    }
}

/// Which surfaces of one server a role or rule covers.
#[derive(Clone, Debug)]
pub enum Selector {
    /// These.
    Names(List<Spanned<SurfaceRef>>),
    /// All with one of these risks.
    Risk(ByRisk),
    /// `"*"`: all.
    All(Span),
}

record! {
    /// All surfaces of a server with one of these risks.
    pub struct ByRisk: "selector" {
        /// The risks.
        risk "risk": List<Spanned<Risk>>;
    }
}

impl Shape for Selector {
    fn read(node: &Node, cx: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::List(_) => List::read(node, cx).map(Self::Names),
            Value::Map(_) => ByRisk::read(node, cx).map(Self::Risk),
            Value::Text(text, _) if text == "*" => Some(Self::All(node.span)),
            Value::Text(text, _) => {
                let message = format!("`{text}` does not say which surfaces");
                cx.sink.push(
                    Diagnostic::new(&codes::BAD_VALUE, node.span, message).help(format!(
                        "write a list, `[{text}]`, or `{{risk: [read]}}`, or \"*\""
                    )),
                );
                None
            }
            _ => wrong_type(node, "a list of surfaces, `{risk: [...]}` or \"*\"", cx),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            List::<Spanned<SurfaceRef>>::schema(), ByRisk::schema(), { "const": "*" },
        ] })
    }
}
