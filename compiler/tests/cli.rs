//! The program as scripts see it: arguments, exit codes, files.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// An empty folder of this name, for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A copy of the policies, its files written in the order that `reverse` says.
fn copy(to: &Path, reverse: bool) {
    let mut files = Vec::new();
    let mut open = vec![policies()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    if reverse {
        files.reverse();
    }
    for file in files {
        let target = to.join(file.strip_prefix(policies()).expect("inside"));
        fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
        fs::copy(&file, target).expect("a copy");
    }
}

fn latchkey(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(directory)
        .args(args)
        .env("NO_COLOR", "1")
        // Temporary folders lie in the work tree of this repository; tests must not see it.
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the program runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// A project of one file, and what `args` say about it.
fn project(name: &str, yaml: &str) -> PathBuf {
    let folder = folder(name);
    fs::write(
        folder.join("latchkey.toml"),
        "[project]\nname = \"small\"\n",
    )
    .expect("written");
    fs::write(folder.join("policy.yaml"), yaml).expect("written");
    folder
}

#[test]
fn check_is_clean_on_the_policies_and_finds_in_a_broken_project() {
    let good = folder("check-good");
    copy(&good, false);
    let output = latchkey(&good, &["check"]);
    assert_eq!(code(&output), 0, "{}", said(&output));

    let bad = project(
        "check-bad",
        "organizations: {acme: {teams: {payments: {}}}}\nroles:\n  a: {inherits: [b]}\n",
    );
    let output = latchkey(&bad, &["check"]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("LK1003"), "{}", said(&output));
    let output = latchkey(&bad, &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["diagnostics"][0]["code"], "LK1003");
    assert_eq!(report["diagnostics"][0]["labels"][0]["start"]["line"], 3);
    assert_eq!(code(&output), 1);
}

#[test]
fn wrong_command_lines_end_with_2_and_say_what_to_do() {
    let empty = folder("usage");
    for args in [
        &["frobnicate"][..],
        &["check", "--format", "markdown"],
        &["-C", "nowhere", "check"],
        &["eval", "--bundle", "nowhere", "--calls", "-"],
        &["build"],
        &["inspect", "nowhere"],
        &["verify", "nowhere", "--trust", "nothing"],
        &["keygen", "--out", "nowhere/k"],
        &["check", "--at", "tomorrow"],
    ] {
        let output = latchkey(&empty, args);
        assert_eq!(code(&output), 2, "{args:?}: {}", said(&output));
        assert!(
            output.stdout.is_empty() && text(&output.stderr).contains("error: "),
            "{args:?}"
        );
    }
    for args in [&["--help"][..], &["--version"], &["build", "--help"]] {
        assert_eq!(code(&latchkey(&empty, args)), 0);
    }
}

#[test]
fn a_build_depends_on_the_files_and_on_nothing_else() {
    let (one, two) = (folder("build-one"), folder("build-two/inner"));
    copy(&one, false);
    copy(&two, true);
    let output = latchkey(&one, &["build", "--out", "out"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let parent = two.parent().expect("a parent");
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(parent)
        .args(["-C", "inner", "build", "--out", "out"])
        .env("TZ", "Pacific/Chatham")
        .env("LC_ALL", "C")
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the program runs");
    assert_eq!(code(&output), 0, "{}", said(&output));
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    let (first, second) = (one.join("out"), parent.join("out"));
    assert_eq!(names(&first), names(&second));
    assert_eq!(
        names(&first),
        [
            "all.lkb",
            "desk.lkb",
            "files.lkb",
            "github.lkb",
            "payments.lkb",
            "places.lkm",
            "release.json",
            "warehouse.lkb"
        ]
    );
    for name in names(&first) {
        let bytes = |folder: &Path| fs::read(folder.join(&name)).expect("bytes");
        assert_eq!(bytes(&first), bytes(&second), "{name:?}");
    }
}

#[test]
fn a_comment_changes_no_slice_and_a_server_only_its_own() {
    let folder = folder("build-slices");
    copy(&folder, false);
    latchkey(&folder, &["build", "--out", "a"]);
    let desk = folder.join("servers/desk.yaml");
    let written = fs::read_to_string(&desk).expect("text");
    fs::write(&desk, format!("# A comment.\n\n{written}")).expect("written");
    latchkey(&folder, &["build", "--out", "b"]);
    fs::write(&desk, written.replace("maxLength: 4000", "maxLength: 4001")).expect("written");
    latchkey(&folder, &["build", "--out", "c"]);
    let bytes = |build: &str, name: &str| fs::read(folder.join(build).join(name)).expect("bytes");
    for name in ["all.lkb", "desk.lkb", "github.lkb", "payments.lkb"] {
        assert_eq!(bytes("a", name), bytes("b", name), "{name}");
    }
    assert_ne!(bytes("a", "places.lkm"), bytes("b", "places.lkm"));
    assert_ne!(bytes("a", "desk.lkb"), bytes("c", "desk.lkb"));
    assert_eq!(bytes("a", "github.lkb"), bytes("c", "github.lkb"));
    assert_eq!(bytes("a", "payments.lkb"), bytes("c", "payments.lkb"));
}

#[test]
fn a_build_replaces_releases_and_nothing_else() {
    let folder = folder("build-into");
    copy(&folder, false);
    let out = folder.join("out");
    latchkey(&folder, &["build", "--out", "out"]);
    fs::write(out.join("gone.lkb"), "of a server that was removed").expect("written");
    let output = latchkey(&folder, &["build", "--out", "out", "--sequence", "7"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(!out.join("gone.lkb").exists());
    fs::write(out.join("letter.txt"), "mine").expect("written");
    let before = fs::read(out.join("release.json")).expect("bytes");
    let output = latchkey(&folder, &["build", "--out", "out", "--sequence", "8"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("letter.txt"), "{}", said(&output));
    assert_eq!(fs::read(out.join("release.json")).expect("bytes"), before);
}

#[test]
fn signed_releases_verify_and_damaged_ones_do_not() {
    let folder = folder("signed");
    copy(&folder, false);
    let output = latchkey(&folder, &["keygen", "--out", "k"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(code(&latchkey(&folder, &["keygen", "--out", "other"])), 0);
    let again = latchkey(&folder, &["keygen", "--out", "k"]);
    assert_eq!(code(&again), 2, "a key is never overwritten");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.join("k.key"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let build = ["build", "--out", "out", "--key", "k.key"];
    assert_eq!(
        code(&latchkey(&folder, &build)),
        2,
        "outside of Git a version must be said"
    );
    let output = latchkey(&folder, &[&build[..], &["--sequence", "4"]].concat());
    assert_eq!(code(&output), 0, "{}", said(&output));

    let verify = ["verify", "out", "--trust", "k.trust.json"];
    let output = latchkey(&folder, &verify);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(
        said(&output).contains("accepted: version 4 of example"),
        "{}",
        said(&output)
    );
    let stranger = latchkey(&folder, &["verify", "out", "--trust", "other.trust.json"]);
    assert_eq!(code(&stranger), 4, "{}", said(&stranger));
    let slice = folder.join("out/github.lkb");
    let mut bytes = fs::read(&slice).expect("bytes");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(&slice, bytes).expect("written");
    assert_eq!(code(&latchkey(&folder, &verify)), 4);
    latchkey(&folder, &["build", "--out", "unsigned"]);
    let unsigned = latchkey(&folder, &["verify", "unsigned", "--trust", "k.trust.json"]);
    assert_eq!(code(&unsigned), 4);
    assert!(
        said(&unsigned).contains("not signed"),
        "{}",
        said(&unsigned)
    );
}

#[test]
fn a_mismatch_ends_with_3_and_blessing_rewrites_one_cell() {
    let folder = folder("bless");
    copy(&folder, false);
    assert_eq!(code(&latchkey(&folder, &["test"])), 0);
    let path = folder.join("tests/github.yaml");
    let good = fs::read_to_string(&path).expect("text");
    let cell = "read ledger       allow              allow ";
    assert_eq!(good.matches(cell).count(), 1);
    let bad = good.replace(cell, "read ledger       scope_invalid      allow ");
    fs::write(&path, &bad).expect("written");
    let output = latchkey(&folder, &["test"]);
    assert_eq!(code(&output), 3);
    let human = text(&output.stdout);
    assert!(
        human.contains("expected scope_invalid, was allow"),
        "{human}"
    );
    let row = cell.trim_end();
    let line = 1 + good
        .lines()
        .position(|line| line.contains(row))
        .expect("the row");
    assert!(
        human.contains(&format!("tests/github.yaml:{line}:25")),
        "{human}"
    );
    let output = latchkey(&folder, &["test", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["summary"]["failed"], 1);
    let junit = latchkey(&folder, &["test", "--format", "junit"]);
    assert!(text(&junit.stdout).contains("failures=\"1\""));
    let output = latchkey(&folder, &["test", "--bless"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(fs::read_to_string(&path).expect("text"), good);
}

#[test]
fn statements_about_others_are_exact() {
    let folder = folder("others");
    copy(&folder, false);
    let path = folder.join("tests/github.yaml");
    let good = fs::read_to_string(&path).expect("text");
    let listed = "others: {alice: [], maint: [\"repo_admin:rename\"], bot: [], bot-for-maint: []}";
    assert_eq!(good.matches(listed).count(), 1);
    let wrong = listed.replace(
        "maint: [\"repo_admin:rename\"]",
        "maint: [delete_repository]",
    );
    fs::write(&path, good.replace(listed, &wrong)).expect("written");
    let output = latchkey(&folder, &["test"]);
    assert_eq!(code(&output), 3);
    let human = text(&output.stdout);
    assert!(
        human.contains("is not listed: repo_admin:rename"),
        "{human}"
    );
    assert!(
        human.contains("can never be reached: delete_repository"),
        "{human}"
    );
}

#[test]
fn eval_answers_each_line_in_order() {
    let folder = folder("eval");
    copy(&folder, false);
    latchkey(&folder, &["build", "--out", "out"]);
    let call = |id: &str, amount: u32| {
        format!(
            "{{\"id\":\"{id}\",\"caller\":{{\"principal\":\"refund-bot\"}},\"server\":\"payments\",\
             \"tool\":\"refund\",\"arguments\":{{\"account\":\"pay-1\",\"payment\":\"p\",\
             \"amount\":{amount},\"currency\":\"EUR\"}},\"at\":\"2026-12-01T10:00:00Z\"}}"
        )
    };
    let lines = [
        call("r1", 100),
        call("r2", 101),
        "no call".to_owned(),
        call("r3", 1),
    ];
    fs::write(folder.join("calls.jsonl"), lines.join("\n")).expect("written");
    let args = ["eval", "--bundle", "out", "--calls", "calls.jsonl"];
    let output = latchkey(&folder, &args);
    assert_eq!(code(&output), 1, "a line that is no call is a finding");
    let answers: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let reasons: Vec<_> = answers.iter().map(|it| it["reason"].as_str()).collect();
    assert_eq!(
        reasons,
        [Some("ok"), Some("no_permission"), None, Some("ok")]
    );
    assert_eq!(answers[0]["granted_by"][0], "refund-bot-small-amounts");
    assert_eq!(answers[0]["obligations"]["rate"][0], "10/m");
    assert!(
        answers[0]["place"]
            .as_str()
            .expect("a place")
            .starts_with("access/payments.yaml:")
    );
    assert_eq!(answers[2]["error"]["line"], 3);

    let overlay = "{\"denied\":[\"payments/refund\"]}";
    fs::write(folder.join("overlay.json"), overlay).expect("written");
    let output = latchkey(
        &folder,
        &[&args[..], &["--overlay", "overlay.json"]].concat(),
    );
    assert!(
        text(&output.stdout)
            .lines()
            .next()
            .expect("a line")
            .contains("denied_by_overlay")
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = folder("pipe");
    copy(&folder, false);
    let mut child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(&folder)
        .args(["check", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("an end");
    assert_eq!((code(&output), text(&output.stderr)), (0, String::new()));
}

fn git(folder: &Path, args: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(args)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", said(&output));
}

#[test]
fn git_says_the_version_and_the_commit_and_refuses_what_nobody_could_rebuild() {
    let folder = folder("git");
    copy(&folder, false);
    git(&folder, &["init", "--quiet"]);
    for message in ["one", "two", "three"] {
        git(&folder, &["add", "."]);
        git(
            &folder,
            &["commit", "--quiet", "--allow-empty", "--message", message],
        );
    }
    let output = latchkey(&folder, &["build", "--out", "out"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let statement = |name: &str| -> serde_json::Value {
        let bytes = fs::read(folder.join(name).join("release.json")).expect("bytes");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(statement("out")["predicate"]["version"], 3);
    let commit = statement("out")["predicate"]["source"]["commit"].to_string();
    assert_eq!(commit.len(), 42, "{commit}");

    let path = folder.join("org.yaml");
    let written = fs::read_to_string(&path).expect("text");
    fs::write(&path, format!("{written}# later\n")).expect("written");
    let output = latchkey(&folder, &["build", "--out", "out"]);
    assert_eq!(code(&output), 2);
    assert!(
        said(&output).contains("`org.yaml` differs from the commit"),
        "{}",
        said(&output)
    );
    let output = latchkey(&folder, &["build", "--out", "dirty", "--allow-dirty"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(statement("dirty")["predicate"]["source"].is_null());

    git(&folder, &["checkout", "--quiet", "."]);
    let source = format!("file://{}", folder.display());
    git(
        &folder,
        &["clone", "--quiet", "--depth", "1", &source, "shallow"],
    );
    let shallow = folder.join("shallow");
    let output = latchkey(&shallow, &["build", "--out", "out"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("shallow"), "{}", said(&output));
    assert_eq!(
        code(&latchkey(
            &shallow,
            &["build", "--out", "out", "--sequence", "9"]
        )),
        0
    );
}

#[test]
fn inspect_counts_what_slices_hold() {
    let folder = folder("inspect");
    copy(&folder, false);
    latchkey(&folder, &["build", "--out", "out"]);
    let output = latchkey(&folder, &["inspect", "out", "--format", "json"]);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(facts["slices"].as_array().expect("slices").len(), 6);
    assert_eq!(facts["slices"][1]["servers"][0], "desk");
    fs::write(folder.join("out/bad.lkb"), "nonsense").expect("written");
    assert_eq!(code(&latchkey(&folder, &["inspect", "out"])), 4);
}
