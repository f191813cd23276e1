//! Who calls: the bearer token of a request, verified once and remembered.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{HeaderMap, header::AUTHORIZATION};
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::identity::Identity;

use crate::{metrics::Metrics, supply::Active};

/// The tokens that one worker has verified.
#[derive(Debug)]
pub struct Tokens {
    hasher: RandomState,
    generations: Mutex<Generations>,
    /// The most tokens of one generation.
    most: usize,
}

/// Two generations: a full young one becomes the old one, and what is used again is young again.
/// So the memory is bounded and what is in use stays.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Remembered>,
    old: HashMap<u64, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    token: Box<[u8]>,
    identity: Arc<Identity>,
    /// The bundle that it was verified and resolved against.
    bundle: u64,
}

impl Tokens {
    /// Remembers at most this many tokens.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            generations: Mutex::default(),
            most: most / 2 + 1,
        }
    }

    /// The identity behind a request's token: `None` when it carries none, an error when it
    /// carries one that is bad, or more than one. Failures are not remembered.
    pub fn identify(
        &self,
        active: &Active,
        headers: &HeaderMap,
        now: Time,
        metrics: &Metrics,
    ) -> Result<Option<Arc<Identity>>, Reason> {
        let Some(token) = bearer(headers)? else {
            return Ok(None);
        };
        let key = self.key(token);
        if let Some(identity) = self.recall(key, token, active.generation) {
            metrics.token_hits.inc();
            if identity.expires_at() <= now {
                return Err(Reason::TokenExpired);
            }
            return Ok(Some(identity));
        }
        // A token that is remembered was legal.
        let text = legal(token).ok_or(Reason::Unauthenticated)?;
        metrics.token_misses.inc();
        match active.gate.verify(text, now) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                self.remember(key, token, &identity, active.generation);
                Ok(Some(identity))
            }
            Err(error) => {
                tracing::debug!(target: "identity", %error, "token refused");
                Err(error.reason)
            }
        }
    }

    /// What a token is found by. Its last bytes are of its signature, so they differ where tokens
    /// do; whoever copies them onto another token finds one that is not equal.
    fn key(&self, token: &[u8]) -> u64 {
        let tail = token
            .last_chunk::<64>()
            .map_or(token, |tail| tail.as_slice());
        self.hasher.hash_one((token.len(), tail))
    }

    fn recall(&self, key: u64, token: &[u8], bundle: u64) -> Option<Arc<Identity>> {
        let mut generations = self.lock();
        let fits = |found: &&Remembered| found.bundle == bundle && found.token.as_ref() == token;
        if let Some(found) = generations.young.get(&key).filter(fits) {
            return Some(Arc::clone(&found.identity));
        }
        let found = generations.old.remove(&key).filter(|found| fits(&found))?;
        let identity = Arc::clone(&found.identity);
        self.insert(&mut generations, key, found);
        Some(identity)
    }

    fn remember(&self, key: u64, token: &[u8], identity: &Arc<Identity>, bundle: u64) {
        let remembered = Remembered {
            token: token.into(),
            identity: Arc::clone(identity),
            bundle,
        };
        self.insert(&mut self.lock(), key, remembered);
    }

    fn insert(&self, generations: &mut Generations, key: u64, remembered: Remembered) {
        if generations.young.len() >= self.most {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, remembered);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a token: RFC 6750's `b64token`.
const LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut rest: &[u8] = b"-._~+/=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, others @ ..] = rest {
        #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            legal[*byte as usize] = true;
        }
        rest = others;
    }
    legal
};

/// A token as text, when it is made of nothing else than tokens are.
fn legal(token: &[u8]) -> Option<&str> {
    let legal = |byte: &u8| LEGAL.get(usize::from(*byte)).copied().unwrap_or(false);
    let all = !token.is_empty() && token.iter().all(legal);
    std::str::from_utf8(token).ok().filter(|_| all)
}

/// What stands for a token in the only `Authorization` header.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Reason> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Reason::Unauthenticated);
    }
    let (scheme, rest) = value
        .as_bytes()
        .split_first_chunk::<7>()
        .ok_or(Reason::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Reason::Unauthenticated);
    }
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    Ok(rest.get(spaces..))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (AUTHORIZATION, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn takes_exactly_one_bearer_token() {
        let read = |values: &[&'static str]| match bearer(&headers(values)) {
            Ok(Some(token)) => match legal(token) {
                Some(token) => Ok(Some(token.to_owned())),
                None => Err(Reason::Unauthenticated),
            },
            Ok(None) => Ok(None),
            Err(reason) => Err(reason),
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer a.b-c_d"]), Ok(Some("a.b-c_d".to_owned())));
        assert_eq!(read(&["bearer  a.b"]), Ok(Some("a.b".to_owned())));
        for refused in [
            &["Bearer a", "Bearer a"][..],
            &["Basic YTpi"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["DPoP a.b.c"],
            &[""],
        ] {
            assert_eq!(read(refused), Err(Reason::Unauthenticated), "{refused:?}");
        }
    }
}
