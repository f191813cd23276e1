//! Types: whether a condition can be evaluated on every valid call, and what it reads.
//!
//! An attribute that may be absent may be read only where its presence is established: to the
//! right of `has(x) &&` or `!has(x) ||`, at any depth. So a condition that passes has a value on
//! every call that argument validation accepts, and the defaults of evaluation are a backstop.

use std::collections::BTreeSet;

use super::{
    Attribute, Segment, Test, Value,
    expr::{Expr, ExprKind, Path, Quoted, is_plain},
    problem::{Problem, ProblemKind, Span},
    shape::{Environment, Kind, Shape},
};
use crate::id::AttributeId;

mod resolve;
mod test;

/// A condition that was checked: tests on attributes, ready to be lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    attributes: Vec<Attribute>,
    node: Node,
}

/// A node of a checked condition; ids are positions in its own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Constant(bool),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Test(Test),
    Quantifier {
        every: bool,
        list: AttributeId,
        body: Box<Node>,
    },
}

impl Typed {
    /// The attributes that it reads, in the order in which it names them; distinct.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }
}

/// Checks a condition against what may be read on one surface, and lists all that is wrong.
///
/// The fix of a [`ProblemKind::MayBeAbsent`] makes the condition false where the attribute is
/// absent. In a binding that is what it means without the fix, too; in a rule it is a choice.
pub fn check(expr: &Expr, environment: &Environment) -> Result<Typed, Vec<Problem>> {
    let mut checker = Checker {
        environment,
        attributes: Vec::new(),
        problems: Vec::new(),
        element: None,
        negation: Negation::default(),
    };
    let node = checker.condition(expr, &Present::new());
    match node {
        Some(node) if checker.problems.is_empty() => Ok(Typed {
            attributes: checker.attributes,
            node,
        }),
        _ => Err(checker.problems),
    }
}

/// Checks a condition that is for several surfaces against each, which must all agree on what it
/// means. Problems come with the position of the surface; at least one surface is needed.
pub fn check_everywhere(
    expr: &Expr,
    environments: &[Environment],
) -> Result<Typed, Vec<(usize, Problem)>> {
    let mut agreed: Option<Typed> = None;
    let mut problems = Vec::new();
    for (at, environment) in environments.iter().enumerate() {
        match check(expr, environment) {
            Err(found) => problems.extend(found.into_iter().map(|problem| (at, problem))),
            Ok(typed) if agreed.as_ref().is_some_and(|agreed| *agreed != typed) => {
                let problem = Problem::new(
                    ProblemKind::Ambiguous,
                    expr.span,
                    "this condition does not mean the same on every surface that it is for",
                    "write one rule or binding for each type of the attribute",
                );
                problems.push((at, problem));
            }
            Ok(typed) => agreed = agreed.or(Some(typed)),
        }
    }
    match agreed {
        Some(typed) if problems.is_empty() => Ok(typed),
        None if problems.is_empty() => Err(vec![(
            0,
            Problem::new(
                ProblemKind::Type,
                expr.span,
                "this condition is for no surface",
                "select at least one surface",
            ),
        )]),
        _ => Err(problems),
    }
}

/// Attributes that are known to be present.
type Present = BTreeSet<Attribute>;

/// A checked node, and what its value says of presence.
struct Outcome {
    node: Option<Node>,
    /// Present where the node is true.
    when_true: Present,
    /// Present where the node is false.
    when_false: Present,
}

struct Checker<'a> {
    environment: &'a Environment,
    attributes: Vec<Attribute>,
    problems: Vec<Problem>,
    element: Option<Element<'a>>,
    negation: Negation,
}

/// The variable of the enclosing quantifier.
#[derive(Clone)]
struct Element<'a> {
    /// The list's elements: its path, and [`Segment::Each`].
    attribute: Attribute,
    shape: &'a Shape,
    /// The list, as it is written.
    list: String,
}

/// The negations around what is being checked.
#[derive(Debug, Clone, Copy, Default)]
struct Negation {
    /// Where the outermost one within the quantifier's body, if any, begins.
    start: Option<usize>,
    /// Whether the body as a whole is negated.
    outside: bool,
    /// Whether what is being checked is negated.
    odd: bool,
}

