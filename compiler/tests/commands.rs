//! `init`, `explain`, `show`, `schema`, `diff` and suppressions, as scripts see them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value as Json;

/// An empty folder of this name, for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("commands")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn run(program: &str, directory: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .current_dir(directory)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("NO_COLOR", "1")
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("the program runs")
}

/// Runs the program: its exit code, standard output and standard error.
fn latchkey(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = run(env!("CARGO_BIN_EXE_latchkey"), directory, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

fn json(directory: &Path, args: &[&str]) -> Json {
    let (_, out, err) = latchkey(directory, args);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

/// A new project of `latchkey init`.
fn project(name: &str) -> PathBuf {
    let folder = folder(name);
    let (code, ..) = latchkey(&folder, &["init"]);
    assert_eq!(code, 0);
    folder
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("the file");
    assert!(text.contains(from), "{} has no {from:?}", file.display());
    fs::write(file, text.replace(from, to)).expect("written");
}

fn git(directory: &Path, args: &[&str]) {
    let identity = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t.example",
        "-c",
        "core.autocrlf=false",
    ];
    let output = run("git", directory, &[&identity, args].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn commit(directory: &Path) {
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-q", "-m", "a change"]);
}

#[test]
fn a_new_project_checks_tests_and_builds_at_once() {
    let folder = project("init");
    let steps: [&[&str]; 3] = [
        &["check", "--deny-warnings", "--at", "2026-12-01"],
        &["test"],
        &["build", "--out", "dist"],
    ];
    for step in steps {
        let (code, out, err) = latchkey(&folder, step);
        assert_eq!(code, 0, "{step:?}: {out}{err}");
    }
    assert!(folder.join("dist/tickets.lkb").is_file());
}

#[test]
fn init_overwrites_nothing() {
    let folder = folder("init-twice");
    let (code, ..) = latchkey(&folder, &["init", "sub/project"]);
    assert_eq!(code, 0);
    let file = folder.join("sub/project/org.yaml");
    fs::write(&file, "mine").expect("written");
    let (code, out, err) = latchkey(&folder, &["init", "sub/project"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("are there already"), "{err}");
    assert_eq!(fs::read_to_string(file).expect("the file"), "mine");
    // One file in the way is enough, and nothing else is written then.
    let other = self::folder("init-in-the-way");
    fs::create_dir_all(other.join("access")).expect("a folder");
    fs::write(other.join("access/support.yaml"), "mine").expect("written");
    fs::write(other.join("org.yaml"), "mine").expect("written");
    let (code, _, err) = latchkey(&other, &["init"]);
    assert_eq!(code, 2);
    let both = "`./org.yaml` and `./access/support.yaml` are there already";
    assert!(err.contains(both), "{err}");
    assert!(!other.join("latchkey.toml").exists());
}

#[test]
fn init_keeps_what_stands_beside_a_policy() {
    let folder = folder("init-beside");
    fs::create_dir_all(folder.join(".vscode")).expect("a folder");
    for file in [".gitignore", ".vscode/settings.json"] {
        fs::write(folder.join(file), "mine").expect("written");
    }
    let (code, out, err) = latchkey(&folder, &["init"]);
    assert_eq!(code, 0, "{out}{err}");
    for file in [".gitignore", ".vscode/settings.json"] {
        assert!(
            out.contains(&format!("kept ./{file}: it is there already")),
            "{out}"
        );
        let text = fs::read_to_string(folder.join(file)).expect("the file");
        assert_eq!(text, "mine");
    }
    let (code, out, err) = latchkey(&folder, &["check", "--deny-warnings", "--at", "2026-12-01"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn what_init_writes_for_ci_and_editors_is_right() {
    let folder = project("init-editors");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: PathBuf| fs::read_to_string(path).expect("the file");
    let settings: Json =
        serde_json::from_str(&read(folder.join(".vscode/settings.json"))).expect("JSON");
    let schemas = settings["yaml.schemas"].as_object().expect("a map");
    for schema in schemas.keys() {
        let written = read(folder.join(schema));
        let own = schema.rsplit('/').next().expect("its name");
        assert_eq!(written, read(root.join("schemas").join(own)), "{schema}");
    }
    assert_eq!(schemas.len(), 1);
    let guide = read(root.join("docs/editors.md"));
    for file in [".helix/languages.toml", ".nvim.lua"] {
        assert!(
            guide.contains(&read(folder.join(file))),
            "{file} is not in the guide"
        );
    }
    let workflow = read(folder.join(".github/workflows/policy.yml"));
    let workflow: Json = serde_yaml::from_str(&workflow).expect("YAML");
    let steps = workflow["jobs"]["policy"]["steps"]
        .as_array()
        .expect("a list");
    let uses: Vec<_> = steps.iter().filter_map(|it| it["uses"].as_str()).collect();
    let own = read(root.join(".github/workflows/ci.yml"));
    assert!(own.contains(uses[0]), "the pinned version of CI itself");
    let (_, action) = uses[1]
        .split_once("your/mirror/latchkey/")
        .expect("our action");
    let (action, _) = action.split_once('@').expect("a version");
    assert!(root.join(action).join("action.yml").is_file(), "{action}");
    // The last step is run as GitHub runs it, with the program where the action leaves it.
    let script = steps
        .iter()
        .find_map(|it| it["run"].as_str())
        .expect("a script");
    let work = folder.join("runner");
    fs::create_dir_all(work.join("latchkey/bin")).expect("a folder");
    let program = work.join("latchkey/bin/latchkey");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_latchkey"), program).expect("a link");
    let output = Command::new("bash")
        .args(["-e", "-c", script])
        .current_dir(&folder)
        .env("RUNNER_TEMP", &work)
        .env("GIT_CEILING_DIRECTORIES", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(work.join("bundle/tickets.lkb").is_file());
}

#[test]
fn codes_names_and_reasons_are_explained() {
    let folder = folder("explain");
    for word in ["LK1003", "lk1003", "unknown-role"] {
        let (code, out, _) = latchkey(&folder, &["explain", word]);
        assert_eq!(code, 0);
        assert!(out.starts_with("# LK1003: unknown-role\n"), "{out}");
    }
    for word in ["no_permission", "LK9016"] {
        let (code, out, _) = latchkey(&folder, &["explain", word]);
        assert!(code == 0 && out.contains("no_permission"), "{out}");
    }
    let (code, _, err) = latchkey(&folder, &["explain", "unknown-rol"]);
    assert!(
        code == 2 && err.contains("did you mean `unknown-role`?"),
        "{err}"
    );
    let all = json(&folder, &["explain", "--format", "json"]);
    assert!(all["codes"].as_array().expect("a list").len() > 150);
    let one = json(&folder, &["explain", "LK1003", "--format", "json"]);
    assert_eq!(
        (&one["code"], &one["severity"]),
        (&"LK1003".into(), &"error".into())
    );
}

const NOTE: &str = r#"{"caller":{"principal":"triage-bot"},"server":"tickets","tool":"reply","arguments":{"id":7,"text":"x"},"at":"2026-12-01T10:00:00Z"}"#;
const ANSWER: &str = r#"{"caller":{"principal":"triage-bot"},"server":"tickets","tool":"reply","arguments":{"id":7,"text":"x","visibility":"public"},"at":"2026-12-01T10:00:00Z"}"#;
const STRANGER: &str = r#"{"caller":{"principal":"ana"},"server":"tickets","tool":"reply","arguments":{"id":7,"text":"x"},"at":"2026-12-01T10:00:00Z"}"#;

#[test]
fn an_allow_names_binding_role_and_permission_with_their_places() {
    let folder = project("explain-allow");
    let (code, out, _) = latchkey(&folder, &["explain", "--call", NOTE]);
    assert_eq!(code, 0);
    let expected = "\
allow: allowed (LK9000)
  calls tickets/reply
  in acme/support
  granted by the binding `staff` (access/support.yaml:4:3)
    as triage-bot
    through the role `ticket-agent` (servers/tickets.yaml:28:3)
      tools:tickets/reply:call
";
    assert_eq!(out, expected);
    assert_eq!(latchkey(&folder, &["build", "--out", "dist"]).0, 0);
    fs::write(folder.join("call.json"), NOTE).expect("written");
    let (_, built, _) = latchkey(
        &folder,
        &["explain", "--call", "call.json", "--bundle", "dist"],
    );
    assert_eq!(
        built, expected,
        "the project and its bundle decide the same"
    );
}

#[test]
fn in_a_chain_only_the_groups_that_its_callers_are_in_are_named() {
    let folder = project("explain-chain");
    let group = "support-staff: {from: {issuer: acme-idp, value: support}, within: acme/support}";
    let other = "other: {from: {issuer: acme-idp, value: other}, within: acme/support}";
    let both = format!("{group}\n  {other}");
    edit(&folder.join("org.yaml"), group, &both);
    let access = folder.join("access/support.yaml");
    edit(
        &access,
        "[\"group:support-staff\",",
        "[\"group:support-staff\", \"group:other\",",
    );
    let call = NOTE.replace(
        "\"server\"",
        "\"on_behalf_of\":[{\"principal\":\"ana\",\"groups\":[\"support\"]}],\"server\"",
    );
    let (_, out, err) = latchkey(&folder, &["explain", "--call", &call]);
    let named = out.lines().find(|line| line.starts_with("    as "));
    assert_eq!(
        named,
        Some("    as triage-bot, group:support-staff"),
        "{out}{err}"
    );
}

#[test]
fn a_deny_names_its_rule_or_who_holds_what_is_missing() {
    let folder = project("explain-deny");
    let (_, out, _) = latchkey(&folder, &["explain", "--call", ANSWER]);
    assert!(
        out.starts_with("deny: a deny rule matches (LK9018)\n"),
        "{out}"
    );
    let rule = "refused by the rule `people-answer-customers` (access/support.yaml:7:3)";
    assert!(
        out.contains(rule) && out.contains("a person sends"),
        "{out}"
    );
    let why = json(
        &folder,
        &["explain", "--call", STRANGER, "--format", "json"],
    );
    assert_eq!(why["reason"], "no_permission");
    assert_eq!(why["holders"][0]["binding"], "staff");
    assert_eq!(why["holders"][0]["who"][1], "group:support-staff");
    assert_eq!(why["roles"][0]["role"], "ticket-agent");
    // A binding that gives it elsewhere is a near miss.
    let access = folder.join("access/support.yaml");
    edit(
        &access,
        "in: acme/support}",
        "in: acme/support, expires: \"2026-11-30\"}",
    );
    let why = json(&folder, &["explain", "--call", NOTE, "--format", "json"]);
    assert_eq!(why["missed"][0]["binding"], "staff");
    assert_eq!(why["missed"][0]["why"], "dates");
    let ended = "it ended at 2026-11-30T00:00:00Z, and the call is of 2026-12-01T10:00:00Z";
    assert_eq!(why["missed"][0]["what"], ended);
    assert_eq!(why["missed"][0]["alone"], true);
    assert_eq!(why["missed"][0]["place"], "access/support.yaml:4:3");
    let (code, _, err) = latchkey(&folder, &["explain", "--call", "{\"server\": 1}"]);
    assert!(code == 2 && err.contains("this is no call"), "{err}");
}

#[test]
fn show_expands_roles_and_says_who_may_call() {
    let folder = project("show");
    let (code, out, _) = latchkey(&folder, &["show", "--resolved", "roles", "ticket-agent"]);
    assert_eq!(code, 0);
    let expected = "\
inherited:
  tickets/get_ticket: read
inherits: [ticket-reader]
own:
  tickets/reply: write
place: \"servers/tickets.yaml:28:3\"
";
    assert_eq!(out, expected);
    let all = json(&folder, &["show", "--resolved", "--format", "json"]);
    let reply = &all["servers"]["tickets"]["surfaces"]["reply"];
    assert_eq!(
        reply["permissions"]["tickets/reply"]["bindings"][0],
        "staff"
    );
    assert_eq!(reply["access"], "permission");
    assert_eq!(
        all["issuers"]["acme-idp"]["algorithms"][0], "EdDSA",
        "defaults are spelled out"
    );
    let (code, _, err) = latchkey(&folder, &["show", "--resolved", "role"]);
    assert!(code == 2 && err.contains("did you mean `roles`?"), "{err}");
}

#[test]
fn schema_writes_what_it_prints() {
    let folder = folder("schema");
    assert_eq!(latchkey(&folder, &["schema", "--out", "all"]).0, 0);
    let (_, names, _) = latchkey(&folder, &["schema"]);
    assert!(names.lines().count() >= 12, "{names}");
    for name in names.lines() {
        let (_, printed, _) = latchkey(&folder, &["schema", name]);
        let file = folder.join("all").join(format!("{name}.schema.json"));
        assert_eq!(fs::read_to_string(file).expect("the file"), printed);
    }
    assert_eq!(latchkey(&folder, &["schema", "nothing"]).0, 2);
}

#[test]
fn diff_compares_folders_revisions_and_bundles_alike() {
    let folder = project("diff");
    git(&folder, &["init", "-q"]);
    commit(&folder);
    assert_eq!(latchkey(&folder, &["build", "--out", "dist"]).0, 0);
    let same = latchkey(&folder, &["diff", "HEAD"]);
    assert_eq!(same.0, 0);
    assert!(same.1.starts_with("No access changes"), "{}", same.1);
    edit(
        &folder.join("access/support.yaml"),
        "triage-bot]",
        "triage-bot, ana]",
    );
    commit(&folder);
    let at = ["--at", "2026-12-01", "--format", "json"];
    let sides: [&[&str]; 5] = [
        &["HEAD~1"],
        &["HEAD~1..HEAD"],
        &["HEAD~1.."],
        &["dist"],
        &["dist/all.lkb", "."],
    ];
    let mut reports = Vec::new();
    for side in sides {
        let report = json(&folder, &[&["diff"], side, &at].concat());
        assert!(
            report["summary"]["widened"].as_u64() > Some(0),
            "{side:?}: {report}"
        );
        assert_eq!(
            report["findings"][0]["places"][0]["place"],
            "access/support.yaml:4:3"
        );
        reports.push(report);
    }
    assert!(
        reports.windows(2).all(|pair| pair[0] == pair[1]),
        "one change, one report"
    );
    // The other way round, access is taken away.
    let (code, out, _) = latchkey(
        &folder,
        &["diff", "HEAD", "HEAD~1", "--fail-on", "widening"],
    );
    assert!(code == 0 && out.contains("Narrowed"), "{out}");
    for (fail_on, expected) in [("widening", 1), ("loosening", 1), ("any", 1)] {
        let (code, ..) = latchkey(&folder, &["diff", "HEAD~1", "--fail-on", fail_on]);
        assert_eq!(code, expected);
    }
    let markdown = latchkey(&folder, &["diff", "HEAD~1", "--format", "markdown"]).1;
    assert!(
        markdown.contains("| 1 | `ana` |") && markdown.contains("```diff\n-"),
        "{markdown}"
    );
    // What `main` has done meanwhile is no part of a branch: three dots, as with `git diff`.
    git(&folder, &["checkout", "-q", "-b", "branch"]);
    let since = latchkey(&folder, &["diff", "HEAD~1...branch"]).1;
    assert!(
        since.contains("the merge base of HEAD~1 and branch"),
        "{since}"
    );
}

/// A revision of which a file is not in the clone, as after `git clone --filter=blob:none`.
fn damaged(folder: &Path) {
    let clone = self::folder("diff-damaged");
    let url = format!("file://{}", folder.display());
    git(&clone, &["clone", "-q", &url, "whole"]);
    let clone = clone.join("whole");
    let objects = clone.join(".git/objects/pack");
    let packs: Vec<_> = fs::read_dir(&objects)
        .expect("packs")
        .map(|it| it.expect("an entry").path())
        .filter(|it| it.extension().is_some_and(|it| it == "pack"))
        .collect();
    for pack in packs {
        // Its objects, one by one, so that one of them can be lost.
        let aside = clone.join("aside.pack");
        fs::rename(&pack, &aside).expect("a pack");
        let unpack = Command::new("git")
            .args(["unpack-objects", "-q"])
            .current_dir(&clone)
            .stdin(fs::File::open(&aside).expect("a pack"))
            .status();
        assert!(unpack.expect("git runs").success());
    }
    let id = Command::new("git")
        .args(["rev-parse", "HEAD:org.yaml"])
        .current_dir(&clone)
        .output()
        .expect("git runs");
    let id = String::from_utf8(id.stdout).expect("an id");
    let (start, rest) = id.trim().split_at(2);
    fs::remove_file(clone.join(".git/objects").join(start).join(rest)).expect("a blob");
    let (code, _, err) = latchkey(&clone, &["diff", "HEAD"]);
    assert!(
        code == 2
            && err.contains("error[LK7005]")
            && err.contains("org.yaml")
            && err.contains("--refetch"),
        "{code} {err}"
    );
}

#[test]
fn what_cannot_be_compared_is_said() {
    let folder = project("diff-wrong");
    git(&folder, &["init", "-q"]);
    commit(&folder);
    for (side, words) in [
        ("nowhere", "cannot be compared"),
        ("--upload-pack=x", "unexpected argument"),
        ("access", "holds no project and no bundles"),
        ("org.yaml", "cannot be opened"),
        ("a...b", "error[LK7003]"),
        ("HEAD:org.yaml", "error[LK7003]"),
    ] {
        let (code, _, err) = latchkey(&folder, &["diff", side]);
        assert!(
            (code == 2 || code == 4) && err.contains(words),
            "{side}: {code} {err}"
        );
    }
    let elsewhere = self::folder("diff-elsewhere");
    let (code, _, err) = latchkey(&elsewhere, &["-C", ".", "diff", "HEAD"]);
    assert!(code == 2 && err.contains("error[LK7002]"), "{code} {err}");
    let (code, _, err) = latchkey(&folder, &["-C", "access", "diff", "HEAD"]);
    assert!(code == 2 && err.contains("error[LK7004]"), "{code} {err}");
    damaged(&folder);
    fs::write(folder.join("NOTE"), "more\n").expect("a file");
    commit(&folder);
    let url = format!("file://{}", folder.display());
    git(
        &elsewhere,
        &["clone", "-q", "--depth", "1", &url, "shallow"],
    );
    let (code, _, err) = latchkey(&elsewhere.join("shallow"), &["diff", "HEAD~1"]);
    assert!(
        code == 2 && err.contains("error[LK7003]") && err.contains("--unshallow"),
        "{code} {err}"
    );
    edit(
        &folder.join("access/support.yaml"),
        "ticket-agent]",
        "ticket-agnt]",
    );
    let (code, _, err) = latchkey(&folder, &["diff", "HEAD"]);
    assert!(
        code == 1 && err.contains("LK1003") && err.contains("has errors"),
        "{err}"
    );
}

#[test]
fn a_comment_silences_one_lint_at_its_place_and_needs_a_reason() {
    let folder = project("suppress");
    let org = folder.join("org.yaml");
    edit(&org, "    owner: ana ", "    # owner: ana ");
    let check = |folder: &Path| json(folder, &["check", "--format", "json", "--at", "2026-12-01"]);
    let slugs = |report: &Json| -> Vec<String> {
        let found = report["diagnostics"].as_array().expect("findings").iter();
        found
            .map(|it| it["slug"].as_str().expect("a slug").to_owned())
            .collect()
    };
    assert_eq!(slugs(&check(&folder)), ["agent-without-owner"]);
    edit(
        &org,
        "  triage-bot:\n",
        "  # latchkey: allow(agent-without-owner): the team answers for it\n  triage-bot:\n",
    );
    let report = check(&folder);
    assert!(slugs(&report).is_empty());
    assert_eq!(report["summary"]["suppressed"], 1);
    edit(&org, ": the team answers for it", "");
    assert_eq!(
        slugs(&check(&folder)),
        ["bad-suppression", "agent-without-owner"]
    );
    edit(
        &org,
        "allow(agent-without-owner)",
        "allow(unknown-role): no",
    );
    assert_eq!(
        slugs(&check(&folder)),
        ["bad-suppression", "agent-without-owner"]
    );
    edit(&org, "allow(unknown-role): no", "allow(unused-role): none");
    assert_eq!(
        slugs(&check(&folder)),
        ["unused-suppression", "agent-without-owner"]
    );
    edit(
        &folder.join("latchkey.toml"),
        "[lints]",
        "[lints]\nagent-without-owner = \"deny\"",
    );
    assert_eq!(
        latchkey(&folder, &["check"]).0,
        1,
        "a level makes an error of it"
    );
    let (code, ..) = latchkey(&folder, &["check", "--deny-warnings"]);
    assert_eq!(code, 1);
}
