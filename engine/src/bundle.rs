//! The bundle format: one value, one legal encoding.

use crate::index::Index;

pub mod places;

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// The offset of the first wrong byte, or of the section that does not hold together.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why an index cannot be a bundle. A compiler that keeps the rules of [`Index`] never sees one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// The section of the bundle.
    pub section: &'static str,
    /// What is wrong there.
    pub what: &'static str,
}

/// Encodes an index, after the same proof that opening makes.
pub fn encode(_index: &Index) -> Result<Vec<u8>, EncodeError> {
    Err(EncodeError {
        section: "",
        what: "",
    })
}

/// Decodes and proves an index.
pub(crate) fn decode(_bytes: &[u8]) -> Result<Index, OpenError> {
    Err(OpenError {
        offset: 0,
        what: "",
    })
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.offset)
    }
}

impl std::error::Error for OpenError {}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "section {}: {}", self.section, self.what)
    }
}

impl std::error::Error for EncodeError {}
