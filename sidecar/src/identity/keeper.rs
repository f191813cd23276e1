//! Looks after the keys that are with their issuers, on a thread of its own.
//!
//! Keys that were good stay in use while their issuer cannot be reached, up to the hard age that
//! the policy says; after it the tokens of that issuer are refused until it answers again. What
//! was answered last is on the disk, with the time, so that a restart neither needs the issuer nor
//! makes keys younger.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use latchkey_engine::time::Time;
use latchkey_gate::{
    settings::RemoteKeys,
    token::{KeySet, KeyUse},
};
use tokio::task::JoinHandle;

use super::{
    fetch::{Answered, FetchError, Fetcher},
    keys::{Desk, KeyStatus},
    stored::Stored,
};
use crate::{answer::now, config::DevelopmentIssuer, run::Shared, supply};

/// The shortest pause between two fetches, whatever an issuer says of its answer's life.
const SHORTEST: Duration = Duration::from_mins(1);
/// The longest pause after a failure.
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// Looks after the keys of all issuers of the bundle in force.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    fetcher: Fetcher,
    development: Option<Arc<KeySet>>,
    watched: BTreeMap<String, (Source, JoinHandle<()>)>,
}

/// Where the keys of an issuer are, by the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    name: String,
    issuer: String,
    usage: KeyUse,
    keys: RemoteKeys,
}

/// The keys of the development issuer. An error says what is wrong, and where.
pub(crate) fn development_keys(issuer: &DevelopmentIssuer) -> Result<KeySet, String> {
    let fault = |what: &dyn std::fmt::Display| {
        let path = issuer.jwks.display();
        format!("[identity] development_issuer jwks {path}: {what}")
    };
    let text = std::fs::read(&issuer.jwks).map_err(|error| fault(&error))?;
    KeySet::from_jwks(&text).map_err(|error| fault(&error))
}

impl Keeper {
    /// Makes the client, and reads the keys of the development issuer.
    pub(crate) fn new(shared: &Arc<Shared>) -> Result<Self, String> {
        let development = match &shared.config.identity.development_issuer {
            None => None,
            Some(issuer) => {
                let keys = development_keys(issuer)?;
                tracing::warn!(
                    target: "identity",
                    issuer = issuer.name,
                    "DEVELOPMENT ISSUER: whoever has the key of {} is believed to be anybody. \
                     Never run this where others can reach it",
                    issuer.jwks.display()
                );
                Some(Arc::new(keys))
            }
        };
        Ok(Self {
            shared: Arc::clone(shared),
            fetcher: Fetcher::new(&shared.config).map_err(|error| error.to_string())?,
            development,
            watched: BTreeMap::new(),
        })
    }

    /// Looks after the keys until it is dropped. `first` is told when what the disk holds is used.
    pub(crate) async fn run(mut self, first: SyncSender<()>) {
        let shared = Arc::clone(&self.shared);
        loop {
            self.follow();
            let _ = first.try_send(());
            shared.issuer_keys.swapped().await;
        }
    }

    /// Watches the issuers of the bundle in force, and no others.
    fn follow(&mut self) {
        let sources = sources(&self.shared);
        let keys = &self.shared.issuer_keys;
        self.watched.retain(|issuer, (source, task)| {
            let stays = sources.contains(source);
            if !stays {
                task.abort();
                keys.close(issuer);
                keys.change(|live| live.remove(issuer));
                self.shared.metrics.issuers.forget(&source.name);
            }
            stays
        });
        for source in sources {
            if self.watched.contains_key(&source.issuer) {
                continue;
            }
            let issuer = source.issuer.clone();
            let watch = Watch::open(&self.shared, &self.fetcher, source.clone());
            let task = tokio::spawn(watch.run());
            self.watched.insert(issuer, (source, task));
        }
        if let Some(own) = &self.development {
            let issuer = self.development_issuer();
            let stand_in = issuer.map(|issuer| (issuer, Arc::clone(own)));
            keys.change(|live| live.set_development(stand_in));
        }
    }

