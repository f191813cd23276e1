//! No document makes the readers of OpenAPI and of Kubernetes exports panic, and what they take
//! can be imported again without a change.
#![no_main]

/// What is done with the bytes, as the replay of the corpus does it.
#[path = "../../compiler/tests/fuzzed/import.rs"]
mod import;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| import::import(bytes));
