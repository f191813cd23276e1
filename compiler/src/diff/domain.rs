//! The domain of each attribute, cut into regions on which every test is constant.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::{
    condition::{Attribute, Comparison, Test, Value},
    index::{Fold, Index},
};

use super::shape::Shape;

/// What a variable of a diagram stands for; the order is the order of the diagram.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// An attribute of the request.
    Attribute(Attribute),
    /// Whether the token carries this claim value of this issuer.
    Group(String, String),
    /// A test that the analysis does not take apart, by its words: it may hold or not.
    Flag(String),
    /// Whether the token, if it restricts permissions, has this one.
    Token,
}

/// A set of values that no test tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Region {
    /// Not there.
    Absent,
    /// There, but not as a value that policy can read.
    Other,
    /// A boolean.
    Bool(bool),
    /// Numbers from the first to the last, in billionths.
    Number(i128, i128),
    /// Seconds from the first to the last.
    Time(i64, i64),
    /// Addresses from the first to the last.
    Address(u128, u128),
    /// Exactly this text.
    Exactly(String),
    /// Texts with this prefix, without the longer prefixes and the exact texts named.
    Prefix(String, Vec<String>),
    /// A list; its members are flags.
    List,
    /// A group or a flag: it holds or not.
    Holds(bool),
}

/// The largest number that policy can read, in billionths.
const MAX_NUMBER: i128 = ((1 << 53) - 1) * 1_000_000_000;
/// One, in billionths.
pub(super) const ONE: i128 = 1_000_000_000;

/// What the tests of one attribute compare it with.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one kind of value")]
pub(super) struct Reads {
    texts: BTreeSet<String>,
    prefixes: BTreeSet<String>,
    /// Points at which a new region begins, in billionths.
    numbers: BTreeSet<i128>,
    times: BTreeSet<i64>,
    addresses: BTreeSet<u128>,
    text: bool,
    boolean: bool,
    number: bool,
    list: bool,
}

/// All that one comparison of two formulas reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Collector {
    attributes: BTreeMap<Attribute, Reads>,
    others: BTreeSet<Key>,
    flags: BTreeMap<Key, (Attribute, Test)>,
    hints: BTreeMap<Attribute, BTreeSet<String>>,
}

/// What each flag tests, and the texts that tests of each attribute name.
pub(super) type Hints = (
    BTreeMap<Key, (Attribute, Test)>,
    BTreeMap<Attribute, BTreeSet<String>>,
);

impl Collector {
    /// What is known of an attribute; made on first use.
    pub(super) fn attribute(&mut self, attribute: &Attribute) -> &mut Reads {
        self.attributes.entry(attribute.clone()).or_default()
    }

    /// A group or flag is read.
    pub(super) fn other(&mut self, key: Key) {
        self.others.insert(key);
    }

    /// A test of an attribute can go either way inside a region.
    pub(super) fn flag(&mut self, key: Key, index: &Index, test: &Test) {
        let (Test::EndsWith(id, _)
        | Test::Contains(id, _)
        | Test::Matches(id, _)
        | Test::Member(id, _)
        | Test::Size(id, ..)
        | Test::Same(id, _)) = test
        else {
            return;
        };
        let Some(attribute) = index.attributes.get(id.index()) else {
            return;
        };
        if let Test::EndsWith(_, text) | Test::Contains(_, text) = test {
            self.hints
                .entry(attribute.clone())
                .or_default()
                .insert(text.clone());
        }
        self.flags
            .insert(key.clone(), (attribute.clone(), test.clone()));
        self.others.insert(key);
    }

    /// What a witness can start from.
    pub(super) fn take_hints(&mut self) -> Hints {
        (
            std::mem::take(&mut self.flags),
            std::mem::take(&mut self.hints),
        )
    }

