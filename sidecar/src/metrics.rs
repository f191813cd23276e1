//! What operators watch: counters, latencies, and the bundle in force, as Prometheus text.
//!
//! Labels come from closed sets only (surfaces of the bundle, reasons); never from a request.

mod children;
mod issuers;
mod store;
mod supply;
mod telemetry;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use latchkey_engine::reason::Reason;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

pub use children::{ChildMetrics, CountedChild};
pub use issuers::IssuerMetrics;
pub use store::StoreMetrics;
pub use supply::SupplyMetrics;
pub use telemetry::TelemetryMetrics;

use crate::telemetry::{Stage, Timeline};

/// Every metric of one sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests that policy allowed.
    pub allowed: Counter,
    denied: Family<DenyLabels, Counter>,
    latency: Family<OutcomeLabels, Histogram>,
    /// Those of `latency`, found without asking it.
    latencies: [Histogram; 3],
    stage_latency: Family<StageLabels, Histogram>,
    upstream_latency: Histogram,
    /// The traces.
    pub telemetry: TelemetryMetrics,
    /// Requests whose caller or upstream went away before the end.
    pub cut_off: Counter,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections closed because there were too many, or because they were too slow.
    pub connections_refused: Counter,
    /// TLS handshakes that came to nothing.
    pub handshakes_failed: Counter,
    /// Definitions of the tool server that differ from the reviewed ones.
    pub definitions_changed: Gauge,
    /// Tokens found verified.
    pub token_hits: Counter,
    /// Tokens whose signature had to be verified.
    pub token_misses: Counter,
    /// Bundles put in force.
    pub swaps: Counter,
    /// The supply of bundles.
    pub supply: SupplyMetrics,
    /// The keys of issuers.
    pub issuers: IssuerMetrics,
    /// The tool server that the sidecar runs.
    pub children: ChildMetrics,
    /// The store that sidecars share.
    pub store: StoreMetrics,
    bundle: Family<BundleLabels, Gauge>,
    bundle_version: Gauge<u64, AtomicU64>,
    bundle_age: Gauge,
    bundle_not_after: Gauge,
    /// Audit events recorded.
    pub audit_events: Counter,
    /// Audit events that could not be written.
    pub audit_failures: Counter,
}

/// The labels of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenyLabels {
    surface: String,
    reason: &'static str,
}

/// How a request ended, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was allowed, and answered.
    Allowed,
    /// It was refused.
    Denied,
    /// It was allowed, and the tool server, the caller or this side failed.
    Failed,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Allowed, Self::Denied, Self::Failed];

    /// Its word in metrics and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// The label of latencies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The label of the latencies of stages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

/// 50 us to 13 s, in steps of two.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

