//! No text makes the parser of conditions panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = latchkey_engine::condition::parse(text);
});
