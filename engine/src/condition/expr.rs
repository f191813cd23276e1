//! A parsed condition: what the author wrote, with a span on every node.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use super::{Comparison, Network, Root, Value, address_number, problem::Span};

/// A condition or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// Where it stands, without parentheses around it.
    pub span: Span,
    /// What it says.
    pub kind: ExprKind,
}

/// What an expression says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// `true` or `false`.
    Constant(bool),
    /// `!x`
    Not(Box<Expr>),
    /// `a && b && c`; at least two.
    And(Vec<Expr>),
    /// `a || b || c`; at least two.
    Or(Vec<Expr>),
    /// `has(x.y)`
    Has(Path),
    /// A boolean attribute by itself.
    Truth(Path),
    /// `a == b` and its kin.
    Compare(Operand, Operator, Operand),
    /// `x in ["a", "b"]`; not empty.
    OneOf(Path, Vec<Literal>),
    /// `"x" in y`: an element of a list, or the presence of an object's member.
    Within(Literal, Path),
    /// `x.startsWith("..")` and its kin.
    Text(Path, TextTest, Literal),
    /// `cidr("..").containsIP(x)`
    Contains(Cidr, Path),
    /// `schedule.x`: the request comes within a window of this schedule.
    Schedule(Member),
    /// `list.all(e, body)` or `list.exists(e, body)`.
    Quantifier {
        /// `all` rather than `exists`.
        every: bool,
        /// The list.
        list: Path,
        /// The name of the element.
        variable: String,
        /// What is asked of the element.
        body: Box<Expr>,
    },
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// An attribute.
    Path(Path),
    /// `size(x)`, also written `x.size()`.
    Size(Path, Span),
    /// A literal.
    Literal(Literal),
}

/// A comparison as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `!=`
    NotEqual,
    /// Any other.
    Is(Comparison),
}

/// Which test of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    /// `startsWith`
    StartsWith,
    /// `endsWith`
    EndsWith,
    /// `contains`
    Contains,
    /// `matches`
    Matches,
}

/// A variable and the members that are selected from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Where it stands.
    pub span: Span,
    /// The variable.
    pub variable: Variable,
    /// Members, outermost first.
    pub members: Vec<Member>,
}

/// What a path starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `principal`, `subject`, `args`, `scope` or `request`.
    Root(Root),
    /// The element of the enclosing `all` or `exists`.
    Element(String),
}

/// One selected member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where the name stands; for `["x"]` with its quotes.
    pub span: Span,
}

/// The variable whose members are the declared schedules.
pub const SCHEDULE: &str = "schedule";

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Where it stands.
    pub span: Span,
    /// Its value.
    pub value: Value,
}

/// A block of addresses, as `cidr("..")` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Where the text stands.
    pub span: Span,
    /// The first address of the block.
    pub address: IpAddr,
    /// How many leading bits are fixed.
    pub prefix: u8,
}

impl Root {
    /// The variable's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Subject => "subject",
            Self::Args => "args",
            Self::Scope => "scope",
            Self::Request => "request",
        }
    }

    /// The variable with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Principal,
            Self::Subject,
            Self::Args,
            Self::Scope,
            Self::Request,
        ]
        .into_iter()
        .find(|root| root.as_str() == word)
    }
}

impl TextTest {
    /// The function's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Contains => "contains",
            Self::Matches => "matches",
        }
    }
}

impl Operator {
    /// The operator as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotEqual => "!=",
            Self::Is(Comparison::Equal) => "==",
            Self::Is(Comparison::Less) => "<",
            Self::Is(Comparison::LessOrEqual) => "<=",
            Self::Is(Comparison::Greater) => ">",
            Self::Is(Comparison::GreaterOrEqual) => ">=",
        }
    }
}

impl Cidr {
    /// The block on the line of all addresses.
    #[must_use]
    pub fn network(&self) -> Network {
        let first = address_number(self.address);
        let host_bits = match self.address {
            IpAddr::V4(_) => 32_u8.saturating_sub(self.prefix),
            IpAddr::V6(_) => 128_u8.saturating_sub(self.prefix),
        };
        let hosts = u128::MAX
            .checked_shr(128 - u32::from(host_bits))
            .unwrap_or(0);
        Network {
            first: first & !hosts,
            last: first | hosts,
        }
    }
}

