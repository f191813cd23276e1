//! How entries speak of each other: scopes, subjects, surfaces.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, codes};
use crate::source::{Span, Spanned};
use crate::syntax::collection::List;
use crate::syntax::node::{Node, Value};
use crate::syntax::scalar::{Problem, Scalar, choice, label, surface_name};
use crate::syntax::shape::{Reader, Shape, record, wrong_type};
use crate::text::Text;

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

/// A place in the scope tree: `platform`, an organization, or `organization/team`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ScopePath(Text);

impl ScopePath {
    /// The organization, and the team of it that is meant; nothing for the platform.
    pub fn parts(&self) -> Option<(&str, Option<&str>)> {
        let whole = self.0.as_str();
        match whole.split_once('/') {
            Some((organization, team)) => Some((organization, Some(team))),
            None => (whole != PLATFORM).then_some((whole, None)),
        }
    }
}

/// The scope above all organizations.
const PLATFORM: &str = "platform";

impl fmt::Display for ScopePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for ScopePath {
    const WANTED: &'static str = "a scope";

    fn parse(text: &str) -> Result<Self, Problem> {
        Self::share(&Text::from(text))
    }

    fn share(text: &Text) -> Result<Self, Problem> {
        let path = Self(text.clone());
        let (organization, team) = match path.parts() {
            Some((organization, team)) => (Some(organization), team),
            None => (None, None),
        };
        for name in organization.into_iter().chain(team) {
            label(name).map_err(|_| {
                Problem::name(format!(
                    "`{name}` is not the name of an organization or team"
                ))
                .help("a scope is `platform`, an organization, or `organization/team`")
            })?;
        }
        Ok(path)
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
    Principal(Text),
    /// `group:<name>`.
    Group(Text),
    /// `type:<type>`.
    Type(PrincipalType),
    /// `tag:<tag>`.
    Tag(Text),
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
        Self::share(&Text::from(text))
    }

    fn share(text: &Text) -> Result<Self, Problem> {
        let Some((kind, name)) = text.split_once(':') else {
            return match text.as_str() {
                "everyone" => Ok(Self::Everyone),
                _ => label(text).map(|()| Self::Principal(text.clone())),
            };
        };
        match kind {
            "group" => label(name).map(|()| Self::Group(name.into())),
            "tag" => label(name).map(|()| Self::Tag(name.into())),
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
    pub name: Text,
    /// The operation, if one is named.
    pub operation: Option<Text>,
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
        Self::share(&Text::from(text))
    }

    fn share(text: &Text) -> Result<Self, Problem> {
        let (name, operation) = match text.split_once(':') {
            None => (text.clone(), None),
            Some((_, "")) => {
                return Err(Problem::name(format!("`{text}` names no operation"))
                    .help("write the operation after the colon, or no colon"));
            }
            Some((name, operation)) => (name.into(), Some(operation.into())),
        };
        surface_name(&name)?;
        Ok(Self { name, operation })
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