    /// The `iss` of the issuer that the keys on this machine stand in for.
    fn development_issuer(&self) -> Option<String> {
        let name = &self
            .shared
            .config
            .identity
            .development_issuer
            .as_ref()?
            .name;
        let active = self.shared.active()?;
        let policy = active.gate.policy();
        let entry = policy.issuer(name).and_then(|id| policy.issuer_entry(id));
        if entry.is_none() {
            tracing::error!(
                target: "identity",
                "[identity] development_issuer: the policy has no issuer `{name}`"
            );
        }
        entry.map(|entry| entry.url.clone())
    }
}

fn sources(shared: &Shared) -> Vec<Source> {
    let Some(active) = shared.active() else {
        return Vec::new();
    };
    let policy = active.gate.policy();
    let issuers = policy.index().issuers.iter();
    let source = |issuer: &latchkey_engine::index::Issuer| {
        let settings = active.gate.issuer_settings(policy.issuer(&issuer.name)?)?;
        Some(Source {
            name: issuer.name.clone(),
            issuer: issuer.url.clone(),
            usage: settings.kind.key_use(),
            keys: settings.jwks.clone()?,
        })
    };
    issuers.filter_map(source).collect()
}

/// Looks after the keys of one issuer.
struct Watch {
    shared: Arc<Shared>,
    fetcher: Fetcher,
    source: Source,
    desk: Arc<Desk>,
    held: Option<Held>,
    failures: u32,
}

/// What the issuer answered last.
struct Held {
    stored: Stored,
    /// How old it was at this instant: the age by a clock that does not jump.
    known: (Instant, Duration),
}

impl Held {
    fn of(stored: Stored, now: Time) -> Self {
        let age = now.0.saturating_sub(stored.vouched_at);
        let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
        Self {
            stored,
            known: (Instant::now(), age),
        }
    }

    /// How long ago the issuer vouched for it, by the less favourable of two clocks.
    fn age(&self) -> Duration {
        let (at, age) = self.known;
        let by_date = now().0.saturating_sub(self.stored.vouched_at);
        let by_date = Duration::from_secs(u64::try_from(by_date).unwrap_or(0));
        by_date.max(at.elapsed() + age)
    }
}

impl Watch {
    /// Uses what the disk holds.
    fn open(shared: &Arc<Shared>, fetcher: &Fetcher, source: Source) -> Self {
        let status = KeyStatus {
            name: source.name.clone(),
            uri: source.keys.uri.clone(),
            ..KeyStatus::default()
        };
        let desk = shared.issuer_keys.open(&source.issuer, status);
        let folder = &shared.config.state.directory;
        let now = now();
        let uri = source.keys.uri.as_deref();
        let stored = Stored::load(folder, &source.issuer, uri, now.0);
        let mut watch = Self {
            shared: Arc::clone(shared),
            fetcher: fetcher.clone(),
            source,
            desk,
            held: None,
            failures: 0,
        };
        if let Some(stored) = stored {
            let held = Held::of(stored, now);
            if held.age() < watch.hard_age()
                && let Ok(keys) = KeySet::read(held.stored.jwks.as_bytes(), watch.source.usage)
            {
                watch.publish(keys, held.stored.vouched_at);
                watch.held = Some(held);
            }
        }
        watch
    }

    async fn run(mut self) {
        let refresh = self.refresh();
        let mut pause = match &self.held {
            Some(held) => refresh.saturating_sub(held.age()),
            None => Duration::ZERO,
        };
        loop {
            self.rest(pause).await;
            self.desk.begin();
            let tag = self.held.as_ref().and_then(|held| held.stored.tag.clone());
            let keys = &self.source.keys;
            let answered = self.fetcher.keys(&self.source.issuer, keys, tag.as_deref());
            let outcome = answered.await.and_then(|answered| self.take(answered));
            pause = self.judge(outcome);
            self.desk.end();
        }
    }

