//! What became of the spans.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What became of the spans of requests.
#[derive(Debug, Clone, Default)]
pub struct TelemetryMetrics {
    requests: Family<OutcomeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl TelemetryMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "latchkey_traces",
            "Requests whose spans were exported, dropped because too many waited, or not taken",
            self.requests.clone(),
        );
    }

    /// The spans of some requests reached the collector.
    pub fn exported(&self, requests: u64) {
        self.add("exported", requests);
    }

    /// There was no room for them.
    pub fn dropped(&self, requests: u64) {
        self.add("dropped", requests);
    }

    /// The collector did not take them.
    pub fn failed(&self, requests: u64) {
        self.add("failed", requests);
    }

    /// How many came to this outcome.
    #[must_use]
    pub fn count(&self, outcome: &'static str) -> u64 {
        self.requests
            .get_or_create(&OutcomeLabels { outcome })
            .get()
    }

    fn add(&self, outcome: &'static str, requests: u64) {
        let labels = OutcomeLabels { outcome };
        self.requests.get_or_create(&labels).inc_by(requests);
    }
}
