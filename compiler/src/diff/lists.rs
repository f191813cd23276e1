//! Lists, cut into the kinds that no test tells apart.
//!
//! Tests of a list ask whether all or some of its elements meet a condition, whether a value is a
//! member, and how many there are: all that counts is which kinds of elements occur. The kinds of
//! lists are walked from the empty one, an element at a time (design review 2.2).

use std::collections::{BTreeMap, HashSet, VecDeque};

use latchkey_engine::{
    condition::{Attribute, Comparison, Segment, Test, Value as Literal},
    index::Fold,
};
use serde_json::{Map, Value};

use super::{
    covers,
    domain::{Reads, Region},
    formula::{Holds, holds},
    shape::Shape,
    texts,
};

/// The most kinds of elements, and of lists, that are told apart.
const MAX_TYPES: usize = 256;
const MAX_KINDS: usize = 64;
/// The most states on the way from the empty list.
const MAX_STATES: usize = 4096;
/// The longest list that a test of size is followed to.
const MAX_LENGTH: u64 = 64;

/// A condition on one element, apart from its index.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// All parts hold.
    All(Vec<Self>),
    /// Some part holds.
    Any(Vec<Self>),
    /// A test of an attribute of the element, maybe negated.
    Literal(Attribute, Test, bool),
    /// Neither.
    Constant(bool),
}

/// A test of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    /// Whether every element meets a condition, or else some one does.
    Quantifier {
        every: bool,
        body: Body,
        /// What a test counts as that cannot be determined.
        default: bool,
        /// As a condition spells it.
        words: String,
    },
    /// Whether a value is a member.
    Member(Literal),
    /// How many elements there are.
    Size(Comparison, u64),
}

/// What is said of a test: it may be undetermined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Said {
    No,
    Undetermined,
    Yes,
}

/// Lists of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lists {
    /// What each test says; empty where lists were not taken apart.
    pub(super) holds: Vec<(Ask, Said)>,
    /// One of them, where one was looked for.
    pub(super) sample: Option<Value>,
    elements: Vec<(Attribute, Vec<Region>)>,
}

impl Lists {
    /// What a test says of all of them; `None` where it differs.
    pub(super) fn says(&self, asked: &Ask) -> Option<Said> {
        let mut known = self.holds.iter();
        known.find_map(|(ask, said)| (ask == asked).then_some(*said))
    }

    /// Whether a list is among them.
    pub(super) fn has(&self, list: &[Value]) -> bool {
        let types: Option<Vec<_>> = list.iter().map(|it| self.type_of(it)).collect();
        let Some(types) = types else { return false };
        self.holds.iter().all(|(ask, said)| {
            let mut sum = Sum::empty(ask);
            for of in &types {
                sum.add(ask, &self.elements, of);
            }
            sum.said(ask, list.len() as u64) == *said
        })
    }

    fn type_of(&self, element: &Value) -> Option<Type> {
        let regions = self.elements.iter().map(|(attribute, regions)| {
            let value = inner(attribute)
                .iter()
                .try_fold(element, |at, segment| match segment {
                    Segment::Field(name) => at.get(name),
                    Segment::Each => None,
                });
            covers::region_of_value(value, regions)
        });
        regions.collect()
    }
}

/// For each attribute of an element, the region that it lies in.
type Type = Vec<usize>;

/// What tests of a list are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Tests {
    asks: Vec<Ask>,
    elements: BTreeMap<Attribute, Reads>,
}

