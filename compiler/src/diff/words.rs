//! Conditions and regions as people read them.

use std::net::{IpAddr, Ipv6Addr};

use latchkey_engine::{
    condition::{Attribute, Comparison, Formula, Network, Root, Segment, Test, Value},
    id::{AttributeId, FormulaId},
    index::Index,
    time::Time,
};

use super::{
    domain::{ONE, Region, Texts},
    lists::{Ask, Said},
    texts::Language,
    times,
};

/// An attribute as a condition spells it.
pub(crate) fn attribute(attribute: &Attribute) -> String {
    let root = match attribute.root {
        Root::Principal => "principal",
        Root::Subject => "subject",
        Root::Args => "args",
        Root::Scope => "scope",
        Root::Request => "request",
    };
    attribute
        .path
        .iter()
        .fold(root.to_owned(), |path, segment| match segment {
            Segment::Field(name) if is_identifier(name) => format!("{path}.{name}"),
            Segment::Field(name) => format!("{path}[{name:?}]"),
            Segment::Each => format!("{path}[*]"),
        })
}

/// That every element of a list is one of some texts.
pub(super) fn only(list: &Attribute, texts: &[String]) -> String {
    let name = attribute(list);
    format!("{name}.all(({name}[*] in {texts:?}))")
}

/// A schedule as a condition spells it.
pub(super) fn schedule(name: &str) -> String {
    if is_identifier(name) {
        format!("schedule.{name}")
    } else {
        format!("schedule[{name:?}]")
    }
}

/// A formula of an index, spelt with names only, so that equal words mean equal formulas.
pub(super) fn formula(index: &Index, id: FormulaId) -> String {
    Spelling { index, exact: true }.formula(id)
}

/// A formula as people read it: equal words mean equal formulas where schedules of one name are
/// equal.
pub(crate) fn shown(index: &Index, id: FormulaId) -> String {
    Spelling {
        index,
        exact: false,
    }
    .formula(id)
}

/// A test of an index, spelt with names only.
pub(super) fn test(index: &Index, test: &Test) -> String {
    Spelling { index, exact: true }.test(test)
}

/// How formulas of an index are spelt.
#[derive(Clone, Copy)]
struct Spelling<'a> {
    index: &'a Index,
    /// Whether a schedule is told with all that it says.
    exact: bool,
}

impl Spelling<'_> {
    fn formula(self, id: FormulaId) -> String {
        let index = self.index;
        let join = |parts: &[FormulaId], with: &str| {
            let mut parts: Vec<_> = parts.iter().map(|part| self.formula(*part)).collect();
            parts.sort_unstable();
            format!("({})", parts.join(with))
        };
        match index.formulas.get(id.index()) {
            None => "false".to_owned(),
            Some(Formula::Constant(value)) => value.to_string(),
            Some(Formula::All(parts)) => join(parts, " && "),
            Some(Formula::Any(parts)) => join(parts, " || "),
            Some(Formula::Literal { test: it, negated }) => {
                format!("{}{}", if *negated { "!" } else { "" }, self.test(it))
            }
            Some(Formula::Every(list, body)) => {
                format!("{}.all({})", named(index, *list), self.formula(*body))
            }
            Some(Formula::Some(list, body)) => {
                format!("{}.exists({})", named(index, *list), self.formula(*body))
            }
        }
    }

    fn test(self, test: &Test) -> String {
        let name = |attribute: &AttributeId| named(self.index, *attribute);
        match test {
            Test::Present(it) => format!("has({})", name(it)),
            Test::True(it) => name(it),
            Test::Compare(it, how, with) => {
                format!("({} {} {})", name(it), sign(*how), value(with))
            }
            Test::In(it, values) => {
                let values: Vec<_> = values.iter().map(value).collect();
                format!("({} in [{}])", name(it), values.join(", "))
            }
            Test::Member(it, with) => format!("({} in {})", value(with), name(it)),
            Test::StartsWith(it, text) => format!("{}.startsWith({text:?})", name(it)),
            Test::EndsWith(it, text) => format!("{}.endsWith({text:?})", name(it)),
            Test::Contains(it, text) => format!("{}.contains({text:?})", name(it)),
            Test::Matches(it, text) => format!("{}.matches({text:?})", name(it)),
            Test::Size(it, how, with) => format!("(size({}) {} {with})", name(it), sign(*how)),
            Test::Network(it, with) => format!("cidr({}).containsIP({})", network(*with), name(it)),
            Test::Same(left, right) => {
                let (left, right) = (name(left), name(right));
                format!(
                    "({} == {})",
                    left.as_str().min(&right),
                    left.as_str().max(&right)
                )
            }
            Test::During(_, it) if self.exact => format!("{}#{}", schedule(&it.name), it.digest()),
            Test::During(_, it) => schedule(&it.name),
        }
    }
}

