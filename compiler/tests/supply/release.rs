//! Builds, signatures, pointers.

use std::fs;

use latchkey_gate::supply::{
    Digest,
    dsse::{self, Kind},
    keys,
};
use serde_json::{Value as Json, json};

use crate::scene::{RELEASE, Scene, failed};

#[test]
fn two_people_release_and_one_cannot() {
    let scene = Scene::trusted("two");
    scene.good("-C p build --out b --key ci.key");
    let release = "release b --trust trust.json --key clock.key";
    scene.bad(
        4,
        release,
        "1 of the 2 needed: ci; not by alice (no valid signature)",
    );
    assert!(!scene.path("b/pointer.dsse.json").exists());
    let sign = "sign b --key ci.key --trust trust.json";
    let said = scene.good(sign);
    assert!(
        said.contains("1 signature\n") && said.contains("not enough yet"),
        "{said}"
    );
    let said = scene.good("sign b --key alice.key --trust trust.json");
    assert!(
        said.contains("2 signatures\nenough: 2 of the 2 needed: alice, ci"),
        "{said}"
    );
    scene.good(release);
    let report = scene.verify("");
    assert_eq!(report["accepted"], true, "{report}");
    assert_eq!(report["signers"], json!(["alice", "ci"]));
    assert_eq!(failed(&report), [""; 0]);
    let said = scene.good("verify b --trust trust.json");
    assert!(
        said.contains("accepted: version 1 of my-policy on channel main, epoch 1"),
        "{said}"
    );
    // One server's sidecar needs one slice.
    fs::remove_file(scene.path("b/all.lkb")).expect("removed");
    assert_eq!(scene.verify("--server tickets")["accepted"], true);
    assert_eq!(
        failed(&scene.verify("--server nobody")),
        ["file nobody.lkb"]
    );
    assert_eq!(failed(&scene.verify("")), ["file all.lkb"]);
}

#[test]
fn an_unsigned_statement_is_signed_in_its_folder() {
    let scene = Scene::trusted("unsigned");
    scene.good("-C p build --out b");
    scene.bad(4, "verify b --trust trust.json", "not signed");
    scene.good("sign b --key ci.key --key alice.key");
    assert!(!scene.path("b/release.json").exists());
    scene.good("release b --trust trust.json --key clock.key");
    assert_eq!(scene.verify("")["accepted"], true);
    scene.bad(2, "sign b", "--key");
    scene.bad(2, "sign p --key ci.key", "holds no release");
    scene.bad(2, "sign trust.json --key ci.key", "no envelope");
}

#[test]
fn a_pointer_is_counted_kept_and_never_planted() {
    let scene = Scene::released("pointer");
    let release = |words: &str| scene.said(&format!("{RELEASE} {words}"));
    let (code, said) = release(
        "--deny-token t-1 --suspend triage-bot --deny-surface tickets/reply --min-version 1
         --spread 10m --expires-in 2h --issued-at 2026-11-22T10:00:00Z",
    );
    assert_eq!(code, 0, "{said}");
    let pointer = scene.pointer("b/pointer.dsse.json");
    assert_eq!(pointer["pointer_version"], 2);
    assert_eq!(pointer["expires"], "2026-11-22T12:00:00Z");
    assert_eq!(
        (&pointer["spread_seconds"], &pointer["min_version"]),
        (&600.into(), &1.into())
    );
    // What was denied stays denied until somebody says otherwise.
    let (code, said) = release("--suspend ana");
    assert!(
        code == 0 && said.contains("denies      principal triage-bot"),
        "{said}"
    );
    let denied = &scene.pointer("b/pointer.dsse.json")["urgent_deny"];
    assert_eq!(
        *denied,
        json!({"revoked_tokens": ["t-1"], "suspended": ["ana", "triage-bot"], "denied": ["tickets/reply"]})
    );
    assert_eq!(release("--clear-deny").0, 0);
    let pointer = scene.pointer("b/pointer.dsse.json");
    assert_eq!(
        (&pointer["pointer_version"], &pointer["min_version"]),
        (&4.into(), &1.into())
    );
    assert!(pointer.get("urgent_deny").is_none());
    // Of its own accord it never goes back.
    let (code, said) = release("--pointer-version 3");
    assert!(
        code == 4 && said.contains("pointer version: 3; 4 was followed before"),
        "{said}"
    );
    let (code, said) = release("--min-version 2");
    assert!(code == 2 && said.contains("min_version"), "{said}");
    // A pointer that somebody else has put there uses up no numbers.
    let forged = scene.path("b/pointer.dsse.json");
    let mut pointer = scene.pointer("b/pointer.dsse.json");
    pointer["pointer_version"] = json!(9_007_199_254_740_991_u64);
    let text = fs::read_to_string(scene.path("bob.key")).expect("a key");
    let bob = keys::read_private(&text).expect("a key");
    let payload = serde_json_canonicalizer::to_vec(&pointer).expect("JSON");
    fs::write(forged, dsse::sign(Kind::Pointer, &payload, &[bob])).expect("written");
    let (code, said) = release("");
    assert!(
        code == 4 && said.contains("not signed by the freshness role"),
        "{said}"
    );
    let (code, said) = release("--pointer-version 5");
    assert!(
        code == 0 && said.contains("what it says is dropped"),
        "{said}"
    );
    assert_eq!(scene.pointer("b/pointer.dsse.json")["pointer_version"], 5);
    // Nor does another key than that of the role make one.
    let always = "release b --trust trust.json --key bob.key";
    scene.bad(4, always, "pointer signatures: 0 of the 1 needed");
}