/// The label of the bundle in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BundleLabels {
    digest: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    #[must_use]
    pub fn new() -> Self {
        let latency = Family::new_with_constructor(buckets as fn() -> Histogram);
        let latencies = Ended::ALL.map(|ended| {
            let labels = OutcomeLabels {
                outcome: ended.as_str(),
            };
            Histogram::clone(&latency.get_or_create(&labels))
        });
        let mut metrics = Self {
            registry: Registry::default(),
            allowed: Counter::default(),
            denied: Family::default(),
            latency,
            latencies,
            stage_latency: Family::new_with_constructor(buckets as fn() -> Histogram),
            telemetry: TelemetryMetrics::default(),
            upstream_latency: buckets(),
            cut_off: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            handshakes_failed: Counter::default(),
            definitions_changed: Gauge::default(),
            token_hits: Counter::default(),
            token_misses: Counter::default(),
            swaps: Counter::default(),
            supply: SupplyMetrics::default(),
            issuers: IssuerMetrics::default(),
            children: ChildMetrics::default(),
            store: StoreMetrics::default(),
            bundle: Family::default(),
            bundle_version: Gauge::default(),
            bundle_age: Gauge::default(),
            bundle_not_after: Gauge::default(),
            audit_events: Counter::default(),
            audit_failures: Counter::default(),
        };
        metrics.register_requests();
        metrics.register_state();
        metrics.supply.register(&mut metrics.registry);
        metrics.issuers.register(&mut metrics.registry);
        metrics.children.register(&mut metrics.registry);
        metrics.store.register(&mut metrics.registry);
        metrics.telemetry.register(&mut metrics.registry);
        metrics
    }

    /// Counts a refusal. The surface is a name of the bundle, or `/__unmatched__`.
    pub fn deny(&self, surface: &str, reason: Reason) {
        self.denied
            .get_or_create(&DenyLabels {
                surface: surface.to_owned(),
                reason: reason.as_str(),
            })
            .inc();
    }

    /// Records how long a request took, and how much of it was the upstream.
    pub fn observe(&self, ended: Ended, total: Duration, upstream: Option<Duration>) {
        let [allowed, denied, failed] = &self.latencies;
        let latency = match ended {
            Ended::Allowed => allowed,
            Ended::Denied => denied,
            Ended::Failed => failed,
        };
        latency.observe(total.as_secs_f64());
        if let Some(upstream) = upstream {
            self.upstream_latency.observe(upstream.as_secs_f64());
        }
    }

    /// Records how long the stages of a request took.
    pub fn observe_stages(&self, timeline: &Timeline) {
        for (stage, began, ended) in timeline.stages() {
            self.observe_stage(stage, ended.saturating_sub(began));
        }
    }

    /// Records how long one stage of a request took.
    pub fn observe_stage(&self, stage: Stage, took: Duration) {
        let labels = StageLabels {
            stage: stage.as_str(),
        };
        let latency = self.stage_latency.get_or_create(&labels);
        latency.observe(took.as_secs_f64());
    }

    /// Shows the bundle in force; its `not_after` is in seconds since 1970.
    pub fn set_bundle(&self, digest: &str, version: u64, not_after: i64) {
        self.bundle.clear();
        let labels = BundleLabels {
            digest: digest.to_owned(),
        };
        self.bundle.get_or_create(&labels).set(1);
        self.bundle_version.set(version);
        self.bundle_not_after.set(not_after);
    }

    /// The Prometheus text; `age` is how long the bundle has been in force.
    pub fn text(&self, age: Option<Duration>) -> Result<String, fmt::Error> {
        let seconds = age.map_or(-1, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        self.bundle_age.set(seconds);
        let mut text = String::with_capacity(8192);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// How many requests were allowed.
    #[must_use]
    pub fn allowed_count(&self) -> u64 {
        self.allowed.inner().load(Ordering::Relaxed)
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("latchkey_{name}"), help, counter.clone());
        };
        counter("allow", "Requests that policy allowed", &self.allowed);
        counter(
            "cut_off",
            "Requests whose caller or upstream went away before the end",
            &self.cut_off,
        );
        counter(
            "connections_refused",
            "Connections closed for being too many or too slow",
            &self.connections_refused,
        );
        counter(
            "handshakes_failed",
            "TLS handshakes that came to nothing",
            &self.handshakes_failed,
        );
        counter(
            "token_cache_hits",
            "Tokens found verified",
            &self.token_hits,
        );
        counter(
            "token_cache_misses",
            "Tokens whose signature had to be verified",
            &self.token_misses,
        );
        registry.register(
            "latchkey_deny",
            "Requests refused, by surface and reason",
            self.denied.clone(),
        );
        registry.register_with_unit(
            "latchkey_request_duration",
            "From the end of the request's head to the end of the answer, by outcome",
            Unit::Seconds,
            self.latency.clone(),
        );
        registry.register_with_unit(
            "latchkey_stage_duration",
            "How long the stages of a request take, where [telemetry] asks for it",
            Unit::Seconds,
            self.stage_latency.clone(),
        );
        registry.register_with_unit(
            "latchkey_upstream_duration",
            "From sending the call upstream to the head of its answer",
            Unit::Seconds,
            self.upstream_latency.clone(),
        );
    }

    fn register_state(&mut self) {
        let registry = &mut self.registry;
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("latchkey_{name}"), help, counter.clone());
        };
        counter("bundle_swaps", "Bundles put in force", &self.swaps);
        counter("audit_events", "Audit events recorded", &self.audit_events);
        counter(
            "audit_failures",
            "Audit records that could not be written",
            &self.audit_failures,
        );
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(format!("latchkey_{name}"), help, gauge.clone());
        };
        gauge("in_flight", "Requests in flight", &self.in_flight);
        gauge(
            "connections",
            "Connections that are open",
            &self.connections,
        );
        gauge(
            "definitions_changed",
            "Definitions of the tool server that differ from the reviewed ones",
            &self.definitions_changed,
        );
        gauge(
            "bundle_age_seconds",
            "How long the bundle has been in force; -1 without one",
            &self.bundle_age,
        );
        gauge(
            "bundle_not_after_seconds",
            "When the bundle ends, in seconds since 1970",
            &self.bundle_not_after,
        );
        registry.register(
            "latchkey_bundle_version",
            "The version of the bundle in force",
            self.bundle_version.clone(),
        );
        registry.register(
            "latchkey_bundle",
            "The digest of the bundle in force",
            self.bundle.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_names_that_dashboards_use() {
        let metrics = Metrics::new();
        metrics.allowed.inc();
        metrics.deny("github/push_files", Reason::NoPermission);
        metrics.set_bundle("abc", 7, 9);
        metrics.supply.polled("refused");
        metrics.supply.refused("rollback");
        metrics.supply.fetched("patch", 12);
        metrics.supply.set_time(true, 3);
        let upstream = Some(Duration::from_micros(60));
        metrics.observe(Ended::Allowed, Duration::from_micros(70), upstream);
        metrics.telemetry.dropped(2);
        metrics.observe_stage(Stage::Admit, Duration::from_micros(70));
        let text = metrics.text(Some(Duration::from_secs(3))).unwrap();
        for line in [
            "latchkey_allow_total 1",
            "latchkey_deny_total{surface=\"github/push_files\",reason=\"no_permission\"} 1",
            "latchkey_bundle_version 7",
            "latchkey_bundle_age_seconds 3",
            "latchkey_bundle{digest=\"abc\"} 1",
            "latchkey_bundle_polls_total{outcome=\"refused\"} 1",
            "latchkey_bundle_refused_total{word=\"rollback\"} 1",
            "latchkey_bundle_fetched_bytes_total{how=\"patch\"} 12",
            "latchkey_pointer_stale 1",
            "latchkey_clock_behind_seconds 3",
            "latchkey_request_duration_seconds_bucket{le=\"0.0001\",outcome=\"allowed\"} 1",
            "latchkey_stage_duration_seconds_bucket{le=\"0.0001\",stage=\"admit\"} 1",
            "latchkey_traces_total{outcome=\"dropped\"} 2",
            "latchkey_upstream_duration_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    /// Each name in the queries of the dashboard is one that the sidecar exports.
    #[test]
    fn the_dashboard_asks_for_metrics_that_there_are() {
        let metrics = Metrics::new();
        metrics.deny("a/b", Reason::NoPermission);
        metrics.set_bundle("abc", 7, 9);
        metrics.supply.polled("refused");
        metrics.supply.refused("rollback");
        metrics.supply.fetched("patch", 12);
        metrics.telemetry.exported(1);
        metrics.observe_stage(Stage::Admit, Duration::from_micros(70));
        let text = metrics.text(None).unwrap();
        let dashboard = include_str!("../../docs/grafana/latchkey.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let annotations = dashboard["annotations"]["list"].as_array().unwrap();
        let annotations = annotations.iter().map(|it| &it["target"]);
        let targets = panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let mut names = 0;
        for target in targets.chain(annotations) {
            let query = target["expr"].as_str().unwrap();
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            for name in query.split(word).filter(|it| it.starts_with("latchkey_")) {
                let exported = text.lines().any(|line| {
                    line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{"))
                });
                assert!(exported, "{name} of `{query}` is not exported");
                names += 1;
            }
        }
        assert!(names > 25, "{names}");
    }
}
