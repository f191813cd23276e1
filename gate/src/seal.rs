//! Handles that a server gives out, sealed so that only the caller who got one can use it.
//!
//! A session, an event, a request of a server, a task and the state of a call that waits for input
//! are named by texts that the caller carries back. On their way out they are encrypted and bound to
//! what they were made for; on their way in they open for the same caller and purpose only. So
//! nothing has to be remembered: replicas that share a key share every handle.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The length of a key in bytes.
pub const KEY_LENGTH: usize = 32;

/// The most keys that a sealer is made of.
pub const MAX_KEYS: usize = 8;

/// The most keys that one sealer opens with: keys that were replaced open for a while, too.
pub const MOST_KEYS: usize = 2 * MAX_KEYS;

/// The longest handle of a server that is sealed, in bytes.
pub const MAX_HANDLE: usize = 1 << 16;

/// What a handle is for: one made for one purpose opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `Mcp-Session-Id`.
    Session,
    /// The id of an event in a stream, which `Last-Event-ID` names.
    Event,
    /// The id of a request of the server to the client.
    Request,
    /// The progress token of such a request.
    Progress,
    /// `requestState`.
    State,
    /// A task id.
    Task,
    /// Where a list goes on.
    Cursor,
}

impl Purpose {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::Event => b"event",
            Self::Request => b"request",
            Self::Progress => b"progress",
            Self::State => b"state",
            Self::Task => b"task",
            Self::Cursor => b"cursor",
        }
    }
}

/// The keys that handles are sealed with.
///
/// AES-256-GCM-SIV (RFC 8452) with one fixed nonce: it stays secure where nonces repeat, so that a
/// handle has one sealed form and nothing here needs a random source.
pub struct Sealer {
    keys: Vec<LessSafeKey>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

impl Sealer {
    /// Seals with the first key and opens with all of them; `None` for no key or more than
    /// [`MAX_KEYS`].
    #[must_use]
    pub fn new(keys: &[[u8; KEY_LENGTH]]) -> Option<Self> {
        Self::beside(keys, &[])
    }

    /// The same, and opens with keys that were replaced, of which only so many count that there are
    /// [`MOST_KEYS`] in all.
    #[must_use]
    pub fn beside(keys: &[[u8; KEY_LENGTH]], replaced: &[[u8; KEY_LENGTH]]) -> Option<Self> {
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return None;
        }
        let keys = keys.iter().chain(replaced).take(MOST_KEYS).map(|key| {
            let key = UnboundKey::new(&AES_256_GCM_SIV, key).ok()?;
            Some(LessSafeKey::new(key))
        });
        Some(Self {
            keys: keys.collect::<Option<_>>()?,
        })
    }

    /// A handle in the form that its caller gets: letters, digits, `-` and `_`. `None` where it is
    /// longer than [`MAX_HANDLE`].
    #[must_use]
    pub fn seal(&self, purpose: Purpose, bound: &[&[u8]], handle: &[u8]) -> Option<String> {
        if handle.len() > MAX_HANDLE {
            return None;
        }
        let key = self.keys.first()?;
        let mut text = handle.to_vec();
        key.seal_in_place_append_tag(nonce(), Aad::from(frame(purpose, bound)), &mut text)
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode(text))
    }

    /// The handle inside a sealed text, if it was sealed for this purpose and bound to this.
    #[must_use]
    pub fn open(&self, purpose: Purpose, bound: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > 2 * MAX_HANDLE {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let frame = frame(purpose, bound);
        self.keys.iter().find_map(|key| {
            let mut text = sealed.clone();
            let opened = key.open_in_place(nonce(), Aad::from(&frame), &mut text);
            opened.ok().map(|handle| handle.to_vec())
        })
    }

    /// The same for a handle that is a text.
    #[must_use]
    pub fn open_text(&self, purpose: Purpose, bound: &[&[u8]], sealed: &str) -> Option<String> {
        String::from_utf8(self.open(purpose, bound, sealed)?).ok()
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// What a handle is bound to, each part with its length, so that no two lists look alike.
fn frame(purpose: Purpose, bound: &[&[u8]]) -> Vec<u8> {
    let mut out = b"latchkey handle 1".to_vec();
    for part in std::iter::once(&purpose.word()).chain(bound) {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&[[1; 32]]).unwrap()
    }

    #[test]
    fn a_handle_opens_for_what_it_was_sealed_for_and_nothing_else() {
        let bound: [&[u8]; 2] = [b"github", b"alice"];
        let sealed = sealer().seal(Purpose::Session, &bound, b"s-1").unwrap();
        assert!(!sealed.contains("s-1"));
        let opened = |purpose, bound: &[&[u8]]| sealer().open_text(purpose, bound, &sealed);
        assert_eq!(opened(Purpose::Session, &bound).as_deref(), Some("s-1"));
        assert_eq!(opened(Purpose::Event, &bound), None);
        assert_eq!(opened(Purpose::Session, &[b"github", b"bob"]), None);
        // The same bytes, cut elsewhere.
        assert_eq!(opened(Purpose::Session, &[b"githuba", b"lice"]), None);
        assert_eq!(opened(Purpose::Session, &[b"github"]), None);
    }

    #[test]
    fn every_changed_character_makes_it_another() {
        let sealed = sealer().seal(Purpose::Task, &[], b"t").unwrap();
        for at in 0..sealed.len() {
            let mut bent = sealed.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert_eq!(sealer().open(Purpose::Task, &[], &bent), None, "{bent}");
        }
        for odd in ["", "=", "s-1", &"A".repeat(3 * MAX_HANDLE)] {
            assert_eq!(sealer().open(Purpose::Task, &[], odd), None);
        }
    }

    #[test]
    fn keys_rotate() {
        let old = sealer().seal(Purpose::Task, &[], b"t").unwrap();
        let rotated = Sealer::new(&[[2; 32], [1; 32]]).unwrap();
        assert!(rotated.open(Purpose::Task, &[], &old).is_some());
        let new = rotated.seal(Purpose::Task, &[], b"t").unwrap();
        assert_ne!(new, old);
        assert_eq!(sealer().open(Purpose::Task, &[], &new), None);
        let replaced = Sealer::beside(&[[2; 32]], &[[1; 32]]).unwrap();
        assert!(replaced.open(Purpose::Task, &[], &old).is_some());
        assert_eq!(replaced.seal(Purpose::Task, &[], b"t").unwrap(), new);
        assert!(Sealer::beside(&[], &[[1; 32]]).is_none());
        assert!(Sealer::new(&[]).is_none());
        assert!(Sealer::new(&[[0; 32]; MAX_KEYS + 1]).is_none());
    }

    #[test]
    fn one_handle_has_one_sealed_form() {
        let seal = || sealer().seal(Purpose::Event, &[b"a"], b"7").unwrap();
        assert_eq!(seal(), seal());
    }
}
