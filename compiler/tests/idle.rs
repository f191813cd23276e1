//! Entries that the analysis calls idle, on random policies: without them nothing changes; and
//! without any other entry something does.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::collections::BTreeSet;

use latchkey::diff::{
    self, Change, Report,
    idle::{self, Entry},
};
use latchkey_engine::{
    bundle,
    index::Unlock,
    testing::{Rng, World},
    time::Time,
};
use latchkey_gate::{gate::Gate, token::mint::Mint};

const WORLDS: u64 = 400;

#[test]
fn an_entry_is_idle_when_and_only_when_nothing_changes_without_it() {
    let (mut idle_entries, mut needed, mut always, mut undecided) = (0, 0, 0, 0);
    for seed in 0..WORLDS {
        let mut rng = Rng::new(seed);
        let mut world = World::random(&mut rng);
        for surface in &mut world.surfaces {
            surface.unlock = Unlock::Grant;
        }
        let found = idle::find(&gate(&world), &BTreeSet::new());
        assert_eq!(
            found.skipped, 0,
            "seed {seed}: a small world fits the budget"
        );
        // One after the other, as they were found: of two that are alike, one is needed.
        for (entry, why) in &found.entries {
            let less = without(&world, entry);
            let report = compare(&world, &less);
            assert!(
                access(&report) == 0,
                "seed {seed}: {entry:?} is not idle ({why:?})\n{}",
                diff::human(&report, false)
            );
            world = less;
            idle_entries += 1;
        }
        for entry in &found.always {
            let report = compare(&world, &unconditional(&world, entry));
            assert!(
                access(&report) == 0,
                "seed {seed}: the condition of {entry:?} restricts\n{}",
                diff::human(&report, false)
            );
            always += 1;
        }
        for entry in entries(&world) {
            let report = compare(&world, &without(&world, &entry));
            if access(&report) > 0 {
                needed += 1;
            } else if report.undecided.is_empty() {
                assert!(
                    is_contradicted(&found) || concerns_nobody(&world, &entry),
                    "seed {seed}: {entry:?} is idle, and was not found"
                );
            } else {
                undecided += 1;
            }
        }
    }
    println!(
        "{WORLDS} random policies: {idle_entries} idle entries, {needed} needed ones, {always} \
         conditions that always hold, {undecided} that cannot be told"
    );
    assert!(idle_entries > 100 && needed > 500);
}

fn is_contradicted(found: &idle::Idle) -> bool {
    !found.contradictions.is_empty()
}

/// A report of such an entry would be another lint's.
fn concerns_nobody(world: &World, entry: &Entry) -> bool {
    let gate = gate(world);
    let one = BTreeSet::from_iter(entries(world).into_iter().filter(|it| it != entry));
    let alone = idle::find(&gate, &one);
    alone.entries.is_empty() && alone.always.is_empty()
}

fn gate(world: &World) -> Gate {
    let mut index = world.index();
    for issuer in &mut index.issuers {
        issuer.keys = Mint::from_seed("test", [7; 32]).jwks();
    }
    Gate::open(&bundle::encode(&index).unwrap(), None).unwrap()
}

fn compare(old: &World, new: &World) -> Report {
    let at = Time::parse("2026-12-01T10:00:00Z").unwrap();
    diff::compare(&gate(old), &gate(new), at)
}

/// How many findings change access, or what is asked in return.
fn access(report: &Report) -> usize {
    let findings = report.findings.iter();
    findings.filter(|it| it.change != Change::Reason).count()
}

fn entries(world: &World) -> Vec<Entry> {
    let rules = world.rules.iter().map(|it| Entry::Rule(it.name.clone()));
    let bindings = world.bindings.iter();
    let bindings = bindings.map(|it| Entry::Binding(it.name.clone()));
    rules.chain(bindings).collect()
}

fn without(world: &World, entry: &Entry) -> World {
    let mut world = world.clone();
    match entry {
        Entry::Rule(name) => world.rules.retain(|it| it.name != *name),
        Entry::Binding(name) => world.bindings.retain(|it| it.name != *name),
    }
    world
}

fn unconditional(world: &World, entry: &Entry) -> World {
    let mut world = world.clone();
    match entry {
        Entry::Rule(name) => {
            let rule = world.rules.iter_mut().find(|it| it.name == *name);
            rule.unwrap().condition = None;
        }
        Entry::Binding(name) => {
            let binding = world.bindings.iter_mut().find(|it| it.name == *name);
            binding.unwrap().condition = None;
        }
    }
    world
}
