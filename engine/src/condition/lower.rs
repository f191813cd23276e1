//! Lowering: checked conditions to the arena of an index.

use super::{Attribute, Formula, check::Typed};
use crate::id::FormulaId;

/// Builds an arena. Equal formulas are one node, whatever conditions they come from.
#[derive(Debug, Default)]
pub struct Arena {
    formulas: Vec<Formula>,
}

/// A finished arena in the one canonical order of its set of conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// All attributes that are read; sorted, distinct.
    pub attributes: Vec<Attribute>,
    /// All formulas, in canonical order.
    pub formulas: Vec<Formula>,
    remap: Vec<FormulaId>,
}

impl Arena {
    /// Adds a condition. The id holds until [`Arena::finish`]; translate it with
    /// [`Lowered::formula`].
    pub fn add(&mut self, _condition: &Typed) -> FormulaId {
        FormulaId(0)
    }

    /// Brings everything into canonical order, which depends on the set of conditions alone.
    #[must_use]
    pub fn finish(self) -> Lowered {
        Lowered {
            attributes: Vec::new(),
            formulas: self.formulas,
            remap: Vec::new(),
        }
    }
}

impl Lowered {
    /// The canonical id of a formula that [`Arena::add`] answered.
    #[must_use]
    pub fn formula(&self, added: FormulaId) -> Option<FormulaId> {
        self.remap.get(added.index()).copied()
    }
}
