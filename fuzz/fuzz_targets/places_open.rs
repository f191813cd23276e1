//! Bytes that open encode to themselves again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(places) = latchkey_engine::bundle::places::Places::open(bytes) {
        assert_eq!(places.encode().as_deref(), Ok(bytes));
    }
});
