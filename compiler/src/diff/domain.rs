//! The domain of each attribute, cut into regions on which every test is constant.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::{
    condition::{Attribute, Comparison, Schedule, Test, Value},
    index::{Fold, Index},
};

use super::{
    lists::{Ask, Lists, Said, Tests},
    shape::Shape,
    texts::{Known, Language},
    times::{self, Times},
    view::read_by,
    witness,
};

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
#[derive(Debug, Clone, PartialEq)]
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
    /// Some instants.
    Times(Times),
    /// Addresses from the first to the last.
    Address(u128, u128),
    /// Exactly this text.
    Exactly(String),
    /// Some texts.
    Texts(Texts),
    /// Some lists.
    List(Lists),
    /// A group or a flag: it holds or not.
    Holds(bool),
}

/// Texts with a prefix, and of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// What they start with.
    pub(super) prefix: String,
    /// Longer prefixes, which end in `*`, and single texts that are regions of their own.
    pub(super) without: Vec<String>,
    /// What other tests say of them; empty where texts were not taken apart further.
    pub(super) holds: Vec<(Language, bool)>,
    /// One of them, where one was looked for.
    pub(super) sample: Option<String>,
}

impl Texts {
    /// Whether a text is among them.
    pub(super) fn has(&self, text: &str) -> bool {
        let taken = self.without.iter().any(|it| match it.strip_suffix('*') {
            Some(longer) => text.starts_with(longer),
            None => it == text,
        });
        let kind = |(language, holds): &(Language, bool)| language.has(text) == Some(*holds);
        text.starts_with(&self.prefix) && !taken && self.holds.iter().all(kind)
    }

    /// What a test says of all of them; `None` where it differs.
    pub(super) fn says(&self, test: &Test) -> Option<bool> {
        let asked = Language::of(test)?;
        let mut known = self.holds.iter();
        known.find_map(|(language, holds)| (*language == asked).then_some(*holds))
    }
}

impl Region {
    /// A value of it: null for absence; `None` where none can be said.
    pub(super) fn sample(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Absent => serde_json::Value::Null,
            Self::Other => serde_json::Value::Object(serde_json::Map::new()),
            Self::Bool(value) => (*value).into(),
            Self::Number(low, high) => witness::number(*low, *high, 0),
            Self::Exactly(text) => text.as_str().into(),
            Self::Texts(texts) => match &texts.sample {
                Some(text) => text.as_str().into(),
                None => format!("{}other", texts.prefix).into(),
            },
            Self::List(lists) => lists
                .sample
                .clone()
                .unwrap_or_else(|| Vec::<u8>::new().into()),
            Self::Time(..) | Self::Times(_) | Self::Address(..) | Self::Holds(_) => return None,
        })
    }
}

/// The largest number that policy can read, in billionths.
const MAX_NUMBER: i128 = ((1 << 53) - 1) * 1_000_000_000;
/// One, in billionths.
pub(super) const ONE: i128 = 1_000_000_000;

/// What the tests of one attribute compare it with.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one kind of value")]
pub(super) struct Reads {
    /// How many variables were read before it.
    rank: usize,
    texts: BTreeSet<String>,
    prefixes: BTreeSet<String>,
    languages: BTreeSet<Language>,
    /// Points at which a new region begins, in billionths.
    numbers: BTreeSet<i128>,
    times: BTreeSet<i64>,
    schedules: BTreeSet<Arc<Schedule>>,
    addresses: BTreeSet<u128>,
    text: bool,
    boolean: bool,
    number: bool,
    list: bool,
    lists: Tests,
}

/// All that one comparison of two formulas reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Collector {
    attributes: BTreeMap<Attribute, Reads>,
    /// Groups and flags, each with its rank.
    others: BTreeMap<Key, usize>,
    flags: BTreeMap<Key, Flag>,
    hints: BTreeMap<Attribute, BTreeSet<String>>,
    /// Attributes that are compared with one another.
    same: BTreeSet<[Attribute; 2]>,
}

/// What a flag stands for.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    /// What the test reads: one attribute, or two that it compares.
    pub(super) attributes: Vec<Attribute>,
    pub(super) test: Test,
}

/// What each flag tests, and the texts that tests of each attribute name.
pub(super) type Hints = (BTreeMap<Key, Flag>, BTreeMap<Attribute, BTreeSet<String>>);

impl Collector {
    /// What is known of an attribute; made on first use.
    pub(super) fn attribute(&mut self, attribute: &Attribute) -> &mut Reads {
        let rank = self.ranks();
        let known = self.attributes.entry(attribute.clone());
        known.or_insert_with(|| Reads {
            rank,
            ..Reads::default()
        })
    }

    /// A group or flag is read.
    pub(super) fn other(&mut self, key: Key) {
        let rank = self.ranks();
        self.others.entry(key).or_insert(rank);
    }

