//! TLS on the listener: certificates, those of clients too, and HTTP/2 by agreement.

use std::{process::Command, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    bundle::{self, token},
    certificates::{Authority, Pair, put},
    client,
    rig::{Rig, sidecar, wait_for},
    web::{Web, run, shake},
};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A sidecar whose certificate this authority signed; `more` is added to `[listen]`.
fn start(authority: &Authority, more: &str) -> Rig {
    Rig::prepared(
        &bundle::Release::new(1),
        |folder| {
            authority.server().write(folder);
            put(&folder.join("clients.pem"), &authority.pem);
        },
        &format!("listen = {{tls = {{certificate = \"tls.pem\", key = \"tls.key\"{more}}}}}"),
    )
}

fn metric(rig: &Rig, line: &str) -> bool {
    let metrics = client::get(rig.sidecar.admin, "/metrics").body;
    metrics.lines().any(|it| it == line)
}

#[test]
fn both_versions_are_served_by_agreement() {
    let authority = Authority::new();
    let rig = start(&authority, "");
    run(async {
        for protocols in [BOTH, &["http/1.1"], &[]] {
            let connector = authority.connector(None, protocols);
            let mut web = Web::tls(rig.sidecar.address, &connector).await.unwrap();
            assert_eq!(matches!(web, Web::Two(_)), protocols == BOTH);
            for _ in 0..2 {
                let answer = web.call(&token("alice"), "get_issue").await.unwrap();
                assert_eq!(answer.outcome(), "ok");
            }
            let answer = web.call(&token("bob"), "get_issue").await.unwrap();
            assert_eq!(answer.outcome(), "surface_unmatched");
        }
    });
    assert_eq!(rig.events().len(), 9);
    assert_eq!(rig.server.seen().len(), 6);
}

#[test]
fn curl_and_openssl_agree() {
    let authority = Authority::new();
    let rig = start(&authority, "");
    let folder = rig.folder.path();
    let port = rig.sidecar.address.port();
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let output = Command::new("curl")
            .args(["-sS", flag, "--cacert", "clients.pem"])
            .args(["-w", "\n%{http_version} %{http_code}"])
            .args(["-H", "Content-Type: application/json"])
            .args(["-H", "Accept: application/json, text/event-stream"])
            .args(["-H", &format!("Authorization: Bearer {}", token("alice"))])
            .args(["-d", &client::tool_call("get_issue")])
            .arg(format!("https://localhost:{port}/mcp"))
            .current_dir(folder)
            .output()
            .expect("this test needs `curl`");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.ends_with(&format!("\n{version} 200")), "{output:?}");
        assert!(text.contains("done"), "{text}");
    }
    for (version, good) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let output = Command::new("openssl")
            .args([
                "s_client",
                version,
                "-CAfile",
                "clients.pem",
                "-verify_return_error",
            ])
            .args(["-connect", &format!("localhost:{port}")])
            .current_dir(folder)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("this test needs `openssl`");
        assert_eq!(output.status.success(), good, "{version}: {output:?}");
    }
}

#[test]
fn clear_text_and_broken_handshakes_get_nothing() {
    let authority = Authority::new();
    let rig = start(&authority, "");
    let mut plain = client::Connection::open(rig.sidecar.address, &token("alice"));
    assert!(plain.call("get_issue").is_err());
    let stranger = Authority::new().connector(None, BOTH);
    run(async {
        assert!(Web::tls(rig.sidecar.address, &stranger).await.is_err());
    });
    wait_for("both failures", || {
        metric(&rig, "latchkey_handshakes_failed_total 2")
    });
    assert!(rig.events().is_empty());
    assert!(rig.server.seen().is_empty());
}

#[test]
fn a_client_without_a_good_certificate_is_let_in_only_where_that_is_said() {
    let authority = Authority::new();
    let good = authority.sign(&["builder.acme.example"], &["spiffe://acme/builder"], 3600);
    let foreign = Authority::new().sign(&["builder.acme.example"], &[], 3600);
    let ended = authority.sign(&["builder.acme.example"], &[], -60);
    let two_ids = authority.sign(&[], &["spiffe://acme/a", "spiffe://acme/b"], 3600);
    for (rule, none) in [("required", false), ("optional", true)] {
        let rig = start(
            &authority,
            &format!(", client_ca = \"clients.pem\", client_certificate = \"{rule}\""),
        );
        let works = |shown: Option<&Pair>| {
            let connector = authority.connector(shown, BOTH);
            run(async {
                // Under TLS 1.3 a client learns of a refusal only when it reads.
                let Ok(mut web) = Web::tls(rig.sidecar.address, &connector).await else {
                    return false;
                };
                web.call(&token("alice"), "get_issue").await.is_ok()
            })
        };
        assert!(works(Some(&good)), "{rule}");
        assert_eq!(works(None), none, "{rule}");
        for bad in [&foreign, &ended, &two_ids] {
            assert!(!works(Some(bad)), "{rule}");
        }
        assert_eq!(rig.server.seen().len(), 1 + usize::from(none));
    }
}

