//! The exact analysis against the theorem prover Z3: whether two random conditions are equivalent,
//! and whether one can hold at all, over the fragment that both know.
//!
//! `LATCHKEY_PAIRS` sets how many pairs are compared, 120 without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use latchkey::{Checked, check, diff, pack, source::Memory};
use latchkey_engine::{testing::Rng, time::Time};
use latchkey_gate::gate::Gate;
use latchkey_tests::{golden::root, peer};
use serde_json::{Value, json};

#[test]
fn z3_agrees_on_equivalence_and_on_emptiness() {
    let set = std::env::var("LATCHKEY_PAIRS");
    let pairs = set.map_or(120, |text| text.parse::<u64>().unwrap());
    let mut asked = Vec::new();
    for seed in 0..pairs {
        let mut rng = Rng::new(seed);
        let one = Condition::random(&mut rng, 3);
        let mut other = one.rewritten(&mut rng);
        if rng.chance(50) {
            other.change(&mut rng);
        }
        asked.push((one, other));
    }
    let queries = asked.iter().flat_map(|(one, other)| {
        let differ = format!("(xor {} {})", one.smt(), other.smt());
        [script(&differ), script(&one.smt())]
    });
    let verdicts = solved(&queries.collect::<Vec<_>>());
    let mut tally = [0_u64; 5];
    for ((one, other), said) in asked.iter().zip(verdicts.chunks(2)) {
        let [differ, possible] = said else {
            panic!("two answers for each pair")
        };
        let (policy, changed) = (gate(Some(one)), gate(Some(other)));
        for (found, solver, question) in [
            (changes(&policy, &changed), differ, "differs"),
            (changes(&gate(None), &policy), possible, "is possible"),
        ] {
            let settled = match (found, solver.as_str()) {
                (_, "unknown") => 3,
                (None, _) => 4,
                (Some(true), "sat") => usize::from(question == "differs"),
                (Some(false), "unsat") => 2,
                (found, solver) => panic!(
                    "{question}: {found:?} here, {solver} by Z3\n{}\n{}",
                    one.cel(),
                    other.cel()
                ),
            };
            let count = tally.get_mut(settled).unwrap();
            *count += 1;
        }
    }
    let [possible, different, none, unknown, undecided] = tally;
    println!(
        "{pairs} random pairs of conditions, {} questions: Z3 agrees that {different} pairs differ, \
         {possible} conditions are possible and {none} pairs or conditions have no such call; Z3 \
         does not know {unknown}, the analysis cannot tell {undecided}; 0 disagreements",
        2 * pairs
    );
    assert!(different * 10 > pairs && none * 10 > pairs);
    assert!((unknown + undecided) * 10 < 2 * pairs);
}

/// Whether anything changes; `None` where it cannot be told.
fn changes(old: &Gate, new: &Gate) -> Option<bool> {
    let report = diff::compare(old, new, Time(0));
    let found = !report.findings.is_empty();
    (found || report.undecided.is_empty()).then_some(found)
}

const TEXTS: [&str; 6] = ["a", "ab", "abc", "bc", "main", "x-12"];
/// A pattern as conditions spell it, and as Z3 does.
const PATTERNS: [(&str, &str); 4] = [
    ("^[a-c]+$", "(re.+ (re.range \"a\" \"c\"))"),
    ("^a.*$", "(re.++ (str.to_re \"a\") (re.* dot))"),
    (
        "^x-[0-9]{2}$",
        "(re.++ (str.to_re \"x-\") (re.range \"0\" \"9\") (re.range \"0\" \"9\"))",
    ),
    (
        "^(main|ab?c)$",
        "(re.union (str.to_re \"main\") (re.++ (str.to_re \"a\") (re.opt (str.to_re \"b\")) (str.to_re \"c\")))",
    ),
];
/// The required and the optional text.
const WORDS: [&str; 2] = ["t", "u"];
/// The required and the optional whole number, and what the schema allows both.
const NUMBERS: [&str; 2] = ["n", "m"];
const RANGE: (i64, i64) = (-3, 12);
/// Seconds of times that are compared, on 2026-12-01.
const NOON: i64 = 1_796_126_400;

