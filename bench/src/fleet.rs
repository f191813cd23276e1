//! One release to a fleet of sidecars, in virtual time: the sidecars keep the pace that the product
//! keeps, the registry is a model.

pub mod plot;
pub mod registry;
pub mod scenario;
pub mod simulation;

/// The sidecar's own file: without its crate, a simulation builds without TLS.
#[path = "../../carrier/src/pace.rs"]
pub mod pace;