    /// The variables in order, each with its regions.
    pub(super) fn domains(
        self,
        shape: &dyn Fn(&Attribute) -> Shape,
        fold: &dyn Fn(&Attribute) -> Option<Fold>,
    ) -> Vec<(Key, Vec<Region>)> {
        let mut domains: Vec<_> = self
            .attributes
            .into_iter()
            .map(|(attribute, reads)| {
                let regions = reads.regions(&shape(&attribute), fold(&attribute));
                (Key::Attribute(attribute), regions)
            })
            .collect();
        let both = || vec![Region::Holds(false), Region::Holds(true)];
        domains.extend(self.others.into_iter().map(|key| (key, both())));
        domains
    }
}

impl Reads {
    /// A text that something is compared with.
    pub(super) fn text(&mut self, text: &str) {
        self.text = true;
        self.texts.insert(text.to_owned());
    }

    /// A prefix that texts are told apart by.
    pub(super) fn prefix(&mut self, prefix: &str) {
        self.text = true;
        self.prefixes.insert(prefix.to_owned());
    }

    /// An instant at which something begins.
    pub(super) fn instant(&mut self, seconds: i64) {
        self.times.insert(seconds);
    }

    /// Some test of the attribute.
    pub(super) fn test(&mut self, test: &Test) {
        match test {
            Test::Present(_) => {}
            Test::True(_) => self.boolean = true,
            Test::Compare(_, comparison, value) => self.value(*comparison, value),
            Test::In(_, values) => {
                for value in values {
                    self.value(Comparison::Equal, value);
                }
            }
            Test::Member(..) => self.list = true,
            Test::StartsWith(_, prefix) => self.prefix(prefix),
            Test::EndsWith(..) | Test::Contains(..) | Test::Matches(..) | Test::Same(..) => {
                self.text = true;
            }
            // Of a text or of a list: the schema says.
            Test::Size(..) => {
                self.text = true;
                self.list = true;
            }
            Test::Network(_, network) => {
                self.addresses.insert(network.first);
                self.addresses.extend(network.last.checked_add(1));
            }
        }
    }

    /// The attribute is quantified over.
    pub(super) fn list(&mut self) {
        self.list = true;
    }

    fn value(&mut self, comparison: Comparison, value: &Value) {
        let (starts, ends) = match comparison {
            Comparison::Equal => (true, true),
            Comparison::Less | Comparison::GreaterOrEqual => (true, false),
            Comparison::LessOrEqual | Comparison::Greater => (false, true),
        };
        match value {
            Value::Bool(_) => self.boolean = true,
            Value::Text(text) => self.text(text),
            Value::Number(number) => {
                self.number = true;
                let point = number.billionths();
                self.numbers.extend(starts.then_some(point));
                self.numbers.extend(ends.then_some(point + 1));
            }
            Value::Time(time) => {
                self.times.extend(starts.then_some(time.0));
                self.times.extend(ends.then_some(time.0.saturating_add(1)));
            }
        }
    }

    fn regions(mut self, shape: &Shape, fold: Option<Fold>) -> Vec<Region> {
        let mut regions = Vec::new();
        if !shape.required {
            regions.push(Region::Absent);
        }
        if let Some(values) = &shape.values {
            regions.extend(enumerated(values, fold));
            return regions;
        }
        if shape.may_be_opaque(fold) {
            regions.push(Region::Other);
        }
        if shape.boolean.unwrap_or(self.boolean) {
            regions.extend([Region::Bool(false), Region::Bool(true)]);
        }
        if shape.number.unwrap_or(self.number) {
            let low = shape.minimum.unwrap_or(-MAX_NUMBER).max(-MAX_NUMBER);
            let high = shape.maximum.unwrap_or(MAX_NUMBER).min(MAX_NUMBER);
            let cut = intervals(&self.numbers, low, high, 1);
            regions.extend(cut.filter_map(|(low, high)| number(low, high, shape.integer)));
        }
        if shape.text.unwrap_or(self.text) {
            self.prefixes.insert(String::new());
            regions.extend(texts(&self.texts, &self.prefixes, fold));
        }
        if shape.time {
            let cut = intervals(&self.times, i64::MIN, i64::MAX, 1);
            regions.extend(cut.map(|(low, high)| Region::Time(low, high)));
        }
        if shape.address {
            let cut = intervals(&self.addresses, 0, u128::MAX, 1);
            regions.extend(cut.map(|(low, high)| Region::Address(low, high)));
        }
        if shape.list.unwrap_or(self.list) {
            regions.push(Region::List);
        }
        regions
    }
}