#[derive(Debug, Clone)]
enum Condition {
    Equal(usize, usize),
    In(usize, Vec<usize>),
    Starts(usize, usize),
    Ends(usize, usize),
    Contains(usize, usize),
    Matches(usize, usize),
    Size(usize, Compared, i64),
    Number(usize, Compared, i64),
    /// The optional boolean.
    Flag,
    /// A text is in the list, or it has so many elements.
    Member(usize),
    Count(Compared, i64),
    /// So many hours from noon.
    Time(Compared, i64),
    /// Both texts are there and are one.
    Same,
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compared {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Compared {
    fn random(rng: &mut Rng) -> Self {
        *rng.pick(&[Self::Less, Self::AtMost, Self::Greater, Self::AtLeast])
    }

    fn word(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    fn inverse(self) -> Self {
        match self {
            Self::Less => Self::AtLeast,
            Self::AtMost => Self::Greater,
            Self::Greater => Self::AtMost,
            Self::AtLeast => Self::Less,
        }
    }
}

fn below(rng: &mut Rng, bound: i64) -> i64 {
    i64::try_from(rng.below(usize::try_from(bound).unwrap())).unwrap()
}

impl Condition {
    fn random(rng: &mut Rng, depth: usize) -> Self {
        if depth == 0 || rng.chance(25) {
            return Self::test(rng);
        }
        let parts = |rng: &mut Rng| {
            (0..2 + rng.below(2))
                .map(|_| Self::random(rng, depth - 1))
                .collect()
        };
        match rng.below(5) {
            0 => Self::Not(Box::new(Self::random(rng, depth - 1))),
            1 | 2 => Self::And(parts(rng)),
            _ => Self::Or(parts(rng)),
        }
    }

    fn test(rng: &mut Rng) -> Self {
        let (word, text) = (rng.below(2), rng.below(TEXTS.len()));
        match rng.below(14) {
            0 => Self::Equal(word, text),
            1 => Self::In(word, rng.some(&[0, 1, 2, 3], 60)).not_empty(),
            2 => Self::Starts(word, text),
            3 => Self::Ends(word, text),
            4 => Self::Contains(word, text),
            5 => Self::Matches(word, rng.below(PATTERNS.len())),
            6 => Self::Size(word, Compared::random(rng), below(rng, 5)),
            7..=9 => Self::Number(rng.below(2), Compared::random(rng), below(rng, 14) - 3),
            10 => Self::Flag,
            11 => Self::Member(text),
            12 => Self::Count(Compared::random(rng), below(rng, 4)),
            13 if rng.chance(50) => Self::Same,
            _ => Self::Time(Compared::random(rng), below(rng, 5)),
        }
    }

    fn not_empty(self) -> Self {
        match self {
            Self::In(word, texts) if texts.is_empty() => Self::Equal(word, 0),
            other => other,
        }
    }

    /// The same in other words.
    fn rewritten(&self, rng: &mut Rng) -> Self {
        let not = |it: Self| Self::Not(Box::new(it));
        match self {
            Self::And(parts) => {
                let mut parts: Vec<Self> = parts.iter().map(|it| it.rewritten(rng)).collect();
                rng.shuffle(&mut parts);
                if rng.chance(50) {
                    return Self::And(parts);
                }
                not(Self::Or(parts.into_iter().map(not).collect()))
            }
            Self::Or(parts) => {
                let mut parts: Vec<Self> = parts.iter().map(|it| it.rewritten(rng)).collect();
                rng.shuffle(&mut parts);
                if rng.chance(50) {
                    return Self::Or(parts);
                }
                not(Self::And(parts.into_iter().map(not).collect()))
            }
            Self::Not(inner) => not(inner.rewritten(rng)),
            Self::In(word, texts) if texts.len() > 1 => {
                Self::Or(texts.iter().map(|it| Self::Equal(*word, *it)).collect())
            }
            Self::Number(0, how, value) if rng.chance(50) => {
                not(Self::Number(0, how.inverse(), *value))
            }
            Self::Number(which, Compared::Less, value) => {
                Self::Number(*which, Compared::AtMost, value - 1)
            }
            Self::Time(how, hours) => not(Self::Time(how.inverse(), *hours)),
            Self::Count(Compared::Greater, count) => Self::Count(Compared::AtLeast, count + 1),
            // What a text starts with it has in it.
            Self::Starts(word, text) if rng.chance(30) => {
                Self::And(vec![self.clone(), Self::Contains(*word, *text)])
            }
            Self::Equal(word, text) if rng.chance(30) => {
                let shorter = i64::try_from(TEXTS.get(*text).unwrap().len()).unwrap();
                let long = Self::Size(*word, Compared::AtLeast, shorter);
                Self::And(vec![self.clone(), long])
            }
            other => other.clone(),
        }
    }

    /// Another literal somewhere.
    fn change(&mut self, rng: &mut Rng) {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                let at = rng.below(parts.len());
                parts.get_mut(at).unwrap().change(rng);
            }
            Self::Not(inner) => inner.change(rng),
            Self::Equal(_, text)
            | Self::Starts(_, text)
            | Self::Ends(_, text)
            | Self::Contains(_, text)
            | Self::Member(text) => *text = (*text + 1) % TEXTS.len(),
            Self::In(_, texts) => texts.push(5),
            Self::Matches(_, pattern) => *pattern = (*pattern + 1) % PATTERNS.len(),
            Self::Size(_, _, value)
            | Self::Number(_, _, value)
            | Self::Count(_, value)
            | Self::Time(_, value) => *value += 1,
            Self::Flag => *self = Self::Same,
            Self::Same => *self = Self::Flag,
        }
    }

    fn cel(&self) -> String {
        let joined = |parts: &[Self], with: &str| {
            let parts: Vec<String> = parts.iter().map(Self::cel).collect();
            format!("({})", parts.join(with))
        };
        let guarded = |name: &str, test: String| {
            if ["u", "m", "b"].contains(&name) {
                format!("(has(args.{name}) && {test})")
            } else {
                format!("({test})")
            }
        };
        let word = |at: &usize| *WORDS.get(*at).unwrap();
        let text = |at: &usize| format!("{:?}", TEXTS.get(*at).unwrap());
        let method = |at: &usize, name: &str, text: String| {
            guarded(word(at), format!("args.{}.{name}({text})", word(at)))
        };
        match self {
            Self::Equal(at, it) => guarded(word(at), format!("args.{} == {}", word(at), text(it))),
            Self::In(at, texts) => {
                let texts: Vec<String> = texts.iter().map(text).collect();
                guarded(
                    word(at),
                    format!("args.{} in [{}]", word(at), texts.join(", ")),
                )
            }
            Self::Starts(at, it) => method(at, "startsWith", text(it)),
            Self::Ends(at, it) => method(at, "endsWith", text(it)),
            Self::Contains(at, it) => method(at, "contains", text(it)),
            Self::Matches(at, it) => {
                method(at, "matches", format!("{:?}", PATTERNS.get(*it).unwrap().0))
            }
            Self::Size(at, how, value) => guarded(
                word(at),
                format!("size(args.{}) {} {value}", word(at), how.word()),
            ),
            Self::Number(at, how, value) => {
                let name = *NUMBERS.get(*at).unwrap();
                guarded(name, format!("args.{name} {} {value}", how.word()))
            }
            Self::Flag => guarded("b", "args.b".to_owned()),
            Self::Member(it) => format!("({} in args.l)", text(it)),
            Self::Count(how, value) => format!("(size(args.l) {} {value})", how.word()),
            Self::Time(how, hours) => {
                let time = Time(NOON + hours * 3600);
                format!("(request.time {} timestamp(\"{time}\"))", how.word())
            }
            Self::Same => "(has(args.u) && args.t == args.u)".to_owned(),
            Self::Not(inner) => format!("!({})", inner.cel()),
            Self::And(parts) => joined(parts, " && "),
            Self::Or(parts) => joined(parts, " || "),
        }
    }

    fn smt(&self) -> String {
        let joined = |word: &str, parts: &[Self]| {
            let parts: Vec<String> = parts.iter().map(Self::smt).collect();
            format!("({word} {})", parts.join(" "))
        };
        let guarded = |name: &str, test: String| {
            if ["u", "m", "b"].contains(&name) {
                format!("(and has_{name} {test})")
            } else {
                test
            }
        };
        let word = |at: &usize| *WORDS.get(*at).unwrap();
        let text = |at: &usize| format!("\"{}\"", TEXTS.get(*at).unwrap());
        match self {
            Self::Equal(at, it) => guarded(word(at), format!("(= {} {})", word(at), text(it))),
            Self::In(at, texts) => {
                let mut any = String::from("(or false");
                for it in texts {
                    write!(any, " (= {} {})", word(at), text(it)).unwrap();
                }
                guarded(word(at), any + ")")
            }
            Self::Starts(at, it) => guarded(
                word(at),
                format!("(str.prefixof {} {})", text(it), word(at)),
            ),
            Self::Ends(at, it) => guarded(
                word(at),
                format!("(str.suffixof {} {})", text(it), word(at)),
            ),
            Self::Contains(at, it) => guarded(
                word(at),
                format!("(str.contains {} {})", word(at), text(it)),
            ),
            Self::Matches(at, it) => {
                let pattern = PATTERNS.get(*it).unwrap().1;
                guarded(word(at), format!("(str.in_re {} {pattern})", word(at)))
            }
            Self::Size(at, how, value) => guarded(
                word(at),
                format!("({} (str.len {}) {value})", how.word(), word(at)),
            ),
            Self::Number(at, how, value) => {
                let name = *NUMBERS.get(*at).unwrap();
                guarded(name, format!("({} {name} {})", how.word(), whole(*value)))
            }
            Self::Flag => guarded("b", "b".to_owned()),
            Self::Member(it) => format!("(seq.contains l (seq.unit {}))", text(it)),
            Self::Count(how, value) => format!("({} (seq.len l) {value})", how.word()),
            Self::Time(how, hours) => format!("({} time {})", how.word(), NOON + hours * 3600),
            Self::Same => "(and has_u (= t u))".to_owned(),
            Self::Not(inner) => format!("(not {})", inner.smt()),
            Self::And(parts) => joined("and", parts),
            Self::Or(parts) => joined("or", parts),
        }
    }
}

fn whole(value: i64) -> String {
    if value < 0 {
        format!("(- {})", -value)
    } else {
        value.to_string()
    }
}

/// What a call can be, and what is asked of it.
fn script(asked: &str) -> String {
    let (low, high) = (whole(RANGE.0), RANGE.1);
    format!(
        "(define-fun dot () RegLan (re.diff re.allchar (str.to_re \"\\u{{a}}\")))
        (declare-const t String) (declare-const u String) (declare-const has_u Bool)
        (declare-const n Int) (declare-const m Int) (declare-const has_m Bool)
        (declare-const b Bool) (declare-const has_b Bool)
        (declare-const l (Seq String)) (declare-const time Int)
        (assert (and (<= {low} n) (<= n {high}) (<= {low} m) (<= m {high})))
        (assert {asked})"
    )
}

fn solved(scripts: &[String]) -> Vec<String> {
    let mut child = Command::new(peer::z3())
        .arg(root().join("tests/peers/solver.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = scripts.iter().map(|it| json!(it).to_string()).collect();
    let writer = std::thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "Z3 failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A policy with one binding under a condition, or with none.
fn gate(condition: Option<&Condition>) -> Gate {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k",
        "x": "_QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0"});
    let whole = json!({"type": "integer", "minimum": RANGE.0, "maximum": RANGE.1});
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "required": ["t", "n", "l"],
        "properties": {"t": text, "u": text, "n": whole, "m": whole, "b": {"type": "boolean"},
            "l": {"type": "array", "items": text}},
        "additionalProperties": false});
    let mut policy = json!({
        "organizations": {"acme": {"id": "0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01"}},
        "issuers": {"idp": {"issuer": "https://idp.example", "audiences": ["https://t.example"],
            "jwks": {"inline": {"keys": [key]}}, "organizations": ["acme"]}},
        "principals": {"ann": {"type": "human", "identity": {"issuer": "idp", "subject": "u"},
            "in": "acme"}},
        "servers": {"desk": {"in": "acme", "transport": "mcp",
            "upstream": "http://127.0.0.1:9000/mcp",
            "tools": {"say": {"risk": "write", "scope": "server", "input": schema}}}},
        "roles": {"all": {"allow": {"desk": ["say"]}}},
    });
    if let Some(condition) = condition {
        policy["bindings"] = json!({"one": {"who": ["ann"], "roles": ["all"], "in": "acme",
            "when": condition.cel()}});
    }
    compiled(&policy)
}

fn compiled(policy: &Value) -> Gate {
    let files = [
        ("latchkey.toml", "[project]\nname = \"pairs\"\n".to_owned()),
        ("policy.yaml", policy.to_string()),
    ];
    let Checked { model, sink, .. } = check(&Memory::from_iter(files), Time(0));
    let Some(model) = model else {
        panic!("{sink:#?}\n{policy:#}");
    };
    Gate::open(&pack::whole(&model).unwrap(), None).unwrap()
}
