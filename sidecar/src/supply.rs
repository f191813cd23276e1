//! The bundle: found in a directory, verified, and put in force in one pointer store.
//!
//! The order is fixed: verify all, persist the version floor, activate, report. A bad bundle never
//! displaces a good one; what was good last is kept in the state directory for the next start.

mod directory;
mod verify;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use latchkey_engine::{id::ServerId, time::Time};
use latchkey_gate::{
    event::{Event, EventOutcome, Exchanged, Unsealed},
    gate::Gate,
    supply::Digest,
};

use crate::{
    config::Config, exchange::timestamp, ids, metadata, overlay, run::Shared, upstream::Target,
};
use directory::{Files, Stamp};
use verify::Verifier;

/// A bundle in force for one server, with everything that serving it needs.
#[derive(Debug)]
pub struct Active {
    /// The policy.
    pub gate: Gate,
    /// The server that this sidecar stands in front of.
    pub server: ServerId,
    /// Where the server is.
    pub target: Target,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// What the release says of itself.
    pub release: Release,
    /// Where it came from.
    pub source: Source,
    /// The RFC 9728 document, where the tokens' resource is clear.
    pub metadata: Option<String>,
    /// The URL of that document.
    pub resource_metadata: Option<String>,
    /// Counts the bundles that this process has put in force.
    pub generation: u64,
    /// When it was put in force.
    pub since: Instant,
}

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version; never goes down within an epoch.
    pub version: u64,
    /// The first instant at which it is no longer in force.
    pub not_after: Option<Time>,
    /// The latest time that trusted keys have vouched for; a clock behind it is wrong.
    pub trusted_time: Option<Time>,
    /// The commit that it was built from.
    pub commit: Option<String>,
    /// The digest of its statement.
    pub statement: Digest,
    /// Whether trusted keys have signed it.
    pub signed: bool,
}

/// Where a bundle came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The bundle directory.
    Directory,
    /// The copy of what was good last.
    LastGood,
}

/// What operators are told.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Why the bundle directory's content is not in force.
    pub bundle_error: Option<String>,
    /// Why the overlay file's content is not in force.
    pub overlay_error: Option<String>,
}

/// Why a bundle is not put in force: says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplyError {
    text: String,
}

impl SupplyError {
    fn of(text: String) -> Self {
        Self { text }
    }
}

impl fmt::Display for SupplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SupplyError {}

/// Looks after the bundle and the overlay.
#[derive(Debug)]
pub struct Supply {
    verifier: Verifier,
    seen: Option<Stamp>,
    overlay_seen: Option<Stamp>,
    /// Bundles that were replaced, kept until no request uses them, so that no request has to
    /// free one.
    retired: Vec<Arc<Active>>,
}

impl Active {
    /// Opens a verified slice and builds everything that serving it needs.
    fn build(
        config: &Config,
        files: &Files,
        release: Release,
        source: Source,
        generation: u64,
    ) -> Result<Self, SupplyError> {
        let name = &config.bundle.server;
        let gate = Gate::open(&files.slice, files.places.as_deref())
            .map_err(|error| SupplyError::of(format!("{name}.lkb: {error}")))?;
        let server = gate.server(name).ok_or_else(|| {
            SupplyError::of(format!(
                "the slice does not hold the server `{name}` that [bundle] server names"
            ))
        })?;
        let index = gate.policy().index();
        let entry = index.servers.get(server.index()).ok_or_else(|| {
            SupplyError::of(format!("the slice does not hold the server `{name}`"))
        })?;
        let timeout = Duration::from_millis(u64::from(entry.timeout));
        let target = Target::new(&entry.upstream, entry.transport, timeout)
            .map_err(|error| SupplyError::of(error.to_string()))?;
        let resource = metadata::resource(index, name);
        Ok(Self {
            server,
            target,
            max_body: entry.max_body as usize,
            metadata: resource
                .as_deref()
                .map(|resource| metadata::describe(index, resource)),
            resource_metadata: resource.as_deref().and_then(metadata::location),
            gate,
            release,
            source,
            generation,
            since: Instant::now(),
        })
    }

    /// Whether the release is past its end.
    #[must_use]
    pub fn has_ended(&self, now: Time) -> bool {
        let now = self
            .release
            .trusted_time
            .map_or(now, |trusted| trusted.max(now));
        self.release.not_after.is_some_and(|end| end <= now)
    }
}

impl Source {
    /// A word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::LastGood => "last_good",
        }
    }
}

impl Supply {
    /// Reads the trust file and the version floor.
    pub fn open(shared: &Shared) -> Result<Self, SupplyError> {
        Ok(Self {
            verifier: Verifier::open(&shared.config)?,
            seen: None,
            overlay_seen: None,
            retired: Vec::new(),
        })
    }

