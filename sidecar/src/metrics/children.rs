//! What operators watch of tool servers that the sidecar runs. There are no labels: one sidecar runs
//! one server.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The metrics of the processes of a tool server. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ChildMetrics {
    running: Gauge,
    started: Counter,
    failed: Counter,
}

/// A process that runs; dropped when it has ended.
#[derive(Debug)]
pub struct CountedChild {
    metrics: ChildMetrics,
}

impl ChildMetrics {
    /// Counts a process that has been started.
    #[must_use]
    pub fn started(&self) -> CountedChild {
        self.started.inc();
        self.running.inc();
        CountedChild {
            metrics: self.clone(),
        }
    }

    /// Counts a process that could not be started.
    pub fn not_started(&self) {
        self.failed.inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "latchkey_children",
            "Processes of the tool server that run now",
            self.running.clone(),
        );
        registry.register(
            "latchkey_children_started",
            "Processes of the tool server that were started",
            self.started.clone(),
        );
        registry.register(
            "latchkey_children_failed",
            "Processes of the tool server that could not be started, ended, or were ended because they were no good",
            self.failed.clone(),
        );
    }
}

impl CountedChild {
    /// It ended without having been asked to, or had to be ended.
    pub fn failed(&self) {
        self.metrics.failed.inc();
    }
}

impl Drop for CountedChild {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}