impl Checker<'_> {
    fn condition(&mut self, expr: &Expr, present: &Present) -> Option<Node> {
        self.outcome(expr, present).node
    }

    fn outcome(&mut self, expr: &Expr, present: &Present) -> Outcome {
        match &expr.kind {
            ExprKind::Constant(value) => Outcome::plain(Some(Node::Constant(*value))),
            ExprKind::Not(inner) => {
                let around = self.negation;
                self.negation.start = around.start.or(Some(expr.span.start));
                self.negation.odd = !around.odd;
                let inner = self.outcome(inner, present);
                self.negation = around;
                Outcome {
                    node: inner.node.map(|node| Node::Not(Box::new(node))),
                    when_true: inner.when_false,
                    when_false: inner.when_true,
                }
            }
            ExprKind::And(parts) => self.join(parts, present, true),
            ExprKind::Or(parts) => self.join(parts, present, false),
            ExprKind::Quantifier {
                every, list, body, ..
            } => Outcome::plain(self.quantifier(expr.span, *every, list, body, present)),
            _ => self.test(expr, present),
        }
    }

    /// Parts of an `&&`, or of an `||`: each may rely on those before it.
    fn join(&mut self, parts: &[Expr], present: &Present, and: bool) -> Outcome {
        let mut known = present.clone();
        let mut nodes = Some(Vec::new());
        let mut gained = Present::new();
        let mut shared: Option<Present> = None;
        for part in parts {
            let outcome = self.outcome(part, &known);
            let (passed, stopped) = if and {
                (outcome.when_true, outcome.when_false)
            } else {
                (outcome.when_false, outcome.when_true)
            };
            known.extend(passed.iter().cloned());
            gained.extend(passed);
            shared = Some(match shared {
                None => stopped,
                Some(shared) => shared.intersection(&stopped).cloned().collect(),
            });
            nodes = nodes.zip(outcome.node).map(|(mut nodes, node)| {
                nodes.push(node);
                nodes
            });
        }
        let shared = shared.unwrap_or_default();
        if and {
            Outcome {
                node: nodes.map(Node::All),
                when_true: gained,
                when_false: shared,
            }
        } else {
            Outcome {
                node: nodes.map(Node::Any),
                when_true: shared,
                when_false: gained,
            }
        }
    }

    fn quantifier(
        &mut self,
        span: Span,
        every: bool,
        list: &Path,
        body: &Expr,
        present: &Present,
    ) -> Option<Node> {
        let (attribute, shape) = self.read(span, list, present)?;
        let items = match shape.kind {
            Kind::List => shape.items.as_deref(),
            kind => return self.mistyped(list, kind, "`all` and `exists` are asked of a list"),
        };
        let Some(items) = items else {
            return self.untyped(list.span, &format!("the elements of `{list}`"));
        };
        let list_id = self.id(attribute.clone());
        let mut elements = attribute;
        elements.path.push(Segment::Each);
        let around = self.negation;
        self.negation = Negation {
            outside: around.odd,
            ..Negation::default()
        };
        self.element = Some(Element {
            attribute: elements,
            shape: items,
            list: list.to_string(),
        });
        let body = self.condition(body, present);
        self.element = None;
        self.negation = around;
        Some(Node::Quantifier {
            every,
            list: list_id,
            body: Box::new(body?),
        })
    }

    /// The position of an attribute among those that are read.
    fn id(&mut self, attribute: Attribute) -> AttributeId {
        let known = self.attributes.iter().position(|known| *known == attribute);
        let at = known.unwrap_or_else(|| {
            self.attributes.push(attribute);
            self.attributes.len() - 1
        });
        AttributeId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    fn mistyped<T>(&mut self, path: &Path, kind: Kind, needed: &str) -> Option<T> {
        let help = usable(kind, path);
        self.problem(
            ProblemKind::Type,
            path.span,
            format!("{needed}, and `{path}` is {}", kind.describe()),
            help,
        )
    }

    fn untyped<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.problem(
            ProblemKind::Untyped,
            span,
            format!("the schema gives {what} no single type"),
            "ask for its presence only, or give the surface an `input` schema with one type",
        )
    }

    fn problem<T>(
        &mut self,
        kind: ProblemKind,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.problems.push(Problem::new(kind, span, message, help));
        None
    }
}

impl Outcome {
    /// A node that says nothing of presence.
    fn plain(node: Option<Node>) -> Self {
        Self {
            node,
            when_true: Present::new(),
            when_false: Present::new(),
        }
    }
}

/// How presence is asked for.
fn presence(path: &Path) -> String {
    match path.members.split_last() {
        Some((last, before)) if !is_plain(&last.name) => {
            let parent = Path {
                members: before.to_vec(),
                ..path.clone()
            };
            format!("{} in {parent}", Quoted(&last.name))
        }
        _ => format!("has({path})"),
    }
}

/// What can be asked of an attribute of this type.
fn usable(kind: Kind, path: &Path) -> String {
    match kind {
        Kind::Any => format!("ask for its presence: `{}`", presence(path)),
        Kind::Bool => format!("write `{path}` or `!{path}`"),
        Kind::Number => format!("compare it with a number: `{path} <= 100`"),
        Kind::Text => format!("compare it with a text: `{path} == \"...\"`"),
        Kind::Time => format!("compare it: `{path} < timestamp(\"2026-12-01T10:00:00Z\")`"),
        Kind::Address => format!("write `cidr(\"10.0.0.0/8\").containsIP({path})`"),
        Kind::List => format!("write `\"...\" in {path}`, or ask `all` or `exists` of it"),
        Kind::Object => format!("test one of its members: `{path}.name`"),
        Kind::Names => format!("write `\"...\" in {path}`"),
    }
}

impl Kind {
    /// The type, with its article.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Any => "of no single type",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::Address => "an address",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Names => "a set of names",
        }
    }

    /// The type of a literal.
    const fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::Text(_) => Self::Text,
            Value::Time(_) => Self::Time,
        }
    }
}

#[cfg(test)]
mod tests;