/// A set of regions of one attribute; `None` when it is every region.
pub(super) fn regions(name: &str, all: &[Region], chosen: &[usize]) -> Option<String> {
    if chosen.len() >= all.len() {
        return None;
    }
    let picked: Vec<&Region> = chosen.iter().filter_map(|at| all.get(*at)).collect();
    let without: Vec<&Region> = all
        .iter()
        .filter(|region| !picked.contains(region))
        .collect();
    if let [Region::Absent] = without.as_slice() {
        return Some(format!("has({name})"));
    }
    if let Some(text) = all_but_texts(name, &picked, &without) {
        return Some(text);
    }
    let mut parts = ranges(name, &picked);
    parts.extend(times::words(name, all, &picked));
    parts.extend(singles(name, &picked));
    parts.extend(texts(name, all, &picked));
    parts.extend(lists(name, all, &picked));
    Some(if parts.len() == 1 {
        parts.concat()
    } else {
        format!("({})", parts.join(" || "))
    })
}

/// Every text but a few: shorter to say what it is not.
fn all_but_texts(name: &str, picked: &[&Region], without: &[&Region]) -> Option<String> {
    let rest = picked
        .iter()
        .any(|it| matches!(it, Region::Texts(texts) if texts.prefix.is_empty()));
    if !rest || without.is_empty() {
        return None;
    }
    let exact = |it: &&&Region| matches!(it, Region::Exactly(_) | Region::Absent);
    if without.iter().filter(exact).count() != without.len() {
        return None;
    }
    let parts: Vec<_> = without
        .iter()
        .map(|it| match it {
            Region::Exactly(text) => format!("{name} != {text:?}"),
            _ => format!("has({name})"),
        })
        .collect();
    Some(parts.join(" && "))
}

/// Runs of neighbouring intervals, taken together.
fn ranges(name: &str, picked: &[&Region]) -> Vec<String> {
    let numbers = picked.iter().filter_map(|region| match region {
        Region::Number(low, high) => Some((*low, *high)),
        _ => None,
    });
    let gap = |low: i128, before: i128, high: i128| {
        low - before <= 1 || (low % ONE == 0 && high % ONE == 0 && low - before == ONE)
    };
    let mut parts: Vec<String> = joined(numbers, gap)
        .into_iter()
        .map(|(low, high)| number_span(name, low, high))
        .collect();
    let times = picked.iter().filter_map(|region| match region {
        Region::Time(low, high) => Some((*low, *high)),
        _ => None,
    });
    let next = |low: i64, before: i64, _: i64| before.checked_add(1) == Some(low);
    parts.extend(
        joined(times, next)
            .into_iter()
            .map(|(low, high)| time_span(name, low, high)),
    );
    let addresses = picked.iter().filter_map(|region| match region {
        Region::Address(low, high) => Some((*low, *high)),
        _ => None,
    });
    let next = |low: u128, before: u128, _: u128| before.checked_add(1) == Some(low);
    parts.extend(
        joined(addresses, next)
            .into_iter()
            .map(|(low, high)| format!("{name} in {}..={}", address(low), address(high))),
    );
    parts
}

/// Joins intervals in order, where one follows on another.
fn joined<N: Copy>(
    spans: impl Iterator<Item = (N, N)>,
    follows: impl Fn(N, N, N) -> bool,
) -> Vec<(N, N)> {
    let mut joined: Vec<(N, N)> = Vec::new();
    for (low, high) in spans {
        match joined.last_mut() {
            Some(last) if follows(low, last.1, high) => last.1 = high,
            _ => joined.push((low, high)),
        }
    }
    joined
}

