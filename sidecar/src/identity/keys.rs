//! The keys that are with their issuers: what requests see of them, and how they ask for more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use latchkey_engine::time::Time;
use latchkey_gate::token::LiveKeys;
use tokio::sync::{Notify, watch};

/// For how long after it asked for a key that nobody knew an issuer is not asked for another one.
/// Whoever sends tokens with invented key names must not be able to load it.
const COOLDOWN: Duration = Duration::from_secs(30);
/// The longest that a request waits for the keys of its issuer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The keys that are with their issuers.
#[derive(Debug, Default)]
pub struct IssuerKeys {
    live: ArcSwap<LiveKeys>,
    generation: AtomicU64,
    desks: Mutex<BTreeMap<String, Arc<Desk>>>,
    /// Told when another bundle is in force.
    swapped: Notify,
}

/// What is known of the keys of one issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// The issuer, by its name in the policy.
    pub name: String,
    /// The URL that the policy names; `None` when the issuer's metadata names it.
    pub uri: Option<String>,
    /// How many usable keys there are; none when they are too old.
    pub keys: usize,
    /// When the issuer vouched for them last.
    pub vouched_at: Option<Time>,
    /// Why they could not be fetched at the last try.
    pub last_error: Option<String>,
}

/// Where the requests for the keys of one issuer meet who fetches them.
#[derive(Debug)]
pub(super) struct Desk {
    asked: Mutex<Asked>,
    /// Told when somebody asks.
    pub(super) wake: Notify,
    /// How often an answer has come, good or bad.
    rounds: watch::Sender<u64>,
    status: Mutex<KeyStatus>,
}

#[derive(Debug, Default)]
struct Asked {
    last: Option<Instant>,
    pending: bool,
}

impl IssuerKeys {
    /// How often keys have changed. To be read before [`IssuerKeys::live`]: what is verified with
    /// newer keys than it says is only verified again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The keys.
    #[must_use]
    pub fn live(&self) -> Guard<Arc<LiveKeys>> {
        self.live.load()
    }

    /// Has the keys of an issuer fetched, or waits for who fetches them already. Answers whether
    /// the issuer was asked; not whether it had an answer.
    pub async fn refetched(&self, issuer: &str) -> bool {
        let Some(desk) = lock(&self.desks).get(issuer).map(Arc::clone) else {
            return false;
        };
        let mut rounds = desk.rounds.subscribe();
        if !desk.ask() {
            return false;
        }
        let round = tokio::time::timeout(PATIENCE, rounds.changed()).await;
        round.is_ok_and(|round| round.is_ok())
    }

    /// Says that another bundle is in force.
    pub fn bundle_changed(&self) {
        self.swapped.notify_one();
    }

    /// What operators are told, by the issuers' names.
    #[must_use]
    pub fn statuses(&self) -> Vec<KeyStatus> {
        let desks = lock(&self.desks);
        let mut all: Vec<KeyStatus> = desks.values().map(|it| lock(&it.status).clone()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    pub(super) async fn swapped(&self) {
        self.swapped.notified().await;
    }

    /// Changes the keys, and says so after the change.
    pub(super) fn change(&self, change: impl FnOnce(&mut LiveKeys)) {
        let mut live = LiveKeys::clone(&self.live.load());
        change(&mut live);
        self.live.store(Arc::new(live));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A new desk for an issuer, in place of any older one.
    pub(super) fn open(&self, issuer: &str, status: KeyStatus) -> Arc<Desk> {
        let desk = Arc::new(Desk {
            asked: Mutex::default(),
            wake: Notify::new(),
            rounds: watch::Sender::new(0),
            status: Mutex::new(status),
        });
        lock(&self.desks).insert(issuer.to_owned(), Arc::clone(&desk));
        desk
    }

    pub(super) fn close(&self, issuer: &str) {
        lock(&self.desks).remove(issuer);
    }
}

impl Desk {
    /// Whether an answer will come: one that is under way, or one that may be asked for now.
    fn ask(&self) -> bool {
        let mut asked = lock(&self.asked);
        if !asked.pending {
            if asked.last.is_some_and(|last| last.elapsed() < COOLDOWN) {
                return false;
            }
            asked.last = Some(Instant::now());
            asked.pending = true;
            self.wake.notify_one();
        }
        true
    }

    /// Who asks from now on waits for this answer.
    pub(super) fn begin(&self) {
        lock(&self.asked).pending = true;
    }

    /// The answer is there.
    pub(super) fn end(&self) {
        lock(&self.asked).pending = false;
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    pub(super) fn report(&self, change: impl FnOnce(&mut KeyStatus)) {
        change(&mut lock(&self.status));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_asked_once_until_the_cooldown_is_over() {
        let keys = IssuerKeys::default();
        let desk = keys.open("i", KeyStatus::default());
        assert!(desk.ask(), "the first asks");
        assert!(desk.ask(), "the second waits for the same answer");
        desk.begin();
        desk.end();
        assert!(!desk.ask(), "too soon");
        desk.begin();
        assert!(desk.ask(), "one that is under way anyway is waited for");
    }

    #[test]
    fn every_change_is_a_generation() {
        let keys = IssuerKeys::default();
        let before = keys.generation();
        keys.change(|live| live.remove("i"));
        assert!(keys.generation() > before);
    }
}
