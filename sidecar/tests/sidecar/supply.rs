//! What is put in force, and what never displaces what runs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    bundle::Release,
    bundle::token,
    client,
    rig::{Rig, sidecar, wait_for},
    server,
};

#[test]
fn swaps_under_load_fail_no_request() {
    let rig = Rig::start("");
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (address, stop) = (rig.sidecar.address, Arc::clone(&stop));
            let served = Arc::clone(&served);
            std::thread::spawn(move || {
                let mut connection = client::Connection::open(address, &token("alice"));
                while !stop.load(Ordering::Relaxed) {
                    let answer = connection.call("get_issue").unwrap();
                    assert_eq!(answer.outcome(), "ok");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let swaps = swap_for(&rig, seconds());
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    let served = served.load(Ordering::Relaxed);
    let taken = rig.sidecar.shared().active().unwrap().generation;
    println!("{served} requests, {swaps} releases, {taken} swaps, 0 failures");
    assert!(taken > swaps / 2, "{taken} of {swaps}");
    assert_eq!(rig.events().len(), served);
}

/// For how long swaps go on: `LATCHKEY_SWAP_SECONDS`, or a few.
fn seconds() -> Duration {
    let set = std::env::var("LATCHKEY_SWAP_SECONDS").ok();
    Duration::from_secs(set.and_then(|text| text.parse().ok()).unwrap_or(2))
}

/// Ten releases a second; whether bob may call flips with each.
fn swap_for(rig: &Rig, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut version = 1;
    while Instant::now() < end {
        version += 1;
        let mut release = Release::new(version);
        release.bob = version % 2 == 0;
        release.write(rig.folder.path(), &rig.server.upstream());
        std::thread::sleep(Duration::from_millis(100));
    }
    version - 1
}

#[test]
fn without_a_bundle_every_call_is_refused_until_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::ToolServer::start();
    Release::new(1).write(folder.path(), &server.upstream());
    std::fs::remove_dir_all(folder.path().join("bundle")).unwrap();
    let sidecar = sidecar(folder.path(), "").unwrap();
    let answer = client::call(sidecar.address, &token("alice"), "get_issue");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.outcome(), "policy_unavailable");
    assert_eq!(client::get(sidecar.admin, "/readyz").status, 503);
    let status = client::get(sidecar.admin, "/status").json();
    assert!(
        status["last_error"].as_str().unwrap().contains("missing"),
        "{status}"
    );
    Release::new(1).write(folder.path(), &server.upstream());
    wait_for("the bundle", || {
        client::get(sidecar.admin, "/readyz").status == 200
    });
    let answer = client::call(sidecar.address, &token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
    assert_eq!(crate::rig::events(folder.path()).len(), 2);
}

#[test]
fn a_bad_bundle_never_displaces_a_good_one() {
    for (what, spoil, says) in REFUSED {
        let rig = Rig::with(&Release::new(5), "");
        spoil(rig.folder.path(), &rig.server.upstream());
        let error = || {
            let status = client::get(rig.sidecar.admin, "/status").json();
            status["last_error"].as_str().unwrap_or_default().to_owned()
        };
        wait_for(what, || !error().is_empty());
        assert!(error().contains(says), "{what}: {}", error());
        assert_eq!(
            rig.sidecar.shared().active().unwrap().generation,
            1,
            "{what}"
        );
        assert_eq!(
            rig.call(&token("alice"), "get_issue").outcome(),
            "ok",
            "{what}"
        );
        assert_eq!(
            rig.sidecar.shared().active().unwrap().release.version,
            5,
            "{what}"
        );
        let metrics = client::get(rig.sidecar.admin, "/metrics").body;
        assert!(
            metrics.contains("latchkey_bundle_refused_total{word="),
            "{what}"
        );
        assert!(
            sidecar(rig.folder.path(), "")
                .unwrap_err()
                .to_string()
                .contains("locked")
        );
        rig.sidecar.drain();
        // What was good last is used again at the next start.
        let more = format!(
            "state = {{directory = {:?}}}",
            rig.folder.path().join("state")
        );
        let again = sidecar(rig.folder.path(), &more).unwrap();
        let status = client::get(again.admin, "/status").json();
        assert_eq!(status["bundle"]["source"], "last_good", "{what}: {status}");
        again.drain();
    }
}

type Spoil = fn(&Path, &str);

/// What is wrong, how it comes about, and what the report must say.
const REFUSED: [(&str, Spoil, &str); 9] = [
    (
        "a truncated slice",
        |folder, upstream| {
            put_spoiled(folder, upstream, |slice| {
                let bytes = std::fs::read(slice).unwrap();
                std::fs::write(slice, bytes.split_at(bytes.len() / 2).0).unwrap();
            });
        },
        "file_mismatch",
    ),
    (
        "a missing slice",
        |folder, upstream| {
            put_spoiled(folder, upstream, |slice| {
                std::fs::remove_file(slice).unwrap();
            });
        },
        "no github.lkb",
    ),
    (
        "a missing statement",
        |folder, _| std::fs::remove_file(folder.join("bundle/release.dsse.json")).unwrap(),
        "release.dsse.json is missing",
    ),
    (
        "a truncated statement",
        |folder, _| {
            let path = folder.join("bundle/release.dsse.json");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, bytes.split_at(bytes.len() / 2).0).unwrap();
        },
        "bad_envelope",
    ),
    (
        "a foreign signature",
        |folder, upstream| put(folder, upstream, |release| release.signer = 8),
        "bad_signature",
    ),
    (
        "a lower version",
        |folder, upstream| put(folder, upstream, |release| release.version = 4),
        "rollback: version 4",
    ),
    (
        "another content under the same version",
        |folder, upstream| {
            put(folder, upstream, |release| {
                release.version = 5;
                release.bob = true;
            });
        },
        "equivocation",
    ),
    (
        "a release that has ended",
        |folder, upstream| {
            put(folder, upstream, |release| {
                release.not_after = Some(1_000_000);
            });
        },
        "expired",
    ),
    (
        "an unsigned release",
        |folder, upstream| {
            std::fs::remove_file(folder.join("bundle/release.dsse.json")).unwrap();
            put(folder, upstream, |release| release.signer = 0);
        },
        "release.dsse.json is missing",
    ),
];

/// A release after the good one, changed.
fn put(folder: &Path, upstream: &str, change: impl FnOnce(&mut Release)) {
    let mut release = Release::new(6);
    change(&mut release);
    release.write(folder, upstream);
}

/// The next release with its slice spoiled before its statement comes.
fn put_spoiled(folder: &Path, upstream: &str, spoil: impl FnOnce(&Path)) {
    let aside = folder.join("aside");
    // Another content, or the slice that is there already would do.
    put(&aside, upstream, |release| release.bob = true);
    spoil(&aside.join("bundle/github.lkb"));
    let _ = std::fs::remove_file(folder.join("bundle/github.lkb"));
    for name in ["github.lkb", "release.dsse.json"] {
        let _ = std::fs::rename(
            aside.join("bundle").join(name),
            folder.join("bundle").join(name),
        );
    }
}

#[test]
fn the_development_profile_takes_an_unsigned_release() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::ToolServer::start();
    put(folder.path(), &server.upstream(), |release| {
        release.signer = 0;
    });
    let sidecar = sidecar(folder.path(), "profile = {development = true}").unwrap();
    let answer = client::call(sidecar.address, &token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
    let status = client::get(sidecar.admin, "/status").json();
    assert_eq!(status["bundle"]["signed"], false);
    let aside = folder.path().join("aside");
    put(&aside, &server.upstream(), |release| {
        release.signer = 0;
        release.version = 7;
        release.bob = true;
    });
    let bundle = folder.path().join("bundle");
    std::fs::write(bundle.join("github.lkb"), "other").unwrap();
    std::fs::rename(
        aside.join("bundle/release.json"),
        bundle.join("release.json"),
    )
    .unwrap();
    wait_for("the refusal", || {
        let status = client::get(sidecar.admin, "/status").json();
        status["last_error"]
            .as_str()
            .is_some_and(|error| error.contains("file_mismatch"))
    });
    let answer = client::call(sidecar.address, &token("alice"), "get_issue");
    assert_eq!(answer.outcome(), "ok");
}

#[test]
fn past_its_end_a_bundle_refuses_everything() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::ToolServer::start();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let end = i64::try_from(now.as_secs()).unwrap() + 2;
    put(folder.path(), &server.upstream(), |release| {
        release.not_after = Some(end);
    });
    let sidecar = sidecar(folder.path(), "").unwrap();
    let call = || client::call(sidecar.address, &token("alice"), "get_issue").outcome();
    assert_eq!(call(), "ok");
    wait_for("the end", || call() == "policy_unavailable");
    assert_eq!(client::get(sidecar.admin, "/readyz").status, 503);
}

