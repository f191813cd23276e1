//! Scopes as paths.

/// Whether a scope lies in another, or is it.
pub(crate) fn reaches(outer: &str, inner: &str) -> bool {
    outer == "platform" || outer == inner || inner.starts_with(&format!("{outer}/"))
}
