//! What operators watch of the supply of bundles.

use std::sync::atomic::AtomicU64;

use latchkey_engine::time::Time;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The metrics of the supply. Labels are words of this program, never of a source.
#[derive(Debug)]
pub struct SupplyMetrics {
    polls: Family<OutcomeLabels, Counter>,
    refused: Family<WordLabels, Counter>,
    fetched: Family<HowLabels, Counter>,
    /// From the start of opening a bundle to its being in force, in seconds.
    pub swap: Histogram,
    /// Bundles withdrawn because they stood no more.
    pub withdrawn: Counter,
    /// The epoch of the bundle in force.
    pub epoch: Gauge<u64, AtomicU64>,
    /// Whether the version floor on the disk is the one in memory.
    pub floor_persisted: Gauge,
    /// Whether the overlay file's content is not in force.
    pub overlay_refused: Gauge,
    urgent: Gauge,
    /// When the source was asked last and all was well, in seconds since 1970.
    pub last_success: Gauge,
    stale: Gauge,
    clock_behind: Gauge,
    trust_version: Gauge<u64, AtomicU64>,
    trust_expires: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WordLabels {
    word: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HowLabels {
    how: &'static str,
}

impl Default for SupplyMetrics {
    fn default() -> Self {
        Self {
            polls: Family::default(),
            refused: Family::default(),
            fetched: Family::default(),
            // 100 us to 52 s, in steps of two.
            swap: Histogram::new(exponential_buckets(0.000_1, 2.0, 20)),
            withdrawn: Counter::default(),
            epoch: Gauge::default(),
            floor_persisted: Gauge::default(),
            overlay_refused: Gauge::default(),
            urgent: Gauge::default(),
            last_success: Gauge::default(),
            stale: Gauge::default(),
            clock_behind: Gauge::default(),
            trust_version: Gauge::default(),
            trust_expires: Gauge::default(),
        }
    }
}

impl SupplyMetrics {
    /// Counts a poll.
    pub fn polled(&self, outcome: &'static str) {
        self.polls.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a refusal, by its stable word.
    pub fn refused(&self, word: &'static str) {
        self.refused.get_or_create(&WordLabels { word }).inc();
    }

    /// Counts the bytes of a file that came over the wire.
    pub fn fetched(&self, how: &'static str, bytes: u64) {
        self.fetched.get_or_create(&HowLabels { how }).inc_by(bytes);
    }

    /// Shows the trust root in use: its version, and its end in seconds since 1970 or 0.
    pub fn set_trust(&self, trust: Option<(u64, Option<Time>)>) {
        let (version, expires) = trust.unwrap_or_default();
        self.trust_version.set(version);
        self.trust_expires.set(expires.map_or(0, |time| time.0));
    }

    /// Shows how many denials are in force, of the pointer and of the overlay file.
    pub fn set_urgent(&self, count: usize) {
        self.urgent.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Shows what depends on the time: whether the pointer is stale, and how many seconds the clock
    /// is behind.
    pub fn set_time(&self, stale: bool, clock_behind: i64) {
        self.stale.set(i64::from(stale));
        self.clock_behind.set(clock_behind);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, it: &Counter| {
            registry.register(format!("latchkey_{name}"), help, it.clone());
        };
        counter(
            "bundle_withdrawn",
            "Bundles withdrawn because they stood no more",
            &self.withdrawn,
        );
        registry.register(
            "latchkey_bundle_polls",
            "Polls, by outcome",
            self.polls.clone(),
        );
        registry.register(
            "latchkey_bundle_refused",
            "What the source offered and was refused, or could not hand over, by reason",
            self.refused.clone(),
        );
        registry.register(
            "latchkey_bundle_fetched_bytes",
            "Bytes of files that came over the wire, by how",
            self.fetched.clone(),
        );
        registry.register_with_unit(
            "latchkey_bundle_swap",
            "From the start of opening a bundle to its being in force",
            Unit::Seconds,
            self.swap.clone(),
        );
        registry.register(
            "latchkey_bundle_epoch",
            "The epoch of the bundle in force",
            self.epoch.clone(),
        );
        registry.register(
            "latchkey_trust_version",
            "The version of the trust root in use; 0 without one",
            self.trust_version.clone(),
        );
        self.register_gauges(registry);
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let mut gauge = |name: &str, help: &str, it: &Gauge| {
            registry.register(format!("latchkey_{name}"), help, it.clone());
        };
        gauge(
            "floor_persisted",
            "1 if the version floor on the disk is the one in memory",
            &self.floor_persisted,
        );
        gauge(
            "urgent_denials",
            "Urgent denials in force, of the pointer and of the overlay file",
            &self.urgent,
        );
        gauge(
            "overlay_refused",
            "1 if what the overlay file holds is not in force",
            &self.overlay_refused,
        );
        gauge(
            "bundle_last_success_seconds",
            "When the source was asked last and all was well, in seconds since 1970",
            &self.last_success,
        );
        gauge(
            "pointer_stale",
            "1 if the channel follows a freshness pointer and has none that is fresh",
            &self.stale,
        );
        gauge(
            "clock_behind_seconds",
            "How far the clock is behind a time that trusted keys have vouched for",
            &self.clock_behind,
        );
        gauge(
            "trust_expires_seconds",
            "When the trust root in use ends, in seconds since 1970; 0 if it does not",
            &self.trust_expires,
        );
    }
}
