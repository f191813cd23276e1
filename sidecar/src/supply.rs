//! The bundle: asked for at the source, verified, and put in force in one pointer store.
//!
//! One look takes one way, and this file is it: trust roots, pointer, statement, files, floor,
//! swap, report. A bad bundle never displaces a good one; one that stands no more is withdrawn,
//! also when nothing follows it; what was good last is kept in the state folder for the next start.

mod active;
mod error;
mod freshness;
mod judged;
mod offered;
mod roots;
mod running;
mod state;
mod status;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use latchkey_carrier::{Carrier, Options, names, pace::Pace};
use latchkey_engine::time::Time;
use latchkey_gate::supply::{self as gate, Heeded, Pointer};

use crate::{files::Stamp, run::Shared};
use offered::Offered;
use roots::Roots;
use state::{State, With};

pub use active::{Active, Origin, Release, Way};
pub use error::SupplyError;
pub use freshness::Freshness;
pub use state::init;
pub(crate) use status::tell;
pub use status::{Fault, PointerStatus, Status, TrustStatus};

/// How long a look may take once what runs stands no more: then it is withdrawn.
const GRACE: Duration = Duration::from_secs(5);
/// How long any look may take, so that a slow source cannot keep a newer pointer out for longer.
const LONGEST_LOOK: Duration = Duration::from_mins(15);

/// Looks after the bundle.
#[derive(Debug)]
pub struct Supply {
    shared: Arc<Shared>,
    carrier: Carrier,
    roots: Roots,
    state: State,
    /// The pointer that was heeded last.
    pointer: Option<Pointer>,
    /// The statement of what runs.
    running: Option<Offered>,
    pace: Pace,
    started: Instant,
    /// Whether the last look left nothing to be done until something changes.
    clean: bool,
    /// The state of the configured trust file, to be read again when it changes.
    trust_seen: Option<Stamp>,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// What is offered runs already.
    Unchanged,
    /// What is offered is taken after this time, so that a fleet does not fetch it at once.
    Waiting(Duration),
    /// What is offered has been put in force.
    Swapped,
}

impl Supply {
    /// Reads the state and the trust root, and puts in force what was good last.
    pub fn open(shared: &Arc<Shared>) -> Result<Self, SupplyError> {
        let config = &shared.config;
        let options = Options {
            timeout: config.bundle.timeout.0,
            rescan: config.bundle.poll(),
            token: config.bundle.token(),
            ..Options::default()
        };
        let pace = Pace::new(shared.audit.sidecar().as_bytes(), config.bundle.poll())
            .map_err(|error| SupplyError::refused("bad_settings", error.to_string()))?;
        let state = State::open(&config.state.directory, &config.bundle.server);
        let mut supply = Self {
            shared: Arc::clone(shared),
            carrier: Carrier::open(&config.bundle.source, options)?,
            roots: Roots::open(config, &state)?,
            state,
            pointer: None,
            running: None,
            pace,
            started: Instant::now(),
            clean: false,
            trust_seen: None,
        };
        let now = crate::answer::now();
        supply.restore(now);
        Ok(supply)
    }

    /// One look at the source, at a time that is fixed at its start and under the trust root that
    /// is installed or stored.
    async fn look(&mut self, now: Time) -> Result<Step, SupplyError> {
        let required = self.shared.config.state.required;
        self.state.check(required, self.roots.has_freshness())?;
        // A root that does not follow keeps nobody from heeding the pointer under the present one.
        let walked = match self.walk_trust(now).await {
            Err(error) if error.is_slowing() => return Err(error),
            walked => walked,
        };
        let pointer = self.heed_pointer(now).await?;
        let limit = self.limit(now);
        let taken = watch::in_time(limit, self.take(pointer.as_ref(), now)).await?;
        walked.map(|()| taken)
    }

    /// Takes what is offered: verify all, keep, persist the floor, swap.
    async fn take(&mut self, pointer: Option<&Pointer>, now: Time) -> Result<Step, SupplyError> {
        let shared = Arc::clone(&self.shared);
        let config = &shared.config;
        let offered = Offered::fetch(&self.carrier, &self.roots, pointer).await?;
        let judged = self.judge(&offered, pointer, now)?;
        if self.runs(&judged.digest) {
            return Ok(Step::Unchanged);
        }
        if let Some(wait) = self.wait_for_turn(&judged.digest, pointer, now) {
            return Ok(Step::Waiting(wait));
        }
        let package = self.fetch_files(offered, &judged.statement).await?;
        judged.check_files(&package, &config.bundle.server)?;
        let opened = Instant::now();
        let generation = shared.next_generation();
        let release = judged.release();
        let active = Active::build(config, &package, release, Origin::Source, generation)?;
        let running = package.offered.clone();
        if let Some(floor) = judged.floor {
            self.persist(floor, With::Release(package))?;
        }
        self.activate(active, running, opened);
        Ok(Step::Swapped)
    }

    /// Follows the trust roots as far as they go; each is stored before it is used.
    async fn walk_trust(&mut self, now: Time) -> Result<(), SupplyError> {
        let now = self.state.floor().now(now);
        while let Some(next) = self.roots.next_version() {
            let Some(envelope) = self.carrier.trust(next).await? else {
                return Ok(());
            };
            self.roots.rotate(&envelope, now, &self.state)?;
            tell(&self.shared, "trust_rotated", format!("trust root {next}"));
        }
        Ok(())
    }

    /// Heeds the pointer: its floor is persisted, then its denials are in force, whatever becomes
    /// of the release that it names.
    async fn heed_pointer(&mut self, now: Time) -> Result<Option<Pointer>, SupplyError> {
        let Some(root) = self.roots.root() else {
            return Ok(None);
        };
        let largest = names::LARGEST_POINTER;
        let Some(envelope) = self.carrier.get(names::POINTER, largest).await? else {
            return Ok(None);
        };
        let channel = self.shared.config.bundle.channel.as_deref();
        let floor = self.state.floor();
        let Heeded { pointer, floor } = gate::heed(root, floor, channel, &envelope, now)?;
        let persisted = if floor == *self.state.floor() {
            Ok(())
        } else {
            self.persist(floor, With::Pointer(envelope))
        };
        self.follow(pointer.clone());
        persisted.map(|()| Some(pointer))
    }
}
