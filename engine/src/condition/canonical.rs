//! The one legal form of an arena: what a bundle decoder accepts.
//!
//! Attributes are sorted and distinct, and each is read by some formula. Formulas are sorted by
//! height (a constant or literal has none, any other node is one higher than its highest child),
//! then by the derived order of [`Formula`], in which children count by id. So the order is a
//! function of the set of formulas, children come before parents, and no two are equal.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{Attribute, Comparison, Formula, Root, Schedule, Segment, Test, Value};
use crate::id::{AttributeId, FormulaId};

/// The highest formula: what [`MAX_DEPTH`](super::parse::MAX_DEPTH) nested parentheses can hold,
/// each an `||` of `&&`, within a quantifier.
pub const MAX_HEIGHT: u32 = 72;

/// Whether attributes and formulas are in canonical form; the error says what is wrong.
pub fn is_canonical(attributes: &[Attribute], formulas: &[Formula]) -> Result<(), &'static str> {
    if !ascending(attributes) {
        return Err("attributes are not sorted and distinct");
    }
    attributes.iter().try_for_each(attribute)?;
    let mut arena = Checked {
        attributes,
        formulas,
        heights: Vec::with_capacity(formulas.len()),
        elements: Vec::with_capacity(formulas.len()),
        read: vec![false; attributes.len()],
        schedules: BTreeMap::new(),
    };
    let mut before: Option<(u32, &Formula)> = None;
    for formula in formulas {
        let (height, of) = arena.formula(formula)?;
        let here = (height, formula);
        if height > MAX_HEIGHT {
            return Err("a formula is nested too deeply");
        }
        if before.is_some_and(|before| before.cmp(&here) != Ordering::Less) {
            return Err("formulas are not in canonical order");
        }
        before = Some(here);
        arena.heights.push(height);
        arena.elements.push(of);
    }
    if arena.read.contains(&false) {
        return Err("no formula reads an attribute");
    }
    Ok(())
}

/// Whether a formula can be a condition by itself: it reads no element of a list outside its
/// quantifier. For an arena that is canonical.
#[must_use]
pub fn is_condition(attributes: &[Attribute], formulas: &[Formula], formula: FormulaId) -> bool {
    let each = |attribute: AttributeId| {
        attributes
            .get(attribute.index())
            .is_none_or(|attribute| attribute.path.contains(&Segment::Each))
    };
    match formulas.get(formula.index()) {
        None => false,
        Some(Formula::Constant(_) | Formula::Every(..) | Formula::Some(..)) => true,
        Some(Formula::Literal { test, .. }) => !test.attributes().any(each),
        // Either all parts read elements, or none does, so one speaks for all.
        Some(Formula::All(parts) | Formula::Any(parts)) => parts
            .first()
            .is_none_or(|part| *part < formula && is_condition(attributes, formulas, *part)),
    }
}

impl Test {
    /// The attributes that it reads: one, or two for [`Test::Same`].
    pub fn attributes(&self) -> impl Iterator<Item = AttributeId> + use<> {
        let (first, second) = match self {
            Self::Same(left, right) => (*left, Some(*right)),
            Self::Present(attribute)
            | Self::True(attribute)
            | Self::Compare(attribute, ..)
            | Self::In(attribute, _)
            | Self::Member(attribute, _)
            | Self::StartsWith(attribute, _)
            | Self::EndsWith(attribute, _)
            | Self::Contains(attribute, _)
            | Self::Matches(attribute, _)
            | Self::Size(attribute, ..)
            | Self::Network(attribute, _)
            | Self::During(attribute, _) => (*attribute, None),
        };
        std::iter::once(first).chain(second)
    }
}

/// What a formula reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Nothing: a constant.
    Nothing,
    /// Attributes of the call.
    Call,
    /// The elements of this list.
    Elements(AttributeId),
}

struct Checked<'f> {
    attributes: &'f [Attribute],
    formulas: &'f [Formula],
    heights: Vec<u32>,
    elements: Vec<Of>,
    read: Vec<bool>,
    /// The one schedule of each name.
    schedules: BTreeMap<&'f str, &'f Schedule>,
}

impl<'f> Checked<'f> {
    /// The height of the next formula, and what it reads.
    fn formula(&mut self, formula: &'f Formula) -> Result<(u32, Of), &'static str> {
        match formula {
            Formula::Constant(_) => Ok((0, Of::Nothing)),
            Formula::Literal { test, negated } => self.literal(test, *negated),
            Formula::All(parts) | Formula::Any(parts) => {
                if parts.len() < 2 || !ascending(parts) {
                    return Err("the parts of a formula are not sorted and distinct");
                }
                self.parts(matches!(formula, Formula::All(_)), parts)
            }
            Formula::Every(list, body) | Formula::Some(list, body) => {
                let path = self.attribute(*list)?.path.contains(&Segment::Each);
                let (height, of) = self.child(*body)?;
                match of {
                    Of::Nothing if !path => Ok((height + 1, Of::Call)),
                    Of::Elements(read) if !path && read == *list => Ok((height + 1, Of::Call)),
                    _ => Err("a quantifier reads something else than its elements"),
                }
            }
        }
    }

    fn parts(&self, all: bool, parts: &[FormulaId]) -> Result<(u32, Of), &'static str> {
        let mut height = 0;
        let mut reads = None;
        for part in parts {
            let (part_height, of) = self.child(*part)?;
            height = height.max(part_height + 1);
            if *reads.get_or_insert(of) != of {
                return Err("a formula mixes elements of a list with other attributes");
            }
            match self.formulas.get(part.index()) {
                Some(Formula::Constant(_)) => return Err("a constant that is not folded"),
                Some(Formula::All(_)) if all => return Err("an All within an All"),
                Some(Formula::Any(_)) if !all => return Err("an Any within an Any"),
                _ => {}
            }
        }
        Ok((height, reads.unwrap_or(Of::Nothing)))
    }