    /// A test of an attribute can go either way inside a region.
    pub(super) fn flag(&mut self, key: Key, index: &Index, test: &Test) {
        let read = read_by(test).filter_map(|id| index.attributes.get(id.index()).cloned());
        let attributes: Vec<Attribute> = read.collect();
        if let Test::EndsWith(_, text) | Test::Contains(_, text) = test {
            for attribute in &attributes {
                let hints = self.hints.entry(attribute.clone()).or_default();
                hints.insert(text.clone());
            }
        }
        let test = test.clone();
        self.flags.insert(key.clone(), Flag { attributes, test });
        self.other(key);
    }

    /// How many variables there are so far.
    fn ranks(&self) -> usize {
        self.attributes.len() + self.others.len()
    }

    /// Two attributes are compared with one another.
    pub(super) fn same(&mut self, left: &Attribute, right: &Attribute) {
        self.same.insert([left.clone(), right.clone()]);
    }

    /// Attributes that are compared are cut alike, so that two regions are one or apart.
    fn share(&mut self, shape: &dyn Fn(&Attribute) -> Shape) {
        let pairs = std::mem::take(&mut self.same);
        // Along a chain of pairs, what one is cut by reaches the last in as many rounds.
        for _ in 0..pairs.len() {
            for [left, right] in &pairs {
                let mut all = Reads::default();
                for one in [left, right] {
                    all.take_texts(self.attribute(one));
                    all.texts.extend(shape(one).texts());
                }
                for one in [left, right] {
                    self.attribute(one).take_texts(&all);
                }
            }
        }
    }

    /// What a witness can start from.
    pub(super) fn take_hints(&mut self) -> Hints {
        (
            std::mem::take(&mut self.flags),
            std::mem::take(&mut self.hints),
        )
    }

    /// The variables, each with its regions, in the order in which they were first read: a diagram
    /// stays small where what one condition reads stands together.
    pub(super) fn domains(
        mut self,
        shape: &dyn Fn(&Attribute) -> Shape,
        fold: &dyn Fn(&Attribute) -> Option<Fold>,
        known: &Known,
    ) -> Vec<(Key, Vec<Region>)> {
        self.share(shape);
        let mut ranked: Vec<_> = self
            .attributes
            .into_iter()
            .map(|(attribute, mut reads)| {
                let rank = reads.rank;
                let own = shape(&attribute);
                let member = own.member.clone().map(|it| Ask::Member(Value::Text(it)));
                if let Some(member) = member.clone() {
                    reads.list(&attribute, member);
                }
                let tests = std::mem::take(&mut reads.lists);
                let mut regions = reads.regions(&own, fold(&attribute), known);
                // A list is one region until its tests take it apart.
                if let Some(Region::List(_)) = regions.last()
                    && let Some(lists) = tests.kinds(shape, fold, known, own.items())
                {
                    let lacks = |it: &Lists| {
                        let said = member.as_ref().and_then(|member| it.says(member));
                        said == Some(Said::No)
                    };
                    regions.pop();
                    let lists = lists.into_iter().filter(|it| !lacks(it));
                    regions.extend(lists.map(Region::List));
                }
                (rank, (Key::Attribute(attribute), regions))
            })
            .collect();
        let both = || vec![Region::Holds(false), Region::Holds(true)];
        let others = self.others.into_iter();
        ranked.extend(others.map(|(key, rank)| (rank, (key, both()))));
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, domain)| domain).collect()
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
                self.languages.extend(Language::of(test));
            }
            // Of a text or of a list: the schema says.
            Test::Size(..) => {
                self.text = true;
                self.list = true;
                self.languages.extend(Language::of(test));
            }
            Test::Network(_, network) => {
                self.addresses.insert(network.first);
                self.addresses.extend(network.last.checked_add(1));
            }
            Test::During(_, schedule) => {
                self.schedules.insert(Arc::new(schedule.clone()));
            }
        }
    }

    fn take_texts(&mut self, other: &Self) {
        self.texts.extend(other.texts.iter().cloned());
        self.prefixes.extend(other.prefixes.iter().cloned());
        self.languages.extend(other.languages.iter().cloned());
    }

    /// A test of the attribute as a list.
    pub(super) fn list(&mut self, attribute: &Attribute, ask: Ask) {
        self.list = true;
        self.lists.add(attribute, ask);
    }

    /// A comparison with a value.
    pub(super) fn value(&mut self, comparison: Comparison, value: &Value) {
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

    /// The regions that the tests cut the domain into; lists are the last.
    pub(super) fn regions(
        mut self,
        shape: &Shape,
        fold: Option<Fold>,
        known: &Known,
    ) -> Vec<Region> {
        let mut regions = Vec::new();
        if !shape.required {
            regions.push(Region::Absent);
        }
        if let Some(values) = &shape.values {
            regions.extend(enumerated(values, fold));
            regions.extend(shape.or_list.then(|| Region::List(Lists::default())));
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
            regions.extend(self.texts(shape, fold, known));
        }
        if shape.time {
            let cut = intervals(&self.times, i64::MIN, i64::MAX, 1);
            let schedules: Vec<_> = self.schedules.iter().cloned().collect();
            regions.extend(cut.flat_map(|stretch| times::regions(stretch, &schedules)));
        }
        if shape.address {
            let cut = intervals(&self.addresses, 0, u128::MAX, 1);
            regions.extend(cut.map(|(low, high)| Region::Address(low, high)));
        }
        if shape.list.unwrap_or(self.list) {
            regions.push(Region::List(Lists::default()));
        }
        regions
    }
}