impl Tests {
    /// One more test of this list.
    pub(super) fn add(&mut self, list: &Attribute, ask: Ask) {
        match &ask {
            Ask::Quantifier { body, .. } => self.read(body),
            Ask::Member(value) => {
                let mut each = list.clone();
                each.path.push(Segment::Each);
                let reads = self.elements.entry(each).or_default();
                reads.value(Comparison::Equal, value);
            }
            Ask::Size(..) => {}
        }
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
        }
    }

    fn read(&mut self, body: &Body) {
        match body {
            Body::All(parts) | Body::Any(parts) => parts.iter().for_each(|it| self.read(it)),
            Body::Literal(attribute, test, _) => {
                self.elements
                    .entry(attribute.clone())
                    .or_default()
                    .test(test);
            }
            Body::Constant(_) => {}
        }
    }

    /// The kinds of lists that these tests tell apart; `None` where a cap is passed.
    pub(super) fn kinds(
        &self,
        shape: &dyn Fn(&Attribute) -> Shape,
        fold: &dyn Fn(&Attribute) -> Option<Fold>,
        known: &texts::Known,
        items: (u64, u64),
    ) -> Option<Vec<Lists>> {
        let elements = self.elements.iter().map(|(attribute, reads)| {
            let regions = reads
                .clone()
                .regions(&shape(attribute), fold(attribute), known);
            (attribute.clone(), regions)
        });
        let elements: Vec<_> = elements.collect();
        // What is tested in an element must not be part of what else is tested in it.
        let nested = |(one, _): &(Attribute, _), (other, _): &(Attribute, _)| {
            one != other && other.path.starts_with(&one.path)
        };
        if elements
            .iter()
            .any(|one| elements.iter().any(|other| nested(one, other)))
        {
            return None;
        }
        let types = product(&elements)?;
        let walk = Walk {
            asks: &self.asks,
            elements: &elements,
            types: distinct(&self.asks, &elements, &types)?,
            items,
        };
        walk.kinds()
    }
}

/// Every combination of regions.
fn product(elements: &[(Attribute, Vec<Region>)]) -> Option<Vec<Type>> {
    let mut types: Vec<Type> = vec![Vec::new()];
    for (_, regions) in elements {
        if types.len() * regions.len() > MAX_TYPES {
            return None;
        }
        let longer = types.iter().flat_map(|of| {
            (0..regions.len()).map(move |at| of.iter().copied().chain([at]).collect())
        });
        types = longer.collect();
    }
    Some(types)
}

/// One type for each thing that all tests can say of an element; `None` where one says nothing.
fn distinct<'t>(
    asks: &[Ask],
    elements: &[(Attribute, Vec<Region>)],
    types: &'t [Type],
) -> Option<Vec<&'t Type>> {
    let mut seen = HashSet::new();
    let mut left = Vec::new();
    for of in types {
        let said: Option<Vec<Said>> = asks.iter().map(|ask| one(ask, elements, of)).collect();
        if seen.insert(said?) {
            left.push(of);
        }
    }
    Some(left)
}

struct Walk<'t> {
    asks: &'t [Ask],
    elements: &'t [(Attribute, Vec<Region>)],
    types: Vec<&'t Type>,
    /// The least and the most elements that the schema allows.
    items: (u64, u64),
}

impl Walk<'_> {
    fn kinds(&self) -> Option<Vec<Lists>> {
        let (least, most) = self.items;
        let mut longest = least;
        for ask in self.asks {
            if let Ask::Size(_, size) = ask {
                longest = longest.max(size.saturating_add(1));
            }
        }
        if longest > MAX_LENGTH {
            return None;
        }
        let empty: Vec<Sum> = self.asks.iter().map(Sum::empty).collect();
        let mut seen = HashSet::from([(empty.clone(), 0)]);
        let mut queue = VecDeque::from([(empty, 0, Vec::new())]);
        let mut kinds: BTreeMap<Vec<Said>, Vec<&Type>> = BTreeMap::new();
        while let Some((sums, length, list)) = queue.pop_front() {
            if length >= least {
                let said = self
                    .asks
                    .iter()
                    .zip(&sums)
                    .map(|(ask, sum)| sum.said(ask, length));
                kinds.entry(said.collect()).or_insert_with(|| list.clone());
            }
            if list.len() as u64 >= most {
                continue;
            }
            for of in &self.types {
                let mut next = sums.clone();
                for (ask, sum) in self.asks.iter().zip(&mut next) {
                    sum.add(ask, self.elements, of);
                }
                // One more than any test asks about is as many as any.
                let longer = (length + 1).min(longest);
                if seen.insert((next.clone(), longer)) {
                    let list: Vec<&Type> = list.iter().copied().chain([*of]).collect();
                    queue.push_back((next, longer, list));
                }
            }
            if seen.len() > MAX_STATES || kinds.len() > MAX_KINDS {
                return None;
            }
        }
        let all = kinds.into_iter().map(|(said, list)| Lists {
            holds: self.asks.iter().cloned().zip(said).collect(),
            sample: self.sample(&list),
            elements: self.elements.to_vec(),
        });
        Some(all.collect())
    }

    fn sample(&self, list: &[&Type]) -> Option<Value> {
        let elements = list.iter().map(|of| {
            let mut element = Value::Object(Map::new());
            for ((attribute, regions), at) in self.elements.iter().zip(of.iter()) {
                let value = regions.get(*at)?.sample()?;
                put(&mut element, inner(attribute), value);
            }
            Some(element)
        });
        elements.collect::<Option<_>>().map(Value::Array)
    }
}

