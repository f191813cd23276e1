//! What operators watch of the store that sidecars share. There are no labels: a sidecar has one.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The metrics of the way to the store. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct StoreMetrics {
    connected: Gauge,
    lost: Counter,
}

impl StoreMetrics {
    /// The store answers now, or does not.
    pub fn set_connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    /// Whether the store answers, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.get() == 1
    }

    /// The store was needed, and did not answer in time.
    pub fn lose(&self) {
        self.lost.inc();
    }

    /// How often that was so.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "latchkey_store_connected",
            "1 if the store that sidecars share answers; 0 without a store",
            self.connected.clone(),
        );
        registry.register(
            "latchkey_store_lost",
            "Times that the store was needed and did not answer in time",
            self.lost.clone(),
        );
    }
}
