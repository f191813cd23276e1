//! The commands of the supply chain, as scripts see them: keys, trust, signatures, pointers,
//! verification, rebuilding.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod history;
mod release;
mod scene;
mod trust;
mod verify;
