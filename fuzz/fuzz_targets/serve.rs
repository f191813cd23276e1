//! No bytes of a caller, and no bytes of a tool server, make the sidecar panic, forward what the
//! policy does not allow, or forward anything without one intent and one event.
#![no_main]

use std::cell::RefCell;

/// The policy, as the sidecar's own tests have it.
#[allow(dead_code, reason = "the fuzz target needs only some of it")]
#[path = "../../sidecar/tests/sidecar/bundle.rs"]
mod bundle;
/// Both ends of the wire, and what must hold between them.
#[allow(dead_code, reason = "the fuzz target looks at no outcome")]
#[path = "../../sidecar/tests/sidecar/raw.rs"]
mod raw;

thread_local! {
    static WIRE: RefCell<raw::Wire> = RefCell::new(raw::Wire::start());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    WIRE.with_borrow_mut(|wire| drop(wire.send(bytes)));
});
