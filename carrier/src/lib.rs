//! Moves releases: folders, HTTP and OCI registries, the same files everywhere.
//!
//! A [`Carrier`] reads a release from a [`Location`]; [`publish::push`] and [`publish::pull`] move
//! a whole one. What arrives is checked against the digest and size that the release statement
//! gives, and every transfer has a cap on bytes and on time. Whether the statement itself is to be
//! believed is `latchkey_gate::supply`'s question: nothing here judges a signature.
//!
//! Proxies are taken from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), except for
//! loopback. Reading files, hashing and patching happen on the calling thread, so a carrier belongs
//! on a runtime that serves nothing else.

mod carrier;
mod error;
mod location;
pub mod names;
pub mod pace;
pub mod patch;
mod peek;
pub mod publish;
mod store;
#[cfg(test)]
mod testing;

pub use carrier::{Carrier, Fetched, Found, How, Options, Token};
pub use error::{CarrierError, Kind};
pub use location::{Location, Reference};