    /// The height of a formula that came before, and what it reads.
    fn child(&self, child: FormulaId) -> Result<(u32, Of), &'static str> {
        let at = child.index();
        match (self.heights.get(at), self.elements.get(at)) {
            (Some(height), Some(of)) => Ok((*height, *of)),
            _ => Err("a part does not come before its formula"),
        }
    }

    fn literal(&mut self, test: &'f Test, negated: bool) -> Result<(u32, Of), &'static str> {
        constants(test, negated)?;
        let mut each = None;
        if let Test::During(_, schedule) = test
            && *self.schedules.entry(&schedule.name).or_insert(schedule) != schedule
        {
            return Err("two schedules of one name");
        }
        for id in test.attributes() {
            let attribute = self.attribute(id)?;
            if matches!(test, Test::During(..)) && !is_time(attribute) {
                return Err("a schedule is asked of something else than the time");
            }
            each = list_of(attribute).or(each);
        }
        let Some(list) = each else {
            return Ok((0, Of::Call));
        };
        if matches!(test, Test::Same(..)) {
            return Err("an element is compared with another attribute");
        }
        match self.attributes.binary_search(&list) {
            Ok(at) => Ok((
                0,
                Of::Elements(AttributeId(u32::try_from(at).unwrap_or(u32::MAX))),
            )),
            Err(_) => Err("elements are read of a list that is not"),
        }
    }

    /// An attribute, which is now read.
    fn attribute(&mut self, id: AttributeId) -> Result<&Attribute, &'static str> {
        if let Some(read) = self.read.get_mut(id.index()) {
            *read = true;
        }
        self.attributes
            .get(id.index())
            .ok_or("an attribute is out of range")
    }
}

/// Whether this is the time of the request.
fn is_time(attribute: &Attribute) -> bool {
    let [Segment::Field(name)] = attribute.path.as_slice() else {
        return false;
    };
    attribute.root == Root::Request && name == "time"
}

/// The list whose elements an attribute names.
pub(super) fn list_of(attribute: &Attribute) -> Option<Attribute> {
    let at = attribute
        .path
        .iter()
        .position(|segment| *segment == Segment::Each)?;
    Some(Attribute {
        root: attribute.root,
        path: attribute.path.get(..at)?.to_vec(),
    })
}

fn attribute(attribute: &Attribute) -> Result<(), &'static str> {
    let each = attribute
        .path
        .iter()
        .filter(|segment| **segment == Segment::Each)
        .count();
    let field = |at: usize| match attribute.path.get(at) {
        Some(Segment::Field(name)) => Some(name.as_str()),
        _ => None,
    };
    let known: &[&str] = match attribute.root {
        Root::Args => {
            return if each <= 1 && field(0).is_some() {
                Ok(())
            } else {
                Err("an attribute's path is malformed")
            };
        }
        Root::Principal | Root::Subject => {
            &["name", "type", "organization", "team", "tags", "groups"]
        }
        Root::Scope => &["organization", "team"],
        Root::Request => &["time", "ip"],
    };
    match field(0) {
        Some(name) if attribute.path.len() == 1 && known.contains(&name) => Ok(()),
        _ => Err("an attribute that no call has"),
    }
}

/// Whether a test's constants are in their one form.
fn constants(test: &Test, negated: bool) -> Result<(), &'static str> {
    let ordering = |comparison: Comparison| comparison != Comparison::Equal;
    match test {
        Test::Compare(_, comparison, _) | Test::Size(_, comparison, _)
            if negated && ordering(*comparison) =>
        {
            Err("a negated ordering")
        }
        Test::Compare(_, _, Value::Bool(_)) => Err("a boolean that is compared"),
        Test::Compare(_, comparison, Value::Text(_)) if ordering(*comparison) => {
            Err("texts are not ordered")
        }
        Test::In(_, values) => {
            let kind = |value: &Value| std::mem::discriminant(value);
            let mixed = values
                .iter()
                .zip(values.iter().skip(1))
                .any(|(a, b)| kind(a) != kind(b));
            if values.len() < 2 || mixed || !ascending(values) {
                Err("a list of values that is not sorted, distinct and of one type")
            } else if matches!(values.first(), Some(Value::Bool(_))) {
                Err("a list of booleans")
            } else {
                Ok(())
            }
        }
        Test::Network(_, network) if network.first > network.last => Err("an empty address block"),
        Test::Same(left, right) if left >= right => Err("two attributes are not in order"),
        Test::During(_, schedule) if !schedule.is_canonical() => {
            Err("a schedule that is not in its one form")
        }
        _ => Ok(()),
    }
}

fn ascending<T: Ord>(items: &[T]) -> bool {
    items
        .iter()
        .zip(items.iter().skip(1))
        .all(|(before, after)| before < after)
}

#[cfg(test)]
mod tests;
