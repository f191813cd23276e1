//! Conditions beside the crate `cel`, on random conditions and calls: on what both languages have,
//! they say the same, and what is undetermined here is an error there.
//!
//! `LATCHKEY_CONDITIONS` sets how many pairs of a condition and a call are tried, 100,000 without
//! it.

#![cfg(test)]

#[path = "../tests/conditions/call.rs"]
mod call;
mod common;
#[path = "../tests/conditions/draw.rs"]
mod draw;
#[path = "../tests/conditions/engine.rs"]
mod engine;
#[path = "../tests/conditions/naive.rs"]
mod naive;

use latchkey_engine::testing::Rng;

use self::{
    call::{Call, Values},
    draw::{Condition, Words},
};

/// Calls that each condition is tried on.
const CALLS: usize = 20;

/// Of a value of another type CEL says that it is not equal, and conditions that nothing can be
/// said; so here values have their types, and may be absent.
#[test]
fn the_crate_cel_the_engine_and_a_naive_evaluator_agree() {
    let set = std::env::var("LATCHKEY_CONDITIONS");
    let pairs: u64 = set.map_or(100_000, |text| text.parse().unwrap());
    let environment = engine::environment();
    let [mut holds, mut fails, mut errors] = [0_u64; 3];
    for seed in 0..pairs / CALLS as u64 {
        let mut rng = Rng::new(seed ^ 0xce1);
        let condition = Condition::draw(&mut rng, Words::Common);
        let text = condition.to_string();
        let compiled = engine::compiled(&text, &environment);
        let program = common::Program::compile(&text);
        for _ in 0..CALLS {
            let call = Call::draw(&mut rng, Values::Typed);
            let expected = program.value(&call);
            assert_eq!(compiled.value(&call), expected, "engine: {text}\n{call:#?}");
            assert_eq!(
                naive::value(&condition, &call),
                expected,
                "naive: {text}\n{call:#?}"
            );
            match expected {
                Some(true) => holds += 1,
                Some(false) => fails += 1,
                None => errors += 1,
            }
        }
    }
    let all = holds + fails + errors;
    println!("{all} pairs agree: {holds} hold, {fails} do not, {errors} are errors");
    assert!(holds > all / 10 && fails > all / 10 && errors > all / 20);
}
