//! What capability tokens are signed with.

use std::path::PathBuf;

use serde::Deserialize;

/// What capability tokens are signed with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The file with the keys, one on each line in base64; the first signs, all verify. Sidecars
    /// with the same file take each other's tokens. Absent means a key of this sidecar's own, kept
    /// in the state directory.
    pub key_file: Option<PathBuf>,
}