fn number_span(name: &str, low: i128, high: i128) -> String {
    const END: i128 = ((1 << 53) - 1) * ONE;
    // An end just beside a whole number was written as an exclusive bound.
    let from = match low {
        _ if low <= -END => None,
        _ if (low - 1) % ONE == 0 => Some(format!("{name} > {}", decimal(low - 1))),
        _ => Some(format!("{name} >= {}", decimal(low))),
    };
    let to = match high {
        _ if high >= END => None,
        _ if (high + 1) % ONE == 0 => Some(format!("{name} < {}", decimal(high + 1))),
        _ => Some(format!("{name} <= {}", decimal(high))),
    };
    match (from, to) {
        (None, None) => format!("{name} is a number"),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(_), Some(_)) if low == high => format!("{name} == {}", decimal(low)),
        (Some(_), Some(_)) if low % ONE == 0 && high % ONE == 0 => {
            format!("{name} in {}..={}", decimal(low), decimal(high))
        }
        (Some(from), Some(to)) => format!("{from} && {to}"),
    }
}

fn singles(name: &str, picked: &[&Region]) -> Vec<String> {
    let exact: Vec<_> = picked
        .iter()
        .filter_map(|region| match region {
            Region::Exactly(text) => Some(format!("{text:?}")),
            _ => None,
        })
        .collect();
    let mut parts = match exact.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("{name} == {one}")],
        many => vec![format!("{name} in [{}]", many.join(", "))],
    };
    parts.extend(picked.iter().filter_map(|region| single(name, region)));
    parts
}

fn single(name: &str, region: &Region) -> Option<String> {
    Some(match region {
        Region::Exactly(_)
        | Region::Texts(_)
        | Region::List(_)
        | Region::Number(..)
        | Region::Time(..)
        | Region::Times(_)
        | Region::Address(..) => {
            return None;
        }
        Region::Absent => format!("!has({name})"),
        Region::Other => format!("{name} is no value that policy reads"),
        Region::Bool(false) | Region::Holds(false) => format!("!{name}"),
        Region::Bool(true) | Region::Holds(true) => name.to_owned(),
    })
}

/// Texts with a prefix, of the kinds that were picked among all with that prefix.
fn texts(name: &str, all: &[Region], picked: &[&Region]) -> Vec<String> {
    let of = |region: &Region| match region {
        Region::Texts(texts) => Some(texts.clone()),
        _ => None,
    };
    let all: Vec<Texts> = all.iter().filter_map(of).collect();
    let picked: Vec<Texts> = picked.iter().filter_map(|region| of(region)).collect();
    let mut prefixes: Vec<&str> = picked.iter().map(|it| it.prefix.as_str()).collect();
    prefixes.dedup();
    let mut parts = Vec::new();
    for prefix in prefixes {
        let within = |texts: &&Texts| texts.prefix == prefix;
        let picked: Vec<&Texts> = picked.iter().filter(within).collect();
        let others = all.iter().filter(within).filter(|it| !picked.contains(it));
        let others: Vec<_> = others.map(|it| it.holds.as_slice()).collect();
        let kinds: Vec<_> = picked.iter().map(|it| it.holds.as_slice()).collect();
        for cube in cubes(&kinds, &others) {
            parts.push(with_prefix(name, &picked, &cube));
        }
    }
    parts
}

/// Lists of the kinds that were picked.
fn lists(name: &str, all: &[Region], picked: &[&Region]) -> Vec<String> {
    fn of(region: &Region) -> Option<&[(Ask, Said)]> {
        match region {
            Region::List(lists) => Some(&lists.holds),
            _ => None,
        }
    }
    let picked: Vec<_> = picked.iter().filter_map(|region| of(region)).collect();
    let all = all.iter().filter_map(of);
    let others: Vec<_> = all.filter(|it| !picked.contains(it)).collect();
    let said = |cube: Vec<&(Ask, Said)>| {
        let mut parts: Vec<_> = cube
            .iter()
            .map(|(ask, said)| ask_word(name, ask, *said))
            .collect();
        if !cube.iter().any(|(_, said)| *said == Said::Yes) {
            parts.insert(0, format!("{name} is a list"));
        }
        parts.join(" && ")
    };
    cubes(&picked, &others).into_iter().map(said).collect()
}