impl Expr {
    /// The names of the schedules that it asks for.
    pub fn schedules(&self) -> Vec<&str> {
        match &self.kind {
            ExprKind::Schedule(name) => vec![&name.name],
            ExprKind::Not(inner) => inner.schedules(),
            ExprKind::And(parts) | ExprKind::Or(parts) => {
                parts.iter().flat_map(Self::schedules).collect()
            }
            // An element of a list has none.
            _ => Vec::new(),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Constant(value) => write!(f, "{value}"),
            ExprKind::Not(inner) => write!(f, "!{}", Part(inner, Level::Unary)),
            ExprKind::And(parts) => join(f, parts, " && ", Level::And),
            ExprKind::Or(parts) => join(f, parts, " || ", Level::Or),
            ExprKind::Has(path) => write!(f, "has({path})"),
            ExprKind::Truth(path) => write!(f, "{path}"),
            ExprKind::Compare(left, operator, right) => {
                write!(f, "{left} {} {right}", operator.as_str())
            }
            ExprKind::OneOf(path, values) => {
                write!(f, "{path} in [")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            ExprKind::Within(value, path) => write!(f, "{value} in {path}"),
            ExprKind::Text(path, function, text) => {
                write!(f, "{path}.{}({text})", function.as_str())
            }
            ExprKind::Contains(cidr, path) => {
                let (address, prefix) = (cidr.address, cidr.prefix);
                write!(f, "cidr(\"{address}/{prefix}\").containsIP({path})")
            }
            ExprKind::Schedule(name) => write!(f, "{SCHEDULE}{name}"),
            ExprKind::Quantifier {
                every,
                list,
                variable,
                body,
            } => {
                let name = if *every { "all" } else { "exists" };
                write!(f, "{list}.{name}({variable}, {body})")
            }
        }
    }
}

/// How tightly the operator around a part binds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Or,
    And,
    Unary,
}

/// A part of an expression, in parentheses where its surroundings need them.
struct Part<'a>(&'a Expr, Level);

impl Display for Part<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let alone = match self.0.kind {
            ExprKind::Or(_) => false,
            ExprKind::And(_) => self.1 == Level::Or,
            ExprKind::Compare(..) | ExprKind::OneOf(..) | ExprKind::Within(..) => {
                self.1 != Level::Unary
            }
            _ => true,
        };
        if alone {
            write!(f, "{}", self.0)
        } else {
            write!(f, "({})", self.0)
        }
    }
}

fn join(f: &mut Formatter<'_>, parts: &[Expr], operator: &str, level: Level) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        let before = if at == 0 { "" } else { operator };
        write!(f, "{before}{}", Part(part, level))?;
    }
    Ok(())
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path}"),
            Self::Size(path, _) => write!(f, "size({path})"),
            Self::Literal(literal) => write!(f, "{literal}"),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.variable {
            Variable::Root(root) => f.write_str(root.as_str())?,
            Variable::Element(name) => f.write_str(name)?,
        }
        self.members
            .iter()
            .try_for_each(|member| write!(f, "{member}"))
    }
}

impl Display for Member {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_plain(&self.name) {
            write!(f, ".{}", self.name)
        } else {
            write!(f, "[{}]", Quoted(&self.name))
        }
    }
}

/// Whether a member can be selected with a dot.
pub(super) fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !matches!(name, "in" | "true" | "false" | "null")
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{}", Quoted(text)),
            Value::Time(time) => write!(f, "timestamp(\"{time}\")"),
        }
    }
}

/// A text as a literal.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for next in self.0.chars() {
            match next {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                next if next.is_control() => write!(f, "\\u{:04x}", u32::from(next))?,
                next => write!(f, "{next}")?,
            }
        }
        f.write_str("\"")
    }
}
