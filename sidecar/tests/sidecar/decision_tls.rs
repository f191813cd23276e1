//! The decision point under TLS, and its sockets in other hands.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use latchkey_sidecar::config::Config;

use crate::{
    bundle,
    certificates::{Authority, put},
    client,
    crash::Program,
    rig::{Rig, events, settings, wait_for},
    server::ToolServer,
    web::{Web, read, run},
};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// May alice call a tool?
fn question(tool: &str) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"subject":{{"type":"principal","id":"alice"}},"action":{{"name":"call"}},
            "resource":{{"type":"tool","id":"{tool}"}}}}"#
    );
    Request::post("https://localhost/access/v1/evaluation")
        .header("content-type", "application/json")
        .header("host", "localhost")
        .body(Full::new(body.into()))
        .unwrap()
}

async fn ask(web: &mut Web) -> bool {
    let answer = read(web.send(question("get_issue")).await.unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["decision"] == true
}

#[test]
fn enforcement_points_are_known_by_their_certificates() {
    let authority = Authority::new();
    let rig = Rig::prepared(
        &bundle::Release::new(1),
        |folder| {
            authority.server().write(folder);
            put(&folder.join("points.pem"), &authority.pem);
        },
        "decision = {address = \"127.0.0.1:0\", tls = {certificate = \"tls.pem\", key = \"tls.key\", \
         client_ca = \"points.pem\", client_certificate = \"required\"}}",
    );
    let address = rig.sidecar.decision.unwrap();
    let point = authority.sign(&["envoy.acme.example"], &[], 3600);
    let short = authority.sign(&["envoy.acme.example"], &[], 4);
    let foreign = Authority::new().sign(&["envoy.acme.example"], &[], 3600);
    run(async {
        for protocols in [BOTH, &["http/1.1"]] {
            let connector = authority.connector(Some(&point), protocols);
            let mut web = Web::tls(address, &connector).await.unwrap();
            assert_eq!(matches!(web, Web::Two(_)), protocols == BOTH);
            assert!(ask(&mut web).await);
        }
        for shown in [None, Some(&foreign)] {
            let connector = authority.connector(shown, BOTH);
            // Under TLS 1.3 the refusal may come with the first answer.
            if let Ok(mut web) = Web::tls(address, &connector).await {
                assert!(web.send(question("get_issue")).await.is_err());
            }
        }
        // Its connection ends with the certificate.
        let connector = authority.connector(Some(&short), BOTH);
        let mut web = Web::tls(address, &connector).await.unwrap();
        assert!(ask(&mut web).await);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(web.send(question("get_issue")).await.is_err());
    });
    // In clear text nobody answers.
    let mut plain = client::Connection::open(address, "");
    let sent = plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(sent.is_err() || plain.answer().is_err());
    assert_eq!(rig.events().len(), 3, "one event for each decision");
}

#[test]
fn beyond_loopback_it_asks_for_a_token_or_for_certificates() {
    let read = |decision: &str| {
        let text = settings(&format!("decision = {{address = \"0.0.0.0:0\"{decision}}}"));
        Config::parse(&text, Path::new(""))
    };
    let tls = ", tls = {certificate = \"c\", key = \"k\"";
    assert!(read("").is_err());
    assert!(read(&format!("{tls}}}")).is_err());
    assert!(read(&format!("{tls}, client_ca = \"a\"}}")).is_err());
    assert!(
        read(&format!(
            "{tls}, client_ca = \"a\", client_certificate = \"optional\"}}"
        ))
        .is_err()
    );
    read(&format!(
        "{tls}, client_ca = \"a\", client_certificate = \"required\"}}"
    ))
    .unwrap();
    read(", token_file = \"t\"").unwrap();
}

/// Asks on the socket of JSON lines, whoever serves it.
fn line(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ask =
        r#"{"caller":{"principal":"alice"},"server":"github","tool":"get_issue","arguments":{}}"#;
    writeln!(stream, "{ask}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn its_sockets_are_handed_over_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let lines = folder.path().join("lines.sock");
    let more =
        "listen.handover = true\ndecision = {address = \"unix:ask.sock\", lines = \"lines.sock\"}";
    let first = Program::start(folder.path(), more);
    assert!(line(&lines).contains("\"allow\""), "{}", line(&lines));
    let before = std::fs::metadata(&lines).unwrap();
    let (address, admin) = (first.address, first.admin);
    let second = Program::again(folder.path(), address, admin);
    assert_eq!(first.ended(), Some(0));
    // The very same socket, so that nobody was refused in between.
    assert!(line(&lines).contains("\"allow\""));
    assert_eq!(std::fs::metadata(&lines).unwrap().ino(), before.ino());
    assert!(UnixStream::connect(folder.path().join("ask.sock")).is_ok());
    second.signal("TERM");
    assert_eq!(second.ended(), Some(0));
    assert!(events(folder.path()).len() >= 2);
}

/// Binds an address as a service manager does, and becomes the sidecar.
const ACTIVATE: &str = "
import os, socket, sys
listener = socket.socket()
host, port = sys.argv[1].split(':')
listener.bind((host, int(port)))
listener.listen(16)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn sockets_of_a_service_manager_are_taken_by_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let server = ToolServer::start();
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (address, other) = (free(), free());
    let run = |passed: std::net::SocketAddr| {
        let path = folder.path().join("sidecar.toml");
        let more = format!("listen.address = \"{address}\"\nadmin.address = \"127.0.0.1:0\"");
        std::fs::write(&path, settings(&more)).unwrap();
        Command::new("python3")
            .args(["-c", ACTIVATE, &passed.to_string()])
            .arg(env!("CARGO_BIN_EXE_latchkey-sidecar"))
            .arg("--config")
            .arg(&path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // One that no setting names is not left open and unserved.
    let wrong = run(other).wait_with_output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("which no setting names"), "{said}");
    // Were it bound anew, the address would be in use.
    let mut child = run(address);
    wait_for("the listener", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let answer = client::call(address, &bundle::token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
