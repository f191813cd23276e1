//! The commands of the supply chain, as scripts see them: keys, trust, signatures, pointers,
//! verification, rebuilding.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_gate::supply::{
    Digest, Floor, Statement, Subject,
    dsse::{self, Envelope, Kind},
    keys,
};
use serde_json::{Value as Json, json};

/// A folder with a project in a Git clone and some keys.
struct Scene {
    folder: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("supply")
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("p")).expect("a folder");
        let scene = Self { folder };
        scene.good(&["init", "p"]);
        scene.git(&["init", "--quiet"]);
        scene.commit();
        scene
    }

    /// Two who must both release, two who must both change the root, and one for pointers.
    fn trusted(name: &str) -> Self {
        let scene = Self::new(name);
        for key in ["ci", "alice", "bob", "carol", "clock"] {
            scene.good(&["keygen", "--out", key]);
        }
        scene.good(&[
            "-C",
            "p",
            "trust",
            "init",
            "--release",
            "ci=ci.pub",
            "--release",
            "alice=alice.pub",
            "--root",
            "alice=alice.pub",
            "--root",
            "bob=bob.pub",
            "--freshness",
            "clock=clock.pub",
            "--threshold",
            "release=2",
            "--threshold",
            "root=2",
            "--expires",
            "2036-12-01",
        ]);
        scene
    }

    /// A release that both have signed, with a pointer.
    fn released(name: &str) -> Self {
        let scene = Self::trusted(name);
        scene.good(&[
            "-C",
            "p",
            "build",
            "--out",
            "b",
            "--key",
            "ci.key",
            "--key",
            "alice.key",
        ]);
        scene.good(&[
            "release",
            "b",
            "--trust",
            "trust.json",
            "--key",
            "clock.key",
        ]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        self.program(env!("CARGO_BIN_EXE_latchkey"), args)
    }

    fn program(&self, program: &str, args: &[&str]) -> Output {
        Command::new(program)
            .current_dir(&self.folder)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("the program runs")
    }

    /// Exit code, and all that was said.
    fn said(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let code = output.status.code().expect("an exit code");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        (code, text(&output.stdout) + &text(&output.stderr))
    }

    fn good(&self, args: &[&str]) -> String {
        let (code, said) = self.said(args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    fn bad(&self, code: i32, args: &[&str], wanted: &str) {
        let (found, said) = self.said(args);
        assert!(
            found == code && said.contains(wanted),
            "{args:?}: {found}: {said}"
        );
    }

    fn json(&self, args: &[&str]) -> Json {
        let output = self.run(&[args, &["--format", "json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    fn git(&self, args: &[&str]) -> String {
        let identity = [
            "-C",
            "p",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t.example",
        ];
        let output = self.program("git", &[&identity, args].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "a change"]);
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).expect("the file");
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(self.path(file), text.replacen(from, to, 1)).expect("written");
    }

    /// What an envelope holds.
    fn payload(&self, file: &str, kind: Kind) -> Vec<u8> {
        let envelope = fs::read(self.path(file)).expect("the envelope");
        Envelope::read(kind, &envelope)
            .expect("an envelope")
            .payload
    }

    fn pointer(&self, file: &str) -> Json {
        serde_json::from_slice(&self.payload(file, Kind::Pointer)).expect("JSON")
    }

    fn digest(&self, folder: &str) -> String {
        let file = format!("{folder}/release.dsse.json");
        Digest::of(&self.payload(&file, Kind::Statement)).to_string()
    }

    fn verify(&self, args: &[&str]) -> Json {
        self.json(&[&["verify", "b", "--trust", "trust.json"], args].concat())
    }
}

/// The checks of a verification that did not hold.
fn failed(report: &Json) -> Vec<String> {
    let checks = report["checks"].as_array().expect("checks");
    let failed = checks.iter().filter(|it| it["outcome"] == "failed");
    failed
        .map(|it| it["check"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn keygen_works_anywhere_and_overwrites_nothing() {
    let scene = Scene::new("keygen");
    let said = scene.good(&["keygen", "--out", "k"]);
    assert!(
        said.contains("wrote k.key") && said.contains("wrote k.pub"),
        "{said}"
    );
    assert!(said.contains("trust init") && !scene.path("k.trust.json").exists());
    let said = scene.good(&["-C", "p", "keygen", "--out", "in"]);
    assert!(said.contains("wrote in.trust.json"), "{said}");
    scene.bad(2, &["keygen", "--out", "k"], "is there already");
    // One file in the way is enough, and nothing else is written then.
    fs::write(scene.path("half.pub"), "mine").expect("written");
    scene.bad(2, &["keygen", "--out", "half"], "half.pub");
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
fn two_people_release_and_one_cannot() {
    let scene = Scene::trusted("two");
    scene.good(&["-C", "p", "build", "--out", "b", "--key", "ci.key"]);
    let release = [
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
    ];
    scene.bad(
        4,
        &release,
        "1 of the 2 needed: ci; not by alice (no valid signature)",
    );
    assert!(!scene.path("b/pointer.dsse.json").exists());
    let sign = ["sign", "b", "--key", "ci.key", "--trust", "trust.json"];
    let said = scene.good(&sign);
    assert!(
        said.contains("1 signature\n") && said.contains("not enough yet"),
        "{said}"
    );
    let said = scene.good(&["sign", "b", "--key", "alice.key", "--trust", "trust.json"]);
    assert!(
        said.contains("2 signatures\nenough: 2 of the 2 needed: alice, ci"),
        "{said}"
    );
    scene.good(&release);
    let report = scene.verify(&[]);
    assert_eq!(report["accepted"], true, "{report}");
    assert_eq!(report["signers"], json!(["alice", "ci"]));
    assert_eq!(failed(&report), [""; 0]);
    let said = scene.good(&["verify", "b", "--trust", "trust.json"]);
    assert!(
        said.contains("accepted: version 1 of my-policy on channel main, epoch 1"),
        "{said}"
    );
    // One server's sidecar needs one slice.
    fs::remove_file(scene.path("b/all.lkb")).expect("removed");
    assert_eq!(scene.verify(&["--server", "tickets"])["accepted"], true);
    assert_eq!(
        failed(&scene.verify(&["--server", "nobody"])),
        ["file nobody.lkb"]
    );
    assert_eq!(failed(&scene.verify(&[])), ["file all.lkb"]);
}

#[test]
fn an_unsigned_statement_is_signed_in_its_folder() {
    let scene = Scene::trusted("unsigned");
    scene.good(&["-C", "p", "build", "--out", "b"]);
    scene.bad(4, &["verify", "b", "--trust", "trust.json"], "not signed");
    scene.good(&["sign", "b", "--key", "ci.key", "--key", "alice.key"]);
    assert!(!scene.path("b/release.json").exists());
    scene.good(&[
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
    ]);
    assert_eq!(scene.verify(&[])["accepted"], true);
    scene.bad(2, &["sign", "b"], "--key");
    scene.bad(2, &["sign", "p", "--key", "ci.key"], "holds no release");
    scene.bad(2, &["sign", "trust.json", "--key", "ci.key"], "no envelope");
}

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
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&["--floor", &higher], &["pointer", "version"], "rollback"),
        (
            &["--floor", &same],
            &["pointer", "equivocation"],
            "equivocation",
        ),
        (&["--min-version", "2"], &["version"], "rollback"),
        (&["--channel", "beta"], &["channel"], "no_channel"),
        (&["--at", "2036-11-30"], &["pointer end"], "stale"),
        (
            &["--at", "2036-12-01"],
            &["trust end", "pointer end"],
            "stale",
        ),
        (&[], &[], ""),
    ];
    for (args, checks, reason) in cases {
        let report = scene.verify(args);
        assert_eq!(failed(&report), checks, "{args:?}: {report}");
        assert_eq!(report["accepted"], checks.is_empty());
        assert_eq!(
            report["refused"]["reason"].as_str().unwrap_or_default(),
            reason,
            "{args:?}"
        );
        let (code, _) = scene.said(&[&["verify", "b", "--trust", "trust.json"], args].concat());
        assert_eq!(code, if checks.is_empty() { 0 } else { 4 });
    }
    // One refusal does not hide the next.
    let slice = scene.path("b/tickets.lkb");
    let good = fs::read(&slice).expect("bytes");
    let mut bytes = good.clone();
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&slice, bytes).expect("written");
    fs::write(scene.path("b/stray.lkb"), "x").expect("written");
    let report = scene.verify(&["--min-version", "2"]);
    assert_eq!(
        failed(&report),
        ["version", "file tickets.lkb", "unlisted"],
        "{report}"
    );
    fs::write(&slice, good).expect("written");
    fs::remove_file(scene.path("b/stray.lkb")).expect("removed");
    // The pointer names another release than the one that is here.
    scene.commit();
    let build = [
        "-C",
        "p",
        "build",
        "--out",
        "b",
        "--key",
        "ci.key",
        "--key",
        "alice.key",
    ];
    scene.good(&build);
    let report = scene.verify(&[]);
    assert_eq!(failed(&report), ["pointed"], "{report}");
    assert_eq!(report["refused"]["reason"], "not_pointed");
    // Strangers, and envelopes that hold something else.
    scene.good(&[
        "trust",
        "init",
        "--project",
        "my-policy",
        "--release",
        "bob=bob.pub",
        "--out",
        "bob.json",
    ]);
    let report = scene.json(&["verify", "b", "--trust", "bob.json"]);
    assert_eq!(failed(&report), ["pointer", "signatures"], "{report}");
    fs::copy(
        scene.path("b/pointer.dsse.json"),
        scene.path("b/release.dsse.json"),
    )
    .expect("a copy");
    let report = scene.verify(&[]);
    assert!(
        failed(&report).contains(&"statement".to_owned()),
        "{report}"
    );
}

#[test]
fn slices_that_say_something_else_than_the_whole_are_found() {
    let scene = Scene::trusted("agreement");
    scene.good(&["-C", "p", "build", "--out", "b"]);
    scene.edit(
        "p/access/support.yaml",
        "    effect: deny",
        "    in: acme\n    effect: deny",
    );
    scene.good(&[
        "-C",
        "p",
        "build",
        "--out",
        "other",
        "--allow-dirty",
        "--allow-failing-tests",
    ]);
    // Whoever signs may sign a mixture.
    let bytes = fs::read(scene.path("other/tickets.lkb")).expect("bytes");
    fs::write(scene.path("b/tickets.lkb"), &bytes).expect("written");
    forge(&scene, "b", &["tickets.lkb"], &["ci", "alice"]);
    let (code, said) = scene.said(&[
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
    ]);
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("agreement: tickets.lkb is not what all.lkb says: rules: 1 other"),
        "{said}"
    );
}

/// Signs a statement over what lies in a folder, whatever it was built from.
fn forge(scene: &Scene, folder: &str, files: &[&str], signers: &[&str]) {
    let unsigned = scene.path(folder).join("release.json");
    let bytes = fs::read(&unsigned).expect("the statement");
    let mut statement = Statement::parse(&bytes).expect("a statement");
    for subject in &mut statement.subjects {
        if files.contains(&subject.name.as_str()) {
            let bytes = fs::read(scene.path(folder).join(&subject.name)).expect("bytes");
            *subject = Subject::of(&subject.name, &bytes);
        }
    }
    let key = |name: &&str| {
        let text = fs::read_to_string(scene.path(&format!("{name}.key"))).expect("a key");
        keys::read_private(&text).expect("a key")
    };
    let keys: Vec<_> = signers.iter().map(key).collect();
    let payload = statement.encode().expect("canonical");
    let envelope = dsse::sign(Kind::Statement, &payload, &keys);
    fs::write(scene.path(folder).join("release.dsse.json"), envelope).expect("written");
    fs::remove_file(unsigned).expect("removed");
}

#[test]
fn a_pointer_is_counted_kept_and_never_planted() {
    let scene = Scene::released("pointer");
    let release = |args: &[&str]| {
        let always = [
            "release",
            "b",
            "--trust",
            "trust.json",
            "--key",
            "clock.key",
        ];
        scene.said(&[&always, args].concat())
    };
    let (code, said) = release(&[
        "--deny-token",
        "t-1",
        "--suspend",
        "bob",
        "--deny-surface",
        "tickets/reply",
        "--min-version",
        "1",
        "--spread",
        "10m",
        "--expires-in",
        "2h",
        "--issued-at",
        "2026-11-22T10:00:00Z",
    ]);
    assert_eq!(code, 0, "{said}");
    let pointer = scene.pointer("b/pointer.dsse.json");
    assert_eq!(pointer["pointer_version"], 2);
    assert_eq!(pointer["expires"], "2026-11-22T12:00:00Z");
    assert_eq!(
        (&pointer["spread_seconds"], &pointer["min_version"]),
        (&600.into(), &1.into())
    );
    // What was denied stays denied until somebody says otherwise.
    let (code, said) = release(&["--suspend", "ana"]);
    assert!(
        code == 0 && said.contains("denies      principal bob"),
        "{said}"
    );
    let denied = &scene.pointer("b/pointer.dsse.json")["urgent_deny"];
    assert_eq!(
        *denied,
        json!({"revoked_tokens": ["t-1"], "suspended": ["ana", "bob"], "denied": ["tickets/reply"]})
    );
    assert_eq!(release(&["--clear-deny"]).0, 0);
    let pointer = scene.pointer("b/pointer.dsse.json");
    assert_eq!(
        (&pointer["pointer_version"], &pointer["min_version"]),
        (&4.into(), &1.into())
    );
    assert!(pointer.get("urgent_deny").is_none());
    // Of its own accord it never goes back.
    let (code, said) = release(&["--pointer-version", "3"]);
    assert!(
        code == 4 && said.contains("pointer version: 3; 4 was followed before"),
        "{said}"
    );
    let (code, said) = release(&["--min-version", "2"]);
    assert!(code == 2 && said.contains("min_version"), "{said}");
    // A pointer that somebody else has put there uses up no numbers.
    let forged = scene.path("b/pointer.dsse.json");
    let mut pointer = scene.pointer("b/pointer.dsse.json");
    pointer["pointer_version"] = json!(9_007_199_254_740_991_u64);
    let text = fs::read_to_string(scene.path("bob.key")).expect("a key");
    let bob = keys::read_private(&text).expect("a key");
    let payload = serde_json_canonicalizer::to_vec(&pointer).expect("JSON");
    fs::write(forged, dsse::sign(Kind::Pointer, &payload, &[bob])).expect("written");
    let (code, said) = release(&[]);
    assert!(
        code == 4 && said.contains("not signed by the freshness role"),
        "{said}"
    );
    let (code, said) = release(&["--pointer-version", "5"]);
    assert!(
        code == 0 && said.contains("what it says is dropped"),
        "{said}"
    );
    assert_eq!(scene.pointer("b/pointer.dsse.json")["pointer_version"], 5);
    // Nor does another key than that of the role make one.
    let always = ["release", "b", "--trust", "trust.json", "--key", "bob.key"];
    scene.bad(4, &always, "pointer signatures: 0 of the 1 needed");
}

#[test]
fn trust_changes_with_the_signatures_of_both_versions() {
    let scene = Scene::released("rotate");
    let statement = scene.digest("b");
    let said = scene.good(&[
        "trust",
        "rotate",
        "trust.json",
        "--replace-key",
        "bob=carol.pub",
        "--revoke",
        &statement,
        "--key",
        "alice.key",
        "--out",
        "b",
    ]);
    assert!(
        said.contains("root role of version 1: 1 of the 2 needed: alice"),
        "{said}"
    );
    assert!(said.contains("more signatures are needed"), "{said}");
    let report = scene.verify(&[]);
    assert_eq!(failed(&report), ["trust root"], "half signed: {report}");
    let sign = |key: &str| {
        scene.good(&[
            "sign",
            "b/trust.2.dsse.json",
            "--key",
            key,
            "--trust",
            "trust.json",
        ])
    };
    assert!(sign("bob.key").contains("root role of version 1: 2 of the 2 needed: alice, bob"));
    let said = sign("carol.key");
    assert!(
        said.contains("root role of version 2: 2 of the 2 needed: alice, bob"),
        "{said}"
    );
    let report = scene.verify(&[]);
    assert_eq!(report["trust_version"], 2, "{report}");
    assert_eq!(failed(&report), ["revocation"]);
    assert_eq!(report["refused"]["reason"], "revoked");
    // A new epoch leaves everything behind that was released before.
    scene.good(&[
        "trust",
        "rotate",
        "b/trust.2.json",
        "--new-epoch",
        "--key",
        "alice.key",
        "--key",
        "carol.key",
    ]);
    let report = scene.verify(&[]);
    let epochs = ["revocation", "epoch", "pointer version"];
    assert!(
        failed(&report)
            .iter()
            .all(|it| epochs.contains(&it.as_str())),
        "{report}"
    );
    scene.commit();
    let build = [
        "-C",
        "p",
        "build",
        "--out",
        "b",
        "--key",
        "ci.key",
        "--key",
        "alice.key",
    ];
    scene.good(&[&build[..], &["--epoch", "2", "--previous", "b"]].concat());
    // The roots and the pointer outlive the build; numbers of pointers start over.
    scene.good(&[
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
    ]);
    assert_eq!(scene.pointer("b/pointer.dsse.json")["pointer_version"], 1);
    let report = scene.verify(&[]);
    assert_eq!(
        (&report["accepted"], &report["trust_version"]),
        (&true.into(), &3.into())
    );
}

#[test]
fn trust_refuses_what_cannot_be_meant_and_says_what_is_weak() {
    let scene = Scene::trusted("weak");
    let rotate = |args: &[&str], code: i32, wanted: &str| {
        scene.bad(
            code,
            &[&["trust", "rotate", "trust.json"], args].concat(),
            wanted,
        );
    };
    rotate(&[], 2, "nothing changes");
    rotate(&["--remove-key", "dave"], 2, "no key and no identity");
    rotate(
        &["--remove-key", "ci"],
        2,
        "threshold must be 1 to its members",
    );
    rotate(&["--add-key", "ci=bob.pub"], 2, "another key with the name");
    rotate(&["--add-key", "dave=bob.pub"], 2, "are the same key");
    rotate(&["--add-member", "targets=ci"], 2, "is no role");
    rotate(&["--add-member", "release:beta=bob"], 2, "no channel");
    rotate(&["--min-version", "beta=3"], 2, "no release channel");
    rotate(
        &[
            "--remove-member",
            "root=alice",
            "--remove-member",
            "root=bob",
        ],
        2,
        "no root role",
    );
    rotate(&["--to", "trust.json"], 2, "the next version is 2");
    rotate(
        &["--to", "trust.json", "--new-epoch"],
        2,
        "cannot be used with",
    );
    let mut file: Json =
        serde_json::from_slice(&fs::read(scene.path("trust.json")).expect("a file")).expect("JSON");
    file["version"] = json!(2);
    file["expires"] = json!("2037-01-01T00:00:00Z");
    fs::write(scene.path("next.json"), file.to_string()).expect("written");
    scene.good(&[
        "trust",
        "rotate",
        "trust.json",
        "--to",
        "next.json",
        "--key",
        "alice.key",
        "--key",
        "bob.key",
    ]);
    rotate(&["--to", "next.json"], 2, "never overwritten");
    let shown = scene.json(&["trust", "show", "trust.2.dsse.json"]);
    assert_eq!(shown["trust"]["expires"], "2037-01-01T00:00:00Z");
    assert_eq!(shown["weaknesses"], json!([]));
    assert_eq!(shown["keys"][0]["roles"], json!(["root", "release:main"]));

    scene.good(&["keygen", "--out", "one", "--project", "small"]);
    let said = scene.good(&["trust", "show", "one.trust.json"]);
    assert!(
        said.contains("release   1 of one") && said.contains("ends        never"),
        "{said}"
    );
    let shown = scene.json(&["trust", "show", "one.trust.json"]);
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
    scene.bad(
        2,
        &["trust", "init", "--project", "x"],
        "threshold must be 1",
    );
}

#[test]
fn releases_are_pushed_pulled_and_walked() {
    let scene = Scene::released("log");
    scene.good(&["push", "b", "repo"]);
    let first = scene.digest("b");
    scene.commit();
    let build = [
        "-C",
        "p",
        "build",
        "--out",
        "b",
        "--key",
        "ci.key",
        "--key",
        "alice.key",
    ];
    scene.good(&[&build[..], &["--previous", "b"]].concat());
    scene.good(&[
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
    ]);
    scene.good(&["push", "b", "repo"]);
    let log = scene.json(&["log", "repo", "--trust", "trust.json"]);
    assert_eq!(log["end"], "first");
    let releases = log["releases"].as_array().expect("releases");
    let versions: Vec<_> = releases.iter().map(|it| it["version"].as_u64()).collect();
    assert_eq!(versions, [Some(2), Some(1)]);
    assert_eq!(
        (&releases[1]["statement"], &releases[0]["previous"]),
        (&json!(first), &json!(first))
    );
    assert_eq!(releases[1]["signers"], json!(["alice", "ci"]));
    scene.good(&["pull", "repo", "pulled"]);
    scene.good(&["verify", "pulled", "--trust", "trust.json"]);
    scene.good(&["verify", "repo", "--trust", "trust.json"]);
    // Something else in the place of the first release, and then nothing.
    let kept = scene.path(&format!("repo/releases/{first}.dsse.json"));
    fs::copy(scene.path("repo/release.dsse.json"), &kept).expect("a copy");
    scene.bad(4, &["log", "repo"], "the chain breaks below version 2");
    fs::remove_file(kept).expect("removed");
    scene.bad(1, &["log", "repo"], "is not kept here");
    scene.bad(2, &["push", "p", "repo"], "holds no release");
    scene.bad(2, &["pull", "ftp://host/x", "y"], "scheme");
    scene.bad(
        2,
        &["verify", "nowhere", "--trust", "trust.json"],
        "nowhere",
    );
}

#[test]
fn anyone_rebuilds_a_release_and_a_forgery_shows_what_was_added() {
    let scene = Scene::released("rebuild");
    let before = scene.git(&["status", "--porcelain"]) + &scene.git(&["rev-parse", "HEAD"]);
    let rebuild = ["rebuild", "b", "--repo", "p"];
    let said = scene.good(&rebuild);
    assert!(said.contains("the same bytes: version 1"), "{said}");
    // The work tree may be anywhere, and dirty.
    scene.edit("p/access/support.yaml", "bindings:", "# later\nbindings:");
    scene.commit();
    scene.edit("p/access/support.yaml", "# later\n", "# later still\n");
    scene.good(&rebuild);
    scene.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    assert_eq!(
        before,
        scene.git(&["status", "--porcelain"]) + &scene.git(&["rev-parse", "HEAD"])
    );

    // A builder that adds a binding, and says that it built the commit.
    scene.good(&["-C", "p", "build", "--out", "honest"]);
    let add = "bindings:\n  sneaky: {who: [ana], roles: [ticket-agent], in: acme}";
    scene.edit("p/access/support.yaml", "bindings:", add);
    let failing = scene.said(&["-C", "p", "build", "--out", "evil", "--allow-dirty"]);
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
    let report = scene.json(&["rebuild", "honest", "--repo", "p"]);
    assert_eq!(report["same"], false);
    let sections = &report["files"][0]["sections"];
    let bindings = json!({
        "section": "bindings", "added": 1, "removed": 0, "changed": 0, "first": ["+sneaky"],
    });
    assert_eq!(sections[0], bindings, "{report}");
    scene.bad(
        4,
        &["rebuild", "honest", "--repo", "p"],
        "bindings +1 -0: +sneaky",
    );

    // Other input than what was signed, no commit, and another compiler.
    fs::create_dir_all(scene.path("p/sub")).expect("a folder");
    scene.bad(
        2,
        &["rebuild", "b", "--repo", "nowhere"],
        "no folder of a Git clone",
    );
    scene.good(&[
        "-C",
        "p",
        "build",
        "--out",
        "dirty",
        "--allow-dirty",
        "--sequence",
        "7",
    ]);
    let text = fs::read_to_string(scene.path("dirty/release.json")).expect("the statement");
    let version = env!("CARGO_PKG_VERSION");
    let older = text.replace(
        &format!("\"compiler\":\"{version}\""),
        "\"compiler\":\"0.0.9\"",
    );
    fs::write(scene.path("dirty/release.json"), older).expect("written");
    scene.bad(
        2,
        &["rebuild", "dirty", "--repo", "p"],
        "built by latchkey 0.0.9",
    );
    scene.edit("p/org.yaml", "organizations", "# x\norganizations");
    scene.good(&[
        "-C",
        "p",
        "build",
        "--out",
        "dirty",
        "--allow-dirty",
        "--sequence",
        "7",
    ]);
    scene.bad(4, &["rebuild", "dirty", "--repo", "p"], "names no commit");
}

#[test]
fn what_fails_its_matrices_is_not_signed() {
    let scene = Scene::trusted("matrices");
    scene.good(&["-C", "p", "build", "--out", "a"]);
    let tests = |folder: &str| -> Json {
        let bytes = fs::read(scene.path(folder).join("release.json")).expect("the statement");
        let statement: Json = serde_json::from_slice(&bytes).expect("JSON");
        statement["predicate"]["tests"].clone()
    };
    let outcome = scene.json(&["-C", "p", "test"]);
    let canonical = serde_json_canonicalizer::to_vec(&outcome).expect("JSON");
    assert_eq!(
        tests("a"),
        json!(Digest::of(&canonical)),
        "what `test` prints is what is named"
    );
    scene.edit("p/tests/tickets.yaml", "allow", "no_permission");
    scene.commit();
    let (code, said) = scene.said(&["-C", "p", "build", "--out", "b", "--key", "ci.key"]);
    assert!(code == 3 && said.contains("not signed"), "{code}: {said}");
    assert!(!scene.path("b").exists());
    let args = [
        "-C",
        "p",
        "build",
        "--out",
        "b",
        "--key",
        "ci.key",
        "--allow-failing-tests",
    ];
    let said = scene.good(&args);
    assert!(said.contains("does not do what its matrices say"), "{said}");
    scene.good(&["-C", "p", "build", "--out", "c"]);
    assert_ne!(tests("c"), tests("a"));
}

#[test]
fn a_build_names_the_release_before_it() {
    let scene = Scene::trusted("previous");
    let build = [
        "-C",
        "p",
        "build",
        "--key",
        "ci.key",
        "--issued-at",
        "2026-11-01T00:00:00Z",
    ];
    scene.good(&[&build[..], &["--out", "a", "--sequence", "4"]].concat());
    let before = scene.digest("a");
    for previous in ["a", "a/release.dsse.json", before.as_str()] {
        scene.good(
            &[
                &build[..],
                &["--out", "b", "--sequence", "5", "--previous", previous],
            ]
            .concat(),
        );
        let payload = scene.payload("b/release.dsse.json", Kind::Statement);
        let statement: Json = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(statement["predicate"]["previous"], json!(before));
        assert_eq!(statement["predicate"]["issued_at"], "2026-11-01T00:00:00Z");
    }
    let lower = [
        &build[..],
        &["--out", "b", "--sequence", "4", "--previous", "b"],
    ]
    .concat();
    scene.bad(2, &lower, "cannot come before version 4");
    let nothing = [
        &build[..],
        &["--out", "b", "--sequence", "6", "--previous", "nowhere"],
    ]
    .concat();
    scene.bad(2, &nothing, "nowhere");
    let built = scene.json(&[&build[..], &["--out", "b", "--sequence", "6"]].concat());
    assert_eq!(built["statement"], json!(scene.digest("b")));
}

#[test]
fn a_sigstore_bundle_is_attached_once_and_only_over_this_statement() {
    let scene = Scene::trusted("bundle");
    scene.good(&["-C", "p", "build", "--out", "b"]);
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
        &["sign", "b", "--bundle", "other.json"],
        "something else than this statement",
    );
    scene.bad(
        4,
        &["sign", "b", "--bundle", "trust.json"],
        "no DSSE envelope",
    );
    for _ in 0..2 {
        scene.good(&["sign", "b", "--bundle", "own.json"]);
    }
    assert!(scene.path("b/release.sigstore.1.json").exists());
    assert!(!scene.path("b/release.sigstore.2.json").exists());
    assert!(
        scene.path("b/release.dsse.json").exists(),
        "its envelope, without a signature"
    );
    let said = scene.said(&["verify", "b", "--trust", "trust.json"]).1;
    assert!(
        said.contains("not by alice (no valid signature), ci (no valid signature)"),
        "{said}"
    );
    scene.bad(
        2,
        &[
            "verify",
            "b",
            "--trust",
            "trust.json",
            "--sigstore-root",
            "trust.json",
        ],
        "trust.json",
    );
}

#[test]
fn what_is_signed_satisfies_its_schema() {
    let scene = Scene::released("schemas");
    scene.good(&[
        "release",
        "b",
        "--trust",
        "trust.json",
        "--key",
        "clock.key",
        "--suspend",
        "ana",
        "--min-version",
        "1",
        "--spread",
        "1m",
    ]);
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
