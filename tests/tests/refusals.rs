//! What the real program refuses to put in force, and where it says so.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints its figures"
)]

use latchkey_engine::time::Time;
use latchkey_gate::{call::Stated, supply::TrustRoot};
use latchkey_tests::{
    client::{self, Connection},
    golden::{Golden, root},
    live::{Program, Release, Rig, wait_for},
    tokens::seconds,
};
use serde_json::Value;

fn golden() -> Golden {
    Golden::open(&root().join("tests/golden/scope-map"))
}

/// A call of that project that is allowed.
fn allowed(golden: &Golden) -> Stated {
    let cells = golden.cells();
    let cell = cells
        .into_iter()
        .find(|it| it.caller == "alice" && it.call == "exact");
    cell.unwrap().stated
}

fn status(program: &Program) -> Value {
    client::get(program.admin, "/status").json()
}

fn metric(program: &Program, name: &str) -> u64 {
    let body = client::get(program.admin, "/metrics").body;
    let of_name = body.lines().filter_map(|line| line.strip_prefix(name));
    let values = of_name.filter(|rest| rest.starts_with(['{', ' ']));
    values
        .map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

fn call(rig: &Rig, program: &Program, stated: &Stated) -> client::Response {
    rig.send(&mut Connection::open(program.address).unwrap(), stated)
}

/// What is wrong, how it comes about, and the word of its reason.
type Wrong = (&'static str, fn(&Rig, &Golden), &'static str);

const WRONG: [Wrong; 9] = [
    (
        "a foreign signature",
        |rig, golden| put(rig, golden, |it| it.signer = 8),
        "bad_signature",
    ),
    (
        "a lower version",
        |rig, golden| put(rig, golden, |it| it.version = 4),
        "rollback",
    ),
    (
        "other content under the same version",
        |rig, golden| {
            put(rig, golden, |it| {
                it.version = 5;
                it.not_after = Some(Time(seconds() + 3600));
            });
        },
        "equivocation",
    ),
    (
        "a release that has ended",
        |rig, golden| put(rig, golden, |it| it.not_after = Some(Time(1_000_000))),
        "expired",
    ),
    (
        "another project",
        |rig, golden| put(rig, golden, |it| "other".clone_into(&mut it.project)),
        "wrong_project",
    ),
    (
        "another channel",
        |rig, golden| put(rig, golden, |it| "canary".clone_into(&mut it.channel)),
        "wrong_channel",
    ),
    (
        "a truncated slice",
        |rig, golden| {
            // Another content, or the slice that is there already would do.
            let mut model = rig.model.clone();
            for server in model.servers.values_mut() {
                server.timeout += 1;
            }
            for (name, mut bytes) in Release::new(golden, 6).files(golden, &model) {
                if name == "git.lkb" {
                    bytes.truncate(bytes.len() / 2);
                }
                let aside = rig.path().join("aside");
                std::fs::write(&aside, bytes).unwrap();
                std::fs::rename(&aside, rig.path().join("bundle").join(name)).unwrap();
            }
        },
        "file_mismatch",
    ),
    (
        "no signature",
        |rig, golden| {
            std::fs::remove_file(rig.path().join("bundle/release.dsse.json")).unwrap();
            put(rig, golden, |it| it.signer = 0);
        },
        "release.dsse.json is missing",
    ),
    (
        "nothing at all",
        |rig, _| std::fs::remove_dir_all(rig.path().join("bundle")).unwrap(),
        "missing",
    ),
];

/// A release after the good one, changed.
fn put(rig: &Rig, golden: &Golden, change: impl FnOnce(&mut Release)) {
    let mut release = Release::new(golden, 6);
    change(&mut release);
    release.write(rig.path(), golden, &rig.model);
}

#[test]
fn what_is_refused_never_displaces_what_runs_and_is_told_everywhere() {
    let golden = golden();
    let stated = allowed(&golden);
    for (what, spoil, says) in WRONG {
        let rig = Rig::new(&golden, "git");
        Release::new(&golden, 5).write(rig.path(), &golden, &rig.model);
        let program = rig.spawn("");
        wait_for("the release", || status(&program)["bundle"]["version"] == 5);
        assert!(call(&rig, &program, &stated).is_allowed(), "{what}");
        let refused = metric(&program, "latchkey_bundle_refused_total");

        spoil(&rig, &golden);
        let error = || status(&program)["last_error"].as_str().map(str::to_owned);
        wait_for(what, || error().is_some_and(|it| it.contains(says)));
        assert!(
            metric(&program, "latchkey_bundle_refused_total") > refused,
            "{what}"
        );
        let log = program.log();
        assert!(
            log.contains("bundle refused") && log.contains(says),
            "{what}: {log}"
        );

        assert!(call(&rig, &program, &stated).is_allowed(), "{what}");
        let status = status(&program);
        assert_eq!(status["bundle"]["version"], 5, "{what}: {status}");
        assert_eq!(status["state"], "ready", "{what}: {status}");
        assert_eq!(client::get(program.admin, "/readyz").status, 200, "{what}");
        assert_eq!(program.stop(), Some(0), "{what}");
        let text = std::fs::read_to_string(rig.path().join("audit.jsonl")).unwrap();
        assert!(text.contains("\"bundle_rejected\""), "{what}");
    }
}

#[test]
fn without_any_good_bundle_every_call_is_refused_with_its_reason() {
    let golden = golden();
    let stated = allowed(&golden);
    for (what, spoil, says) in WRONG {
        // A lower version, or other content, is wrong only beside the good one.
        if ["rollback", "equivocation"].contains(&says) {
            continue;
        }
        let rig = Rig::new(&golden, "git");
        spoil(&rig, &golden);
        let program = rig.spawn("");
        let response = call(&rig, &program, &stated);
        assert_eq!(
            (response.status, response.code().as_str()),
            (503, "policy_unavailable"),
            "{what}"
        );
        assert_eq!(rig.upstream.count(), 0, "{what}");
        let status = status(&program);
        assert_eq!(
            status["state"], "no verified bundle is in force",
            "{what}: {status}"
        );
        assert!(
            status["last_error"].as_str().unwrap().contains(says),
            "{what}: {status}"
        );
        assert_eq!(client::get(program.admin, "/readyz").status, 503, "{what}");
        assert!(program.log().contains(says), "{what}: {}", program.log());
        assert_eq!(program.stop(), Some(0), "{what}");
        let events = rig.events();
        assert_eq!(events.len(), 1, "{what}");
        assert_eq!(events[0]["reason"], "policy_unavailable", "{what}");
    }
}

#[test]
fn a_key_that_is_trusted_no_more_signs_nothing() {
    let golden = golden();
    let rig = Rig::new(&golden, "git");
    let other = ed25519_dalek::SigningKey::from_bytes(&[3; 32]).verifying_key();
    let trust = TrustRoot::of_one_key("scope-map", "main", "ci", other);
    std::fs::write(rig.path().join("trust.json"), trust.to_json()).unwrap();
    let program = rig.spawn("");
    let error = status(&program)["last_error"].to_string();
    assert!(error.contains("bad_signature"), "{error}");
    assert_eq!(
        call(&rig, &program, &allowed(&golden)).code(),
        "policy_unavailable"
    );
}

#[test]
fn the_development_profile_takes_what_nobody_signed_and_says_so() {
    let golden = golden();
    let rig = Rig::new(&golden, "git");
    std::fs::remove_dir_all(rig.path().join("bundle")).unwrap();
    put(&rig, &golden, |it| it.signer = 0);
    let program = rig.spawn("profile = {development = true}");
    assert!(call(&rig, &program, &allowed(&golden)).is_allowed());
    assert_eq!(status(&program)["bundle"]["signed"], false);
    let log = program.log();
    assert!(
        log.contains("DEVELOPMENT PROFILE") && log.contains("UNSIGNED"),
        "{log}"
    );
}

#[test]
fn a_full_audit_disk_forwards_nothing_and_is_told_everywhere() {
    let golden = golden();
    let rig = Rig::new(&golden, "git");
    let program = rig.spawn("audit = {file = \"/dev/full\"}");
    let response = call(&rig, &program, &allowed(&golden));
    assert_eq!(response.code(), "audit_unavailable");
    assert_eq!(rig.upstream.count(), 0);
    assert_eq!(client::get(program.admin, "/readyz").status, 503);
    let status = status(&program);
    assert_eq!(status["state"], "the audit log cannot be written");
    assert_eq!(
        status["bundle"]["version"], 1,
        "what runs is kept: {status}"
    );
    assert!(
        program.log().contains("the audit log cannot be written"),
        "{}",
        program.log()
    );
}
