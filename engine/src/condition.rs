//! Conditions: `when:` from CEL text to formulas that are evaluated, stored and analysed.
//!
//! `parse` gives an expression with exact spans, `check` types it against the attributes that may
//! be read, `lower` turns it into negation normal form in the arena of an
//! [`Index`](crate::index::Index). In that form strong Kleene logic, collapsed at the root, is plain
//! boolean evaluation with one default for each undetermined literal (design review 1.1, S1).

pub mod canonical;
pub mod check;
pub mod eval;
pub mod expr;
mod lex;
pub mod lower;
pub mod parse;
pub mod pattern;
pub mod problem;
pub mod schedule;
pub mod shape;
mod subset;

pub use self::{
    canonical::{is_canonical, is_condition},
    check::{Typed, check, check_everywhere},
    eval::{Defaults, Facts, Program},
    expr::Expr,
    lower::{Arena, Lowered},
    parse::parse,
    problem::{Problem, ProblemKind, Span},
    schedule::Schedule,
    shape::{Environment, Kind, Shape},
};

use std::net::IpAddr;

use crate::{
    decimal::Decimal,
    id::{AttributeId, FormulaId},
    time::Time,
};

/// Where an attribute comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The current actor.
    Principal,
    /// The last of the chain: the one acted for, or the actor itself.
    Subject,
    /// The arguments of the call.
    Args,
    /// The scope that the call is decided in.
    Scope,
    /// Facts of the request: `time`, `ip`.
    Request,
}

/// One step of an attribute's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A member by name.
    Field(String),
    /// Each element of a list.
    Each,
}

/// An attribute that a condition reads, such as `args.branch` or `args.files[*].path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// Where it comes from.
    pub root: Root,
    /// The way from there; never empty.
    pub path: Vec<Segment>,
}

/// A literal value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A text.
    Text(String),
    /// A point in time.
    Time(Time),
}

/// How two ordered values compare; `!=` is a negated `Equal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A block of addresses; IPv4 is held as its mapped IPv6 form, so that one order serves both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The first address, host bits zero.
    pub first: u128,
    /// The last address.
    pub last: u128,
}

/// An address on the one ordered line that [`Network`] uses.
#[must_use]
pub fn address_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// One test on one attribute (two for `Same`). Inside a quantifier the attribute names each
/// element's field, by a path with [`Segment::Each`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// `has(x)`, or `"x" in args`.
    Present(AttributeId),
    /// A boolean attribute by itself.
    True(AttributeId),
    /// A comparison with a literal.
    Compare(AttributeId, Comparison, Value),
    /// `x in [..]`; sorted, distinct, of one type.
    In(AttributeId, Vec<Value>),
    /// `"v" in x`, where `x` is a list.
    Member(AttributeId, Value),
    /// `x.startsWith("..")`
    StartsWith(AttributeId, String),
    /// `x.endsWith("..")`
    EndsWith(AttributeId, String),
    /// `x.contains("..")`
    Contains(AttributeId, String),
    /// `x.matches("^..$")`; the pattern as text, ASCII classes only.
    Matches(AttributeId, String),
    /// `size(x)` compared: code points of a text, elements of a list.
    Size(AttributeId, Comparison, u64),
    /// `cidr("..").containsIP(x)`
    Network(AttributeId, Network),
    /// `x == y` between two text attributes, the lower id first.
    Same(AttributeId, AttributeId),
    /// `schedule.x`: the time of the request lies in a window of a schedule.
    During(AttributeId, Schedule),
}

/// A node of the arena: negation normal form, children before parents, no two nodes equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Formula {
    /// Always or never.
    Constant(bool),
    /// All hold; sorted, distinct, at least two.
    All(Vec<FormulaId>),
    /// At least one holds; sorted, distinct, at least two.
    Any(Vec<FormulaId>),
    /// A test, or its negation.
    Literal {
        /// What is tested.
        test: Test,
        /// Whether it must fail.
        negated: bool,
    },
    /// `list.all(e, body)`: the body holds for every element.
    Every(AttributeId, FormulaId),
    /// `list.exists(e, body)`: the body holds for at least one element.
    Some(AttributeId, FormulaId),
}

#[cfg(test)]
mod tests;
