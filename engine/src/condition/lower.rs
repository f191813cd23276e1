//! Lowering: checked conditions to the arena of an index.
//!
//! A condition is brought into negation normal form and simplified by laws that hold in strong
//! Kleene logic, so that its value is the same for defaults in every position; `x && !x`, which is
//! undetermined where `x` is, stays. Only then it enters the arena, so nothing unused gets in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Attribute, Comparison, Formula, Test, Value,
    check::{Node, Typed},
};
use crate::id::{AttributeId, FormulaId};

/// Builds an arena. Equal formulas are one node, whatever conditions they come from.
#[derive(Debug, Default)]
pub struct Arena {
    attributes: Vec<Attribute>,
    attribute_ids: HashMap<Attribute, AttributeId>,
    formulas: Vec<Formula>,
    formula_ids: HashMap<Formula, FormulaId>,
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
    pub fn add(&mut self, condition: &Typed) -> FormulaId {
        let normal = normalise(condition.node(), false);
        self.intern(&normal, condition.attributes())
    }

    /// Brings everything into canonical order, which depends on the set of conditions alone; see
    /// [`canonical`](super::canonical).
    #[must_use]
    pub fn finish(self) -> Lowered {
        let mut attributes = self.attributes.clone();
        attributes.sort_unstable();
        let attribute_map: Vec<AttributeId> = self
            .attributes
            .iter()
            .map(|attribute| AttributeId(id(attributes.binary_search(attribute).unwrap_or(0))))
            .collect();
        let mut levels: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, height) in heights(&self.formulas).into_iter().enumerate() {
            levels.entry(height).or_default().push(at);
        }
        let mut formulas = Vec::with_capacity(self.formulas.len());
        let mut remap = vec![FormulaId(0); self.formulas.len()];
        for positions in levels.into_values() {
            let mut level: Vec<(Formula, usize)> = positions
                .into_iter()
                .filter_map(|at| {
                    let formula = self.formulas.get(at)?;
                    Some((renumber(formula, &attribute_map, &remap), at))
                })
                .collect();
            level.sort_unstable();
            for (formula, at) in level {
                if let Some(new) = remap.get_mut(at) {
                    *new = FormulaId(id(formulas.len()));
                }
                formulas.push(formula);
            }
        }
        Lowered {
            attributes,
            formulas,
            remap,
        }
    }

    fn intern(&mut self, normal: &Normal, names: &[Attribute]) -> FormulaId {
        let formula = match normal {
            Normal::Constant(value) => Formula::Constant(*value),
            Normal::All(parts) => Formula::All(self.parts(parts, names)),
            Normal::Any(parts) => Formula::Any(self.parts(parts, names)),
            Normal::Literal { test, negated } => {
                let mut test = test.clone();
                rename(&mut test, &mut |local| self.attribute(local, names));
                Formula::Literal {
                    test,
                    negated: *negated,
                }
            }
            Normal::Quantifier { every, list, body } => {
                let list = self.attribute(*list, names);
                let body = self.intern(body, names);
                if *every {
                    Formula::Every(list, body)
                } else {
                    Formula::Some(list, body)
                }
            }
        };
        if let Some(known) = self.formula_ids.get(&formula) {
            return *known;
        }
        let new = FormulaId(id(self.formulas.len()));
        self.formulas.push(formula.clone());
        self.formula_ids.insert(formula, new);
        new
    }

    fn parts(&mut self, parts: &BTreeSet<Normal>, names: &[Attribute]) -> Vec<FormulaId> {
        let mut ids: Vec<FormulaId> = parts.iter().map(|part| self.intern(part, names)).collect();
        ids.sort_unstable();
        ids
    }

    fn attribute(&mut self, local: AttributeId, names: &[Attribute]) -> AttributeId {
        let Some(attribute) = names.get(local.index()) else {
            return local;
        };
        if let Some(known) = self.attribute_ids.get(attribute) {
            return *known;
        }
        let new = AttributeId(id(self.attributes.len()));
        self.attributes.push(attribute.clone());
        self.attribute_ids.insert(attribute.clone(), new);
        new
    }
}

impl Lowered {
    /// The canonical id of a formula that [`Arena::add`] answered.
    #[must_use]
    pub fn formula(&self, added: FormulaId) -> Option<FormulaId> {
        self.remap.get(added.index()).copied()
    }
}

/// Negation normal form with local attribute ids: no constant within, nothing nested in its own
/// kind, at least two distinct parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Normal {
    Constant(bool),
    All(BTreeSet<Normal>),
    Any(BTreeSet<Normal>),
    Literal {
        test: Test,
        negated: bool,
    },
    Quantifier {
        every: bool,
        list: AttributeId,
        body: Box<Normal>,
    },
}

fn normalise(node: &Node, negated: bool) -> Normal {
    match node {
        Node::Constant(value) => Normal::Constant(*value != negated),
        Node::Not(inner) => normalise(inner, !negated),
        Node::All(parts) => join(!negated, parts.iter().map(|part| normalise(part, negated))),
        Node::Any(parts) => join(negated, parts.iter().map(|part| normalise(part, negated))),
        Node::Test(test) => literal(test.clone(), negated),
        Node::Quantifier { every, list, body } => Normal::Quantifier {
            every: *every != negated,
            list: *list,
            body: Box::new(normalise(body, negated)),
        },
    }
}

