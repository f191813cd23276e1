//! What sessions and other handles are sealed with.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::Span;

/// What sessions and other handles are sealed with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandlesConfig {
    /// The file with the keys, one on each line in base64; the first seals, all open. Sidecars with
    /// the same file take each other's sessions. Absent means a key of this sidecar's own, kept in
    /// the state directory.
    pub key_file: Option<PathBuf>,
    /// How long a key that was taken out of the file still opens what it has sealed.
    pub grace: Span,
}

impl Default for HandlesConfig {
    fn default() -> Self {
        Self {
            key_file: None,
            grace: Span(Duration::from_hours(1)),
        }
    }
}
