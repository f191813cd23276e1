//! Traces, against a small collector: which spans come, what they say, and that a collector that
//! does not keep up costs no request anything.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use latchkey_tests::{
    client::get,
    golden::{Cell, Golden, root},
    live::{Rig, request, wait_for},
    node::Packages,
    tokens::token,
};
use serde_json::Value;

/// A collector of OTLP over HTTP.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    /// One that answers with this status; with none it takes a connection and says nothing.
    fn start(status: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || collect(stream.unwrap(), status, &kept));
            }
        });
        Self { address, received }
    }

    fn spans(&self) -> Vec<Value> {
        let received = self.received.lock().unwrap();
        let spans = received.iter().flat_map(|(_, body)| {
            body["resourceSpans"][0]["scopeSpans"][0]["spans"]
                .as_array()
                .unwrap()
                .clone()
        });
        spans.collect()
    }
}

fn collect(stream: TcpStream, status: Option<&str>, kept: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&lower);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        kept.lock()
            .unwrap()
            .push((head, serde_json::from_slice(&body).unwrap()));
        let Some(status) = status else {
            std::thread::sleep(Duration::from_mins(1));
            return;
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Sends a cell's call with more headers and, in its `_meta`, more members.
fn send(
    rig: &Rig,
    address: SocketAddr,
    cell: &Cell,
    headers: &str,
    meta: Option<&Value>,
) -> String {
    let (method, target, mut body) = request(&cell.stated);
    if let Some(meta) = meta {
        let mut message: Value = serde_json::from_str(&body).unwrap();
        message["params"]["_meta"] = meta.clone();
        body = message.to_string();
    }
    let token = token(&rig.model, &cell.stated).unwrap();
    let length = body.len();
    let mut stream = TcpStream::connect(address).unwrap();
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn rig() -> (Golden, Rig) {
    let golden = Golden::open(&root().join("tests/golden/design"));
    let rig = Rig::new(&golden, "github");
    (golden, rig)
}

fn attribute<'v>(span: &'v Value, key: &str) -> Option<&'v str> {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|it| it["key"] == key)?;
    found["value"]["stringValue"]
        .as_str()
        .or(found["value"]["intValue"].as_str())
}

