//! The release statement: what the files of a release are, and from what they were built.

use latchkey_engine::time::Time;

use super::{Files, PackError, Source, UNSIGNED};

/// What a release says besides its files.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The project.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// The version; never goes down within a channel.
    pub version: u64,
    /// The first instant at which it is no longer in force.
    pub not_after: Option<Time>,
    /// The committed state that it was built from.
    pub source: Option<Source>,
}

/// Adds the statement about all files.
pub fn seal(_files: &mut Files, _facts: &Facts) -> Result<(), PackError> {
    let _ = UNSIGNED;
    Ok(())
}
