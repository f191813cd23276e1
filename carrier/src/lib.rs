//! Moves releases: folders, HTTP and OCI registries, the same files everywhere.

pub mod pace;
