//! `who-can` and `what-can` on random policies: whatever is allowed is on a line, whatever a line
//! without a condition says is allowed, and every line has a call that shows it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

#[path = "worlds/opened.rs"]
mod opened;
#[path = "worlds/operations.rs"]
mod operations;
#[path = "worlds/scopes.rs"]
mod scopes;
#[path = "worlds/stated.rs"]
mod stated;

use std::ops::Range;

use latchkey::diff::access::{Access, Line, Query, access};
use latchkey_engine::{
    overlay::Overlay,
    testing::{Rng, Where, World},
};
use latchkey_gate::{
    call::{self, Answer, Stated, StatedCaller},
    gate::Gate,
};
use serde_json::{Value, value::RawValue};

use self::{opened::gate, operations::operation_is, scopes::reaches, stated::stated};

const WORLDS: u64 = 200;
const CALLS: usize = 80;

#[test]
fn what_is_allowed_is_on_a_line_and_plain_lines_allow() {
    proves(0..WORLDS / 2);
}

#[test]
fn what_is_allowed_is_on_a_line_and_plain_lines_allow_in_the_other_half() {
    proves(WORLDS / 2..WORLDS);
}

#[derive(Debug, Default)]
struct Tally {
    lines: usize,
    shown: usize,
    plain: usize,
    undecided: usize,
    calls: usize,
    allowed: usize,
    on_a_plain_line: usize,
}

fn proves(seeds: Range<u64>) {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let gate = gate(&world);
        let found = access(&gate, &Query::default());
        tally.undecided += found.undecided.len();
        for line in &found.lines {
            shows(&gate, line, seed, &mut tally);
        }
        for _ in 0..CALLS {
            let call = stated(&world, &world.random_call(&mut rng), &mut rng);
            let Some(call) = call else { continue };
            if let Ok(answer) = call::answer(&gate, &Overlay::default(), &call) {
                let call = forced(&world, call, &answer);
                agrees(&found, &call, &answer, seed, &mut tally);
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.allowed > 300, "too little is allowed: {tally:?}");
    assert!(
        tally.on_a_plain_line > 100,
        "too few plain lines: {tally:?}"
    );
    assert!(
        tally.shown * 100 >= tally.lines * 80,
        "too few lines have a call: {tally:?}"
    );
}

/// The call of a line has the outcome that the line says.
fn shows(gate: &Gate, line: &Line, seed: u64, tally: &mut Tally) {
    tally.lines += 1;
    tally.plain += usize::from(line.is_plain());
    let Some(witness) = &line.witness else {
        assert!(!line.is_plain(), "seed {seed}: no plain call: {line:#?}");
        return;
    };
    tally.shown += 1;
    let answer = call::answer(gate, &Overlay::default(), witness).unwrap();
    let expected = match line.what.activation {
        None => "ok",
        Some(_) => "break_glass_required",
    };
    assert_eq!(answer.reason, expected, "seed {seed}: {line:#?}");
}

fn agrees(found: &Access, call: &Stated, answer: &Answer, seed: u64, tally: &mut Tally) {
    tally.calls += 1;
    let surface = answer.surface.as_deref().unwrap_or_default();
    if found.undecided.iter().any(|gap| gap.surface == surface) {
        return;
    }
    let callers: Vec<Option<&StatedCaller>> = match &call.caller {
        None => vec![None],
        Some(first) => std::iter::once(first)
            .chain(&call.on_behalf_of)
            .map(Some)
            .collect(),
    };
    if answer.decision == "allow" {
        tally.allowed += 1;
        for caller in &callers {
            for (operation, one) in single(call, answer) {
                let mut lines = lines(found, &one, operation.as_deref(), *caller, answer);
                assert!(
                    lines.next().is_some(),
                    "seed {seed}: allowed, and on no line: {}\n{answer:#?}\n{:#?}",
                    serde_json::to_string(call).unwrap(),
                    near(found, *caller, answer)
                );
            }
        }
    }
    let [caller] = callers.as_slice() else { return };
    let calls = single(call, answer);
    let [(operation, one)] = calls.as_slice() else {
        return;
    };
    if answer.scopes.is_empty() {
        return;
    }
    let plain = lines(found, one, operation.as_deref(), *caller, answer).find(|it| it.is_plain());
    if let Some(line) = plain {
        tally.on_a_plain_line += 1;
        // What makes a call no plain one: arguments that break the schema, a restricted token.
        assert!(
            matches!(answer.reason, "ok" | "schema_violation" | "token_scope"),
            "seed {seed}: {} is refused against {line:#?}\n{answer:#?}",
            serde_json::to_string(call).unwrap()
        );
    }
}

/// The call as policy sees it, with the organization or team that the sidecar writes into it.
fn forced(world: &World, mut call: Stated, answer: &Answer) -> Stated {
    let surfaces = world.surfaces.iter();
    let mut forced = surfaces.filter(|it| matches!(it.scope, Where::Force { .. }));
    let surface = forced.find(|it| Some(it.full_name()) == answer.surface);
    if let (Some(_), Some(scope)) = (surface, answer.scopes.first()) {
        let text = call.arguments.as_ref().unwrap().get();
        let mut arguments: Value = serde_json::from_str(text).unwrap();
        arguments["owner"] = Value::from(scope.rsplit('/').next().unwrap());
        call.arguments = RawValue::from_string(arguments.to_string()).ok();
    }
    call
}

/// The call with each of its operations alone.
fn single(call: &Stated, answer: &Answer) -> Vec<(Option<String>, Stated)> {
    let Some(operations) = &answer.operation else {
        return vec![(None, call.clone())];
    };
    let one = |operation: &str| {
        let text = call.arguments.as_ref().unwrap().get();
        let mut arguments: Value = serde_json::from_str(text).unwrap();
        arguments["action"] = Value::from(operation);
        let arguments = RawValue::from_string(arguments.to_string()).unwrap();
        let call = Stated {
            arguments: Some(arguments),
            ..call.clone()
        };
        assert!(operation_is(&call, operation));
        (Some(operation.to_owned()), call)
    };
    operations.split(',').map(one).collect()
}

/// The lines about the same surface and caller, for whoever has to find out what is wrong.
fn near<'a>(found: &'a Access, caller: Option<&StatedCaller>, answer: &Answer) -> Vec<&'a Line> {
    let lines = found.lines.iter();
    let of_surface = lines.filter(|it| Some(&it.what.surface) == answer.surface.as_ref());
    of_surface.filter(|it| is_subject(it, caller)).collect()
}

