//! Texts, cut into the kinds that no test tells apart.
//!
//! Each test of a text is a regular language. Their automata are run side by side over valid UTF-8,
//! breadth first; what all of them say at the end of a text is its *kind*, and the first text that
//! is found of a kind is a shortest one (design review 2.1, *automata only per attribute*).

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
};

use latchkey_engine::condition::{Comparison, Test, pattern};
use regex_automata::{
    Anchored,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    util::start,
};

use super::diagram::TooLarge;

/// The most states of the product that are visited before the answer is *cannot tell*.
const MAX_STATES: usize = 20_000;
/// The most kinds of one attribute.
const MAX_KINDS: usize = 128;
/// The longest text that a test of length is followed to.
const MAX_LENGTH: u64 = 4096;
/// The largest automaton, in bytes.
const MAX_AUTOMATON: usize = 4 << 20;

/// A test of a text that is a regular language.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Language {
    /// One of these texts.
    OneOf(Vec<String>),
    /// Texts that start with this one.
    Prefix(String),
    /// Texts that end with this one.
    Suffix(String),
    /// Texts that have this one in them.
    Part(String),
    /// Texts that an anchored pattern matches, as conditions spell it.
    Pattern(String),
    /// Texts that a pattern finds something in, as JSON Schema spells it.
    Search(String),
    /// Texts of so many characters.
    Length(Comparison, u64),
}

/// Texts of which all tests say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// What each test says, in the order of the tests.
    pub(super) holds: Vec<bool>,
    /// A shortest text of this kind.
    pub(super) sample: String,
}

/// The kinds that were asked for before: a comparison asks the same of every class of callers.
#[derive(Debug, Default)]
pub(super) struct Known(RefCell<HashMap<Asked, Found>>);

type Asked = (Vec<Language>, Vec<Language>);
type Found = Option<Rc<[Kind]>>;

impl Known {
    /// As [`kinds`].
    pub(super) fn kinds(&self, required: &[Language], tests: &[Language]) -> Found {
        let asked = (required.to_vec(), tests.to_vec());
        if let Some(found) = self.0.borrow().get(&asked) {
            return found.clone();
        }
        let found: Found = kinds(required, tests).map(Rc::from);
        self.0.borrow_mut().insert(asked, found.clone());
        found
    }
}

/// Every kind of text that meets all of `required`, by what `tests` say; `None` where a cap is
/// passed or a pattern has no automaton.
fn kinds(required: &[Language], tests: &[Language]) -> Option<Vec<Kind>> {
    let mut product = Product::new(required, tests)?;
    let start = product.start()?;
    let bytes = product.representatives();
    let mut found: BTreeMap<Vec<bool>, String> = BTreeMap::new();
    let mut seen: HashMap<State, usize> = HashMap::from([(start.clone(), 0)]);
    // How each state was come to: from which, and by which byte.
    let mut ways: Vec<(usize, u8)> = vec![(0, 0)];
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((state, at)) = queue.pop_front() {
        if let Some(holds) = product.at_end(&state).ok()?
            && !found.contains_key(&holds)
        {
            found.insert(holds, text(&ways, at)?);
            if found.len() > MAX_KINDS {
                return None;
            }
        }
        for byte in &bytes {
            let Some(next) = product.step(&state, *byte).ok()? else {
                continue;
            };
            if seen.len() >= MAX_STATES {
                return None;
            }
            if !seen.contains_key(&next) {
                seen.insert(next.clone(), ways.len());
                queue.push_back((next, ways.len()));
                ways.push((at, *byte));
            }
        }
    }
    let kinds = found.into_iter();
    Some(
        kinds
            .map(|(holds, sample)| Kind { holds, sample })
            .collect(),
    )
}

/// The bytes on the way to a state.
fn text(ways: &[(usize, u8)], mut at: usize) -> Option<String> {
    let mut bytes = Vec::new();
    while at != 0 {
        let (from, byte) = ways.get(at)?;
        bytes.push(*byte);
        at = *from;
    }
    bytes.reverse();
    String::from_utf8(bytes).ok()
}

/// The states of all automata, and how many characters were read, up to one more than any test of
/// length asks about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    automata: Vec<LazyStateID>,
    length: u64,
}

/// Automata side by side. The first of them takes valid UTF-8 only.
struct Product {
    automata: Vec<(DFA, Cache)>,
    /// How many of the automata must accept.
    required: usize,
    required_lengths: Vec<(Comparison, u64)>,
    tests: Vec<Part>,
    longest: u64,
}

