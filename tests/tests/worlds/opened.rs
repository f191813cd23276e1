//! Random worlds as opened bundles.

use latchkey_engine::{bundle, testing::World};
use latchkey_gate::{gate::Gate, token::mint::Mint};

use super::stated::vouched;

/// The world's policy, as a sidecar would open it.
pub(crate) fn gate(world: &World) -> Gate {
    let mut index = vouched(world).index();
    for issuer in &mut index.issuers {
        issuer.keys = Mint::from_seed("test", [7; 32]).jwks();
    }
    let bytes = bundle::encode(&index).unwrap();
    Gate::open(&bytes, None).unwrap()
}
