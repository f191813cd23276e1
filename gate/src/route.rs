//! From names, URIs and paths to surfaces.

use latchkey_engine::index::Index;

use crate::gate::GateError;

/// The look-up tables of one slice.
#[derive(Debug)]
pub(crate) struct Routes {}

impl Routes {
    /// Builds the tables; fails on a template that cannot be matched.
    pub(crate) fn build(_index: &Index) -> Result<Self, GateError> {
        Ok(Self {})
    }
}
