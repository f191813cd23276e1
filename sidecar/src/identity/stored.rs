//! The keys of an issuer on the disk, so that a restart does not need the issuer.

use std::path::{Path, PathBuf};

use latchkey_gate::supply::Digest;
use serde::{Deserialize, Serialize};

use crate::files;

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// How far in the future a time may be: a clock that was ahead must not make keys live longer.
const AHEAD: i64 = 60;

/// What an issuer answered last, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    /// The issuer, by the exact `iss` of its tokens.
    pub(super) issuer: String,
    /// The URL that the policy names; `None` when the issuer's metadata names it.
    pub(super) uri: Option<String>,
    /// When the issuer vouched for the keys last, in seconds since 1970.
    pub(super) vouched_at: i64,
    /// The `ETag` of the answer.
    pub(super) tag: Option<String>,
    /// The key set, as it was answered.
    pub(super) jwks: String,
}

impl Stored {
    /// What is stored for an issuer and the place of its keys, unless it cannot be trusted.
    pub(super) fn load(folder: &Path, issuer: &str, uri: Option<&str>, now: i64) -> Option<Self> {
        let bytes = files::read(&path(folder, issuer), LARGEST).ok()??;
        let stored: Self = serde_json::from_slice(&bytes).ok()?;
        let same = stored.issuer == issuer && stored.uri.as_deref() == uri;
        (same && stored.vouched_at <= now.saturating_add(AHEAD)).then_some(stored)
    }

    /// Keeps it.
    pub(super) fn save(&self, folder: &Path) -> std::io::Result<()> {
        let path = path(folder, &self.issuer);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        files::replace(&path, &serde_json::to_vec(self)?)
    }
}

fn path(folder: &Path, issuer: &str) -> PathBuf {
    let name = format!("{}.json", Digest::of(issuer.as_bytes()));
    folder.join("keys").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_the_same_issuer_and_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let stored = Stored {
            issuer: "https://idp.example/../a".to_owned(),
            uri: Some("https://idp.example/jwks".to_owned()),
            vouched_at: 1000,
            tag: None,
            jwks: "{}".to_owned(),
        };
        stored.save(folder.path()).unwrap();
        let load = |uri: Option<&str>, now| Stored::load(folder.path(), &stored.issuer, uri, now);
        assert_eq!(load(stored.uri.as_deref(), 1000), Some(stored.clone()));
        assert_eq!(load(None, 1000), None);
        assert_eq!(load(stored.uri.as_deref(), 900), None, "from the future");
        let other = Stored::load(folder.path(), "https://other", stored.uri.as_deref(), 1000);
        assert_eq!(other, None);
        std::fs::write(path(folder.path(), &stored.issuer), "{").unwrap();
        assert_eq!(load(stored.uri.as_deref(), 1000), None);
    }
}
