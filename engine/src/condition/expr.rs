//! A parsed condition: what the author wrote, with a span on every node.

use std::{
    fmt::{self, Display, Formatter, Write as _},
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
