//! Bytes that open encode to themselves again.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(policy) = latchkey_engine::policy::Policy::open(bytes) {
        assert_eq!(
            latchkey_engine::bundle::encode(policy.index()).as_deref(),
            Ok(bytes)
        );
    }
});
