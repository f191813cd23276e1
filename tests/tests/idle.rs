//! What the lints call idle does nothing: on random policies, what is removed changes no call.
//!
//! `LATCHKEY_WORLDS` sets how many policies are looked at, 40 without it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "worlds/opened.rs"]
mod opened;
#[path = "worlds/operations.rs"]
mod operations;
#[path = "worlds/stated.rs"]
mod stated;

use std::collections::BTreeSet;

use latchkey::diff::{
    self, Change,
    idle::{self, Entry},
};
use latchkey_engine::{
    index::Unlock,
    overlay::Overlay,
    testing::{Rng, World},
    time::Time,
};
use latchkey_gate::{
    call::{self, Stated},
    gate::Gate,
};

use self::{opened::gate, operations::operation_is, stated::stated};

/// Random calls of one policy.
const CALLS: usize = 150;

#[derive(Debug, Default)]
struct Tally {
    entries: usize,
    idle: usize,
    always: usize,
    contradictions: usize,
    calls: usize,
    /// Entries that are not called idle, and that the comparison finds nothing of.
    missed: usize,
}

#[test]
fn what_is_called_idle_does_nothing() {
    let set = std::env::var("LATCHKEY_WORLDS");
    let worlds = set.map_or(40, |text| text.parse::<usize>().unwrap());
    let mut tally = Tally::default();
    for seed in 0..worlds {
        one_world(seed as u64, &mut tally);
    }
    println!("{tally:?} over {worlds} random policies: what is called idle changes no call");
    assert!(
        tally.idle > worlds && tally.always > 0,
        "too little is idle to prove anything: {tally:?}"
    );
    assert!(
        tally.missed * 10 < tally.entries,
        "too much that does nothing is not told: {tally:?}"
    );
}

fn one_world(seed: u64, tally: &mut Tally) {
    let mut rng = Rng::new(seed);
    let mut world = World::random(&mut rng);
    for surface in &mut world.surfaces {
        surface.unlock = Unlock::Grant;
    }
    let policy = gate(&world);
    let found = idle::find(&policy, &BTreeSet::new());
    assert_eq!(found.skipped, 0, "seed {seed}");
    tally.entries += world.bindings.len() + world.rules.len();
    tally.idle += found.entries.len();
    tally.always += found.always.len();
    tally.contradictions += found.contradictions.len();
    // One after the other: of two that do the same, one is needed.
    let mut less = world.clone();
    for (entry, why) in &found.entries {
        let before = gate(&less);
        remove(&mut less, entry);
        let what = format!("seed {seed}: {entry:?} is idle: {why:?}");
        unchanged(&before, &gate(&less), &what);
    }
    let bare = gate(&less);
    for entry in &found.always {
        let mut open = less.clone();
        free(&mut open, entry);
        let what = format!("seed {seed}: {entry:?} always holds");
        unchanged(&bare, &gate(&open), &what);
    }
    for entry in entries(&less) {
        let mut without = less.clone();
        remove(&mut without, &entry);
        tally.missed += usize::from(same(&bare, &gate(&without)));
    }
    for _ in 0..CALLS {
        let Some(call) = stated(&world, &world.random_call(&mut rng), &mut rng) else {
            continue;
        };
        let (Some(before), Some(after)) = (answer(&policy, &call), answer(&bare, &call)) else {
            continue;
        };
        tally.calls += 1;
        let change = Change::between(&before, &after).filter(|it| *it != Change::Reason);
        let asked = serde_json::to_string(&call).unwrap();
        assert!(
            change.is_none(),
            "seed {seed}: {change:?} without {:?}: {asked}",
            found.entries
        );
        if before.decision == "allow" {
            for (first, second, subject, permission) in &found.contradictions {
                let contradicted = is_call(&call, subject, permission);
                assert!(
                    !contradicted,
                    "seed {seed}: {first} and {second} leave this: {asked}"
                );
            }
        }
    }
}

fn entries(world: &World) -> Vec<Entry> {
    let bindings = world.bindings.iter();
    let rules = world.rules.iter().map(|it| Entry::Rule(it.name.clone()));
    bindings
        .map(|it| Entry::Binding(it.name.clone()))
        .chain(rules)
        .collect()
}

fn remove(world: &mut World, entry: &Entry) {
    match entry {
        Entry::Binding(name) => world.bindings.retain(|it| it.name != *name),
        Entry::Rule(name) => world.rules.retain(|it| it.name != *name),
    }
}

/// Takes the condition off an entry.
fn free(world: &mut World, entry: &Entry) {
    match entry {
        Entry::Binding(name) => {
            let mut all = world.bindings.iter_mut();
            all.find(|it| it.name == *name).unwrap().condition = None;
        }
        Entry::Rule(name) => {
            let mut all = world.rules.iter_mut();
            all.find(|it| it.name == *name).unwrap().condition = None;
        }
    }
}

fn unchanged(old: &Gate, new: &Gate, what: &str) {
    let report = diff::compare(old, new, Time(0));
    let mut findings = report.findings.iter();
    let changed = findings.find(|it| it.change != Change::Reason);
    assert!(changed.is_none(), "{what}\n{changed:#?}");
    assert!(
        report.undecided.is_empty(),
        "{what}\n{:#?}",
        report.undecided
    );
}

fn same(old: &Gate, new: &Gate) -> bool {
    let report = diff::compare(old, new, Time(0));
    let mut findings = report.findings.iter();
    findings.all(|it| it.change == Change::Reason) && report.undecided.is_empty()
}

fn answer(gate: &Gate, call: &Stated) -> Option<call::Answer> {
    call::answer(gate, &Overlay::default(), call).ok()
}

/// Whether a call is one of a permission, and by a caller that a report names so.
fn is_call(call: &Stated, subject: &str, permission: &str) -> bool {
    let name = format!(
        "{}/{}",
        call.server,
        call.tool.as_deref().unwrap_or_default()
    );
    let mut parts = permission.split(':').skip(1);
    let (surface, operation) = (parts.next().unwrap(), parts.nth(1));
    let asked = name == surface && operation.is_none_or(|it| operation_is(call, it));
    let mut callers = call.caller.iter().chain(&call.on_behalf_of);
    let named = callers.any(|caller| {
        let known = caller.subject.as_deref().unwrap_or_default();
        known.trim_start_matches("u-").trim_start_matches("p-") == subject
    });
    asked && named
}
