//! Traces of requests: one span for each, with one for each of its stages, sent to a collector by
//! OTLP. The audit log is the record; traces may be sampled, dropped and lost, and never hold up a
//! request.

mod context;
mod otlp;
mod timeline;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

pub use context::TraceContext;
pub use otlp::Exporter;
pub use timeline::{Stage, Timeline};

use crate::{config::TelemetryConfig, metrics::Metrics};

/// Where requests leave their spans.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// Whether stages are timed.
    on: bool,
    sink: Option<mpsc::Sender<Box<Finished>>>,
    /// What sends them, until its thread takes it.
    exporter: Mutex<Option<Exporter>>,
    /// Of 2^56 traces that begin here, how many are exported.
    sample: u64,
}

/// A request that has ended, as its span says.
#[derive(Debug)]
pub struct Finished {
    /// The trace, and the span of the caller.
    pub context: TraceContext,
    /// The span of the request.
    pub span_id: String,
    /// The id of its audit event.
    pub event_id: String,
    /// When it began, since 1970.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// Its stages.
    pub timeline: Timeline,
    /// The JSON-RPC or HTTP method.
    pub method: String,
    /// The surface, by its name in the registry.
    pub surface: Option<String>,
    /// The protocol revision.
    pub protocol: Option<String>,
    /// The JSON-RPC id.
    pub rpc_id: Option<String>,
    /// The reason of the decision.
    pub reason: &'static str,
    /// How it ended.
    pub outcome: &'static str,
    /// The HTTP status of the answer.
    pub status: u16,
}

impl Telemetry {
    /// What the settings ask for.
    pub fn new(
        config: Option<&TelemetryConfig>,
        server: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let mut telemetry = Self {
            on: true,
            sink: None,
            exporter: Mutex::default(),
            sample: context::threshold(config.sample),
        };
        let Some(endpoint) = &config.endpoint else {
            return Ok(telemetry);
        };
        let (sink, finished) = mpsc::channel(config.queue);
        telemetry.sink = Some(sink);
        let exporter = Exporter::new(endpoint, config, server, Arc::clone(metrics), finished)?;
        telemetry.exporter = Mutex::new(Some(exporter));
        Ok(telemetry)
    }

    /// What has to run so that spans are sent; once.
    pub fn exporter(&self) -> Option<Exporter> {
        let mut exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner);
        exporter.take()
    }

    /// The timeline of a request that begins; `None` where nobody wants one.
    #[must_use]
    pub fn timeline(&self) -> Option<Box<Timeline>> {
        self.on.then(Box::default)
    }

    /// The trace of a request, as its caller names it, or a new one.
    #[must_use]
    pub fn context(&self, traceparent: Option<&str>) -> TraceContext {
        let named = traceparent.and_then(TraceContext::read);
        named.unwrap_or_else(|| TraceContext::begin(self.sink.as_ref().map(|_| self.sample)))
    }

    /// Leaves the spans of a request that has ended, if there is room.
    pub fn finish(&self, metrics: &Metrics, finished: impl FnOnce() -> Finished) {
        let Some(sink) = &self.sink else { return };
        match sink.try_reserve() {
            Ok(place) => place.send(Box::new(finished())),
            Err(_) => metrics.telemetry.dropped(1),
        }
    }
}
