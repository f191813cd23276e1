//! What runs: restored at start, replaced, withdrawn; and what of the pointer holds beside it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use latchkey_engine::time::Time;
use latchkey_gate::supply::{
    Digest, Floor, Pointer, Refused, Statement,
    dsse::{Envelope, Kind},
};

use super::{
    Active, GRACE, LONGEST_LOOK, Origin, Supply, SupplyError,
    offered::{Offered, Package},
    state::With,
    status::{self, PointerStatus},
};

impl Supply {
    /// Puts in force what the state names: the denials of the pointer heeded last, and the release
    /// accepted last, which needs no pointer.
    pub(super) fn restore(&mut self, now: Time) {
        self.shared.freshness.vouch(self.state.floor().trusted_time);
        if let Some(pointer) = self.stored_pointer() {
            self.follow(pointer);
        }
        self.tell_state();
        match self.restore_release(now) {
            Ok(true) => tracing::info!(target: "supply", "what was good last is in force again"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(
                    target: "supply", %error,
                    "what was good last is not put in force: every call is refused until the \
                     source offers a good release"
                );
                self.refuse(&error, now);
            }
        }
    }

    fn restore_release(&mut self, now: Time) -> Result<bool, SupplyError> {
        let config = &self.shared.config;
        let unreadable = |error| {
            SupplyError::refused("state_damaged", format!("the copy in last-good: {error}"))
        };
        let Some(package) = self.state.release().map_err(unreadable)? else {
            return Ok(false);
        };
        if self.roots.root().is_none() {
            return Ok(false);
        }
        let judged = self.judge_last_good(&package.offered, now)?;
        if Some(judged.digest) != self.state.floor().statement {
            let what = "the copy in last-good is not the release that the floor names";
            return Err(SupplyError::refused("state_damaged", what));
        }
        judged.check_files(&package, &config.bundle.server)?;
        let opened = Instant::now();
        let generation = self.shared.next_generation();
        let release = judged.release();
        let active = Active::build(config, &package, release, Origin::LastGood, generation)?;
        self.activate(active, package.offered, opened);
        Ok(true)
    }

    /// The pointer that the floor names. It may be past its end: what it denies is still denied.
    fn stored_pointer(&self) -> Option<Pointer> {
        let envelope = self.state.pointer().ok()??;
        let payload = Envelope::read(Kind::Pointer, &envelope).ok()?.payload;
        let named = self.state.floor().pointer == Some(Digest::of(&payload));
        Pointer::parse(&payload).ok().filter(|_| named)
    }

    /// Puts the denials of a pointer in force.
    pub(super) fn follow(&mut self, pointer: Pointer) {
        let urgent = &pointer.urgent_deny;
        let count = urgent.revoked_tokens.len() + urgent.suspended.len() + urgent.denied.len();
        let before = self.pointer.as_ref().map(|before| &before.urgent_deny);
        if before.is_none_or(|before| before != urgent) {
            self.shared.overlays.set_urgent(urgent.clone());
            let denials = self.shared.overlays.count();
            self.shared.metrics.supply.set_urgent(denials);
            if before.is_some() || count > 0 {
                let what = format!("{count} by pointer {}", pointer.pointer_version);
                status::tell(&self.shared, "urgent_denials", what);
            }
        }
        status::report(&self.shared, |status| {
            status.pointer = Some(PointerStatus {
                version: pointer.pointer_version,
                issued_at: pointer.issued_at,
                expires: pointer.expires,
            });
        });
        self.pointer = Some(pointer);
    }

    /// Tells requests what time it is by trusted keys, and until when the pointer is fresh.
    pub(super) fn note_freshness(&self) {
        let freshness = &self.shared.freshness;
        freshness.vouch(self.state.floor().trusted_time);
        let ends = self.pointer.as_ref().map(|pointer| pointer.expires);
        let needed = self.roots.has_freshness();
        freshness.set_pointer(needed.then_some(ends.unwrap_or(Time(i64::MIN))));
    }