/// The regions of an attribute that the schema enumerates.
fn enumerated(values: &[serde_json::Value], fold: Option<Fold>) -> Vec<Region> {
    let mut regions = Vec::new();
    for value in values {
        let region = match value {
            serde_json::Value::Bool(value) => Region::Bool(*value),
            serde_json::Value::Number(number) => {
                match latchkey_engine::decimal::Decimal::parse(&number.to_string()) {
                    Some(number) => Region::Number(number.billionths(), number.billionths()),
                    None => Region::Other,
                }
            }
            serde_json::Value::String(text) => match folded(text, fold) {
                Some(text) => Region::Exactly(text),
                None => Region::Other,
            },
            serde_json::Value::Array(_) => Region::List,
            serde_json::Value::Null | serde_json::Value::Object(_) => Region::Other,
        };
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}

/// A text after its fold; `None` when the fold cannot settle it.
fn folded(text: &str, fold: Option<Fold>) -> Option<String> {
    match fold {
        // Paths that are not in their final form are left to the replay.
        None | Some(Fold::PosixPath) => Some(text.to_owned()),
        Some(Fold::AsciiLower) => text.is_ascii().then(|| text.to_ascii_lowercase()),
    }
}

/// Whether a text can be what a fold leaves.
fn survives(text: &str, fold: Option<Fold>) -> bool {
    match fold {
        Some(Fold::AsciiLower) => text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase()),
        Some(Fold::PosixPath) | None => true,
    }
}

/// One region for each exact text, one for each prefix without what longer ones and texts take.
fn texts(exact: &BTreeSet<String>, prefixes: &BTreeSet<String>, fold: Option<Fold>) -> Vec<Region> {
    let exact: Vec<_> = exact.iter().filter(|text| survives(text, fold)).collect();
    let prefixes: Vec<_> = prefixes
        .iter()
        .filter(|text| survives(text, fold))
        .collect();
    let mut regions: Vec<_> = exact
        .iter()
        .map(|text| Region::Exactly((*text).clone()))
        .collect();
    for prefix in &prefixes {
        let longer = prefixes
            .iter()
            .filter(|other| *other != prefix && other.starts_with(*prefix));
        let taken = exact.iter().filter(|text| text.starts_with(*prefix));
        let without = longer
            .map(|p| format!("{p}*"))
            .chain(taken.map(|t| (*t).clone()));
        regions.push(Region::Prefix((*prefix).clone(), without.collect()));
    }
    regions
}

/// Cuts a closed range at the points where something begins.
fn intervals<N>(cuts: &BTreeSet<N>, low: N, high: N, one: N) -> impl Iterator<Item = (N, N)>
where
    N: Copy + Ord + std::ops::Sub<Output = N>,
{
    let inner: Vec<N> = cuts
        .iter()
        .copied()
        .filter(|cut| *cut > low && *cut <= high)
        .collect();
    let starts: Vec<N> = std::iter::once(low).chain(inner.iter().copied()).collect();
    let ends: Vec<N> = inner
        .iter()
        .map(|cut| *cut - one)
        .chain(std::iter::once(high))
        .collect();
    starts
        .into_iter()
        .zip(ends)
        .filter(|(low, high)| low <= high)
}

/// A range of numbers; of integers only, its outermost integers, if it has any.
fn number(low: i128, high: i128, integer: bool) -> Option<Region> {
    if !integer {
        return Some(Region::Number(low, high));
    }
    let low = low.div_euclid(ONE) * ONE + if low.rem_euclid(ONE) == 0 { 0 } else { ONE };
    let high = high.div_euclid(ONE) * ONE;
    (low <= high).then_some(Region::Number(low, high))
}
