//! Reviewed definitions: whether the tool server still says of itself what was reviewed.
//!
//! Every list that a caller asks for is compared as it passes. Since calls come without a list too,
//! the sidecar asks for the lists itself: when a bundle comes into force, when the server says that
//! a list has changed, when a caller was shown another definition, and at an interval.

use std::{sync::Arc, time::Duration};

use latchkey_engine::reason::Reason;
use latchkey_gate::{
    admit::Facts,
    pin::{Sightings, Unpinned, has_pins},
    survey::Found,
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    run::Shared,
    supply::{Active, Way, tell},
    upstream::Upstream,
};

use self::survey::Road;

pub(crate) mod survey;

/// The shortest time between two surveys.
const GAP: Duration = Duration::from_secs(1);
/// The shortest time between two surveys of a child that nothing calls for.
const CHILD: Duration = Duration::from_mins(10);
/// How long a call waits for the survey that says whether it may pass.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of the tool server's definitions, and who waits for more.
#[derive(Debug, Default)]
pub struct Pins {
    /// What was seen.
    pub sightings: Sightings,
    wake: Notify,
    surveyed: Notify,
}

impl Pins {
    /// A bundle comes into force.
    pub fn turn(&self, active: &Active) {
        self.sightings
            .turn(active.generation, &active.gate, active.server);
        self.wake.notify_one();
    }

    /// Lets the server be asked soon, if something that passed by calls for it.
    pub fn heed(&self) {
        if self.sightings.take_alarm() {
            self.wake.notify_one();
        }
    }
}

/// Until when a call that comes now waits for a survey.
pub fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// Whether a surface, as facts name it, is known to be as it was reviewed, or need not be.
pub fn check(shared: &Shared, active: &Active, surface: Option<&str>) -> Result<(), Unpinned> {
    let Some((_, name)) = surface.and_then(|it| it.split_once('/')) else {
        return Ok(());
    };
    let sightings = &shared.pins.sightings;
    sightings.check(active.generation, &active.gate, active.server, name)
}

/// Holds back a call whose definition is not known to be the reviewed one.
pub async fn hold(shared: &Shared, active: &Active, facts: &mut Facts) -> Result<(), Reason> {
    hold_until(shared, active, facts, patience()).await
}

/// The same for one of several calls, which wait together no longer than one.
pub async fn hold_until(
    shared: &Shared,
    active: &Active,
    facts: &mut Facts,
    until: Instant,
) -> Result<(), Reason> {
    let pins = &shared.pins;
    let mut found = check(shared, active, facts.surface.as_deref());
    if found == Err(Unpinned::Unseen) {
        // The sidecar has just started, or could not ask: calls wait rather than fail.
        let surveyed = pins.surveyed.notified();
        pins.wake.notify_one();
        let _ = tokio::time::timeout_at(until, surveyed).await;
        found = check(shared, active, facts.surface.as_deref());
    }
    let Err(unpinned) = found else { return Ok(()) };
    facts.detail = Some(match unpinned {
        Unpinned::Changed(difference) => difference.as_str().to_owned(),
        Unpinned::Unseen => "the server does not list it, or cannot be asked".to_owned(),
    });
    facts.reason = Reason::ToolChanged;
    Err(Reason::ToolChanged)
}

/// Asks the server for its definitions, again and again.
pub async fn run(shared: Arc<Shared>) {
    let upstream = Arc::new(Upstream::new(
        &shared.config.upstream,
        Arc::clone(&shared.trusted),
    ));
    let pins = &shared.pins;
    let (mut failures, mut revision) = (0, String::new());
    loop {
        let pause = pause(failures, every(&shared));
        // Either it is time, or somebody waits.
        let _ = tokio::time::timeout(pause, pins.wake.notified()).await;
        let pinned = |active: &Arc<Active>| has_pins(&active.gate, active.server);
        let Some(active) = shared.active().filter(pinned) else {
            failures = 0;
            continue;
        };
        report(&shared, &active);
        let road = Road {
            upstream: &upstream,
            children: &shared.children,
            way: &active.way,
            caller: survey::NOBODY,
        };
        match survey::survey(&road, &revision).await {
            Ok(found) => {
                failures = 0;
                revision.clone_from(&found.revision);
                take(&shared, &active, &found);
            }
            Err(error) => {
                failures += 1;
                revision.clear();
                tracing::warn!(target: "pins", %error, "the tool server does not say what it has");
                pins.sightings.unanswered(&active.gate, active.server);
            }
        }
        pins.surveyed.notify_waiters();
        report(&shared, &active);
        tokio::time::sleep(GAP).await;
    }
}

fn take(shared: &Shared, active: &Active, found: &Found) {
    let sightings = &shared.pins.sightings;
    sightings.survey(active.generation, &active.gate, active.server, &found.lists);
    // What was raised before is answered by this.
    sightings.take_alarm();
}

/// One event for each definition that has become another, or is as reviewed again.
fn report(shared: &Shared, active: &Active) {
    let server = active.gate.policy().server_entry(active.server);
    let server = server.map_or("", |it| it.name.as_str());
    for news in shared.pins.sightings.take_news() {
        let (word, what) = match &news.difference {
            Some(difference) => ("definition_changed", difference.as_str()),
            None => ("definition_restored", "it is as it was reviewed"),
        };
        let detail = format!("{server}/{}: {what}", news.name);
        tracing::warn!(target: "pins", event = word, detail);
        tell(shared, word, detail);
    }
    let changed = shared.pins.sightings.changed().len();
    let changed = i64::try_from(changed).unwrap_or(i64::MAX);
    shared.metrics.definitions_changed.set(changed);
}

/// A child of the era with sessions is started for each survey, and says the same for as long as its
/// program does: it is asked less often.
fn every(shared: &Shared) -> Duration {
    let every = shared.config.upstream.pins_check.0;
    match shared.active().as_deref().map(|active| &active.way) {
        Some(Way::Run(_)) => every.max(CHILD),
        Some(Way::Connect(_)) | None => every,
    }
}

/// After a survey that failed the next one comes sooner.
fn pause(failures: u32, every: Duration) -> Duration {
    match failures {
        0 => every,
        n => every.min(GAP * 2_u32.saturating_pow(n.min(6))),
    }
}