    /// Whether the release of this statement runs.
    pub(super) fn runs(&self, statement: &Digest) -> bool {
        let active = self.shared.active();
        active.is_some_and(|active| active.release.statement == *statement)
    }

    /// How long a fleet is to be spared: until this sidecar's turn, where something good runs.
    pub(super) fn wait_for_turn(
        &mut self,
        statement: &Digest,
        pointer: Option<&Pointer>,
        now: Time,
    ) -> Option<Duration> {
        let spread = Duration::from_secs(pointer?.spread_seconds);
        let active = self.shared.active()?;
        if self.shared.is_over(&active, now) || self.fallen(now).is_some() {
            return None;
        }
        let elapsed = self.started.elapsed();
        let due = self.pace.start(&statement.0, spread, elapsed);
        (due > elapsed).then(|| due.saturating_sub(elapsed))
    }

    /// Fetches the files, by patch on what was good last.
    pub(super) async fn fetch_files(
        &self,
        offered: Offered,
        statement: &Statement,
    ) -> Result<Package, SupplyError> {
        let have = self.state.release().ok().flatten();
        let bundle = &self.shared.config.bundle;
        let metrics = &self.shared.metrics;
        Package::fetch(
            &self.carrier,
            offered,
            statement,
            bundle,
            metrics,
            have.as_ref(),
        )
        .await
    }

    /// Persists a floor with what it names. Without room on the disk the sidecar runs on and says
    /// so; where the settings ask for a floor that lasts, nothing new is taken.
    pub(super) fn persist(&mut self, floor: Floor, with: With) -> Result<(), SupplyError> {
        let saved = self.state.advance(floor, with);
        self.shared.freshness.vouch(self.state.floor().trusted_time);
        let Err(error) = saved else {
            return Ok(());
        };
        tracing::error!(target: "supply", %error, "the version floor is not persisted");
        if self.shared.config.state.required {
            let what = format!(
                "{error}; [state] required is set, so nothing new is taken until there is room"
            );
            return Err(SupplyError::refused("floor_not_persisted", what));
        }
        Ok(())
    }

    /// Saves what there was no room for.
    pub(super) fn save_what_waits(&mut self) {
        if let Err(error) = self.state.retry() {
            tracing::warn!(target: "supply", %error, "the version floor is still not persisted");
        }
    }

    /// Puts a bundle in force; requests that have begun keep theirs.
    pub(super) fn activate(&mut self, active: Active, running: Offered, opened: Instant) {
        let shared = &self.shared;
        let release = active.release.clone();
        let digest = active.gate.digest().to_owned();
        let origin = active.origin.as_str();
        if !running.signed {
            tracing::warn!(target: "supply", "an UNSIGNED bundle is taken: development profile");
        }
        shared.activate(Arc::new(active));
        self.running = Some(running);
        let metrics = &shared.metrics;
        metrics.swaps.inc();
        metrics.supply.swap.observe(opened.elapsed().as_secs_f64());
        let end = release.not_after.map_or(0, |time| time.0);
        metrics.set_bundle(&digest, release.version, end);
        metrics.supply.epoch.set(release.epoch);
        let version = release.version;
        status::tell(
            shared,
            "bundle_loaded",
            format!("version {version} from {origin}"),
        );
        tracing::info!(target: "supply", version, digest, source = origin, "bundle in force");
    }

    /// Puts nothing in force: every call is refused until a good release comes.
    pub(super) fn withdraw(&mut self, refused: &Refused) {
        tracing::error!(
            target: "supply", error = %refused,
            "the bundle in force is withdrawn: every call is refused"
        );
        // Told while it is still in force, so that the event names it.
        status::tell(
            &self.shared,
            "bundle_withdrawn",
            format!("{}: {refused}", refused.word()),
        );
        self.shared.deactivate();
        self.shared.metrics.supply.withdrawn.inc();
        self.running = None;
    }

    /// How long the rest of a look may take.
    pub(super) fn limit(&self, now: Time) -> Duration {
        if self.fallen(now).is_some() {
            GRACE
        } else {
            LONGEST_LOOK
        }
    }
}
