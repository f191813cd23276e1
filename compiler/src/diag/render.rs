//! Renderers: one for people, one for machines.

pub mod human;
pub mod json;