/// The lines that speak of a call, by one of its callers, in all of its scopes.
fn lines<'a>(
    found: &'a Access,
    call: &'a Stated,
    operation: Option<&'a str>,
    caller: Option<&'a StatedCaller>,
    answer: &'a Answer,
) -> impl Iterator<Item = &'a Line> {
    let alone = Stated {
        caller: caller.cloned(),
        ..call.clone()
    };
    let in_chain = !call.on_behalf_of.is_empty();
    found.lines.iter().filter(move |line| {
        let what = &line.what;
        Some(&what.surface) == answer.surface.as_ref()
            && what.operation.as_deref() == operation
            && (in_chain || !what.chain)
            && is_subject(line, caller)
            && answer.scopes.iter().all(|it| reaches(&what.scope, it))
            && line.covers(&alone)
    })
}

fn is_subject(line: &Line, caller: Option<&StatedCaller>) -> bool {
    let Some(caller) = caller else {
        return line.subjects.contains("anonymous");
    };
    let subject = caller.subject.as_ref().unwrap();
    let name = subject
        .strip_prefix("u-")
        .or_else(|| subject.strip_prefix("p-"));
    match name.unwrap() {
        "nobody" => {
            let stranger = format!("undeclared:{}", caller.issuer.as_ref().unwrap());
            line.subjects.contains(&stranger)
        }
        name => {
            let by = format!("{name} (by {})", caller.issuer.as_ref().unwrap());
            line.subjects.contains(name) || line.subjects.contains(&by)
        }
    }
}