#[test]
fn what_is_denied_at_once_has_a_name_in_the_release() {
    let scene = Scene::released("denied");
    let before = fs::read(scene.path("b/pointer.dsse.json")).expect("the pointer");
    for (words, wanted) in [
        ("--suspend triage-bto", "no principal `triage-bto`"),
        ("--suspend triage-bto", "did you mean `triage-bot`?"),
        ("--suspend ana --suspend nobody-at-all", "--deny-token ID"),
        (
            "--deny-surface tickets/repply",
            "no surface `tickets/repply`",
        ),
        (
            "--deny-surface tickets/repply",
            "did you mean `tickets/reply`?",
        ),
        ("--deny-surface reply", "write SERVER/NAME"),
        ("--deny-surface tickets", "write SERVER/NAME"),
    ] {
        scene.bad(2, &format!("{RELEASE} {words}"), wanted);
    }
    let after = fs::read(scene.path("b/pointer.dsse.json")).expect("the pointer");
    assert!(before == after, "the pointer before still stands");
    // An older release may be in force, and have the name; later pointers keep it.
    let words = "--deny-unknown --suspend triage-bto --deny-surface tickets/repply";
    for words in [words, ""] {
        let said = scene.good(&format!("{RELEASE} {words}"));
        for wanted in [
            "denies      principal triage-bto",
            "warning: version 1 has no principal `triage-bto`: only a release that has it denies by it",
            "warning: version 1 has no surface `tickets/repply`",
        ] {
            assert!(said.contains(wanted), "{words}: {wanted}: {said}");
        }
    }
}

#[test]
fn what_git_ignores_is_in_no_commit_that_a_release_could_name() {
    let scene = Scene::new("ignored");
    fs::write(scene.path("p/.gitignore"), "/local/\n").expect("written");
    scene.commit();
    fs::create_dir(scene.path("p/local")).expect("a folder");
    let role = "roles: {local: {allow: {tickets: [get_ticket]}}}\n";
    fs::write(scene.path("p/local/dev.yaml"), role).expect("written");
    let wanted = "`local/dev.yaml` is read and not in the commit";
    scene.bad(2, "-C p build --out b", wanted);
    assert!(!scene.path("b").exists());
    let said = scene.good("-C p build --out b --allow-dirty");
    assert!(said.contains(wanted), "{said}");
    let bytes = fs::read(scene.path("b/release.json")).expect("the statement");
    let statement: Json = serde_json::from_slice(&bytes).expect("JSON");
    assert!(statement["predicate"]["source"].is_null(), "{statement}");
}

