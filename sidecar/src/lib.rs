//! The Latchkey sidecar: enforces a bundle on every request to a tool server.
//!
//! Everything that decides lives in the gate and is pure; this crate is its hands: listeners, the
//! way upstream, the supply of bundles, the audit log, metrics. The order of a request is one
//! function, in [`pipeline`].

pub mod activation;
pub mod admin;
pub mod answer;
pub mod arriving;
pub mod audit;
mod body;
pub mod breaker;
pub mod bridge;
pub mod config;
pub mod decision;
pub mod exchange;
mod faults;
mod files;
pub mod handles;
pub mod handover;
pub mod host;
pub mod http1;
pub mod identity;
mod ids;
pub mod limit;
pub mod listen;
mod look;
pub mod metadata;
pub mod meter;
pub mod metrics;
pub mod overlay;
mod panics;
pub mod pins;
pub mod pipeline;
pub mod preflight;
pub mod run;
mod session;
pub mod socket;
pub mod stdio;
pub mod store;
pub mod supply;
pub mod telemetry;
pub mod tls;
pub mod token_endpoint;
mod upload;
pub mod upstream;
