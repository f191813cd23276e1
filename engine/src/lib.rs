//! The shared truth of Latchkey: what a policy is, and what it decides.
//!
//! Everything the compiler and the sidecar must agree on lives here: ids and names, the scope
//! tree, conditions, the compiled [`Index`](index::Index), the bundle format that carries it, and
//! [`decide`](decide::decide). This crate reads no file, socket, clock or environment variable and
//! writes no log; a decision is a pure function of its arguments.
//!
//! The way of the data: `Index -> encode -> bytes -> Policy::open -> decide`.

pub mod bundle;
pub mod call;
pub mod condition;
pub mod decide;
pub mod decimal;
pub mod decision;
pub mod id;
pub mod index;
pub mod lists;
pub mod name;
pub mod overlay;
pub mod policy;
pub mod reason;
pub mod scope;
pub mod slot;
pub mod sparse;
pub mod strings;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
pub mod time;
