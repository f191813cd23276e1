//! Random conditions, as trees that print themselves.

use std::fmt::{self, Display, Formatter};

use latchkey_engine::testing::Rng;

/// Which words a condition is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// All that conditions have.
    All,
    /// What the crate `cel` has too: no addresses, and no times, for which it needs a calendar.
    Common,
}

/// A condition.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// `true`, `false`.
    Constant(bool),
    /// `!(..)`
    Not(Box<Self>),
    /// `(..) && (..)`
    All(Vec<Self>),
    /// `(..) || (..)`
    Any(Vec<Self>),
    /// `has(..)`
    Has(&'static str),
    /// `".." in ..`: a member of an object.
    Named(&'static str, &'static str),
    /// A boolean.
    Truth(&'static str),
    /// A comparison with a literal, which may come first.
    Compare(&'static str, Sign, Literal, bool),
    /// `.. in [..]`
    OneOf(&'static str, Vec<Literal>),
    /// `.. in ..`: an element of a list.
    Element(Literal, &'static str),
    /// `..startsWith("..")` and its kin.
    Text(&'static str, &'static str, &'static str),
    /// `..matches("..")`
    Matches(&'static str, Pattern),
    /// `size(..)` compared, or `..size()`.
    Size(&'static str, Sign, i64, bool),
    /// Two texts.
    Same(&'static str, bool, &'static str),
    /// `cidr("..").containsIP(request.ip)`, and the bits that must agree.
    Block(&'static str, [u8; 4], u32),
    /// `request.time` compared with seconds after the beginning.
    Time(Sign, i64),
    /// `schedule..`
    Schedule(&'static str),
    /// `..all(e, ..)`, or `exists`.
    Quantifier(bool, &'static str, Box<Self>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A literal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Literal {
    /// A boolean.
    Bool(bool),
    /// A number, in thousandths.
    Number(i64),
    /// A text.
    Text(&'static str),
}

/// A pattern, and what it says in plain words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern {
    /// The pattern.
    pub(crate) text: &'static str,
    /// Whether a text is one of its.
    pub(crate) is: fn(&str) -> bool,
}

/// Texts that conditions and calls are made of.
pub(crate) const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "ba",
    "aé",
    "é",
    "bb",
    "a-b1",
    "\u{1f600}a",
];
const NUMBERS: &[i64] = &[-1000, 0, 1000, 1500, 2000, 2500, 3000];
const PATTERNS: &[Pattern] = &[
    Pattern {
        text: "^a.*$",
        is: |text| text.starts_with('a'),
    },
    Pattern {
        text: "^[ab]+$",
        is: |text| !text.is_empty() && text.chars().all(|it| it == 'a' || it == 'b'),
    },
    Pattern {
        text: "^(a|bb)*$",
        is: |text| text.replace("bb", "").chars().all(|it| it == 'a'),
    },
    Pattern {
        text: "^..$",
        is: |text| text.chars().count() == 2,
    },
    Pattern {
        text: r"^\\w(-|\\w)*\\d$",
        is: |text| text == "a-b1",
    },
];

const LISTS: &[&str] = &["args.l", "args.ns", "args.fs"];
const OF_TEXT: &[&str] = &[
    "args.t",
    "args.u",
    "args.o.y",
    "principal.name",
    "principal.team",
    "subject.team",
    "scope.team",
];
const OF_NUMBERS: &[&str] = &["args.n", "args.m", "args.o.x"];

struct Draw<'a> {
    rng: &'a mut Rng,
    words: Words,
    /// The list whose elements are tested.
    within: Option<&'static str>,
}

impl Condition {
    /// A random condition.
    pub(crate) fn draw(rng: &mut Rng, words: Words) -> Self {
        let mut draw = Draw {
            rng,
            words,
            within: None,
        };
        draw.condition(3)
    }
}

impl Draw<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.rng.below(limit)
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn condition(&mut self, depth: usize) -> Condition {
        match self.below(if depth == 0 { 6 } else { 14 }) {
            0 if self.within.is_none() => Condition::Constant(self.rng.chance(50)),
            0..6 => self.test(),
            6 | 7 => Condition::Not(Box::new(self.condition(depth - 1))),
            8..11 => Condition::All(self.several(depth - 1)),
            _ => Condition::Any(self.several(depth - 1)),
        }
    }

    fn several(&mut self, depth: usize) -> Vec<Condition> {
        let count = 2 + self.below(2);
        (0..count).map(|_| self.condition(depth)).collect()
    }

    fn sign(&mut self) -> Sign {
        self.of(&[
            Sign::Equal,
            Sign::NotEqual,
            Sign::Less,
            Sign::LessOrEqual,
            Sign::Greater,
            Sign::GreaterOrEqual,
        ])
    }

    fn equality(&mut self) -> Sign {
        self.of(&[Sign::Equal, Sign::NotEqual])
    }

    fn number(&mut self) -> Literal {
        Literal::Number(self.of(NUMBERS))
    }

    fn text(&mut self) -> Literal {
        Literal::Text(self.of(TEXTS))
    }

    /// An attribute of texts: of the call, or of the element.
    fn of_text(&mut self) -> &'static str {
        match self.within {
            None => self.of(OF_TEXT),
            Some("args.l") => "e",
            Some(_) => self.of(&["e.p", "e.d"]),
        }
    }

    fn test(&mut self) -> Condition {
        match self.within {
            Some("args.ns") => self.of_number("e"),
            Some("args.fs") if self.rng.chance(35) => self.of_number("e.k"),
            Some("args.fs") if self.rng.chance(30) => {
                let name = self.of(&["p", "k", "d"]);
                if self.rng.chance(50) {
                    Condition::Named(name, "e")
                } else {
                    Condition::Has(self.of(&["e.p", "e.k", "e.d"]))
                }
            }
            Some(_) => self.of_a_text(),
            None => self.of_call(),
        }
    }

    fn of_call(&mut self) -> Condition {
        let kinds = if self.words == Words::All { 13 } else { 10 };
        match self.below(kinds) {
            0 => self.presence(),
            1 => self.boolean(),
            2 => {
                let name = self.of(OF_NUMBERS);
                self.of_number(name)
            }
            3..5 => self.of_a_text(),
            5 => self.element(),
            6 => {
                let name = self.of(LISTS);
                Condition::Size(name, self.sign(), self.size(), self.rng.chance(50))
            }
            7 => {
                let two = [self.of(OF_TEXT), self.of(OF_TEXT)];
                if two[0] == two[1] {
                    return self.presence();
                }
                let same = Condition::Same(two[0], self.rng.chance(50), two[1]);
                guarded(two[0], guarded(two[1], same))
            }
            8 => Condition::Schedule(self.of(&["always", "at-times"])),
            9 => {
                let list = self.of(LISTS);
                self.within = Some(list);
                let body = self.condition(2);
                self.within = None;
                Condition::Quantifier(self.rng.chance(50), list, Box::new(body))
            }
            10 => Condition::Time(self.sign(), self.of(&[0, 1, 2])),
            11 => Condition::Schedule("ends"),
            _ => {
                let blocks = [
                    ("10.0.0.0/8", [10, 0, 0, 0], 8),
                    ("10.1.0.0/16", [10, 1, 0, 0], 16),
                    ("10.1.2.3/32", [10, 1, 2, 3], 32),
                    ("0.0.0.0/0", [0, 0, 0, 0], 0),
                ];
                let (text, first, bits) = self.of(&blocks);
                guarded("request.ip", Condition::Block(text, first, bits))
            }
        }
    }

    fn size(&mut self) -> i64 {
        self.of(&[0, 1, 2, 3])
    }

    fn presence(&mut self) -> Condition {
        match self.below(4) {
            0 => Condition::Named(self.of(&["a-b", "t", "l"]), "args"),
            1 => {
                // Of what is absent CEL says that nothing can be said, conditions that it has no
                // members.
                let named = Condition::Named(self.of(&["x", "y"]), "args.o");
                match self.words {
                    Words::All => named,
                    Words::Common => Condition::All(vec![Condition::Has("args.o"), named]),
                }
            }
            2 if self.words == Words::All => Condition::Has("args.o.y"),
            _ => Condition::Has(self.of(&[
                "args.b",
                "args.m",
                "args.t",
                "args.l",
                "args.o",
                "principal.team",
                "scope.team",
            ])),
        }
    }

    fn boolean(&mut self) -> Condition {
        let name = self.of(&["args.b", "args[\"a-b\"]"]);
        if self.rng.chance(60) {
            return Condition::Truth(name);
        }
        let literal = Literal::Bool(self.rng.chance(50));
        Condition::Compare(name, self.equality(), literal, self.rng.chance(30))
    }

    fn of_number(&mut self, name: &'static str) -> Condition {
        if self.rng.chance(25) {
            let count = 1 + self.below(3);
            return Condition::OneOf(name, (0..count).map(|_| self.number()).collect());
        }
        Condition::Compare(name, self.sign(), self.number(), self.rng.chance(30))
    }

    fn of_a_text(&mut self) -> Condition {
        let name = self.of_text();
        let test = match self.below(6) {
            0 => Condition::Compare(name, self.equality(), self.text(), self.rng.chance(30)),
            1 => {
                let count = 1 + self.below(3);
                Condition::OneOf(name, (0..count).map(|_| self.text()).collect())
            }
            2 => Condition::Matches(name, self.of(PATTERNS)),
            3 => Condition::Size(name, self.sign(), self.size(), self.rng.chance(50)),
            _ => {
                let test = self.of(&["startsWith", "endsWith", "contains"]);
                Condition::Text(name, test, self.of(TEXTS))
            }
        };
        guarded(name, test)
    }

    fn element(&mut self) -> Condition {
        match self.below(4) {
            0 => Condition::Element(self.number(), "args.ns"),
            1 => Condition::Element(
                self.text(),
                self.of(&["principal.groups", "principal.tags"]),
            ),
            _ => Condition::Element(self.text(), "args.l"),
        }
    }
}

/// A test of what no schema can promise, behind its presence.
fn guarded(name: &'static str, test: Condition) -> Condition {
    let of_call = name.starts_with("args") || name.starts_with('e');
    if of_call {
        return test;
    }
    Condition::All(vec![Condition::Has(name), test])
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value}"),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::All(parts) => joined(f, parts, "&&"),
            Self::Any(parts) => joined(f, parts, "||"),
            Self::Has(name) => write!(f, "has({name})"),
            Self::Named(name, of) => write!(f, "{name:?} in {of}"),
            Self::Truth(name) => write!(f, "{name}"),
            Self::Compare(name, sign, literal, false) => write!(f, "{name} {sign} {literal}"),
            Self::Compare(name, sign, literal, true) => {
                write!(f, "{literal} {} {name}", sign.turned())
            }
            Self::OneOf(name, values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(f, "{name} in [{}]", values.join(", "))
            }
            Self::Element(value, of) => write!(f, "{value} in {of}"),
            Self::Text(name, test, text) => write!(f, "{name}.{test}(\"{text}\")"),
            Self::Matches(name, pattern) => write!(f, "{name}.matches(\"{}\")", pattern.text),
            Self::Size(name, sign, size, false) => write!(f, "size({name}) {sign} {size}"),
            Self::Size(name, sign, size, true) => write!(f, "{name}.size() {sign} {size}"),
            Self::Same(one, equal, other) => {
                write!(f, "{one} {} {other}", if *equal { "==" } else { "!=" })
            }
            Self::Block(text, ..) => write!(f, "cidr({text:?}).containsIP(request.ip)"),
            Self::Time(sign, second) => {
                write!(
                    f,
                    "request.time {sign} timestamp(\"2026-12-01T10:00:0{second}Z\")"
                )
            }
            Self::Schedule(name) => write!(f, "schedule[{name:?}]"),
            Self::Quantifier(every, list, body) => {
                write!(
                    f,
                    "{list}.{}(e, {body})",
                    if *every { "all" } else { "exists" }
                )
            }
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Condition], with: &str) -> fmt::Result {
    let parts: Vec<_> = parts.iter().map(|it| format!("({it})")).collect();
    f.write_str(&parts.join(&format!(" {with} ")))
}

impl Sign {
    /// The same with its sides changed.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

impl Display for Sign {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(it) if it % 1000 == 0 => write!(f, "{}", it / 1000),
            Self::Number(it) => write!(f, "{}.{:03}", it / 1000, it % 1000),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}