/// Writes a value at a path in an element; null is absence.
fn put(element: &mut Value, path: &[Segment], value: Value) {
    match path {
        _ if value.is_null() => {}
        [Segment::Field(name), rest @ ..] => {
            if let Value::Object(members) = element {
                let none = || Value::Object(Map::new());
                put(
                    members.entry(name.clone()).or_insert_with(none),
                    rest,
                    value,
                );
            }
        }
        _ => *element = value,
    }
}

/// The path of an attribute within the element.
fn inner(attribute: &Attribute) -> &[Segment] {
    let mut parts = attribute.path.split(|segment| *segment == Segment::Each);
    parts.next_back().unwrap_or_default()
}

/// What a test says of the elements so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sum(Said);

impl Sum {
    fn empty(ask: &Ask) -> Self {
        Self(match ask {
            Ask::Quantifier { every: true, .. } => Said::Yes,
            _ => Said::No,
        })
    }

    fn add(&mut self, ask: &Ask, elements: &[(Attribute, Vec<Region>)], of: &Type) {
        let said = one(ask, elements, of).unwrap_or(Said::Undetermined);
        self.0 = match ask {
            Ask::Quantifier { every: true, .. } => self.0.min(said),
            _ => self.0.max(said),
        };
    }

    /// What the test says of a list of so many elements.
    fn said(self, ask: &Ask, length: u64) -> Said {
        match ask {
            Ask::Size(how, size) if how.accepts(length.cmp(size)) => Said::Yes,
            Ask::Size(..) => Said::No,
            _ => self.0,
        }
    }
}

/// What a test says of one element; `None` where its regions do not settle that.
fn one(ask: &Ask, elements: &[(Attribute, Vec<Region>)], of: &Type) -> Option<Said> {
    let region = |attribute: &Attribute| {
        let mut found = elements
            .iter()
            .zip(of)
            .filter(|((it, _), _)| it == attribute);
        found.find_map(|((_, regions), at)| regions.get(*at))
    };
    match ask {
        Ask::Size(..) => Some(Said::No),
        Ask::Quantifier { body, default, .. } => {
            let met = body.holds(&region, *default)?;
            Some(if met { Said::Yes } else { Said::No })
        }
        Ask::Member(value) => {
            let mut found = elements
                .iter()
                .zip(of)
                .filter(|((it, _), _)| inner(it).is_empty());
            let region = found.find_map(|((_, regions), at)| regions.get(*at))?;
            let id = latchkey_engine::id::AttributeId(0);
            Some(
                match holds(region, &Test::Compare(id, Comparison::Equal, value.clone())) {
                    Holds::Yes => Said::Yes,
                    Holds::No => Said::No,
                    Holds::Undetermined => Said::Undetermined,
                    Holds::Either => return None,
                },
            )
        }
    }
}

impl Body {
    fn holds<'r>(
        &self,
        region: &dyn Fn(&Attribute) -> Option<&'r Region>,
        default: bool,
    ) -> Option<bool> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::All(parts) => {
                let parts = parts.iter().map(|part| part.holds(region, default));
                parts
                    .collect::<Option<Vec<_>>>()
                    .map(|it| it.iter().all(|it| *it))
            }
            Self::Any(parts) => {
                let parts = parts.iter().map(|part| part.holds(region, default));
                parts
                    .collect::<Option<Vec<_>>>()
                    .map(|it| it.iter().any(|it| *it))
            }
            Self::Literal(attribute, test, negated) => match holds(region(attribute)?, test) {
                Holds::Yes => Some(!negated),
                Holds::No => Some(*negated),
                Holds::Undetermined => Some(default),
                Holds::Either => None,
            },
        }
    }
}
