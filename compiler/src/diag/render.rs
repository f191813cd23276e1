//! Renderers, one for each place where findings are read.

pub mod github;
pub mod human;
pub mod json;
pub mod junit;
pub mod sarif;
