//! Releases as auditors find them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::scene::{BUILD, Scene, failed, forge};

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
fn a_web_server_is_read_as_a_folder_is() {
    let scene = Scene::released("web");
    scene.good("push b repo");
    let server = WebServer::start(&scene.path("repo"));
    let there = format!("http://127.0.0.1:{}/", server.port);
    let report = scene.json(&format!("verify {there} --trust trust.json"));
    assert_eq!(report["accepted"], true, "{report}");
    assert_eq!(report["statement"], json!(scene.digest("b")));
    scene.good(&format!("pull {there} pulled"));
    scene.good("verify pulled --trust trust.json");
    let log = scene.json(&format!("log {there}"));
    assert_eq!(log["end"], "first", "{log}");
    // What is gone is named.
    for folder in ["files", "patches"] {
        fs::remove_dir_all(scene.path("repo").join(folder)).expect("removed");
    }
    let report = scene.json(&format!("verify {there} --trust trust.json"));
    let files = ["file all.lkb", "file places.lkm", "file tickets.lkb"];
    assert_eq!(failed(&report), files, "{report}");
    drop(server);
    scene.bad(2, &format!("verify {there} --trust trust.json"), &there);
}

/// The plainest of web servers, on loopback.
struct WebServer {
    child: Child,
    port: u16,
}

impl WebServer {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        // "Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ..."
        let mut words = line.split_whitespace().skip_while(|it| *it != "port");
        let port = words.nth(1).and_then(|it| it.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port: {line}"));
        Self { child, port }
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    scene.bad(2, "rebuild b --repo nowhere", "no folder of a Git clone");
    scene.bad(2, "rebuild b --repo p/access", "holds no project in commit");
    scene.good("-C p build --out dirty --allow-dirty --sequence 7");
    let text = fs::read_to_string(scene.path("dirty/release.json")).expect("the statement");
    let version = env!("CARGO_PKG_VERSION");
    let older = text.replace(
        &format!("\"compiler\":\"{version}\""),
        "\"compiler\":\"0.0.9\"",
    );
    fs::write(scene.path("dirty/release.json"), older).expect("written");
    scene.bad(2, "rebuild dirty --repo p", "built by latchkey 0.0.9");
    // The statement names another commit than the one that was built.
    scene.good("-C p build --out other");
    let before = scene.git(&["rev-parse", "HEAD"]);
    scene.edit("p/org.yaml", "organizations", "# x\norganizations");
    scene.commit();
    let after = scene.git(&["rev-parse", "HEAD"]);
    scene.edit("other/release.json", before.trim(), after.trim());
    scene.bad(4, "rebuild other --repo p", "the statement says");
    scene.edit("other/release.json", after.trim(), &"0".repeat(40));
    scene.bad(2, "rebuild other --repo p", "cannot give commit 000");
    scene.edit("p/org.yaml", "# x", "# y");
    scene.good("-C p build --out dirty --allow-dirty --sequence 7");
    scene.bad(4, "rebuild dirty --repo p", "names no commit");
}
