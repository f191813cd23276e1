//! What a sidecar would say.

use std::fs;

use latchkey_gate::supply::Floor;

use crate::scene::{BUILD, Scene, VERIFY, failed, forge};

#[test]
fn verify_says_each_thing_that_is_wrong() {
    let scene = Scene::released("verify");
    let floor = |version: u64, statement: &str| {
        let floor = Floor {
            project: "my-policy".to_owned(),
            channel: "main".to_owned(),
            trust_version: 1,
            epoch: 1,
            version,
            statement: Some(statement.parse().expect("a digest")),
            ..Floor::default()
        };
        let file = format!("floor-{version}.json");
        fs::write(scene.path(&file), floor.to_json()).expect("written");
        file
    };
    let other = "0".repeat(64);
    let (higher, same) = (floor(9, &other), floor(1, &other));
    let (higher, same) = (format!("--floor {higher}"), format!("--floor {same}"));
    let cases: [(&str, &[&str], &str); 7] = [
        (&higher, &["pointer", "version"], "rollback"),
        (&same, &["pointer", "equivocation"], "equivocation"),
        ("--min-version 2", &["version"], "rollback"),
        ("--channel beta", &["channel"], "no_channel"),
        ("--at 2036-11-30", &["pointer end"], "stale"),
        ("--at 2036-12-01", &["trust end", "pointer end"], "stale"),
        ("", &[], ""),
    ];
    for (words, checks, reason) in cases {
        let report = scene.verify(words);
        assert_eq!(failed(&report), checks, "{words}: {report}");
        assert_eq!(report["accepted"], checks.is_empty());
        let refused = report["refused"]["reason"].as_str();
        assert_eq!(refused.unwrap_or_default(), reason, "{words}");
        let (code, _) = scene.said(&format!("{VERIFY} {words}"));
        assert_eq!(code, if checks.is_empty() { 0 } else { 4 });
    }
}

#[test]
fn one_refusal_does_not_hide_the_next() {
    let scene = Scene::released("verify-all");
    let slice = scene.path("b/tickets.lkb");
    let good = fs::read(&slice).expect("bytes");
    let mut bytes = good.clone();
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&slice, bytes).expect("written");
    fs::write(scene.path("b/stray.lkb"), "x").expect("written");
    let report = scene.verify("--min-version 2");
    assert_eq!(
        failed(&report),
        ["version", "file tickets.lkb", "unlisted"],
        "{report}"
    );
    fs::write(&slice, good).expect("written");
    fs::remove_file(scene.path("b/stray.lkb")).expect("removed");
    // The pointer names another release than the one that is here.
    scene.commit();
    scene.good(BUILD);
    let report = scene.verify("");
    assert_eq!(failed(&report), ["pointed"], "{report}");
    assert_eq!(report["refused"]["reason"], "not_pointed");
    // Strangers, and envelopes that hold something else.
    scene.good("trust init --project my-policy --release bob=bob.pub --out bob.json");
    let report = scene.json("verify b --trust bob.json");
    assert_eq!(failed(&report), ["pointer", "signatures"], "{report}");
    fs::copy(
        scene.path("b/pointer.dsse.json"),
        scene.path("b/release.dsse.json"),
    )
    .expect("a copy");
    let report = scene.verify("");
    assert!(
        failed(&report).contains(&"statement".to_owned()),
        "{report}"
    );
}

#[test]
fn slices_that_say_something_else_than_the_whole_are_found() {
    let scene = Scene::trusted("agreement");
    scene.good("-C p build --out b");
    scene.edit(
        "p/access/support.yaml",
        "    effect: deny",
        "    in: acme\n    effect: deny",
    );
    scene.good("-C p build --out other --allow-dirty --allow-failing-tests");
    // Whoever signs may sign a mixture.
    let bytes = fs::read(scene.path("other/tickets.lkb")).expect("bytes");
    fs::write(scene.path("b/tickets.lkb"), &bytes).expect("written");
    forge(&scene, "b", &["tickets.lkb"], &["ci", "alice"]);
    let (code, said) = scene.said("release b --trust trust.json --key clock.key");
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("agreement: tickets.lkb is not what all.lkb says: rules: 1 other"),
        "{said}"
    );
}
