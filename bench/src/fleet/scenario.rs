//! What is simulated.

use std::time::Duration;

use super::registry::{Capacity, Instant};

/// Sidecars of the fleet.
pub const FLEET: usize = 100_000;
/// The mean poll interval.
pub const POLL: Duration = Duration::from_secs(30);
/// All sidecars start within this time, as after a deployment.
pub const STARTS: Duration = Duration::from_secs(5);
/// When the release is published, after the start.
pub const RELEASE: Duration = Duration::from_mins(5);
/// For how long the load is measured from the release on.
pub const MEASURED: Duration = Duration::from_mins(25);
/// When the simulation ends, whoever is not on the release yet.
pub const END: Duration = Duration::from_mins(45);
/// One sidecar in so many is too far behind for a patch.
pub const FULL: usize = 20;

/// The usual registry: 20,000 requests and 10 Gbit in a second, 40,000 requests of backlog and
/// 10,000 answers at a time.
pub const USUAL: Capacity = Capacity {
    requests: 20_000.0,
    bytes: 1.25e9,
    backlog: 40_000.0,
    flows: 10_000,
    outage: None,
};

/// How sidecars choose when to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The product's pace.
    Paced,
    /// The baseline: every 30 seconds sharp, whatever happens, and files at once.
    Naive,
}

/// One simulated roll-out.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called; both manners of one scenario have the same name.
    pub name: &'static str,
    /// How the sidecars choose when to ask.
    pub manner: Manner,
    /// The spread that the pointer states.
    pub spread: Duration,
    /// One sidecar in so many needs the full file.
    pub full: usize,
    /// The registry from the release on; before it is the usual one.
    pub registry: Capacity,
}

impl Scenario {
    /// All scenarios, each first as the product does it and then, where that differs from the
    /// others, as the baseline does it.
    pub fn all() -> Vec<Self> {
        let spread = Duration::from_mins(5);
        // In the middle of the roll-out: without a spread that is a few seconds.
        let down = |after| {
            let start = nanoseconds(RELEASE) + nanoseconds(Duration::from_secs(after));
            Capacity {
                outage: Some(start..start + nanoseconds(Duration::from_mins(10))),
                ..USUAL
            }
        };
        let slow = Capacity {
            requests: 2500.0,
            bytes: 125e6,
            ..USUAL
        };
        let scenario = |name, manner, spread, registry: &Capacity| Self {
            name,
            manner,
            spread,
            full: FULL,
            registry: registry.clone(),
        };
        let no_patches = |minutes| Self {
            full: 1,
            ..scenario(
                "no patches",
                Manner::Paced,
                Duration::from_mins(minutes),
                &USUAL,
            )
        };
        vec![
            scenario("normal", Manner::Paced, spread, &USUAL),
            scenario("normal", Manner::Naive, spread, &USUAL),
            scenario("urgent", Manner::Paced, Duration::ZERO, &USUAL),
            scenario("outage", Manner::Paced, spread, &down(150)),
            scenario("outage", Manner::Naive, spread, &down(8)),
            scenario("slow registry", Manner::Paced, spread, &slow),
            scenario("slow registry", Manner::Naive, spread, &slow),
            no_patches(20),
            no_patches(5),
        ]
    }
}

/// A length of virtual time.
pub fn nanoseconds(time: Duration) -> Instant {
    time.as_nanos() as Instant
}