fn sent_upstream(rig: &Rig) -> String {
    let seen = rig.upstream.seen().pop().unwrap();
    let header = seen.headers.iter().find(|it| it.0 == "traceparent");
    header.unwrap().1.clone()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one request from end to end")]
fn a_request_leaves_a_span_with_its_stages() {
    let (golden, rig) = rig();
    let collector = Collector::start(Some("200 OK"));
    std::fs::write(rig.path().join("otlp.token"), "of-the-collector\n").unwrap();
    let sidecar = rig.start(&format!(
        "telemetry = {{endpoint = \"http://{}/v1/traces\", interval = \"10ms\", \
         token_file = \"otlp.token\", service = \"pay\"}}",
        collector.address
    ));
    wait_for("readiness", || sidecar.shared().is_ready());
    let cells = golden.cells();
    let allowed = cells.iter().find(|it| it.expected == "allow").unwrap();
    let denied = cells
        .iter()
        .find(|it| it.expected == "no_permission")
        .unwrap();

    // The caller's headers name the trace, and go before its body.
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let other = serde_json::json!({"traceparent": format!("00-{}-{SPAN}-01", "a".repeat(32))});
    send(&rig, sidecar.address, allowed, &parent, Some(&other));
    wait_for("spans", || collector.spans().len() == 9);
    let spans = collector.spans();
    let root = &spans[0];
    let id = root["spanId"].as_str().unwrap();
    assert_eq!(root["traceId"], TRACE);
    assert_eq!(root["parentSpanId"], SPAN);
    assert_eq!(root["kind"], 2);
    assert_eq!(root["name"], "tools/call github/get_issue");
    assert_eq!(attribute(root, "gen_ai.tool.name"), Some("get_issue"));
    assert_eq!(attribute(root, "latchkey.reason"), Some("ok"));
    assert_eq!(attribute(root, "latchkey.outcome"), Some("allowed"));
    assert_eq!(attribute(root, "http.response.status_code"), Some("200"));
    let names: Vec<&str> = spans[1..]
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    let stages = [
        "receive", "identify", "admit", "hold", "throttle", "record", "forward", "answer",
    ];
    assert_eq!(names, stages);
    let number = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    let mut before = number(root, "startTimeUnixNano");
    for span in &spans[1..] {
        assert_eq!(span["parentSpanId"], id);
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(number(span, "startTimeUnixNano"), before);
        before = number(span, "endTimeUnixNano");
    }
    assert_eq!(sent_upstream(&rig), format!("00-{TRACE}-{id}-01"));
    let event = rig.events().pop().unwrap();
    assert_eq!(event["trace_id"], TRACE);
    assert_eq!(event["span_id"], id);
    assert_eq!(
        attribute(root, "latchkey.event_id"),
        event["event_id"].as_str()
    );

    // A body may name it, too, and goes upstream as it came.
    let meta = serde_json::json!({"traceparent": format!("00-{}-{SPAN}-01", "b".repeat(32))});
    send(&rig, sidecar.address, allowed, "", Some(&meta));
    wait_for("spans", || collector.spans().len() == 18);
    assert_eq!(collector.spans()[9]["traceId"], "b".repeat(32));
    assert!(sent_upstream(&rig).contains(&"b".repeat(32)));
    let seen: Value = serde_json::from_str(&rig.upstream.seen().pop().unwrap().body).unwrap();
    assert_eq!(seen["params"]["_meta"], meta);

    // A refusal ends where it was refused.
    send(&rig, sidecar.address, denied, "", None);
    wait_for("spans", || collector.spans().len() > 18);
    let spans = collector.spans();
    assert_eq!(
        attribute(&spans[18], "latchkey.reason"),
        Some("no_permission")
    );
    assert_eq!(attribute(&spans[18], "latchkey.outcome"), Some("denied"));
    assert_eq!(spans[18].get("parentSpanId"), None);
    assert_eq!(spans.len(), 18 + 5, "receive, identify, admit, answer");

    // Whom the caller does not record is not recorded here, and upstream is told.
    send(
        &rig,
        sidecar.address,
        allowed,
        &format!("traceparent: 00-{TRACE}-{SPAN}-00\r\n"),
        None,
    );
    assert!(sent_upstream(&rig).ends_with("-00"));
    send(
        &rig,
        sidecar.address,
        denied,
        "traceparent: nonsense\r\n",
        None,
    );
    wait_for("spans", || collector.spans().len() == 18 + 5 + 5);

    let received = collector.received.lock().unwrap().clone();
    assert!(
        received[0]
            .0
            .contains("authorization: bearer of-the-collector")
    );
    assert!(received[0].0.starts_with("post /v1/traces"));
    let resource = &received[0].1["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), Some("pay"));
    let all = format!("{received:?}");
    for secret in ["triage-bot", "u-1001", "eyJ", "ledger"] {
        assert!(!all.contains(secret), "{secret} is in a span");
    }
    let metrics = get(sidecar.admin, "/metrics").body;
    for line in [
        "latchkey_traces_total{outcome=\"exported\"} 4",
        "latchkey_stage_duration_seconds_count{stage=\"admit\"} 5",
        "latchkey_request_duration_seconds_count{outcome=\"denied\"} 2",
        "latchkey_request_duration_seconds_count{outcome=\"allowed\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    sidecar.drain();
}

#[test]
fn what_waits_is_sent_when_the_sidecar_stops() {
    let (golden, rig) = rig();
    let collector = Collector::start(Some("200 OK"));
    let endpoint = collector.address;
    let sidecar = rig.start(&format!(
        "telemetry = {{endpoint = \"http://{endpoint}/v1/traces\", interval = \"1h\"}}"
    ));
    wait_for("readiness", || sidecar.shared().is_ready());
    let cells = golden.cells();
    send(&rig, sidecar.address, &cells[0], "", None);
    assert!(collector.spans().is_empty());
    sidecar.drain();
    assert!(!collector.spans().is_empty());
}

#[test]
fn a_collector_that_is_slow_or_away_holds_up_nothing() {
    let (golden, rig) = rig();
    let stuck = Collector::start(None).address;
    let cells = golden.cells();
    let allowed = cells.iter().find(|it| it.expected == "allow").unwrap();
    for (endpoint, outcome) in [(stuck, "dropped"), (free(), "failed")] {
        let sidecar = rig.start(&format!(
            "telemetry = {{endpoint = \"http://{endpoint}/v1/traces\", interval = \"1ms\", \
             queue = 4, timeout = \"2s\"}}\nlisten = {{drain_timeout = \"1s\"}}"
        ));
        wait_for("readiness", || sidecar.shared().is_ready());
        let started = Instant::now();
        for _ in 0..40 {
            let answer = send(&rig, sidecar.address, allowed, "", None);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert!(started.elapsed() < Duration::from_secs(10));
        wait_for("a count", || {
            let metrics = get(sidecar.admin, "/metrics").body;
            metrics.contains(&format!("latchkey_traces_total{{outcome=\"{outcome}\"}}"))
        });
        sidecar.drain();
    }
    assert_eq!(rig.events().len(), 80, "the audit log lacks nothing");
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn without_the_section_no_stage_is_timed_and_the_log_may_be_json() {
    let (golden, rig) = rig();
    let sidecar = rig.spawn("log = {format = \"json\", level = \"info\"}");
    wait_for("readiness", || get(sidecar.admin, "/readyz").status == 200);
    let cells = golden.cells();
    send(&rig, sidecar.address, &cells[0], "", None);
    let metrics = get(sidecar.admin, "/metrics").body;
    assert!(!metrics.contains("latchkey_stage_duration_seconds_count"));
    let log = sidecar.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert!(
        lines
            .iter()
            .any(|it| it["message"] == "serving" && it["level"] == "INFO"),
        "{log}"
    );
    assert_eq!(sidecar.stop(), Some(0));
}

/// The dashboard is what Grafana's own published types say that a dashboard is: a key that it does not
/// know, or one of the wrong kind, is found.
#[test]
fn the_dashboard_fits_the_published_schema_of_grafana() {
    let packages = Packages::install(
        "grafana-schema",
        &["@grafana/schema@13.2.3", "typescript@5.9.3"],
    );
    let text = std::fs::read_to_string(root().join("docs/grafana/latchkey.json")).unwrap();
    let mut dashboard: Value = serde_json::from_str(&text).unwrap();
    // What the import asks for is not part of the dashboard.
    let inputs = dashboard.as_object_mut().unwrap().remove("__inputs");
    assert_eq!(inputs.unwrap()[0]["pluginId"], "prometheus");
    let errors = |dashboard: &Value| {
        // A literal, so that unknown keys are errors, too. Queries are those of Prometheus.
        let source = format!(
            "import type {{AnnotationQuery, Dashboard, DataQuery}} from '@grafana/schema';\n\
             type Query = DataQuery & {{expr: string}};\n\
             type Checked = Omit<Dashboard, 'annotations'>\n\
               & {{annotations: {{list: AnnotationQuery<Query>[]}}}};\n\
             export const dashboard: Checked = {dashboard};\n"
        );
        let file = packages.folder().join("dashboard.ts");
        std::fs::write(&file, source).unwrap();
        let output = packages
            .run("typescript/bin/tsc")
            .args([
                "--noEmit",
                "--strict",
                "--skipLibCheck",
                "--target",
                "es2022",
            ])
            .args(["--module", "esnext", "--moduleResolution", "bundler"])
            .arg(&file)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(errors(&dashboard), "");
    let mut broken = dashboard.clone();
    broken["panels"][1]["gridPos"]["w"] = "wide".into();
    assert!(
        errors(&broken).contains("is not assignable"),
        "the check finds nothing"
    );
}
