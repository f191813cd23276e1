//! What sessions and other handles are sealed with.

use std::path::PathBuf;

use serde::Deserialize;

/// What sessions and other handles are sealed with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlesConfig {
    /// The file with the keys, one on each line in base64; the first seals, all open. Sidecars with
    /// the same file take each other's sessions. Absent means a key of this sidecar's own, kept in
    /// the state directory.
    pub key_file: Option<PathBuf>,
}
