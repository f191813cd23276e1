//! When the source is asked, and what is told of the answer.

use std::{
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use latchkey_carrier::{CarrierError, Location};
use latchkey_engine::time::Time;

use super::{
    Step, Supply, SupplyError,
    status::{self, Fault, TrustStatus},
};
use crate::{answer, files::Stamp};

impl Supply {
    /// Looks after the bundle until it is dropped. `first` is told when the first look is over.
    pub async fn run(mut self, first: SyncSender<()>) {
        let local = matches!(self.shared.config.bundle.source, Location::Folder(_));
        // A sidecar that serves already asks when it would have asked, so that a fleet that starts
        // as one does not ask as one.
        let mut pause = match self.shared.active() {
            Some(_) if !local => self.pace.first(),
            _ => Duration::ZERO,
        };
        loop {
            let shared = Arc::clone(&self.shared);
            let changed = tokio::select! {
                changed = self.changed(pause) => changed,
                () = shared.polled() => {
                    self.clean = false;
                    // A registry's carrier goes by the manifest that it saw when this was asked.
                    self.carrier.changed(None).await
                }
            };
            pause = self.poll(changed, local).await;
            let _ = first.try_send(());
        }
    }

    /// Whether the source has changed: known after this time, or at once where it tells itself.
    async fn changed(&self, pause: Duration) -> Result<bool, CarrierError> {
        let bundle = &self.shared.config.bundle;
        let local = matches!(bundle.source, Location::Folder(_));
        // A source that fails does so at once, and must be left alone for the whole time.
        if self.clean && (local || bundle.long_poll) && !pause.is_zero() {
            return self.carrier.changed(Some(pause)).await;
        }
        tokio::time::sleep(pause).await;
        self.carrier.changed(None).await
    }

    /// One poll; answers how long to wait for the next.
    async fn poll(&mut self, changed: Result<bool, CarrierError>, local: bool) -> Duration {
        let now = answer::now();
        let step = match changed {
            Err(error) => Err(error.into()),
            Ok(false) if self.is_settled(now) => self.look_at_roots(local, now).await,
            Ok(_) => self.look_in_time(now).await,
        };
        // Asked every time: also a key's end, and a trust file that was replaced, can end it.
        let fallen = self.fallen(now).filter(|_| step != Ok(Step::Swapped));
        if let Some(refused) = &fallen {
            self.withdraw(refused);
        }
        self.clean = fallen.is_none() && matches!(step, Ok(Step::Unchanged | Step::Swapped));
        let pause = match &step {
            Ok(Step::Waiting(turn)) => self.pace.succeeded().min(*turn),
            Err(error) if error.is_slowing() && !local => self.pace.failed(error.retry_after()),
            _ => self.pace.succeeded(),
        };
        self.tell(&step, now, pause);
        pause
    }

    async fn look_in_time(&mut self, now: Time) -> Result<Step, SupplyError> {
        self.save_what_waits();
        // First, for it can revoke what runs: from then on the source has little time.
        self.roots.reload(&self.shared.config, &self.state)?;
        let limit = self.limit(now);
        in_time(limit, Box::pin(self.look(now))).await
    }

    /// Whether an unchanged source has nothing new to say, at this time and under this trust file.
    fn is_settled(&mut self, now: Time) -> bool {
        let trust = self.shared.config.trust.as_ref();
        let trust = trust.map(|trust| Stamp::of(&trust.file));
        let same = self.trust_seen == trust;
        self.trust_seen = trust;
        // A source that stands still has its pointer refused when that ends.
        same && self.clean && !self.shared.freshness.is_stale(now)
    }

    /// An unchanged pointer says that there is no newer trust root, and a folder would have
    /// changed; elsewhere that must be asked for.
    async fn look_at_roots(&mut self, local: bool, now: Time) -> Result<Step, SupplyError> {
        if local || self.pointer.is_some() {
            return Ok(Step::Unchanged);
        }
        let before = self.roots.next_version();
        self.walk_trust(now).await?;
        if self.roots.next_version() == before {
            return Ok(Step::Unchanged);
        }
        self.look_in_time(now).await
    }

    fn tell(&self, step: &Result<Step, SupplyError>, now: Time, pause: Duration) {
        self.tell_state();
        let metrics = &self.shared.metrics.supply;
        metrics.polled(match step {
            Ok(Step::Unchanged) => "unchanged",
            Ok(Step::Waiting(_)) => "waiting",
            Ok(Step::Swapped) => "swapped",
            Err(error) if error.is_failure() => "failed",
            Err(_) => "refused",
        });
        match step {
            Ok(_) => {
                metrics.last_success.set(now.0);
            }
            Err(error) => self.refuse(error, now),
        }
        let next = i64::try_from(pause.as_secs()).unwrap_or(0);
        status::report(&self.shared, |status| {
            if step.is_ok() {
                status.last_success = Some(now);
                status.bundle_error = None;
            }
            status.next_poll = Some(Time(now.0.saturating_add(next)));
        });
    }

    /// Tells what does not depend on the source's last answer.
    pub(super) fn tell_state(&self) {
        self.note_freshness();
        let metrics = &self.shared.metrics.supply;
        let persisted = self.state.is_persisted();
        metrics.floor_persisted.set(i64::from(persisted));
        let trust = self.roots.root().map(|root| TrustStatus {
            version: root.version(),
            epoch: root.epoch(),
            expires: root.expires(),
        });
        metrics.set_trust(trust.map(|trust| (trust.version, trust.expires)));
        status::report(&self.shared, |status| {
            status.trust = trust;
            status.floor_persisted = persisted;
        });
    }

    /// Tells why nothing new is in force: counted each time, logged and recorded when it is new.
    pub(super) fn refuse(&self, error: &SupplyError, now: Time) {
        let metrics = &self.shared.metrics.supply;
        metrics.refused(error.word());
        let before = self.shared.status.load();
        let before = before.bundle_error.as_ref();
        let text = error.to_string();
        if before.is_some_and(|before| before.text == text) {
            return;
        }
        let event = if error.is_failure() {
            tracing::warn!(target: "supply", %error, "the source cannot be asked");
            "source_failed"
        } else {
            tracing::error!(target: "supply", %error, "bundle refused");
            "bundle_rejected"
        };
        status::tell(&self.shared, event, text.clone());
        let word = error.word();
        status::report(&self.shared, |status| {
            status.bundle_error = Some(Fault {
                word,
                text,
                since: now,
            });
        });
    }
}

/// Ends what takes too long. Nothing is half done then: the steps that change anything do not wait.
pub(super) async fn in_time(
    limit: Duration,
    look: impl Future<Output = Result<Step, SupplyError>>,
) -> Result<Step, SupplyError> {
    match tokio::time::timeout(limit, look).await {
        Ok(step) => step,
        Err(_) => Err(SupplyError::too_slow(limit)),
    }
}
