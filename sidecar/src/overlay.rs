//! The overlay file: run-time facts that only subtract.
//!
//! `{"revoked_tokens": [], "suspended": ["alice"], "denied": ["github/push_files"]}`. The file is
//! not signed, so it may take away and never give: one that claims break-glass is refused whole.
//! What the freshness pointer denies at once is added to it: the union of both is in force.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use latchkey_engine::{overlay::Overlay, policy::Policy};
use latchkey_gate::supply::UrgentDeny;
use serde::Deserialize;

use crate::files::Stamp;

/// What is taken away at run time, from both of its sources.
#[derive(Debug, Default)]
pub struct Overlays {
    parts: Mutex<Parts>,
    merged: ArcSwap<Overlay>,
}

#[derive(Debug, Default)]
struct Parts {
    file: Option<Overlay>,
    urgent: UrgentDeny,
}

impl Overlays {
    /// What is in force.
    pub fn merged(&self) -> Arc<Overlay> {
        self.merged.load_full()
    }

    /// Whether an overlay file has been read.
    pub fn has_file(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.file.is_some()
    }

    /// How many denials are in force, of the file and of the pointer.
    pub fn count(&self) -> usize {
        let merged = self.merged();
        merged.revoked_tokens.len() + merged.suspended.len() + merged.denied.len()
    }

    /// The names in the file that a bundle does not know, so that they take nothing away. The ids of
    /// tokens are known to none.
    pub fn unknown_to(&self, policy: &Policy) -> Vec<String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &parts.file else {
            return Vec::new();
        };
        let suspended = file.suspended.iter();
        let suspended = suspended.filter(|name| policy.principal(name).is_none());
        let denied = file.denied.iter();
        let denied = denied.filter(|name| policy.surface_by_name(name).is_none());
        suspended.chain(denied).cloned().collect()
    }

    /// Puts the content of the overlay file in force.
    pub fn set_file(&self, overlay: Overlay) {
        self.change(|parts| parts.file = Some(overlay));
    }

    /// Puts the urgent denials of a pointer in force, in place of those of the one before.
    pub fn set_urgent(&self, urgent: UrgentDeny) {
        self.change(|parts| parts.urgent = urgent);
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let mut merged = parts.file.clone().unwrap_or_default();
        let UrgentDeny {
            revoked_tokens,
            suspended,
            denied,
        } = parts.urgent.clone();
        merged.revoked_tokens.extend(revoked_tokens);
        merged.suspended.extend(suspended);
        merged.denied.extend(denied);
        // Under the lock, so that of two changes at a time none undoes the other.
        self.merged.store(Arc::new(merged.sorted()));
    }
}

/// Reads the overlay file again whenever it changes.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Option<Stamp>,
}

impl Watch {
    /// A file that may not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// What the file holds, if it has changed since this was asked last.
    pub fn look(&mut self) -> Option<Result<Overlay, OverlayError>> {
        let stamp = Stamp::of(&self.path);
        if self.seen.as_ref() == Some(&stamp) {
            return None;
        }
        self.seen = Some(stamp);
        Some(load(&self.path))
    }
}

/// Why an overlay file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct OverlayError(String);

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OverlayError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    revoked_tokens: Vec<String>,
    #[serde(default)]
    suspended: Vec<String>,
    #[serde(default)]
    denied: Vec<String>,
    #[serde(default)]
    break_glass: Vec<serde_json::Value>,
}

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Reads an overlay file.
pub fn load(path: &Path) -> Result<Overlay, OverlayError> {
    let fault = |error: &dyn fmt::Display| OverlayError(format!("{}: {error}", path.display()));
    let length = std::fs::metadata(path)
        .map_err(|error| fault(&error))?
        .len();
    if length > LARGEST {
        return Err(fault(&format!(
            "holds {length} bytes; at most {LARGEST} are read"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(&error))?;
    parse(&text).map_err(|error| fault(&error))
}

fn parse(text: &str) -> Result<Overlay, OverlayError> {
    let file: File = serde_json::from_str(text).map_err(|error| OverlayError(error.to_string()))?;
    if !file.break_glass.is_empty() {
        return Err(OverlayError(
            "`break_glass` in an unsigned file could add access, so the whole file is refused: \
             remove the member"
                .to_owned(),
        ));
    }
    Ok(Overlay {
        revoked_tokens: file.revoked_tokens,
        suspended: file.suspended,
        denied: file.denied,
        activations: Vec::new(),
    }
    .sorted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_subtracts() {
        let overlay = parse(r#"{"suspended":["b","a"],"denied":["s/t"]}"#).unwrap();
        assert_eq!(overlay.suspended, ["a", "b"]);
        assert_eq!(overlay.denied, ["s/t"]);
        assert_eq!(parse(r#"{"break_glass":[]}"#).unwrap(), Overlay::default());
    }

    #[test]
    fn the_union_of_file_and_pointer_is_in_force() {
        let overlays = Overlays::default();
        let urgent = |names: &[&str]| UrgentDeny {
            suspended: names.iter().map(|name| (*name).to_owned()).collect(),
            ..UrgentDeny::default()
        };
        overlays.set_urgent(urgent(&["bob"]));
        assert!(!overlays.has_file());
        overlays.set_file(parse(r#"{"suspended":["zoe","alice"]}"#).unwrap());
        assert_eq!(overlays.merged().suspended, ["alice", "bob", "zoe"]);
        overlays.set_urgent(urgent(&[]));
        assert_eq!(overlays.merged().suspended, ["alice", "zoe"]);
    }

    #[test]
    fn refuses_what_could_add_or_is_not_understood() {
        for (text, says) in [
            (r#"{"break_glass":[{"id":"x"}]}"#, "break_glass"),
            (r#"{"grant":["s/t"]}"#, "grant"),
            (r#"{"suspended":"alice"}"#, "sequence"),
            ("", "EOF"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