#[test]
fn a_sigstore_bundle_is_attached_once_and_only_over_this_statement() {
    let scene = Scene::trusted("bundle");
    scene.good("-C p build --out b");
    let payload = fs::read(scene.path("b/release.json")).expect("the statement");
    let bundle = |payload: &[u8], name: &str| {
        use base64::Engine as _;
        let payload = base64::engine::general_purpose::STANDARD.encode(payload);
        let kind = Kind::Statement.payload_type();
        let inner = json!({"payload": payload, "payloadType": kind, "signatures": []});
        let text = json!({"dsseEnvelope": inner}).to_string();
        fs::write(scene.path(name), text).expect("written");
    };
    bundle(b"{}", "other.json");
    bundle(&payload, "own.json");
    scene.bad(
        4,
        "sign b --bundle other.json",
        "something else than this statement",
    );
    scene.bad(4, "sign b --bundle trust.json", "no DSSE envelope");
    for _ in 0..2 {
        scene.good("sign b --bundle own.json");
    }
    assert!(scene.path("b/release.sigstore.1.json").exists());
    assert!(!scene.path("b/release.sigstore.2.json").exists());
    assert!(
        scene.path("b/release.dsse.json").exists(),
        "its envelope, without a signature"
    );
    let said = scene.said("verify b --trust trust.json").1;
    assert!(
        said.contains("not by alice (no valid signature), ci (no valid signature)"),
        "{said}"
    );
    scene.bad(
        2,
        "verify b --trust trust.json --sigstore-root trust.json",
        "trust.json",
    );
}

#[test]
fn a_build_names_the_release_before_it() {
    let scene = Scene::trusted("previous");
    let build = "-C p build --key ci.key --issued-at 2026-11-01T00:00:00Z";
    scene.good(&format!("{build} --out a --sequence 4"));
    let before = scene.digest("a");
    for previous in ["a", "a/release.dsse.json", before.as_str()] {
        scene.good(&format!(
            "{build} --out b --sequence 5 --previous {previous}"
        ));
        let payload = scene.payload("b/release.dsse.json", Kind::Statement);
        let statement: Json = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(statement["predicate"]["previous"], json!(before));
        assert_eq!(statement["predicate"]["issued_at"], "2026-11-01T00:00:00Z");
    }
    let lower = format!("{build} --out b --sequence 4 --previous b");
    scene.bad(2, &lower, "cannot come before version 4");
    let nothing = format!("{build} --out b --sequence 6 --previous nowhere");
    scene.bad(2, &nothing, "nowhere");
    let built = scene.json(&format!("{build} --out b --sequence 6"));
    assert_eq!(built["statement"], json!(scene.digest("b")));
}

#[test]
fn what_fails_its_matrices_is_not_signed() {
    let scene = Scene::trusted("matrices");
    scene.good("-C p build --out a");
    let tests = |folder: &str| -> Json {
        let bytes = fs::read(scene.path(folder).join("release.json")).expect("the statement");
        let statement: Json = serde_json::from_slice(&bytes).expect("JSON");
        statement["predicate"]["tests"].clone()
    };
    let outcome = scene.json("-C p test");
    let canonical = serde_json_canonicalizer::to_vec(&outcome).expect("JSON");
    assert_eq!(
        tests("a"),
        json!(Digest::of(&canonical)),
        "what `test` prints is what is named"
    );
    scene.edit("p/tests/tickets.yaml", "allow", "no_permission");
    scene.commit();
    let (code, said) = scene.said("-C p build --out b --key ci.key");
    assert!(code == 3 && said.contains("not signed"), "{code}: {said}");
    assert!(!scene.path("b").exists());
    let args = "-C p build --out b --key ci.key --allow-failing-tests";
    let said = scene.good(args);
    assert!(said.contains("does not do what its matrices say"), "{said}");
    scene.good("-C p build --out c");
    assert_ne!(tests("c"), tests("a"));
}

#[test]
fn what_is_signed_satisfies_its_schema() {
    let scene = Scene::released("schemas");
    scene.good(
        "release b --trust trust.json --key clock.key --suspend ana --min-version 1 --spread 1m",
    );
    let all = latchkey::command::schema::schemas().expect("every schema");
    let documents = [
        (
            "release-statement",
            scene.payload("b/release.dsse.json", Kind::Statement),
        ),
        (
            "freshness-pointer",
            scene.payload("b/pointer.dsse.json", Kind::Pointer),
        ),
        (
            "trust-root",
            fs::read(scene.path("trust.json")).expect("a file"),
        ),
    ];
    for (name, bytes) in documents {
        let (_, text) = all.iter().find(|it| it.0 == name).expect("the schema");
        let schema = latchkey_gate::schema::compile(text).expect("a sound schema");
        let mut value: Json = serde_json::from_slice(&bytes).expect("JSON");
        assert!(schema.is_valid(&value), "{name}: {value}");
        value["surprise"] = json!(1);
        assert!(!schema.is_valid(&value), "{name} takes anything");
    }
}
