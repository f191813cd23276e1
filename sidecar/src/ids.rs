//! Ids and keys that nobody can guess.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::faults;

/// Keyed from the operating system's randomness, once a process.
static SECRET: LazyLock<(RandomState, RandomState)> =
    LazyLock::new(|| (RandomState::new(), RandomState::new()));

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A fresh version 7 UUID: the time in milliseconds, then bits that are distinct in this process
/// and unlike those of any other.
#[must_use]
pub(crate) fn uuid() -> String {
    let [high, low] = bits();
    let now = now();
    let milliseconds = now.as_secs() * 1000 + u64::from(now.subsec_millis());
    let mut text = String::with_capacity(36);
    hex(&mut text, milliseconds >> 16, 8);
    text.push('-');
    hex(&mut text, milliseconds, 4);
    text.push_str("-7");
    hex(&mut text, high, 3);
    text.push('-');
    hex(&mut text, (high >> 12) & 0x3fff | 0x8000, 4);
    text.push('-');
    hex(&mut text, low, 12);
    text
}

/// A fresh W3C span id.
#[must_use]
pub(crate) fn span() -> String {
    let [high, _] = bits();
    let mut text = String::with_capacity(16);
    hex(&mut text, high | 1, 16);
    text
}

/// A fresh mask of a WebSocket frame.
#[must_use]
pub(crate) fn mask() -> [u8; 4] {
    let [a, b, c, d, ..] = bits()[1].to_be_bytes();
    [a, b, c, d]
}

/// A fresh W3C trace id.
#[must_use]
pub(crate) fn trace() -> String {
    let [high, low] = bits();
    let mut text = String::with_capacity(32);
    hex(&mut text, high, 16);
    hex(&mut text, low | 1, 16);
    text
}

/// A fresh key of 32 bytes, from the operating system.
pub(crate) fn key() -> io::Result<Vec<u8>> {
    let mut key = vec![0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

/// The same as text: who holds it was given it.
pub(crate) fn secret() -> io::Result<String> {
    let key = key()?;
    let mut text = String::with_capacity(2 * key.len());
    for byte in key {
        hex(&mut text, u64::from(byte), 2);
    }
    Ok(text)
}

/// The time since 1970.
#[must_use]
pub(crate) fn now() -> std::time::Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    faults::clock(now.unwrap_or_default())
}

/// The lowest digits of a number, at most 16, in lower-case hex. Formatting costs several times as
/// much.
fn hex(text: &mut String, value: u64, digits: u32) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut out = [b'0'; 16];
    for (at, digit) in (0..digits).rev().zip(&mut out) {
        let nibble = usize::try_from(value >> (4 * at) & 15).unwrap_or(0);
        *digit = DIGITS.get(nibble).copied().unwrap_or(b'0');
    }
    let out = out.get(..digits as usize).unwrap_or_default();
    text.push_str(std::str::from_utf8(out).unwrap_or_default());
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
