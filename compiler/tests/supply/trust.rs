//! Keys and trust roots.

use std::fs;

use serde_json::{Value as Json, json};

use crate::scene::{BUILD, Scene, failed};

#[test]
fn keygen_works_anywhere_and_overwrites_nothing() {
    let scene = Scene::new("keygen");
    let said = scene.good("keygen --out k");
    assert!(
        said.contains("wrote k.key") && said.contains("wrote k.pub"),
        "{said}"
    );
    assert!(said.contains("trust init") && !scene.path("k.trust.json").exists());
    let said = scene.good("-C p keygen --out in");
    assert!(said.contains("wrote in.trust.json"), "{said}");
    scene.bad(2, "keygen --out k", "is there already");
    // One file in the way is enough, and nothing else is written then.
    fs::write(scene.path("half.pub"), "mine").expect("written");
    scene.bad(2, "keygen --out half", "half.pub");
    assert!(!scene.path("half.key").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(scene.path("k.key"))
            .expect("a file")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}

#[test]
fn trust_changes_with_the_signatures_of_both_versions() {
    let scene = Scene::released("rotate");
    let statement = scene.digest("b");
    let said = scene.good(&format!(
        "trust rotate trust.json --replace-key bob=carol.pub --revoke {statement}
         --key alice.key --out b"
    ));
    assert!(
        said.contains("root role of version 1: 1 of the 2 needed: alice"),
        "{said}"
    );
    assert!(said.contains("more signatures are needed"), "{said}");
    let report = scene.verify("");
    assert_eq!(failed(&report), ["trust root"], "half signed: {report}");
    let sign = |key: &str| {
        scene.good(&format!(
            "sign b/trust.2.dsse.json --key {key} --trust trust.json"
        ))
    };
    assert!(sign("bob.key").contains("root role of version 1: 2 of the 2 needed: alice, bob"));
    let said = sign("carol.key");
    assert!(
        said.contains("root role of version 2: 2 of the 2 needed: alice, bob"),
        "{said}"
    );
    let report = scene.verify("");
    assert_eq!(report["trust_version"], 2, "{report}");
    assert_eq!(failed(&report), ["revocation"]);
    assert_eq!(report["refused"]["reason"], "revoked");
}

#[test]
fn a_new_epoch_leaves_everything_behind() {
    let scene = Scene::released("epoch");
    scene.good("trust rotate trust.json --new-epoch --key alice.key --key bob.key --out b");
    let report = scene.verify("");
    assert_eq!(failed(&report), ["pointer version", "epoch"], "{report}");
    scene.commit();
    scene.good(&format!("{BUILD} --epoch 2 --previous b"));
    // The roots and the pointer outlive the build; numbers of pointers start over.
    scene.good("release b --trust trust.json --key clock.key");
    assert_eq!(scene.pointer("b/pointer.dsse.json")["pointer_version"], 1);
    let report = scene.verify("");
    assert_eq!(
        (&report["accepted"], &report["trust_version"]),
        (&true.into(), &2.into())
    );
}

#[test]
fn trust_refuses_what_cannot_be_meant_and_says_what_is_weak() {
    let scene = Scene::trusted("weak");
    let rotate = |words: &str, code: i32, wanted: &str| {
        scene.bad(code, &format!("trust rotate trust.json {words}"), wanted);
    };
    rotate("", 2, "nothing changes");
    rotate("--remove-key dave", 2, "no key and no identity");
    rotate("--remove-key ci", 2, "threshold must be 1 to its members");
    rotate("--add-key ci=bob.pub", 2, "another key with the name");
    rotate("--add-key dave=bob.pub", 2, "are the same key");
    rotate("--add-member targets=ci", 2, "is no role");
    rotate("--add-member release:beta=bob", 2, "no channel");
    rotate("--min-version beta=3", 2, "no release channel");
    rotate(
        "--remove-member root=alice --remove-member root=bob",
        2,
        "no root role",
    );
    rotate("--to trust.json", 2, "the next version is 2");
    rotate("--to trust.json --new-epoch", 2, "cannot be used with");
    let mut file: Json =
        serde_json::from_slice(&fs::read(scene.path("trust.json")).expect("a file")).expect("JSON");
    file["version"] = json!(2);
    file["expires"] = json!("2037-01-01T00:00:00Z");
    fs::write(scene.path("next.json"), file.to_string()).expect("written");
    scene.good("trust rotate trust.json --to next.json --key alice.key --key bob.key");
    rotate("--to next.json", 2, "never overwritten");
    let shown = scene.json("trust show trust.2.dsse.json");
    assert_eq!(shown["trust"]["expires"], "2037-01-01T00:00:00Z");
    assert_eq!(shown["weaknesses"], json!([]));
    assert_eq!(shown["keys"][0]["roles"], json!(["root", "release:main"]));
}

#[test]
fn what_is_weak_in_a_trust_root_is_said() {
    let scene = Scene::new("weak-root");
    scene.good("keygen --out one --project small");
    let said = scene.good("trust show one.trust.json");
    assert!(
        said.contains("release   1 of one") && said.contains("ends        never"),
        "{said}"
    );
    let shown = scene.json("trust show one.trust.json");
    let codes: Vec<_> = shown["weaknesses"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    let codes: Vec<_> = codes
        .iter()
        .map(|it| it["code"].as_str().expect("a code"))
        .collect();
    assert_eq!(
        codes,
        [
            "root_threshold",
            "no_expiry",
            "release_threshold",
            "no_freshness"
        ]
    );
    scene.bad(2, "trust init --project x", "threshold must be 1");
}