fn ask_word(name: &str, ask: &Ask, said: Said) -> String {
    let words = match ask {
        Ask::Quantifier { words, .. } => words.clone(),
        Ask::Member(with) => format!("({} in {name})", value(with)),
        Ask::Size(how, size) => format!("(size({name}) {} {size})", sign(*how)),
    };
    match said {
        Said::Yes => words,
        Said::No => format!("!{words}"),
        Said::Undetermined => format!("{words} is undetermined"),
    }
}

/// What to say so that all that was picked is meant and nothing else: few literals, found greedily.
pub(super) fn cubes<'t, L: PartialEq>(picked: &[&'t [L]], others: &[&'t [L]]) -> Vec<Vec<&'t L>> {
    let meets = |cube: &[&L], kind: &[L]| cube.iter().all(|literal| kind.contains(literal));
    let mut cubes: Vec<Vec<&L>> = Vec::new();
    for kind in picked {
        if cubes.iter().any(|cube| meets(cube, kind)) {
            continue;
        }
        let mut cube: Vec<&L> = kind.iter().collect();
        for literal in *kind {
            let fewer: Vec<_> = cube.iter().copied().filter(|it| *it != literal).collect();
            if !others.iter().any(|other| meets(&fewer, other)) {
                cube = fewer;
            }
        }
        cubes.push(cube);
    }
    cubes
}

fn with_prefix(name: &str, picked: &[&Texts], cube: &[&(Language, bool)]) -> String {
    let (prefix, without) = picked.first().map_or(("", [].as_slice()), |texts| {
        (texts.prefix.as_str(), texts.without.as_slice())
    });
    let mut parts = match (prefix, without) {
        ("", []) if cube.iter().any(|(_, holds)| *holds) => Vec::new(),
        ("", []) => vec![format!("{name} is a text")],
        ("", _) => vec![format!("{name} is another text")],
        (_, []) => vec![format!("{name}.startsWith({prefix:?})")],
        (_, _) => vec![format!(
            "{name}.startsWith({prefix:?}) (not {})",
            without.join(", ")
        )],
    };
    let said = cube.iter().map(|(language, holds)| {
        let sign = if *holds { "" } else { "!" };
        format!("{sign}{}", language_of(name, language))
    });
    parts.extend(said);
    parts.join(" && ")
}

fn language_of(name: &str, language: &Language) -> String {
    match language {
        Language::OneOf(texts) => format!("({name} in {texts:?})"),
        Language::Prefix(text) => format!("{name}.startsWith({text:?})"),
        Language::Suffix(text) => format!("{name}.endsWith({text:?})"),
        Language::Part(text) => format!("{name}.contains({text:?})"),
        Language::Pattern(text) | Language::Search(text) => format!("{name}.matches({text:?})"),
        Language::Length(how, length) => format!("(size({name}) {} {length})", sign(*how)),
    }
}

pub(super) fn time_span(name: &str, low: i64, high: i64) -> String {
    match (low == i64::MIN, high == i64::MAX) {
        (true, true) => format!("{name} is any time"),
        (true, false) => format!("{name} < {}", Time(high.saturating_add(1))),
        (false, true) => format!("{name} >= {}", Time(low)),
        (false, false) => {
            format!(
                "{name} >= {} && {name} < {}",
                Time(low),
                Time(high.saturating_add(1))
            )
        }
    }
}

fn named(index: &Index, id: AttributeId) -> String {
    index
        .attributes
        .get(id.index())
        .map_or_else(String::new, attribute)
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "==",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Time(time) => format!("timestamp(\"{time}\")"),
    }
}

fn decimal(billionths: i128) -> String {
    latchkey_engine::decimal::Decimal::from_billionths(billionths)
        .map_or_else(|| format!("{billionths}e-9"), |number| number.to_string())
}

fn network(network: Network) -> String {
    format!("\"{}..={}\"", address(network.first), address(network.last))
}

fn address(number: u128) -> IpAddr {
    let v6 = Ipv6Addr::from(number);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}