    /// Looks at the bundle directory and the overlay file, and puts in force what is new and good.
    pub fn look(&mut self, shared: &Arc<Shared>) {
        self.retired.retain(|active| Arc::strong_count(active) > 1);
        self.look_at_overlay(shared);
        let config = &shared.config;
        let stamp = Stamp::of_release(config);
        if self.seen.as_ref() == Some(&stamp) {
            return;
        }
        match self.take(shared, Source::Directory) {
            Ok(()) => {
                self.seen = Some(stamp);
                report(shared, |status| status.bundle_error = None);
            }
            Err(error) => {
                let first = self.seen.replace(stamp).is_none();
                tracing::error!(target: "supply", %error, "bundle refused");
                shared.metrics.refused_bundles.inc();
                tell(shared, "bundle_rejected", error.to_string());
                report(shared, |status| {
                    status.bundle_error = Some(error.to_string());
                });
                // By the trust file alone: what lies in the bundle directory keeps nothing alive.
                let revoked =
                    |active: &Arc<Active>| Verifier::revokes(config, &active.release.statement);
                if shared.active().as_ref().is_some_and(revoked) {
                    tracing::error!(target: "supply", "the bundle in force is revoked");
                    self.retired.extend(shared.deactivate());
                }
                if first && shared.active().is_none() {
                    self.fall_back(shared);
                }
            }
        }
    }

    fn fall_back(&mut self, shared: &Arc<Shared>) {
        match self.take(shared, Source::LastGood) {
            Ok(()) => tracing::warn!(
                target: "supply", "the bundle that was good last is in force"
            ),
            Err(error) => tracing::error!(
                target: "supply", %error,
                "no bundle is in force: every call is refused until there is one"
            ),
        }
    }

    /// Verifies, persists, activates, reports: in that order.
    fn take(&mut self, shared: &Arc<Shared>, source: Source) -> Result<(), SupplyError> {
        let config = &shared.config;
        let files = match source {
            Source::Directory => Files::read(&config.bundle.directory, &config.bundle.server)?,
            Source::LastGood => Files::read(&directory::last_good(config), &config.bundle.server)?,
        };
        let now = crate::answer::now();
        let verified = self.verifier.verify(&files, config, now)?;
        let generation = shared.next_generation();
        let release = verified.release.clone();
        let active = Arc::new(Active::build(config, &files, release, source, generation)?);
        self.verifier.persist(verified, &files, config, source)?;
        let same = |before: &Arc<Active>| {
            before.gate.digest() == active.gate.digest() && before.release == active.release
        };
        if shared.active().as_ref().is_some_and(same) {
            return Ok(());
        }
        self.retired.extend(shared.activate(Arc::clone(&active)));
        shared.metrics.swaps.inc();
        let end = active.release.not_after.map_or(0, |time| time.0);
        shared
            .metrics
            .set_bundle(active.gate.digest(), active.release.version, end);
        let version = active.release.version;
        tell(
            shared,
            "bundle_loaded",
            format!("version {version} from {}", source.as_str()),
        );
        tracing::info!(
            target: "supply",
            version = active.release.version,
            digest = active.gate.digest(),
            source = source.as_str(),
            "bundle in force"
        );
        Ok(())
    }

    fn look_at_overlay(&mut self, shared: &Shared) {
        let Some(config) = &shared.config.overlay else {
            return;
        };
        let stamp = Stamp::of_file(&config.file);
        if self.overlay_seen.as_ref() == Some(&stamp) {
            return;
        }
        self.overlay_seen = Some(stamp);
        match overlay::load(&config.file) {
            Ok(overlay) => {
                tracing::info!(target: "overlay", "overlay in force");
                shared.set_overlay(overlay);
                report(shared, |status| status.overlay_error = None);
            }
            Err(error) => {
                tracing::error!(target: "overlay", %error, "overlay refused");
                report(shared, |status| {
                    status.overlay_error = Some(error.to_string());
                });
            }
        }
    }
}

/// Records what happened to a bundle beside the requests.
fn tell(shared: &Shared, event_type: &str, detail: String) {
    let active = shared.active();
    let release = active.as_deref().map(|active| &active.release);
    let id = ids::uuid();
    let mut event = Event::lifecycle(
        event_type,
        &Exchanged {
            event_id: &id,
            event_time: &timestamp(ids::now()),
            request_id: &id,
            outcome: EventOutcome::Success,
            sidecar_id: shared.audit.sidecar(),
            sidecar_version: env!("CARGO_PKG_VERSION"),
            bundle_digest: active.as_deref().map_or("", |active| active.gate.digest()),
            source_commit: release.and_then(|release| release.commit.as_deref()),
            ..Exchanged::default()
        },
    );
    event.detail = Some(detail);
    // The log says so itself when it cannot be written.
    let _ = shared.audit.record(&id, Unsealed::from(&event), None);
}

fn report(shared: &Shared, change: impl FnOnce(&mut Status)) {
    let mut status = Status::clone(&shared.status.load());
    change(&mut status);
    shared.status.store(Arc::new(status));
}
