//! Releases as auditors find them.

use std::fs;

use serde_json::json;

use crate::scene::{BUILD, Scene, forge};

#[test]
fn releases_are_pushed_pulled_and_walked() {
    let scene = Scene::released("log");
    scene.good("push b repo");
    let first = scene.digest("b");
    scene.commit();
    scene.good(&format!("{BUILD} --previous b"));
    scene.good("release b --trust trust.json --key clock.key");
    scene.good("push b repo");
    let log = scene.json("log repo --trust trust.json");
    assert_eq!(log["end"], "first");
    let releases = log["releases"].as_array().expect("releases");
    let versions: Vec<_> = releases.iter().map(|it| it["version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(1)]);
    assert_eq!(
        (&releases[1]["statement"], &releases[0]["previous"]),
        (&json!(first), &json!(first))
    );
    assert_eq!(releases[1]["signers"], json!(["alice", "ci"]));
    scene.good("pull repo pulled");
    scene.good("verify pulled --trust trust.json");
    scene.good("verify repo --trust trust.json");
    // Something else in the place of the first release, and then nothing.
    let kept = scene.path(&format!("repo/releases/{first}.dsse.json"));
    fs::copy(scene.path("repo/release.dsse.json"), &kept).expect("a copy");
    scene.bad(4, "log repo", "the chain breaks below version 2");
    fs::remove_file(kept).expect("removed");
    scene.bad(1, "log repo", "is not kept here");
    scene.bad(2, "push p repo", "holds no release");
    scene.bad(2, "pull ftp://host/x y", "scheme");
    scene.bad(2, "verify nowhere --trust trust.json", "nowhere");
}

#[test]
fn anyone_rebuilds_a_release_and_a_forgery_shows_what_was_added() {
    let scene = Scene::released("rebuild");
    let before = scene.git(&["status", "--porcelain"]) + &scene.git(&["rev-parse", "HEAD"]);
    let rebuild = "rebuild b --repo p";
    let said = scene.good(rebuild);
    assert!(said.contains("the same bytes: version 1"), "{said}");
    // The work tree may be anywhere, and dirty.
    scene.edit("p/access/support.yaml", "bindings:", "# later\nbindings:");
    scene.commit();
    scene.edit("p/access/support.yaml", "# later\n", "# later still\n");
    scene.good(rebuild);
    scene.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    assert_eq!(
        before,
        scene.git(&["status", "--porcelain"]) + &scene.git(&["rev-parse", "HEAD"])
    );

    // A builder that adds a binding, and says that it built the commit.
    scene.good("-C p build --out honest");
    let add = "bindings:\n  sneaky: {who: [ana], roles: [ticket-agent], in: acme}";
    scene.edit("p/access/support.yaml", "bindings:", add);
    let failing = scene.said("-C p build --out evil --allow-dirty");
    assert_eq!(failing.0, 0, "{}", failing.1);
    for file in ["all.lkb", "tickets.lkb", "places.lkm"] {
        fs::copy(
            scene.path("evil").join(file),
            scene.path("honest").join(file),
        )
        .expect("a copy");
    }
    forge(
        &scene,
        "honest",
        &["all.lkb", "tickets.lkb", "places.lkm"],
        &["ci", "alice"],
    );
    scene.git(&["checkout", "--quiet", "."]);
    let report = scene.json("rebuild honest --repo p");
    assert_eq!(report["same"], false);
    let sections = &report["files"][0]["sections"];
    let bindings = json!({
        "section": "bindings", "added": 1, "removed": 0, "changed": 0, "first": ["+sneaky"],
    });
    assert_eq!(sections[0], bindings, "{report}");
    scene.bad(4, "rebuild honest --repo p", "bindings +1 -0: +sneaky");
}

#[test]
fn what_cannot_be_rebuilt_is_said() {
    let scene = Scene::released("no-rebuild");
    fs::create_dir_all(scene.path("p/sub")).expect("a folder");
    scene.bad(2, "rebuild b --repo nowhere", "no folder of a Git clone");
    scene.good("-C p build --out dirty --allow-dirty --sequence 7");
    let text = fs::read_to_string(scene.path("dirty/release.json")).expect("the statement");
    let version = env!("CARGO_PKG_VERSION");
    let older = text.replace(
        &format!("\"compiler\":\"{version}\""),
        "\"compiler\":\"0.0.9\"",
    );
    fs::write(scene.path("dirty/release.json"), older).expect("written");
    scene.bad(2, "rebuild dirty --repo p", "built by latchkey 0.0.9");
    scene.edit("p/org.yaml", "organizations", "# x\norganizations");
    scene.good("-C p build --out dirty --allow-dirty --sequence 7");
    scene.bad(4, "rebuild dirty --repo p", "names no commit");
}
