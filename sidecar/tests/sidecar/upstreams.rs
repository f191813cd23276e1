//! Ways to the tool server: under TLS, with a certificate of the sidecar's own, over a Unix socket.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    bundle::{self, token},
    certificates::{Authority, Pair, put},
    client,
    rig::{events, sidecar, wait_for},
    server::ToolServer,
};

/// What a tool server shakes hands with; it asks for a certificate of this authority, if any.
fn acceptor(pair: &Pair, asked: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match asked {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
            roots.add(root).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            )
        }
    };
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

/// What one call through a new sidecar comes to, and the reason in its event.
fn outcome(folder: &Path, upstream: &str, more: &str) -> (String, String) {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    bundle::Release::new(VERSION.fetch_add(1, Ordering::Relaxed)).write(folder, upstream);
    let before = folder
        .join("audit.jsonl")
        .exists()
        .then(|| events(folder).len());
    let running = sidecar(folder, more).unwrap();
    let answer = client::call(running.address, &token("alice"), "get_issue");
    let event = events(folder).remove(before.unwrap_or_default());
    running.drain();
    (
        answer.outcome(),
        event["reason"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn a_server_under_tls_is_the_one_that_the_policy_names() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("ca.pem"), &authority.pem);
    let ca = "upstream = {ca = \"ca.pem\"}";
    let good = ("ok".to_owned(), "ok".to_owned());
    let bad = "upstream_unavailable".to_owned();
    let bad = (bad.clone(), bad);
    let server = ToolServer::start_tls(acceptor(&authority.server(), None));
    let port = server.address.port();
    for (host, more, expected) in [
        ("localhost", ca, &good),
        ("127.0.0.1", ca, &good),
        // Nobody on this machine vouches for it.
        ("localhost", "", &bad),
    ] {
        let found = outcome(folder.path(), &format!("https://{host}:{port}/mcp"), more);
        assert_eq!(found, *expected, "{host} {more}");
    }
    for pair in [
        other.server(),
        authority.sign(&["localhost"], &[], -60),
        authority.sign(&["localhost.evil.example"], &[], 3600),
    ] {
        let server = ToolServer::start_tls(acceptor(&pair, None));
        let port = server.address.port();
        let found = outcome(folder.path(), &format!("https://localhost:{port}/mcp"), ca);
        assert_eq!(found, bad);
        assert!(server.seen().is_empty());
    }
    // A server in clear text where the policy says TLS, and the reverse.
    let plain = ToolServer::start();
    let port = plain.address.port();
    assert_eq!(
        outcome(folder.path(), &format!("https://localhost:{port}/mcp"), ca),
        bad
    );
    let url = server.upstream().replace("https", "http");
    assert_eq!(outcome(folder.path(), &url, ca), bad);
    assert!(plain.seen().is_empty());
}

#[test]
fn the_sidecar_shows_its_certificate() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("ca.pem"), &authority.pem);
    authority.sign(&["sidecar"], &[], 3600).write(folder.path());
    let server = ToolServer::start_tls(acceptor(&authority.server(), Some(&authority)));
    let url = server.upstream();
    let shown = "upstream = {ca = \"ca.pem\", certificate = \"tls.pem\", key = \"tls.key\"}";
    assert_eq!(outcome(folder.path(), &url, shown).0, "ok");
    let unshown = "upstream = {ca = \"ca.pem\"}";
    assert_eq!(
        outcome(folder.path(), &url, unshown).0,
        "upstream_unavailable"
    );
    assert_eq!(server.seen().len(), 1);
    let half = "upstream = {certificate = \"tls.pem\"}";
    let error = sidecar(folder.path(), half).unwrap_err().to_string();
    assert!(error.contains("belong together"), "{error}");
    let missing = "upstream = {ca = \"none.pem\"}";
    let error = sidecar(folder.path(), missing).unwrap_err().to_string();
    assert!(error.contains("none.pem: there is no such file"), "{error}");
}

#[test]
fn new_authorities_are_taken_and_old_connections_are_left() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("ca.pem"), &first.pem);
    let server = ToolServer::start_tls(acceptor(&first.server(), None));
    bundle::Release::new(1).write(folder.path(), &server.upstream());
    let running = sidecar(folder.path(), "upstream = {ca = \"ca.pem\"}").unwrap();
    let call = || client::call(running.address, &token("alice"), "get_issue").outcome();
    assert_eq!(call(), "ok");
    put(&folder.path().join("ca.pem"), "nonsense");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(call(), "ok");
    put(&folder.path().join("ca.pem"), &second.pem);
    wait_for("the new authority", || call() == "upstream_unavailable");
}

#[test]
fn a_server_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool.sock");
    let server = ToolServer::start_unix(&path);
    let url = format!("unix:{}:/mcp", path.display());
    assert_eq!(outcome(folder.path(), &url, "").0, "ok");
    assert_eq!(server.seen()[0].headers["host"], "localhost");
    let gone = format!("unix:{}:/mcp", folder.path().join("gone.sock").display());
    assert_eq!(outcome(folder.path(), &gone, "").0, "upstream_unavailable");
}
