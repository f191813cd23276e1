//! Another literal in a condition changes the report of `latchkey diff`, or is proved to change no
//! call: on the policies of the repository, and on random ones.
//!
//! `LATCHKEY_LITERALS` sets how many random policies are changed, 300 without it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "worlds/opened.rs"]
mod opened;
#[path = "worlds/stated.rs"]
mod stated;

use std::collections::BTreeSet;

use latchkey::{
    Checked, check,
    diff::{self, Change, Report},
    pack,
    source::{Folder, Memory, Tree as _},
};
use latchkey_engine::{
    overlay::Overlay,
    testing::{Condition, Rng, World},
    time::Time,
};
use latchkey_gate::{
    call::{self, Stated},
    gate::Gate,
};
use latchkey_tests::golden::{Golden, root};

use self::{opened::gate, stated::stated};

#[test]
fn every_literal_of_the_policies_counts() {
    let golden = Golden::open(&root().join("policies"));
    let old = compiled(&files()).unwrap();
    let model = &golden.model;
    let bindings = model.bindings.values().filter_map(|it| it.when.as_ref());
    let rules = model.rules.values().filter_map(|it| it.when.as_ref());
    let texts: BTreeSet<&str> = bindings.chain(rules).map(|it| it.text.as_str()).collect();
    let cells = golden.cells();
    let (mut changed, mut refused, mut redundant) = (0, 0, Vec::new());
    for text in texts {
        for other in others(text) {
            let mut files = files();
            let hit = files
                .0
                .values_mut()
                .flatten()
                .map(|it| replace(it, text, &other))
                .filter(|hit| *hit);
            assert!(hit.count() > 0, "{text} is not written so anywhere");
            let Some(new) = compiled(&files) else {
                refused += 1;
                continue;
            };
            if tells(&diff::compare(&old, &new, Time(0))) {
                changed += 1;
            } else {
                let calls = cells.iter().map(|cell| &cell.stated);
                proved_by(&old, &new, calls, &other);
                redundant.push(other);
            }
        }
    }
    println!(
        "{changed} changes of a literal in policies/ are told, {refused} refused by the compiler, \
         {redundant:?} change nothing"
    );
    assert!(
        changed >= 6 && redundant.len() * 10 <= changed,
        "{changed} {redundant:?}"
    );
}

#[test]
fn every_literal_of_random_policies_counts_or_changes_no_call() {
    let set = std::env::var("LATCHKEY_LITERALS");
    let worlds = set.map_or(300, |text| text.parse::<u64>().unwrap());
    let (mut told, mut redundant, mut calls) = (0, 0, 0);
    for seed in 0..worlds {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let Some(other) = with_another_literal(&world, &mut rng) else {
            continue;
        };
        let (old, new) = (gate(&world), gate(&other));
        let report = diff::compare(&old, &new, Time(0));
        if tells(&report) {
            told += 1;
            continue;
        }
        redundant += 1;
        let asked = (0..200).filter_map(|_| {
            let call = world.random_call(&mut rng);
            stated(&world, &call, &mut rng)
        });
        let asked: Vec<Stated> = asked.collect();
        calls += asked.len();
        let what = format!("seed {seed}");
        proved_by(&old, &new, asked.iter(), &what);
    }
    println!(
        "{told} changes of a literal in random policies are told, {redundant} change nothing, \
         by {calls} calls"
    );
    assert!(told > worlds / 8 && redundant > 0, "{told} {redundant}");
}

/// Whether a report says anything, be it that it cannot tell.
fn tells(report: &Report) -> bool {
    !report.findings.is_empty() || !report.undecided.is_empty()
}

/// No call has another outcome.
fn proved_by<'c>(old: &Gate, new: &Gate, calls: impl Iterator<Item = &'c Stated>, what: &str) {
    let overlay = Overlay::default();
    for call in calls {
        let answers = [old, new].map(|gate| call::answer(gate, &overlay, call).ok());
        let [Some(before), Some(after)] = answers else {
            continue;
        };
        let change = Change::between(&before, &after).filter(|it| *it != Change::Reason);
        assert!(
            change.is_none(),
            "{what}: the report is empty, and {}",
            serde_json::to_string(call).unwrap()
        );
    }
}

