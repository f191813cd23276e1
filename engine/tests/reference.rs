//! The engine against a naive evaluator that reads the design aloud, on random policies.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "reference/evaluator.rs"]
mod evaluator;

use std::collections::BTreeMap;

use evaluator::Answer;
use latchkey_engine::{
    bundle,
    decide::{decide, discover},
    decision::{Because, Collect, Decision, NoTrace, Visibility},
    overlay::Overlay,
    policy::{ObligationSource, Policy},
    reason::Reason,
    testing::{Prepared, Rng, World, WorldCall},
};

const POLICIES: u64 = 1000;
const CALLS: u64 = 200;

fn open(world: &World) -> Policy {
    let bytes = bundle::encode(&world.index()).unwrap();
    Policy::open(&bytes).unwrap()
}

/// The engine's decision in the words of the reference.
fn answer(policy: &Policy, decision: &Decision) -> Answer {
    let because = decision.because.map(|because| match because {
        Because::Binding(binding) => policy.binding_name(binding).to_owned(),
        Because::Rule(rule) => policy.rule_name(rule).to_owned(),
    });
    let mut obligations = Vec::new();
    if decision.is_allow() {
        let permission = decision.permission.unwrap();
        for (at, obligation, source) in policy.obligations(permission) {
            if decision.obligations.contains(at) {
                let source = match source {
                    ObligationSource::Surface(surface) => policy.surface_name(surface),
                    ObligationSource::Rule(rule) => policy.rule_name(rule).to_owned(),
                };
                obligations.push((source, format!("{obligation:?}")));
            }
        }
    }
    obligations.sort();
    Answer {
        reason: decision.reason.as_str(),
        because,
        obligations,
    }
}

fn decided(policy: &Policy, overlay: &Overlay, call: &WorldCall) -> Decision {
    let prepared = Prepared::new(policy, call);
    let slots = prepared.slots();
    decide(policy, overlay, &prepared.call(&slots), &mut NoTrace)
}

#[test]
fn reference_and_engine_agree() {
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..POLICIES {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let policy = open(&world);
        let overlay = world.random_overlay(&mut rng);
        for at in 0..CALLS {
            let call = world.random_call(&mut rng);
            let expected = evaluator::evaluate(&world, &overlay, &call);
            let found = answer(&policy, &decided(&policy, &overlay, &call));
            assert_eq!(
                found, expected,
                "seed {seed}, call {at}: {call:#?}\n{world:#?}"
            );
            *reasons.entry(expected.reason).or_default() += 1;
        }
    }
    println!(
        "{} random calls over {POLICIES} random policies: reference and engine agree",
        POLICIES * CALLS
    );
    println!("{reasons:?}");
    // A generator that never gets far proves nothing.
    for reason in [
        "ok",
        "token_revoked",
        "surface_unmatched",
        "operation_unknown",
        "unauthenticated",
        "chain_too_long",
        "principal_unknown",
        "principal_suspended",
        "scope_invalid",
        "schema_violation",
        "cross_organization",
        "no_permission",
        "denied_by_overlay",
        "denied_by_policy",
        "token_scope",
        "break_glass_required",
    ] {
        let count = reasons.get(reason).copied().unwrap_or(0);
        assert!(count > 100, "{reason} was reached {count} times");
    }
}

/// Long lists are searched rather than scanned, and very long ones are not merged.
#[test]
fn reference_and_engine_agree_on_crowded_policies() {
    for (seed, bindings) in [(1, 200), (2, 200), (3, 400), (4, 400), (5, 3000)] {
        let mut rng = Rng::new(seed);
        let mut world = World::random(&mut rng);
        for _ in 0..bindings {
            world.add_binding(&mut rng);
        }
        for _ in 0..12 {
            world.add_rule(&mut rng);
        }
        let policy = open(&world);
        let overlay = world.random_overlay(&mut rng);
        for at in 0..CALLS * 200 / bindings {
            let call = world.random_call(&mut rng);
            let expected = evaluator::evaluate(&world, &overlay, &call);
            let found = answer(&policy, &decided(&policy, &overlay, &call));
            assert_eq!(found, expected, "seed {seed}, call {at}: {call:#?}");
        }
    }
}

#[test]
fn a_full_trace_never_changes_the_decision() {
    for seed in 0..POLICIES / 5 {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let policy = open(&world);
        let overlay = world.random_overlay(&mut rng);
        for _ in 0..CALLS / 4 {
            let call = world.random_call(&mut rng);
            let prepared = Prepared::new(&policy, &call);
            let slots = prepared.slots();
            let mut trace = Collect::default();
            let explained = decide(&policy, &overlay, &prepared.call(&slots), &mut trace);
            assert_eq!(explained, decided(&policy, &overlay, &call));
            let first = trace.failed.first().copied().unwrap_or(Reason::Ok);
            assert_eq!(first, explained.reason, "{call:#?}");
            assert!(trace.failed.is_sorted(), "{:?}", trace.failed);
        }
    }
}

#[test]
fn a_deny_rule_never_adds_access() {
    for seed in 0..POLICIES / 5 {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let mut narrowed = world.clone();
        narrowed.add_rule(&mut rng);
        narrowed.rules.last_mut().unwrap().require = None;
        let (before, after) = (open(&world), open(&narrowed));
        let overlay = world.random_overlay(&mut rng);
        for _ in 0..CALLS / 4 {
            let call = world.random_call(&mut rng);
            let allowed = decided(&after, &overlay, &call).is_allow();
            assert!(!allowed || decided(&before, &overlay, &call).is_allow());
        }
    }
}

#[test]
fn the_order_of_the_source_changes_nothing() {
    for seed in 0..POLICIES / 5 {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let shuffled = world.shuffled(&mut rng);
        let bytes = bundle::encode(&world.index()).unwrap();
        assert_eq!(bytes, bundle::encode(&shuffled.index()).unwrap());
    }
}

#[test]
fn discovery_keeps_its_promises() {
    let mut found: BTreeMap<Visibility, u32> = BTreeMap::new();
    for seed in 0..POLICIES / 2 {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let policy = open(&world);
        let overlay = world.random_overlay(&mut rng);
        for _ in 0..CALLS / 4 {
            let mut call = world.random_call(&mut rng);
            let surface = call.surface.as_ref().and_then(|it| world.surface(it));
            let Some(surface) = surface else { continue };
            let possible = evaluator::possible_scopes(&world, surface, &call);
            if possible.is_empty() {
                continue;
            }
            let scopes = (0..=rng.below(2)).map(|_| rng.pick(&possible).clone());
            call.scopes = Some(scopes.collect());
            let prepared = Prepared::new(&policy, &call);
            let slots = prepared.slots();
            let visible = discover(&policy, &overlay, &prepared.discovery());
            let decision = decide(&policy, &overlay, &prepared.call(&slots), &mut NoTrace);
            *found.entry(visible).or_default() += 1;
            match visible {
                Visibility::Never => assert!(!decision.is_allow(), "{seed} {call:#?}"),
                Visibility::Always => {
                    let wrong = [Reason::OperationUnknown, Reason::SchemaViolation];
                    let fine = decision.is_allow() || wrong.contains(&decision.reason);
                    assert!(fine, "seed {seed}: {decision:?} {call:#?} {world:#?}");
                }
                Visibility::Maybe => {}
            }
        }
    }
    println!("discovery answered {found:?}");
    assert!(found.len() == 3 && found.values().all(|count| *count > 100));
}
