//! The pure request path of Latchkey: from request bytes and claims to a verdict.
//!
//! [`Gate::open`](gate::Gate::open) puts a slice of a bundle in force; [`admit`](admit::admit)
//! takes one request through `parse -> classify -> bind -> validate -> decide`, and on a refusal
//! asks the coarse question that settles what its caller is told. Nothing here reads a file,
//! socket, clock or environment variable, so a test runs what the sidecar runs.

pub mod admit;
mod bind;
pub mod bridge;
pub mod call;
pub mod capability;
pub mod certificate;
mod classify;
pub mod event;
pub mod filter;
pub mod gate;
pub mod identity;
pub mod inbound;
pub mod json;
pub mod method;
pub mod passage;
pub mod pin;
mod route;
pub mod schema;
pub mod seal;
pub mod session;
pub mod settings;
pub mod supply;
pub mod survey;
pub mod task;
#[cfg(test)]
mod testing;
pub mod token;
pub mod upstream;
pub mod wire;

pub use bind::fold;
pub use classify::Fault;
pub use route::{check_resource, check_route};
