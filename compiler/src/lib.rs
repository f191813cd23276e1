//! The Latchkey policy compiler: YAML in Git to a checked, tested, signed bundle.

pub mod diag;
pub mod project;
pub mod source;
pub mod syntax;
