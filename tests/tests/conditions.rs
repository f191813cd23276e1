//! Conditions twice, on random conditions and calls: the engine, and an evaluator of the same tree
//! that shares nothing with it. `tests/cel` compares both with the crate `cel`.
//!
//! `LATCHKEY_CONDITIONS` sets how many pairs of a condition and a call are tried, 100,000 without
//! it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

#[path = "conditions/call.rs"]
mod call;
#[path = "conditions/draw.rs"]
mod draw;
#[path = "conditions/engine.rs"]
mod engine;
#[path = "conditions/naive.rs"]
mod naive;

use latchkey_engine::testing::Rng;

use self::{
    call::{Call, Values},
    draw::{Condition, Words},
};

/// Calls that each condition is tried on.
const CALLS: usize = 20;

fn pairs() -> usize {
    let set = std::env::var("LATCHKEY_CONDITIONS");
    set.map_or(100_000, |text| text.parse().unwrap())
}

fn agree(words: Words, values: Values) {
    let environment = engine::environment();
    let [mut holds, mut fails, mut undetermined] = [0_usize; 3];
    for seed in 0..(pairs() / CALLS) as u64 {
        let mut rng = Rng::new(seed);
        let condition = Condition::draw(&mut rng, words);
        let text = condition.to_string();
        let compiled = engine::compiled(&text, &environment);
        for _ in 0..CALLS {
            let call = Call::draw(&mut rng, values);
            let expected = naive::value(&condition, &call);
            assert_eq!(compiled.value(&call), expected, "{text}\n{call:#?}");
            match expected {
                Some(true) => holds += 1,
                Some(false) => fails += 1,
                None => undetermined += 1,
            }
        }
    }
    let all = holds + fails + undetermined;
    println!("{all} pairs agree: {holds} hold, {fails} do not, {undetermined} are undetermined");
    assert!(holds > all / 10 && fails > all / 10 && undetermined > all / 20);
}

#[test]
fn engine_and_naive_evaluator_agree_on_all_words_and_values() {
    agree(Words::All, Values::Any);
}

#[test]
fn engine_and_naive_evaluator_agree_on_what_cel_has_too() {
    agree(Words::Common, Values::Typed);
}