#[test]
fn a_connection_ends_with_the_certificate_that_was_shown() {
    let authority = Authority::new();
    let rig = start(
        &authority,
        ", client_ca = \"clients.pem\", client_certificate = \"required\"",
    );
    let short = authority.sign(&["builder.acme.example"], &[], 3);
    run(async {
        let connector = authority.connector(Some(&short), BOTH);
        let mut web = Web::tls(rig.sidecar.address, &connector).await.unwrap();
        assert!(web.call(&token("alice"), "get_issue").await.is_ok());
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(web.call(&token("alice"), "get_issue").await.is_err());
    });
}

#[test]
fn new_certificates_are_taken_and_bad_ones_are_told() {
    let authority = Authority::new();
    let rig = start(
        &authority,
        ", client_ca = \"clients.pem\", client_certificate = \"optional\"",
    );
    let status = || client::get(rig.sidecar.admin, "/status").json()["certificate"].clone();
    let works = |trusted: &Authority, shown: Option<&Pair>| {
        let connector = trusted.connector(shown, BOTH);
        run(async {
            let Ok(mut web) = Web::tls(rig.sidecar.address, &connector).await else {
                return false;
            };
            web.call(&token("alice"), "get_issue").await.is_ok()
        })
    };
    assert!(works(&authority, None));
    assert_eq!(status()["generation"], 1);
    let next = Authority::new();
    let renewed = next.server();
    for (bad, says) in [
        ("no PEM".to_owned(), "holds no certificate"),
        (renewed.certificate.clone(), "does not go with"),
        (
            authority.sign(&["localhost"], &[], -60).certificate,
            "renew it",
        ),
    ] {
        put(&rig.folder.path().join("tls.pem"), &bad);
        wait_for(says, || status()["error"].to_string().contains(says));
        assert!(works(&authority, None), "{says}");
    }
    // A connection from before ends once who may connect has changed.
    run(async {
        let shown = authority.sign(&["a"], &[], 3600);
        let connector = authority.connector(Some(&shown), &["http/1.1"]);
        let mut before = shake(rig.sidecar.address, &connector).await.unwrap();
        renewed.write(rig.folder.path());
        put(&rig.folder.path().join("clients.pem"), &next.pem);
        wait_for("the new certificate", || status()["generation"] != 1);
        assert!(status()["error"].is_null());
        before.write_all(b"").await.unwrap();
        assert_eq!(before.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(!works_now(&rig, &authority).await);
    });
    assert!(works(&next, None));
    // Who resumes nothing is verified anew.
    assert!(!works(&next, Some(&authority.sign(&["a"], &[], 3600))));
    assert!(works(&next, Some(&next.sign(&["a"], &[], 3600))));
}

async fn works_now(rig: &Rig, authority: &Authority) -> bool {
    let connector = authority.connector(None, BOTH);
    Web::tls(rig.sidecar.address, &connector).await.is_ok()
}

#[test]
fn a_start_without_a_good_certificate_says_what_to_do() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let more = "listen = {tls = {certificate = \"tls.pem\", key = \"tls.key\"}}";
    let refused = || sidecar(folder.path(), more).unwrap_err().to_string();
    std::fs::write(folder.path().join("trust.json"), "{}").unwrap();
    let error = refused();
    assert!(error.contains("tls.pem: there is no such file"), "{error}");
    authority
        .sign(&["localhost"], &[], -60)
        .write(folder.path());
    assert!(refused().contains("renew it"));
    put(&folder.path().join("tls.key"), &authority.server().key);
    authority.server().write(folder.path());
    put(&folder.path().join("tls.key"), &authority.server().key);
    assert!(refused().contains("does not go with"));
    put(&folder.path().join("tls.key"), "nonsense");
    assert!(refused().contains("holds no private key"));
}

#[test]
fn who_does_not_shake_hands_is_let_go() {
    let authority = Authority::new();
    let rig = Rig::prepared(
        &bundle::Release::new(1),
        |folder| authority.server().write(folder),
        "listen = {head_timeout = \"200ms\", \
         tls = {certificate = \"tls.pem\", key = \"tls.key\"}}",
    );
    let mut silent = client::Connection::open(rig.sidecar.address, "");
    assert!(silent.head().is_err());
    wait_for("the count", || {
        metric(&rig, "latchkey_connections_refused_total 1")
    });
    assert!(rig.events().is_empty());
}
