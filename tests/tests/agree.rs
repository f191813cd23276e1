//! Random projects of YAML, random calls, three executors: the naive reference over the resolved
//! names, the compiled bundle, and for a sample a live sidecar. `make agree` is the full size.
//!
//! `LATCHKEY_CALLS` sets how many calls are asked, 20,000 without it, a thousand of each project;
//! one project in fifty goes over the wire as well.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "worlds/project.rs"]
mod project;
#[path = "worlds/scopes.rs"]
mod scopes;
#[path = "worlds/stated.rs"]
mod stated;

use std::collections::BTreeMap;

use latchkey::pack;
use latchkey_engine::{
    overlay::Overlay,
    testing::{Rng, World},
    time::Time,
};
use latchkey_gate::{
    call::{self, Stated},
    gate::Gate,
};
use latchkey_tests::{
    golden::{Cell, Golden},
    reference,
    wire::{on_the_wire, same},
};

use self::{
    project::{accepted, fitted, project, takes_a_list},
    stated::stated,
};

/// Calls of one project.
const CALLS: usize = 1_000;
/// One project in so many goes over the wire, with so many of its calls.
const ON_THE_WIRE: (usize, usize) = (50, 60);

#[test]
fn random_calls_of_random_projects_have_one_answer() {
    let set = std::env::var("LATCHKEY_CALLS");
    let calls = set.map_or(20_000, |text| text.parse::<usize>().unwrap());
    let mut tally = Tally::default();
    for seed in 0.. {
        let left = calls - tally.calls;
        if left == 0 {
            break;
        }
        one_project(seed, CALLS.min(left), &mut tally);
    }
    // What a generator says by chance is not always a policy.
    assert!(tally.refused < tally.projects, "{tally:?}");
    println!(
        "{} random calls over {} random projects: 0 disagreements between the reference and the \
         engine, {} of them with an overlay; {} sent through live sidecars, {} of them forwarded: \
         0 disagreements; the compiler refused {} more projects",
        tally.calls, tally.projects, tally.overlaid, tally.sent, tally.forwarded, tally.refused
    );
    println!("{:?}", tally.reasons);
    let reached =
        |reason: &&&str| tally.reasons.get(**reason).copied().unwrap_or(0) * 10_000 > calls;
    let missed: Vec<_> = REASONS.iter().filter(|it| !reached(it)).collect();
    assert!(missed.is_empty(), "hardly reached: {missed:?}");
    assert!(tally.sent > 0 && tally.forwarded > 0, "{tally:?}");
}

/// What a generator has to reach to prove anything.
const REASONS: [&str; 14] = [
    "ok",
    "token_revoked",
    "operation_unknown",
    "unauthenticated",
    "chain_too_long",
    "principal_unknown",
    "principal_suspended",
    "scope_invalid",
    "schema_violation",
    "cross_organization",
    "no_permission",
    "denied_by_policy",
    "token_scope",
    "break_glass_required",
];

#[derive(Debug, Default)]
struct Tally {
    projects: usize,
    /// Random policies that the compiler refused.
    refused: usize,
    calls: usize,
    overlaid: usize,
    sent: usize,
    forwarded: usize,
    reasons: BTreeMap<&'static str, usize>,
}

fn one_project(seed: usize, calls: usize, tally: &mut Tally) {
    let mut rng = Rng::new(seed as u64);
    let world = accepted(World::random(&mut rng));
    let Some(golden) = project(&world, &format!("random-{seed}")) else {
        tally.refused += 1;
        return;
    };
    for schedule in &world.schedules {
        let theirs = golden.model.schedules.get(schedule.name).unwrap();
        let ours = schedule.worked_out();
        assert_eq!(theirs.worked_out, ours, "seed {seed}: {schedule:?}");
    }
    let gate = Gate::open(&pack::whole(&golden.model).unwrap(), None).unwrap();
    let overlays = [Overlay::default(), world.random_overlay(&mut rng)];
    let mut asked = Vec::new();
    while asked.len() < calls {
        let Some(call) = random_call(&world, &mut rng) else {
            continue;
        };
        let at = usize::from(rng.chance(50));
        let answer = call::answer(&gate, &overlays[at], &call).unwrap();
        let now = Time::parse(&call.at).unwrap();
        let expected = reference::evaluate(&golden.model, &overlays[at], &call, now);
        let cell = cell(&golden, asked.len(), call);
        same(&golden.name, &cell, &answer, &expected);
        *tally.reasons.entry(expected.reason).or_default() += 1;
        tally.overlaid += at;
        asked.push(cell);
    }
    tally.projects += 1;
    tally.calls += asked.len();
    if tally.projects % ON_THE_WIRE.0 == 1 {
        let cells: Vec<Cell> = asked.into_iter().take(ON_THE_WIRE.1).collect();
        for server in golden.model.servers.keys() {
            let (sent, forwarded) = on_the_wire(&golden, server, None, &cells);
            tally.sent += sent;
            tally.forwarded += forwarded;
        }
    }
}

fn random_call(world: &World, rng: &mut Rng) -> Option<Stated> {
    let call = stated(world, &world.random_call(rng), rng)?;
    let name = format!("{}/{}", call.server, call.tool.as_deref()?);
    Some(fitted(call, takes_a_list(world.surface(&name)?), rng))
}

fn cell(golden: &Golden, at: usize, stated: Stated) -> Cell {
    Cell {
        matrix: golden.name.clone(),
        caller: serde_json::to_string(&stated).unwrap(),
        call: format!("call {at}"),
        expected: String::new(),
        stated,
    }
}
