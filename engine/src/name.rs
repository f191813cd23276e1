//! Which names are legal: the only place that knows.

/// The longest DNS label, in bytes.
pub const MAX_LABEL: usize = 63;
/// The longest name of a tool, prompt, resource or route, in bytes.
pub const MAX_SURFACE: usize = 128;

/// Whether this is a DNS label (RFC 1123): lower-case letters, digits and inner hyphens.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= MAX_LABEL
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether this is a surface's name: `[A-Za-z0-9_.-]{1,128}`, as MCP names tools.
#[must_use]
pub fn is_surface(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SURFACE
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
