//! Evaluation: one pass over the arena, without allocation.
//!
//! Formulas are in negation normal form, so every connective is monotone in its literals, and
//! strong Kleene logic collapsed at the root is plain boolean logic in which each literal without a
//! value takes one default.

use std::cmp::Ordering;

use regex::Regex;

use super::{Attribute, Comparison, Formula, Test, Value, address_number, pattern};
use crate::{
    decision::Trace,
    id::{AttributeId, FormulaId},
    slot::Slot,
};

/// What a literal counts as when it has no value of its own. Negation does not change it.
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
    nodes: Vec<Node>,
}

/// A formula with its pattern compiled.
#[derive(Debug)]
struct Node {
    formula: Formula,
    /// Of a literal that is a `Matches`.
    pattern: Option<Box<Regex>>,
}

impl Program {
    /// Prepares formulas that [`is_canonical`](super::canonical::is_canonical) accepts; the error
    /// says what is wrong with them.
    pub fn compile(attributes: &[Attribute], formulas: &[Formula]) -> Result<Self, &'static str> {
        super::is_canonical(attributes, formulas)?;
        let mut nodes = Vec::with_capacity(formulas.len());
        for formula in formulas {
            let pattern = match formula {
                Formula::Literal {
                    test: Test::Matches(_, text),
                    ..
                } => match pattern::compile(text) {
                    Ok(regex) => Some(Box::new(regex)),
                    Err(_) => return Err("a pattern that conditions do not allow"),
                },
                _ => None,
            };
            nodes.push(Node {
                formula: formula.clone(),
                pattern,
            });
        }
        Ok(Self { nodes })
    }

    /// Whether a formula holds. An id that is not in the arena counts as undetermined.
    ///
    /// A trace that collects learns which attributes made the result undetermined. One that is
    /// undetermined where it does not matter, as behind `has()`, is not reported.
    pub fn holds(
        &self,
        formula: FormulaId,
        facts: &impl Facts,
        defaults: Defaults,
        trace: &mut impl Trace,
    ) -> bool {
        let pass = Pass {
            program: self,
            facts,
            defaults,
        };
        let holds = pass.formula(formula, None);
        report(&pass, formula, trace);
        holds
    }
}

/// Tells a collecting trace why a formula is undetermined, when it is.
fn report<F: Facts, T: Trace>(pass: &Pass<'_, F>, formula: FormulaId, trace: &mut T) {
    if T::FULL {
        pass.causes(formula, None, &mut |attribute| {
            trace.undetermined(attribute);
        });
    }
}

/// The value of a literal, before its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Known(bool),
    /// Because of this attribute.
    Undetermined(AttributeId),
    Unknown,
}

struct Pass<'a, F> {
    program: &'a Program,
    facts: &'a F,
    defaults: Defaults,
}

impl<F: Facts> Pass<'_, F> {
    /// Recursion is bounded: a canonical arena is at most
    /// [`MAX_HEIGHT`](super::canonical::MAX_HEIGHT) high.
    fn formula(&self, id: FormulaId, element: Option<usize>) -> bool {
        let Some(node) = self.program.nodes.get(id.index()) else {
            return self.defaults.undetermined;
        };
        match &node.formula {
            Formula::Constant(value) => *value,
            Formula::All(parts) => parts.iter().all(|part| self.formula(*part, element)),
            Formula::Any(parts) => parts.iter().any(|part| self.formula(*part, element)),
            Formula::Literal { test, negated } => {
                match self.test(test, node.pattern.as_deref(), element) {
                    Truth::Known(value) => value != *negated,
                    Truth::Unknown => self.defaults.unknown,
                    Truth::Undetermined(_) => self.defaults.undetermined,
                }
            }
            Formula::Every(list, body) => self.quantifier(*list, |count| {
                (0..count).all(|at| self.formula(*body, Some(at)))
            }),
            Formula::Some(list, body) => self.quantifier(*list, |count| {
                (0..count).any(|at| self.formula(*body, Some(at)))
            }),
        }
    }

    fn quantifier(&self, list: AttributeId, over: impl FnOnce(usize) -> bool) -> bool {
        match self.facts.slot(list) {
            Slot::List(elements) => over(elements.len()),
            Slot::Unknown => self.defaults.unknown,
            _ => self.defaults.undetermined,
        }
    }

    /// The attributes that make a formula undetermined; none when it has a value.
    fn causes(&self, id: FormulaId, element: Option<usize>, found: &mut impl FnMut(AttributeId)) {
        if self.with(false).formula(id, element) == self.with(true).formula(id, element) {
            return;
        }
        let Some(node) = self.program.nodes.get(id.index()) else {
            return;
        };
        match &node.formula {
            Formula::Constant(_) => {}
            Formula::All(parts) | Formula::Any(parts) => {
                for part in parts {
                    self.causes(*part, element, found);
                }
            }
            Formula::Literal { test, .. } => {
                let truth = self.test(test, node.pattern.as_deref(), element);
                if let Truth::Undetermined(attribute) = truth {
                    found(attribute);
                }
            }
            Formula::Every(list, body) | Formula::Some(list, body) => {
                match self.facts.slot(*list) {
                    Slot::List(elements) => {
                        for at in 0..elements.len() {
                            self.causes(*body, Some(at), found);
                        }
                    }
                    _ => found(*list),
                }
            }
        }
    }

    fn with(&self, undetermined: bool) -> Self {
        Self {
            program: self.program,
            facts: self.facts,
            defaults: Defaults {
                undetermined,
                ..self.defaults
            },
        }
    }

    fn test(&self, test: &Test, pattern: Option<&Regex>, element: Option<usize>) -> Truth {
        match test {
            Test::Present(attribute) => match self.slot(*attribute, element) {
                Slot::Absent => Truth::Known(false),
                Slot::Unknown => Truth::Unknown,
                _ => Truth::Known(true),
            },
            Test::Same(left, right) => self.same(*left, *right, element),
            Test::Member(list, Value::Text(name)) if element.is_none() => {
                match self.facts.member(*list, name) {
                    Some(value) => Truth::Known(value),
                    None => self.value(test, *list, pattern, element),
                }
            }
            Test::True(attribute)
            | Test::Compare(attribute, ..)
            | Test::In(attribute, _)
            | Test::Member(attribute, _)
            | Test::StartsWith(attribute, _)
            | Test::EndsWith(attribute, _)
            | Test::Contains(attribute, _)
            | Test::Matches(attribute, _)
            | Test::Size(attribute, ..)
            | Test::Network(attribute, _)
            | Test::During(attribute, _) => self.value(test, *attribute, pattern, element),
        }
    }

    /// A test that needs a value.
    fn value(
        &self,
        test: &Test,
        attribute: AttributeId,
        pattern: Option<&Regex>,
        element: Option<usize>,
    ) -> Truth {
        let slot = self.slot(attribute, element);
        if matches!(slot, Slot::Unknown) {
            return Truth::Unknown;
        }
        match (test, slot) {
            (Test::Member(_, value), Slot::List(elements)) => member(elements, value, attribute),
            _ => known(test, slot, pattern).map_or(Truth::Undetermined(attribute), Truth::Known),
        }
    }

    fn same(&self, left: AttributeId, right: AttributeId, element: Option<usize>) -> Truth {
        match (self.slot(left, element), self.slot(right, element)) {
            (Slot::Text(a), Slot::Text(b)) => Truth::Known(a == b),
            // What is undetermined stays so, whatever the unknown side turns out to be.
            (Slot::Unknown | Slot::Text(_), Slot::Unknown) | (Slot::Unknown, Slot::Text(_)) => {
                Truth::Unknown
            }
            (Slot::Unknown | Slot::Text(_), _) => Truth::Undetermined(right),
            _ => Truth::Undetermined(left),
        }
    }

    /// The slot of an attribute; inside a quantifier, of its element.
    fn slot(&self, attribute: AttributeId, element: Option<usize>) -> Slot<'_> {
        match (self.facts.slot(attribute), element) {
            (Slot::List(column), Some(at)) => column.get(at).copied().unwrap_or(Slot::Opaque),
            (slot, _) => slot,
        }
    }
}

