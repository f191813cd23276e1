//! Texts within bytes.

/// Where something begins.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What stands between.
pub(crate) fn split<'b>(mut bytes: &'b [u8], by: &[u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, by) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + by.len()..];
    }
    parts.push(bytes);
    parts
}

/// The same with something else in each place.
pub(crate) fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    split(bytes, what).join(by)
}
