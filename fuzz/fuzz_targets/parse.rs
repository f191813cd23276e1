//! No text of one file makes the reader of the YAML subset panic, or blame a place that is not
//! there.
#![no_main]

/// What is done with the bytes, as the replay of the corpus does it.
#[allow(dead_code, reason = "each target needs one of two")]
#[path = "../../compiler/tests/fuzzed/project.rs"]
mod project;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| project::parse(bytes));