#[test]
fn a_release_that_is_revoked_stops_at_once() {
    let rig = Rig::start("");
    revoked_stops(&rig);
}

/// Who may write the bundle directory must not be able to keep alive what the trust file ends.
#[test]
fn a_spoiled_directory_keeps_no_revoked_release_alive() {
    let spoiled = Rig::start("");
    let directory = spoiled.folder.path().join("bundle");
    std::fs::write(directory.join("release.dsse.json"), "{").unwrap();
    revoked_stops(&spoiled);
    let emptied = Rig::start("");
    std::fs::remove_dir_all(emptied.folder.path().join("bundle")).unwrap();
    revoked_stops(&emptied);
}

fn revoked_stops(rig: &Rig) {
    let path = rig.folder.path().join("trust.json");
    let statement = rig.sidecar.shared().active().unwrap().release.statement;
    let mut trust: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    trust["revoked"] = serde_json::json!([statement.to_string()]);
    std::fs::write(&path, trust.to_string()).unwrap();
    wait_for("the revocation", || {
        rig.call(&token("alice"), "get_issue").outcome() == "policy_unavailable"
    });
}

#[test]
fn the_floor_outlives_a_restart_and_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::ToolServer::start();
    Release::new(7).write(folder.path(), &server.upstream());
    sidecar(folder.path(), "").unwrap().drain();
    Release::new(6).write(folder.path(), &server.upstream());
    let again = sidecar(folder.path(), "").unwrap();
    let status = client::get(again.admin, "/status").json();
    assert_eq!(status["bundle"]["version"], 7, "{status}");
    assert_eq!(status["bundle"]["source"], "last_good");
    assert!(status["last_error"].as_str().unwrap().contains("rollback"));
    again.drain();
    std::fs::write(folder.path().join("state/floor.json"), "{").unwrap();
    let again = sidecar(folder.path(), "").unwrap();
    let status = client::get(again.admin, "/status").json();
    assert_eq!(status["last_error_word"], "state_damaged", "{status}");
    assert_eq!(client::get(again.admin, "/readyz").status, 503);
}

