//! The names of a release's files, relative to its location; the same in every carrier.

use latchkey_gate::supply::Digest;

/// The release statement in force, in its envelope.
pub const RELEASE: &str = "release.dsse.json";
/// The freshness pointer.
pub const POINTER: &str = "pointer.dsse.json";

/// Largest statement envelope, Sigstore bundle or trust root that is read, in bytes.
pub const LARGEST_ENVELOPE: u64 = 4 << 20;
/// Largest freshness pointer that is read, in bytes.
pub const LARGEST_POINTER: u64 = 256 << 10;
/// Most Sigstore bundles over one statement.
pub const MOST_SIGSTORE: u32 = 16;

/// The `n`th Sigstore bundle over the statement in force, from 1.
pub fn sigstore(n: u32) -> String {
    format!("release.sigstore.{n}.json")
}

/// Version `n` of the trust root.
pub fn trust(n: u64) -> String {
    format!("trust.{n}.dsse.json")
}

/// The version in the name of a trust root.
pub(crate) fn trust_version(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("trust.")?.strip_suffix(".dsse.json")?;
    let version = digits.parse().ok()?;
    (trust(version) == name).then_some(version)
}

/// A subject by its digest.
pub fn file(digest: &Digest) -> String {
    format!("files/{digest}")
}

/// The digest in the name of a subject.
pub(crate) fn file_digest(name: &str) -> Option<Digest> {
    name.strip_prefix("files/")?.parse().ok()
}

/// Whether a name is taken by what goes with the subjects of a release.
pub(crate) fn is_reserved(name: &str) -> bool {
    name == RELEASE
        || name == POINTER
        || name.starts_with("release.sigstore.")
        || trust_version(name).is_some()
}

/// A statement by the digest of its payload.
pub fn statement(digest: &Digest) -> String {
    format!("releases/{digest}.dsse.json")
}

/// The `n`th Sigstore bundle over a statement named by its digest, from 1.
pub fn statement_sigstore(digest: &Digest, n: u32) -> String {
    format!("releases/{digest}.sigstore.{n}.json")
}

/// The patch that makes one file from another; from nothing, it is the compressed file.
pub fn patch(from: &Digest, to: &Digest) -> String {
    format!("patches/{from}-{to}")
}

/// Whether a name stays inside its location: at most one folder, plain characters, no leading dot.
pub(crate) fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let part = |part: &str| {
        (1..=200).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(legal)
    };
    name.split('/').count() <= 2 && name.split('/').all(part)
}

/// Whether the bytes under a name may change.
pub(crate) fn is_mutable(name: &str) -> bool {
    !name.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_layout_are_not_for_subjects() {
        for name in [RELEASE, POINTER, &sigstore(3), &trust(12)] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "all.lkb",
            "release.json",
            "trust.x.dsse.json",
            "trust.01.dsse.json",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn names_stay_inside() {
        let digest = Digest::of(b"");
        for name in [
            RELEASE,
            POINTER,
            "all.lkb",
            &file(&digest),
            &patch(&digest, &digest),
        ] {
            assert!(is_legal(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "files/../x",
            "a/b/c",
            ".x",
            "a b",
            "a?b",
            "files/",
        ] {
            assert!(!is_legal(name), "{name}");
        }
    }
}