/// Where a test's answer comes from.
enum Part {
    Automaton(usize),
    Length(Comparison, u64),
}

impl Product {
    fn new(required: &[Language], tests: &[Language]) -> Option<Self> {
        let mut product = Self {
            automata: vec![automaton(r"(?s)\A.*\z")?],
            required: 1,
            required_lengths: Vec::new(),
            tests: Vec::new(),
            longest: 0,
        };
        for language in required {
            match product.part(language)? {
                Part::Automaton(_) => product.required += 1,
                Part::Length(how, length) => product.required_lengths.push((how, length)),
            }
        }
        for language in tests {
            let part = product.part(language)?;
            product.tests.push(part);
        }
        Some(product)
    }

    fn part(&mut self, language: &Language) -> Option<Part> {
        if let Language::Length(how, length) = language {
            self.longest = self.longest.max((*length).saturating_add(1));
            return (*length <= MAX_LENGTH).then_some(Part::Length(*how, *length));
        }
        self.automata.push(automaton(&language.pattern()?)?);
        Some(Part::Automaton(self.automata.len() - 1))
    }

    fn start(&mut self) -> Option<State> {
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let starts = self.automata.iter_mut();
        let automata = starts.map(|(dfa, cache)| dfa.start_state(cache, &anchored).ok());
        Some(State {
            automata: automata.collect::<Option<_>>()?,
            length: 0,
        })
    }

    /// One byte of each set that no automaton tells apart; the more readable ones first.
    fn representatives(&self) -> Vec<u8> {
        let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(*b"/-._");
        let all = std::iter::once(b'x').chain(readable).chain(0..=u8::MAX);
        let mut known = HashMap::new();
        let mut bytes = Vec::new();
        for byte in all {
            let classes = self.automata.iter();
            let class: Vec<u8> = classes
                .map(|(dfa, _)| dfa.byte_classes().get(byte))
                .collect();
            if known.insert(class, byte).is_none() {
                bytes.push(byte);
            }
        }
        bytes
    }

    /// Where a byte leads; `None` where nothing that must be accepted can follow.
    fn step(&mut self, state: &State, byte: u8) -> Result<Option<State>, TooLarge> {
        let mut automata = Vec::with_capacity(state.automata.len());
        let pairs = self.automata.iter_mut().zip(&state.automata);
        for (position, ((dfa, cache), at)) in pairs.enumerate() {
            let next = dfa.next_state(cache, *at, byte).map_err(|_| TooLarge)?;
            if next.is_quit() {
                return Err(TooLarge);
            }
            if next.is_dead() && position < self.required {
                return Ok(None);
            }
            automata.push(next);
        }
        // A byte that does not continue a character begins one.
        let begins = u64::from(byte & 0xc0 != 0x80);
        let length = (state.length + begins).min(self.longest);
        Ok(Some(State { automata, length }))
    }

    /// What the tests say of the text read so far; `None` where it is not one that counts.
    fn at_end(&mut self, state: &State) -> Result<Option<Vec<bool>>, TooLarge> {
        let mut accepts = Vec::with_capacity(self.automata.len());
        for ((dfa, cache), at) in self.automata.iter_mut().zip(&state.automata) {
            let end = dfa.next_eoi_state(cache, *at).map_err(|_| TooLarge)?;
            accepts.push(end.is_match());
        }
        let long = |how: &Comparison, length: &u64| how.accepts(state.length.cmp(length));
        let counts = accepts.iter().take(self.required).all(|it| *it)
            && self
                .required_lengths
                .iter()
                .all(|(how, length)| long(how, length));
        if !counts {
            return Ok(None);
        }
        let tests = self.tests.iter();
        let holds = tests.map(|part| match part {
            Part::Automaton(at) => accepts.get(*at).is_some_and(|it| *it),
            Part::Length(how, length) => long(how, length),
        });
        Ok(Some(holds.collect()))
    }
}

fn automaton(pattern: &str) -> Option<(DFA, Cache)> {
    let config = DFA::config()
        .cache_capacity(MAX_AUTOMATON)
        .minimum_cache_clear_count(Some(0));
    let dfa = DFA::builder().configure(config).build(pattern).ok()?;
    let cache = dfa.create_cache();
    Some((dfa, cache))
}