/// The conjunction of parts, or their disjunction.
fn join(all: bool, parts: impl Iterator<Item = Normal>) -> Normal {
    let mut distinct = BTreeSet::new();
    for part in parts {
        match part {
            Normal::Constant(value) if value == all => {}
            Normal::Constant(value) => return Normal::Constant(value),
            Normal::All(inner) if all => distinct.extend(inner),
            Normal::Any(inner) if !all => distinct.extend(inner),
            part => {
                distinct.insert(part);
            }
        }
    }
    match (distinct.len(), all) {
        (0, _) => Normal::Constant(all),
        (1, _) => distinct.pop_first().unwrap_or(Normal::Constant(all)),
        (_, true) => Normal::All(distinct),
        (_, false) => Normal::Any(distinct),
    }
}

/// A literal in its one form: comparisons with booleans are the boolean, lists of one value are
/// comparisons, orderings are not negated.
fn literal(test: Test, negated: bool) -> Normal {
    let (test, negated) = match test {
        Test::Compare(attribute, _, Value::Bool(value)) => {
            (Test::True(attribute), negated == value)
        }
        Test::Compare(attribute, comparison, value) if negated => {
            let (comparison, negated) = negate(comparison);
            (Test::Compare(attribute, comparison, value), negated)
        }
        Test::Size(attribute, comparison, size) if negated => {
            let (comparison, negated) = negate(comparison);
            (Test::Size(attribute, comparison, size), negated)
        }
        Test::In(attribute, mut values) => {
            values.sort_unstable();
            values.dedup();
            match (values.pop(), values.is_empty()) {
                (Some(only), true) => return literal(equal(attribute, only), negated),
                (last, _) => {
                    values.extend(last);
                    (Test::In(attribute, values), negated)
                }
            }
        }
        Test::Same(left, right) => (Test::Same(left.min(right), left.max(right)), negated),
        other => (other, negated),
    };
    Normal::Literal { test, negated }
}

fn equal(attribute: AttributeId, value: Value) -> Test {
    Test::Compare(attribute, Comparison::Equal, value)
}

/// The comparison that holds where this one does not, and whether it still is a negation.
const fn negate(comparison: Comparison) -> (Comparison, bool) {
    match comparison {
        Comparison::Equal => (Comparison::Equal, true),
        Comparison::Less => (Comparison::GreaterOrEqual, false),
        Comparison::LessOrEqual => (Comparison::Greater, false),
        Comparison::Greater => (Comparison::LessOrEqual, false),
        Comparison::GreaterOrEqual => (Comparison::Less, false),
    }
}

/// How high each formula is; children come first.
fn heights(formulas: &[Formula]) -> Vec<u32> {
    let mut heights: Vec<u32> = Vec::with_capacity(formulas.len());
    for formula in formulas {
        let of = |child: &FormulaId| heights.get(child.index()).map_or(1, |height| height + 1);
        let height = match formula {
            Formula::Constant(_) | Formula::Literal { .. } => 0,
            Formula::All(parts) | Formula::Any(parts) => parts.iter().map(of).max().unwrap_or(0),
            Formula::Every(_, body) | Formula::Some(_, body) => of(body),
        };
        heights.push(height);
    }
    heights
}

/// A formula with the ids of the canonical order.
fn renumber(formula: &Formula, attributes: &[AttributeId], formulas: &[FormulaId]) -> Formula {
    let attribute = |old: AttributeId| attributes.get(old.index()).copied().unwrap_or(old);
    let child = |old: &FormulaId| formulas.get(old.index()).copied().unwrap_or(*old);
    let children = |old: &[FormulaId]| {
        let mut new: Vec<FormulaId> = old.iter().map(child).collect();
        new.sort_unstable();
        new
    };
    match formula {
        Formula::Constant(value) => Formula::Constant(*value),
        Formula::All(parts) => Formula::All(children(parts)),
        Formula::Any(parts) => Formula::Any(children(parts)),
        Formula::Literal { test, negated } => {
            let mut test = test.clone();
            rename(&mut test, &mut |old| attribute(old));
            Formula::Literal {
                test,
                negated: *negated,
            }
        }
        Formula::Every(list, body) => Formula::Every(attribute(*list), child(body)),
        Formula::Some(list, body) => Formula::Some(attribute(*list), child(body)),
    }
}

/// Replaces the attributes of a test.
fn rename(test: &mut Test, new: &mut impl FnMut(AttributeId) -> AttributeId) {
    match test {
        Test::Same(left, right) => {
            (*left, *right) = (new(*left), new(*right));
            if *left > *right {
                std::mem::swap(left, right);
            }
        }
        Test::Present(attribute)
        | Test::True(attribute)
        | Test::Compare(attribute, ..)
        | Test::In(attribute, _)
        | Test::Member(attribute, _)
        | Test::StartsWith(attribute, _)
        | Test::EndsWith(attribute, _)
        | Test::Contains(attribute, _)
        | Test::Matches(attribute, _)
        | Test::Size(attribute, ..)
        | Test::Network(attribute, _)
        | Test::During(attribute, _) => *attribute = new(*attribute),
    }
}

fn id(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
