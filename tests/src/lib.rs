//! What the cross-crate tests share: golden projects, a naive reference, a tool server, clients.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod client;
pub mod front;
pub mod golden;
pub mod live;
pub mod node;
pub mod peer;
pub mod program;
pub mod provider;
pub mod publisher;
pub mod reference;
pub mod tokens;
pub mod upstream;
pub mod web;
pub mod wire;