impl Language {
    /// What a condition tests of a text, apart from equality and prefixes; `None` for other tests.
    pub(super) fn of(test: &Test) -> Option<Self> {
        Some(match test {
            Test::EndsWith(_, text) => Self::Suffix(text.clone()),
            Test::Contains(_, text) => Self::Part(text.clone()),
            Test::Matches(_, text) => Self::Pattern(text.clone()),
            Test::Size(_, how, length) => Self::Length(*how, *length),
            _ => return None,
        })
    }

    /// The pattern of the whole text; `None` for what has none.
    fn pattern(&self) -> Option<String> {
        let escape = |text: &String| regex_syntax::escape(text);
        Some(match self {
            Self::OneOf(texts) => {
                let all: Vec<_> = texts.iter().map(escape).collect();
                format!(r"\A(?:{})\z", all.join("|"))
            }
            Self::Prefix(text) => format!(r"(?s)\A{}.*\z", escape(text)),
            Self::Suffix(text) => format!(r"(?s)\A.*{}\z", escape(text)),
            Self::Part(text) => format!(r"(?s)\A.*{}.*\z", escape(text)),
            Self::Pattern(text) => {
                format!(r"\A(?:{})\z", pattern::compile(text).ok()?.as_str())
            }
            Self::Search(text) => format!(r"\A(?s:.)*(?:{text})(?s:.)*\z"),
            Self::Length(..) => return None,
        })
    }

    /// Whether a text is in it; `None` where that takes an automaton that cannot be had.
    pub(super) fn has(&self, text: &str) -> Option<bool> {
        Some(match self {
            Self::OneOf(texts) => texts.iter().any(|it| it == text),
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Part(part) => text.contains(part.as_str()),
            Self::Length(how, length) => how.accepts((text.chars().count() as u64).cmp(length)),
            Self::Pattern(_) | Self::Search(_) => return accepts(&self.pattern()?, text),
        })
    }
}

fn accepts(pattern: &str, text: &str) -> Option<bool> {
    let (dfa, mut cache) = automaton(pattern)?;
    let anchored = start::Config::new().anchored(Anchored::Yes);
    let mut at = dfa.start_state(&mut cache, &anchored).ok()?;
    for byte in text.bytes() {
        at = dfa.next_state(&mut cache, at, byte).ok()?;
    }
    Some(dfa.next_eoi_state(&mut cache, at).ok()?.is_match())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(required: &[Language], tests: &[Language]) -> Vec<(Vec<bool>, String)> {
        let all = kinds(required, tests).unwrap();
        all.into_iter().map(|it| (it.holds, it.sample)).collect()
    }

    #[test]
    fn every_kind_has_a_shortest_text() {
        let tests = [Language::Prefix("ab".into()), Language::Suffix("ba".into())];
        assert_eq!(
            shown(&[], &tests),
            [
                (vec![false, false], String::new()),
                (vec![false, true], "ba".to_owned()),
                (vec![true, false], "ab".to_owned()),
                (vec![true, true], "aba".to_owned()),
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_no_kind() {
        let tests = [
            Language::Part("acme".into()),
            Language::Length(Comparison::Less, 4),
            Language::OneOf(vec!["acme".into(), "globex".into()]),
        ];
        let found = shown(&[], &tests);
        let holds: Vec<_> = found.iter().map(|(holds, _)| holds.as_slice()).collect();
        assert!(
            !holds.contains(&[true, true, false].as_slice()),
            "{found:?}"
        );
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn samples_are_texts_of_their_kind_and_of_what_is_required() {
        let required = [
            Language::Search("[0-9]$".into()),
            Language::Length(Comparison::GreaterOrEqual, 3),
        ];
        let tests = [
            Language::Pattern(r"^[a-c]+-\d{2}$".into()),
            Language::Part("\u{e9}".into()),
            Language::Length(Comparison::Greater, 300),
        ];
        let found = kinds(&required, &tests).unwrap();
        assert!(found.len() >= 5, "{found:?}");
        for kind in found {
            let said: Vec<_> = tests
                .iter()
                .map(|it| it.has(&kind.sample).unwrap())
                .collect();
            assert_eq!(said, kind.holds, "{kind:?}");
            assert!(kind.sample.ends_with(|it: char| it.is_ascii_digit()));
            assert!(kind.sample.chars().count() >= 3);
        }
    }

    #[test]
    fn past_the_caps_it_cannot_be_told() {
        let long = Language::Length(Comparison::Equal, MAX_LENGTH + 1);
        assert_eq!(kinds(&[], &[long]), None);
        let many: Vec<_> = (0..9).map(|at| Language::Part(format!("p{at}"))).collect();
        assert_eq!(kinds(&[], &many), None);
    }
}