/// Prefixes beyond which texts are not taken apart further.
const MAX_PREFIXES: usize = 16;

impl Reads {
    /// One region for each exact text, and for each prefix, without what longer ones and texts
    /// take, one for each kind of text that other tests tell apart.
    fn texts(&self, shape: &Shape, fold: Option<Fold>, known: &Known) -> Vec<Region> {
        let survivors = |all: &BTreeSet<String>| -> Vec<String> {
            let left = all.iter().filter(|text| survives(text, fold));
            left.cloned().collect()
        };
        let (exact, prefixes) = (survivors(&self.texts), survivors(&self.prefixes));
        let required = shape.required_of_texts(fold);
        if self.languages.is_empty() && (required.is_empty() || fold.is_some()) {
            return plain(&exact, &prefixes);
        }
        self.kinds(&required, (&exact, &prefixes), known)
            .unwrap_or_else(|| plain(&exact, &prefixes))
    }

    fn kinds(
        &self,
        required: &[Language],
        (exact, prefixes): (&[String], &[String]),
        known: &Known,
    ) -> Option<Vec<Region>> {
        if prefixes.len() > MAX_PREFIXES {
            return None;
        }
        let named = (!exact.is_empty()).then(|| Language::OneOf(exact.to_vec()));
        let longer = prefixes.iter().cloned().map(Language::Prefix);
        let languages = self.languages.iter().cloned();
        let tests: Vec<_> = named
            .clone()
            .into_iter()
            .chain(longer)
            .chain(languages)
            .collect();
        let kinds = known.kinds(required, &tests)?;
        let mut regions = Vec::new();
        for text in exact {
            let may = required
                .iter()
                .map(|it| it.has(text))
                .collect::<Option<Vec<_>>>()?;
            if may.iter().all(|it| *it) {
                regions.push(Region::Exactly(text.clone()));
            }
        }
        for region in plain(exact, prefixes) {
            let Region::Texts(texts) = region else {
                continue;
            };
            for kind in kinds.iter() {
                let mut holds = kind.holds.iter().copied();
                let is_named = named.is_some() && holds.next()?;
                let within = prefixes.iter().zip(holds.by_ref().take(prefixes.len()));
                let longest = within
                    .filter(|(_, holds)| *holds)
                    .map(|(prefix, _)| prefix.len());
                if is_named || longest.max() != Some(texts.prefix.len()) {
                    continue;
                }
                if kind.sample.starts_with(&texts.prefix) {
                    regions.push(Region::Texts(Texts {
                        holds: self.languages.iter().cloned().zip(holds).collect(),
                        sample: Some(kind.sample.clone()),
                        ..texts.clone()
                    }));
                }
            }
        }
        Some(regions)
    }
}

/// One region for each exact text, one for each prefix without what longer ones and texts take.
fn plain(exact: &[String], prefixes: &[String]) -> Vec<Region> {
    let mut regions: Vec<_> = exact.iter().cloned().map(Region::Exactly).collect();
    for prefix in prefixes {
        let longer = prefixes
            .iter()
            .filter(|other| *other != prefix && other.starts_with(prefix.as_str()));
        let taken = exact
            .iter()
            .filter(|text| text.starts_with(prefix.as_str()));
        let without = longer.map(|it| format!("{it}*")).chain(taken.cloned());
        regions.push(Region::Texts(Texts {
            prefix: prefix.clone(),
            without: without.collect(),
            holds: Vec::new(),
            sample: None,
        }));
    }
    regions
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
            serde_json::Value::Array(_) => Region::List(Lists::default()),
            serde_json::Value::Null | serde_json::Value::Object(_) => Region::Other,
        };
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}

/// A text after its fold; `None` when the fold cannot settle it.
pub(super) fn folded(text: &str, fold: Option<Fold>) -> Option<String> {
    match fold {
        None => Some(text.to_owned()),
        Some(how) => latchkey_gate::fold(how, text).map(Cow::into_owned),
    }
}

/// Whether a text can be what a fold leaves.
fn survives(text: &str, fold: Option<Fold>) -> bool {
    match fold {
        Some(Fold::AsciiLower) => text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase()),
        Some(Fold::PosixPath) | None => true,
    }
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