#[test]
fn a_full_audit_disk_stops_everything_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::ToolServer::start();
    Release::new(1).write(folder.path(), &server.upstream());
    let sidecar = sidecar(folder.path(), r#"audit = {file = "/dev/full"}"#).unwrap();
    assert_eq!(client::get(sidecar.admin, "/readyz").status, 503);
    for who in ["alice", "bob"] {
        let answer = client::call(sidecar.address, &token(who), "get_issue");
        assert_eq!(answer.outcome(), "audit_unavailable", "{answer:?}");
    }
    assert!(server.seen().is_empty());
    assert!(sidecar.shared().active().is_some());
    let status = client::get(sidecar.admin, "/status").json();
    assert_eq!(status["state"], "the audit log cannot be written");
}

#[test]
fn an_overlay_takes_away_and_never_gives() {
    let rig = Rig::start(r#"overlay = {file = "overlay.json"}"#);
    let path = rig.folder.path().join("overlay.json");
    let calls = || rig.call(&token("alice"), "get_issue");
    // An overlay that is named and cannot be read is no empty overlay.
    assert_eq!(calls().outcome(), "policy_unavailable");
    std::fs::write(&path, "{}").unwrap();
    wait_for("the overlay", || calls().json().get("result").is_some());
    std::fs::write(&path, r#"{"suspended":["alice"]}"#).unwrap();
    wait_for("the suspension", || calls().json().get("result").is_none());
    assert_eq!(
        rig.events().last().unwrap()["reason"],
        "principal_suspended"
    );
    let adds = r#"{"break_glass":[{"id":"x","principal":"alice"}]}"#;
    std::fs::write(&path, adds).unwrap();
    wait_for("the refusal", || {
        let status = client::get(rig.sidecar.admin, "/status").json();
        status["overlay_error"]
            .as_str()
            .is_some_and(|error| error.contains("break_glass"))
    });
    assert!(calls().json().get("result").is_none());
}

#[test]
fn names_of_the_overlay_that_the_bundle_does_not_know_are_told() {
    let rig = Rig::prepared(
        &Release::new(1),
        |folder| {
            let text = r#"{"suspended":["nosuch"],"denied":["github/get_issue","github/nosuch"]}"#;
            std::fs::write(folder.join("overlay.json"), text).unwrap();
        },
        r#"overlay = {file = "overlay.json"}"#,
    );
    let status = || client::get(rig.sidecar.admin, "/status").json();
    let unknown = serde_json::json!(["nosuch", "github/nosuch"]);
    wait_for("the names", || status()["overlay_unknown"] == unknown);
    rig.call(&token("alice"), "get_issue");
    assert_eq!(rig.events().last().unwrap()["reason"], "denied_by_overlay");
    let metric = |line: &str| {
        let text = client::get(rig.sidecar.admin, "/metrics").body;
        text.lines().any(|it| it == line)
    };
    assert_eq!(status()["urgent_denials"], 3);
    assert!(metric("latchkey_urgent_denials 3"));
    assert!(metric("latchkey_overlay_refused 0"));
    let path = rig.folder.path().join("overlay.json");
    std::fs::write(&path, r#"{"suspended":["alice"#).unwrap();
    wait_for("the metric", || metric("latchkey_overlay_refused 1"));
    std::fs::write(&path, r#"{"suspended":["alice"]}"#).unwrap();
    wait_for("the overlay", || metric("latchkey_overlay_refused 0"));
    wait_for("no names", || {
        status()["overlay_unknown"] == serde_json::json!([])
    });
    assert!(metric("latchkey_urgent_denials 1"));
}
