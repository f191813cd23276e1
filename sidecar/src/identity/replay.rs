//! Which proofs were seen, so that each is taken once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::token::dpop::Proof;

use crate::{run::Shared, supply::Active};

/// How long the proofs of one set end one after the other, in seconds.
const WIDTH: i64 = 10;
/// The most proofs that are remembered at a time; beyond them, or a tenth of one key, none is taken.
const MOST: usize = 200_000;

/// The proofs that this process has seen and that are not too old yet.
#[derive(Debug)]
pub struct Proofs {
    /// Before this nothing is known to have been seen.
    since: Time,
    seen: Mutex<BTreeMap<i64, Set>>,
    most: usize,
    most_of_one: usize,
}

/// Proofs that are forgotten together.
#[derive(Debug, Default)]
struct Set {
    proofs: HashSet<[u8; 32]>,
    /// How many are of each key, by its thumbprint.
    keys: HashMap<[u8; 32], usize>,
}

/// Takes a proof, unless it was taken before or that cannot be said: here, and by the other
/// sidecars of the server where they share a store.
pub(super) async fn take(
    shared: &Shared,
    active: &Active,
    proof: &Proof,
    now: Time,
) -> Result<(), Reason> {
    shared.proofs.take(proof, now)?;
    let settings = active.gate.server_settings(active.server);
    if !settings.is_some_and(|it| it.shared_store) {
        return Ok(());
    }
    let store = shared.store.as_ref().ok_or(Reason::TokenReplayed)?;
    let id = ["proof:", &URL_SAFE_NO_PAD.encode(proof.replay_key)].concat();
    // By the store's own clock it is kept for longer than by any clock that would take it again.
    let left = u64::try_from(proof.until.saturating_sub(now.0)).unwrap_or_default();
    let kept = Duration::from_secs(left.saturating_add(WIDTH.unsigned_abs()));
    let fresh = store.use_once(&id, proof.issued_at, kept).await;
    fresh
        .ok()
        .filter(|fresh| *fresh)
        .map(|_| ())
        .ok_or(Reason::TokenReplayed)
}

impl Proofs {
    /// Nothing seen; proofs from before `since` cannot be told from repeated ones.
    #[must_use]
    pub fn new(since: Time) -> Self {
        Self::remembering(since, MOST)
    }

    /// Remembers at most `most` proofs, and a tenth of that of one key: who floods it is refused
    /// before others are.
    fn remembering(since: Time, most: usize) -> Self {
        Self {
            since,
            seen: Mutex::default(),
            most,
            most_of_one: most / 10 + 1,
        }
    }

    /// Takes a proof, unless it was taken before or that cannot be said.
    pub fn take(&self, proof: &Proof, now: Time) -> Result<(), Reason> {
        if proof.issued_at < self.since.0 {
            return Err(Reason::TokenReplayed);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A set with this key holds what ends before the key.
        *seen = seen.split_off(&now.0.saturating_add(1));
        let taken: usize = seen.values().map(|set| set.proofs.len()).sum();
        let of_one: usize = seen.values().map(|set| set.of(proof)).sum();
        if taken >= self.most || of_one >= self.most_of_one {
            return Err(Reason::RateLimited);
        }
        let end = proof.until.div_euclid(WIDTH).saturating_add(1);
        let end = end.saturating_mul(WIDTH);
        let fresh = seen.entry(end).or_default().insert(proof);
        fresh.then_some(()).ok_or(Reason::TokenReplayed)
    }
}

impl Set {
    /// How many it has of a proof's key.
    fn of(&self, proof: &Proof) -> usize {
        self.keys.get(&proof.thumbprint).copied().unwrap_or(0)
    }

    fn insert(&mut self, proof: &Proof) -> bool {
        let fresh = self.proofs.insert(proof.replay_key);
        if fresh {
            *self.keys.entry(proof.thumbprint).or_default() += 1;
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(key: u8, issued_at: i64) -> Proof {
        Proof {
            thumbprint: [1; 32],
            replay_key: [key; 32],
            issued_at,
            until: issued_at + 60,
        }
    }

    #[test]
    fn a_proof_is_taken_once_for_as_long_as_it_is_good() {
        let proofs = Proofs::new(Time(1000));
        for now in 1000..1060 {
            let expected = if now == 1000 {
                Ok(())
            } else {
                Err(Reason::TokenReplayed)
            };
            assert_eq!(proofs.take(&proof(1, 1000), Time(now)), expected, "{now}");
            // Others come and go meanwhile.
            let other = u8::try_from(now - 900).unwrap();
            assert_eq!(proofs.take(&proof(other, now), Time(now)), Ok(()));
        }
        assert_eq!(proofs.take(&proof(9, 1200), Time(1200)), Ok(()));
        assert_eq!(
            proofs.seen.lock().unwrap().len(),
            1,
            "what is over is forgotten"
        );
    }

    #[test]
    fn what_may_have_been_seen_before_the_start_is_not_taken() {
        let proofs = Proofs::new(Time(1000));
        assert_eq!(
            proofs.take(&proof(1, 999), Time(1000)),
            Err(Reason::TokenReplayed)
        );
    }

    #[test]
    fn a_full_memory_takes_nothing() {
        let proofs = Proofs::remembering(Time(0), 1);
        assert_eq!(proofs.take(&proof(1, 10), Time(10)), Ok(()));
        assert_eq!(
            proofs.take(&proof(2, 10), Time(10)),
            Err(Reason::RateLimited)
        );
        assert_eq!(proofs.take(&proof(2, 90), Time(90)), Ok(()));
    }

    #[test]
    fn a_flood_under_one_key_refuses_that_key() {
        let proofs = Proofs::remembering(Time(0), 100);
        let take = |key: u8, holder: u8, now: i64| {
            let proof = Proof {
                thumbprint: [holder; 32],
                ..proof(key, now)
            };
            proofs.take(&proof, Time(now))
        };
        // Spread over several sets.
        let taken = (0..50).filter(|n| take(*n, 1, 10 + i64::from(*n)).is_ok());
        assert_eq!(taken.count(), 11);
        assert_eq!(take(0, 1, 59), Err(Reason::RateLimited));
        assert_eq!(take(100, 2, 59), Ok(()));
        assert_eq!(take(100, 2, 59), Err(Reason::TokenReplayed));
        assert_eq!(take(101, 1, 200), Ok(()), "what is over is no burden");
    }
}
