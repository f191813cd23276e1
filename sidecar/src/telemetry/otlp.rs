//! OTLP over HTTP, in JSON: a request's spans, batches of them, and the thread that sends them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{Finished, Stage};
use crate::{config::TelemetryConfig, ids, metrics::Metrics, run::Shared};

/// The most requests of one batch.
const BATCH: usize = 256;
/// `SPAN_KIND_SERVER`, `SPAN_KIND_INTERNAL` and `SPAN_KIND_CLIENT`.
const SERVER: u8 = 2;
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;

/// Sends spans to a collector, in batches, for as long as it runs.
#[derive(Debug)]
pub struct Exporter {
    client: Client,
    endpoint: String,
    token_file: Option<PathBuf>,
    interval: Duration,
    resource: Value,
    metrics: Arc<Metrics>,
    finished: mpsc::Receiver<Box<Finished>>,
}

impl Exporter {
    pub(super) fn new(
        endpoint: &str,
        config: &TelemetryConfig,
        server: &str,
        metrics: Arc<Metrics>,
        finished: mpsc::Receiver<Box<Finished>>,
    ) -> Result<Self, String> {
        let client = Client::builder()
            .timeout(config.timeout.0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("[telemetry]: no HTTP client can be made: {error}"))?;
        Ok(Self {
            client,
            endpoint: endpoint.to_owned(),
            token_file: config.token_file.clone(),
            interval: config.interval.0,
            resource: json!({"attributes": [
                text("service.name", &config.service),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("latchkey.server", server),
            ]}),
            metrics,
            finished,
        })
    }

    /// Sends until the sidecar has stopped, and then what is left.
    pub async fn run(mut self, shared: Arc<Shared>) {
        let mut draining = shared.draining();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let stopping = tokio::select! {
                () = self.fill(&mut batch) => false,
                _ = draining.wait_for(|draining| *draining) => true,
            };
            self.send(&mut batch).await;
            if stopping {
                break;
            }
        }
        let deadline = Instant::now() + shared.config.listen.drain_timeout.0;
        while shared.has_connections() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while let Ok(finished) = self.finished.try_recv() {
            batch.push(*finished);
            if batch.len() == BATCH {
                self.send(&mut batch).await;
            }
        }
        self.send(&mut batch).await;
    }

    /// Waits until a batch is full, or for as long as its first span may wait.
    async fn fill(&mut self, batch: &mut Vec<Finished>) {
        let Some(first) = self.finished.recv().await else {
            return std::future::pending().await;
        };
        batch.push(*first);
        let deadline = Instant::now() + self.interval;
        while batch.len() < BATCH {
            match tokio::time::timeout_at(deadline, self.finished.recv()).await {
                Ok(Some(finished)) => batch.push(*finished),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Sends a batch once: what a collector does not take is counted and gone.
    async fn send(&self, batch: &mut Vec<Finished>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let spans: Vec<Value> = batch.drain(..).flat_map(|it| spans(&it)).collect();
        let scope = json!({"name": "latchkey", "version": env!("CARGO_PKG_VERSION")});
        let scoped = json!({"scope": scope, "spans": spans});
        let body = json!({"resourceSpans": [{"resource": self.resource, "scopeSpans": [scoped]}]});
        let mut request = self
            .client
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .body(body.to_string());
        if let Some(file) = &self.token_file {
            match std::fs::read_to_string(file) {
                Ok(token) => request = request.bearer_auth(token.trim()),
                Err(error) => {
                    let file = file.display();
                    tracing::warn!(target: "telemetry", %error, %file, "cannot read the token");
                    return self.metrics.telemetry.failed(count);
                }
            }
        }
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(_) => self.metrics.telemetry.exported(count),
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(target: "telemetry", %error, "the collector took no spans");
                self.metrics.telemetry.failed(count);
            }
        }
    }
}

/// The span of a request, and those of its stages.
fn spans(finished: &Finished) -> Vec<Value> {
    let Finished {
        context, span_id, ..
    } = finished;
    let name = match &finished.surface {
        Some(surface) => format!("{} {surface}", finished.method),
        None => finished.method.clone(),
    };
    let mut root = json!({
        "traceId": context.trace_id, "spanId": span_id, "name": name, "kind": SERVER,
        "startTimeUnixNano": nanoseconds(finished.began),
        "endTimeUnixNano": nanoseconds(finished.began + finished.took),
        "attributes": attributes(finished),
        "status": {"code": u8::from(finished.status >= 500) * 2},
    });
    if let (Some(parent), Some(root)) = (&context.parent, root.as_object_mut()) {
        root.insert("parentSpanId".to_owned(), parent.as_str().into());
    }
    let stages = finished.timeline.stages().map(|(stage, began, ended)| {
        let kind = if stage == Stage::Forward {
            CLIENT
        } else {
            INTERNAL
        };
        json!({
            "traceId": context.trace_id, "spanId": ids::span(), "parentSpanId": span_id,
            "name": stage.as_str(), "kind": kind,
            "startTimeUnixNano": nanoseconds(finished.began + began),
            "endTimeUnixNano": nanoseconds(finished.began + ended),
        })
    });
    std::iter::once(root).chain(stages).collect()
}

/// What the conventions for MCP name, and the decision. Nothing of the caller or the arguments.
fn attributes(finished: &Finished) -> Vec<Value> {
    let mut attributes = vec![
        text("mcp.method.name", &finished.method),
        text("latchkey.reason", finished.reason),
        text("latchkey.outcome", finished.outcome),
        text("latchkey.event_id", &finished.event_id),
        json!({
            "key": "http.response.status_code",
            "value": {"intValue": finished.status.to_string()},
        }),
    ];
    let tool = finished
        .surface
        .as_deref()
        .filter(|_| finished.method == "tools/call");
    let tool = tool.and_then(|surface| surface.split_once('/'));
    for (key, value) in [
        ("latchkey.surface", finished.surface.as_deref()),
        ("gen_ai.tool.name", tool.map(|(_, name)| name)),
        ("mcp.protocol.version", finished.protocol.as_deref()),
        ("jsonrpc.request.id", finished.rpc_id.as_deref()),
    ] {
        attributes.extend(value.map(|value| text(key, value)));
    }
    attributes
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// 64-bit numbers are texts in the JSON of Protocol Buffers.
fn nanoseconds(since_1970: Duration) -> String {
    since_1970.as_nanos().to_string()
}