/// A test on a value of its type; `None` on any other.
fn known(asked: &Test, slot: Slot<'_>, pattern: Option<&Regex>) -> Option<bool> {
    match (asked, slot) {
        (Test::True(_), Slot::Bool(value)) => Some(value),
        (Test::Compare(_, comparison, value), slot) => {
            order(slot, value).map(|order| comparison.accepts(order))
        }
        (Test::In(_, values), slot) => one_of(slot, values),
        (Test::StartsWith(_, prefix), Slot::Text(text)) => Some(text.starts_with(prefix.as_str())),
        (Test::EndsWith(_, suffix), Slot::Text(text)) => Some(text.ends_with(suffix.as_str())),
        (Test::Contains(_, part), Slot::Text(text)) => Some(text.contains(part.as_str())),
        (Test::Matches(..), Slot::Text(text)) => pattern.map(|regex| regex.is_match(text)),
        (Test::Size(_, comparison, size), slot) => {
            let count = match slot {
                Slot::Text(text) => text.chars().count(),
                Slot::List(elements) => elements.len(),
                _ => return None,
            };
            Some(comparison.accepts((count as u64).cmp(size)))
        }
        (Test::Network(_, network), Slot::Address(address)) => {
            Some((network.first..=network.last).contains(&address_number(address)))
        }
        (Test::During(_, schedule), Slot::Time(now)) => schedule.is_on(now),
        _ => None,
    }
}

/// How a slot stands to a value of its own type; `None` for different types.
fn order(slot: Slot<'_>, value: &Value) -> Option<Ordering> {
    match (slot, value) {
        (Slot::Bool(slot), Value::Bool(value)) => Some(slot.cmp(value)),
        (Slot::Number(slot), Value::Number(value)) => Some(slot.cmp(value)),
        (Slot::Text(slot), Value::Text(value)) => Some(slot.cmp(value.as_str())),
        (Slot::Time(slot), Value::Time(value)) => Some(slot.cmp(value)),
        _ => None,
    }
}

/// Whether a value is among values of one type, which are sorted.
fn one_of(slot: Slot<'_>, values: &[Value]) -> Option<bool> {
    order(slot, values.first()?)?;
    let found = values.binary_search_by(|value| {
        // All are of one type, so the comparison is always there.
        order(slot, value).map_or(Ordering::Less, Ordering::reverse)
    });
    Some(found.is_ok())
}

/// Kleene's `exists(e, e == value)`.
fn member(elements: &[Slot<'_>], value: &Value, list: AttributeId) -> Truth {
    let mut truth = Truth::Known(false);
    for element in elements {
        match order(*element, value) {
            Some(Ordering::Equal) => return Truth::Known(true),
            Some(_) => {}
            None if matches!(element, Slot::Unknown) => {
                if truth == Truth::Known(false) {
                    truth = Truth::Unknown;
                }
            }
            None => truth = Truth::Undetermined(list),
        }
    }
    truth
}

impl Comparison {
    /// Whether it holds for two values that stand in this order.
    #[must_use]
    pub const fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}