    /// Waits for the next fetch, and takes keys away that become too old meanwhile.
    async fn rest(&mut self, pause: Duration) {
        let due = Instant::now() + pause;
        loop {
            let end = self
                .held
                .as_ref()
                .map(|it| self.hard_age().saturating_sub(it.age()));
            if end.is_some_and(|end| end.is_zero()) {
                self.withdraw();
                continue;
            }
            let left = due.saturating_duration_since(Instant::now());
            let next = left.min(end.unwrap_or(left));
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = self.desk.wake.notified() => return,
            }
            if Instant::now() >= due {
                return;
            }
        }
    }

    /// Uses an answer. What it says of its own life comes back.
    fn take(&mut self, answered: Answered) -> Result<Option<Duration>, FetchError> {
        let Answered { keys, good_for } = answered;
        let vouched_at = now().0;
        let mut stored = match (keys, self.held.take()) {
            (None, None) => return Err(FetchError("it has changed nothing of nothing".to_owned())),
            (None, Some(held)) => held.stored,
            (Some((jwks, tag)), held) => {
                let read = KeySet::read(jwks.as_bytes(), self.source.usage);
                let read = match read {
                    Ok(read) => read,
                    Err(error) => {
                        self.held = held;
                        return Err(FetchError(format!("its answer is refused: {error}")));
                    }
                };
                if held.is_none_or(|held| held.stored.jwks != jwks) {
                    self.publish(read, vouched_at);
                    supply::tell(
                        &self.shared,
                        "issuer_keys_changed",
                        self.source.name.clone(),
                    );
                }
                Stored {
                    issuer: self.source.issuer.clone(),
                    uri: self.source.keys.uri.clone(),
                    vouched_at,
                    tag,
                    jwks,
                }
            }
        };
        stored.vouched_at = vouched_at;
        if let Err(error) = stored.save(&self.shared.config.state.directory) {
            let issuer = &self.source.name;
            tracing::warn!(target: "identity", issuer, %error, "keys are not kept on the disk");
        }
        self.held = Some(Held::of(stored, Time(vouched_at)));
        self.desk
            .report(|status| status.vouched_at = Some(Time(vouched_at)));
        Ok(good_for)
    }

    /// Tells what came of a fetch; answers how long until the next.
    fn judge(&mut self, outcome: Result<Option<Duration>, FetchError>) -> Duration {
        let refresh = self.refresh();
        let issuer = &self.source.name;
        let metrics = &self.shared.metrics.issuers;
        match outcome {
            Ok(good_for) => {
                self.failures = 0;
                metrics.fetched(issuer, "ok");
                let vouched_at = self.held.as_ref().map_or(0, |held| held.stored.vouched_at);
                metrics.vouched(issuer, vouched_at);
                self.desk.report(|status| status.last_error = None);
                let shortest = SHORTEST.min(refresh);
                early(good_for.unwrap_or(refresh).clamp(shortest, refresh))
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                metrics.fetched(issuer, "error");
                tracing::error!(
                    target: "identity", issuer, %error,
                    "the keys of an issuer are not fetched: those at hand stay in use"
                );
                self.desk
                    .report(|status| status.last_error = Some(error.to_string()));
                let pause = Duration::from_secs(1 << self.failures.min(10));
                early(pause.min(LONGEST_RETRY).min(refresh))
            }
        }
    }

    fn publish(&self, keys: KeySet, vouched_at: i64) {
        let count = keys.len();
        let Source { issuer, name, .. } = &self.source;
        let uri = self.source.keys.uri.as_deref();
        let keys = Arc::new(keys);
        self.shared
            .issuer_keys
            .change(|live| live.set(issuer, uri, keys));
        self.shared.metrics.issuers.usable(name, count);
        self.desk.report(|status| {
            status.keys = count;
            status.vouched_at = Some(Time(vouched_at));
        });
        tracing::info!(target: "identity", issuer = name, count, "keys in use");
    }

    /// Keys that nobody has vouched for in so long are used no more.
    fn withdraw(&mut self) {
        self.held = None;
        let Source { issuer, name, .. } = &self.source;
        self.shared.issuer_keys.change(|live| live.remove(issuer));
        self.shared.metrics.issuers.usable(name, 0);
        self.desk.report(|status| status.keys = 0);
        supply::tell(&self.shared, "issuer_keys_too_old", name.clone());
        tracing::error!(
            target: "identity", issuer = name,
            "the keys of an issuer are too old: its tokens are refused until it answers"
        );
    }

    fn refresh(&self) -> Duration {
        Duration::from_secs(u64::from(self.source.keys.refresh))
    }

    fn hard_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.source.keys.max_age))
    }
}

/// Up to a tenth less, so that a fleet does not ask as one.
fn early(pause: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(()) % 100).unwrap_or(0);
    pause.saturating_sub(pause / 1000 * part)
}