/// The condition with one literal after the other changed: texts are longer, numbers one more.
fn others(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap();
        let end = if *byte == b'"' {
            let inner = rest.get(1..).unwrap().find('"').unwrap();
            let end = at + inner + 1;
            all.push(format!(
                "{}0{}",
                text.get(..end).unwrap(),
                text.get(end..).unwrap()
            ));
            end + 1
        } else if byte.is_ascii_digit() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            let end = at + digits.unwrap_or(rest.len());
            let number: f64 = text.get(at..end).unwrap().parse().unwrap();
            all.push(format!(
                "{}{}{}",
                text.get(..at).unwrap(),
                number + 1.0,
                text.get(end..).unwrap()
            ));
            end
        } else {
            // A name may have digits in it.
            let name = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            at + name.unwrap_or(rest.len()).max(1)
        };
        at = end;
    }
    all
}

fn files() -> Memory {
    let folder = Folder::new(root().join("policies"));
    let paths = folder.paths().unwrap();
    let read = |path: String| {
        let bytes = folder.read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn replace(bytes: &mut Vec<u8>, text: &str, other: &str) -> bool {
    let Ok(whole) = std::str::from_utf8(bytes) else {
        return false;
    };
    let found = whole.contains(text);
    if found {
        *bytes = whole.replace(text, other).into_bytes();
    }
    found
}

/// The gate of a project; none where the compiler refuses it.
fn compiled(files: &Memory) -> Option<Gate> {
    let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
    let Checked { model, .. } = check(files, today);
    Some(Gate::open(&pack::whole(&model?).unwrap(), None).unwrap())
}

/// The world with another literal in one of its conditions.
fn with_another_literal(world: &World, rng: &mut Rng) -> Option<World> {
    let mut world = world.clone();
    let bindings = world.bindings.iter_mut();
    let rules = world
        .rules
        .iter_mut()
        .filter_map(|it| it.condition.as_mut());
    let mut all: Vec<&mut Condition> = bindings
        .filter_map(|it| it.condition.as_mut())
        .chain(rules)
        .collect();
    if all.is_empty() {
        return None;
    }
    let at = rng.below(all.len());
    change(all.get_mut(at)?, rng).then_some(world)
}

/// Changes one literal; whether there was one.
fn change(condition: &mut Condition, rng: &mut Rng) -> bool {
    match condition {
        // Anything else can never be, which the compiler says.
        Condition::Equal("principal.type" | "subject.type", kind) => {
            *kind = if *kind == "agent" { "human" } else { "agent" };
            true
        }
        Condition::Equal(_, text)
        | Condition::NotEqual(_, text)
        | Condition::Member(_, text)
        | Condition::StartsWith(_, text)
        | Condition::EndsWith(_, text)
        | Condition::Contains(_, text) => {
            *text = if *text == "docs/a" {
                "docs/b"
            } else {
                "docs/a"
            };
            true
        }
        Condition::Less(_, number) | Condition::AtLeast(_, number) => {
            *number += 1;
            true
        }
        Condition::SizeAtMost(_, size) => {
            *size += 1;
            true
        }
        Condition::In(_, texts) => {
            texts.push("docs/a");
            true
        }
        Condition::EachPath { prefix, .. } => {
            *prefix = "docs/a";
            true
        }
        Condition::Not(inner) => change(inner, rng),
        Condition::And(parts) | Condition::Or(parts) => {
            let start = rng.below(parts.len());
            let count = parts.len();
            (0..count).any(|step| {
                let part = parts.get_mut((start + step) % count);
                part.is_some_and(|part| change(part, rng))
            })
        }
        Condition::Has(_)
        | Condition::True(_)
        | Condition::Same(..)
        | Condition::Inside
        | Condition::Before(..)
        | Condition::During(_) => false,
    }
}
