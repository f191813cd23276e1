//! No statement, pointer or trust root makes the rules of acceptance panic, signed or not; and what
//! is read has one spelling.
#![no_main]

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Floor, Offer, Pointer, Statement, TrustRoot, accept,
    dsse::{self, Kind},
    heed, keys, rotate,
};

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[1; 32]));
/// One key in every role.
static TRUST: LazyLock<TrustRoot> = LazyLock::new(|| {
    let spki = keys::public_text(&KEY.verifying_key());
    let role = r#"{"threshold": 1, "members": ["ci"]}"#;
    let text = format!(
        r#"{{"version": 1, "project": "acme", "epoch": 1,
            "keys": {{"ci": {{"algorithm": "ed25519", "spki": "{spki}"}}}},
            "roles": {{"root": {role}, "release": {{"main": {role}}}, "freshness": {{"main": {role}}}}}}}"#
    );
    TrustRoot::parse(text.as_bytes()).unwrap()
});
const NOW: Time = Time(1_800_000_000);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let floor = Floor::default();
    let _ = accept(&TRUST, &floor, &Offer::new(bytes), NOW);
    if let Ok(statement) = Statement::parse(bytes) {
        assert_eq!(statement.encode().as_deref(), Ok(bytes));
    }
    if let Ok(pointer) = Pointer::parse(bytes) {
        assert_eq!(pointer.encode().as_deref(), Ok(bytes));
    }
    if let Ok(root) = TrustRoot::parse(bytes) {
        assert_eq!(TrustRoot::parse(root.to_json().as_bytes()), Ok(root));
    }
    // The same with a signature that holds, which a fuzzer does not find by itself.
    let sign = |kind| dsse::sign(kind, bytes, std::slice::from_ref(&*KEY)).into_bytes();
    let _ = accept(&TRUST, &floor, &Offer::new(&sign(Kind::Statement)), NOW);
    let _ = heed(&TRUST, &floor, None, &sign(Kind::Pointer), NOW);
    let _ = rotate(&TRUST, &sign(Kind::Trust), NOW);
});
