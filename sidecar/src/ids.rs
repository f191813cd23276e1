//! Ids and keys that nobody can guess.

use std::{
    fmt::Write,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Keyed from the operating system's randomness, once a process.
static SECRET: LazyLock<(RandomState, RandomState)> =
    LazyLock::new(|| (RandomState::new(), RandomState::new()));

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A fresh version 7 UUID: the time in milliseconds, then bits that are distinct in this process
/// and unlike those of any other.
#[must_use]
pub(crate) fn uuid() -> String {
    let [high, low] = bits();
    let milliseconds = now().as_millis() & 0xffff_ffff_ffff;
    let mut text = String::with_capacity(36);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
        milliseconds >> 16,
        milliseconds & 0xffff,
        high & 0xfff,
        (high >> 12) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    );
    text
}

/// A fresh W3C span id.
#[must_use]
pub(crate) fn span() -> String {
    let [high, _] = bits();
    format!("{:016x}", high | 1)
}

/// A fresh W3C trace id.
#[must_use]
pub(crate) fn trace() -> String {
    let [high, low] = bits();
    format!("{high:016x}{:016x}", low | 1)
}

/// A fresh key of 32 bytes, from the operating system.
pub(crate) fn key() -> io::Result<Vec<u8>> {
    let mut key = vec![0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// The time since 1970.
#[must_use]
pub(crate) fn now() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn bits() -> [u64; 2] {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let (first, second) = &*SECRET;
    [first.hash_one(count), second.hash_one(count)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_well_formed() {
        let ids: std::collections::BTreeSet<String> = (0..10_000).map(|_| uuid()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(100) {
            let parts: Vec<&str> = id.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(parts[2].starts_with('7'), "{id}");
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
        assert_eq!(trace().len(), 32);
        assert_eq!(span().len(), 16);
        assert_ne!(key().unwrap(), key().unwrap());
    }
}
