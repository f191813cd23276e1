//! The parser: condition text to [`Expr`].

use super::{expr::Expr, problem::Problem};

/// The longest condition, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// The deepest nesting of parentheses, `!`, calls and quantifiers.
pub const MAX_DEPTH: usize = 32;

/// Parses a condition, and lists all that is wrong. Spans are offsets in this text.
pub fn parse(_text: &str) -> Result<Expr, Vec<Problem>> {
    Err(Vec::new())
}
