//! The overlay file: run-time facts that only subtract.
//!
//! `{"revoked_tokens": [], "suspended": ["alice"], "denied": ["github/push_files"]}`. The file is
//! not signed, so it may take away and never give: one that claims break-glass is refused whole.

use std::{fmt, path::Path};

use latchkey_engine::overlay::Overlay;
use serde::Deserialize;

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
