//! `latchkey suggest` over the log of a live sidecar: the patch applies, the project with it is
//! sound, and nothing that was allowed and used is denied by it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "recorded/log.rs"]
mod log;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use self::log::{edited, latchkey, record};

/// Applies a patch as a reviewer would.
fn apply(project: &Path, patch: &str) {
    fs::write(project.join("suggested.patch"), patch).unwrap();
    let status = Command::new("git")
        .args(["apply", "suggested.patch"])
        .current_dir(project)
        .env("GIT_CEILING_DIRECTORIES", project.parent().unwrap())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "git does not take:\n{patch}");
}

#[test]
fn the_patch_applies_and_takes_nothing_from_recorded_calls() {
    // Everything but what maintainers and the triage bot do besides reading.
    let recording = record("github", &|stated| {
        let tool = stated.tool.as_deref().unwrap_or_default();
        matches!(tool, "get_issue" | "search_issues" | "push_files")
    });
    let folder = tempfile::tempdir().unwrap();
    let project = edited(folder.path(), &[]);
    let log = recording.log();
    let log = log.to_str().unwrap();

    let (code, out, err) = latchkey(&project, &["suggest", log, "--min-days", "0"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let rests_on = format!("# github: {} requests from", recording.calls.len());
    assert!(out.contains(&rests_on), "{out}");
    assert!(out.contains("from 20"), "the period is said: {out}");
    assert!(
        out.contains("# stays: every grant on server payments: the log has no request of it"),
        "{out}"
    );
    assert!(out.contains("create_issue"), "{out}");
    apply(&project, &out);

    let (code, out, err) = latchkey(&project, &["check"]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = latchkey(&project, &["test"]);
    assert_eq!(code, 0, "{out}{err}");
    let bundle = recording.baseline();
    let replay = ["replay", log, "--baseline", bundle.to_str().unwrap()];
    let (code, out, _) = latchkey(&project, &[&replay[..], &["--format", "json"]].concat());
    assert_eq!(code, 0, "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let sum = &report["summary"];
    for none in ["narrowed", "may_narrow", "widened", "may_widen"] {
        assert_eq!(sum[none], 0, "{none}: {out}");
    }
    assert!(sum["same"].as_u64().unwrap() > 10, "{sum}");

    // Comments that speak of what stays are where they were.
    let text = fs::read_to_string(project.join("access/payments.yaml")).unwrap();
    assert!(
        text.contains("# What the payments team has decided"),
        "{text}"
    );
    assert!(text.contains("# A grant with a condition."), "{text}");
    // A second look finds nothing more.
    let again = ["suggest", log, "--min-days", "0", "--format", "json"];
    let (_, out, _) = latchkey(&project, &again);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["patch"], "", "{out}");
}

#[test]
fn rows_show_what_no_matrix_showed() {
    let recording = record("github", &|it| it.tool.as_deref() == Some("get_issue"));
    let folder = tempfile::tempdir().unwrap();
    let project = edited(folder.path(), &[]);
    // Nothing says any longer what the server's callers may do.
    fs::remove_file(project.join("tests/github.yaml")).unwrap();
    let log = recording.log();
    let (code, out, err) = latchkey(
        &project,
        &["suggest", log.to_str().unwrap(), "--min-days", "0"],
    );
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(" more deny what no matrix showed"), "{out}");
    apply(&project, &out);
    let (code, out, err) = latchkey(&project, &["test"]);
    assert_eq!(code, 0, "{out}{err}");

    // The rows notice when the grants come back.
    let whole = edited(&folder.path().join("whole"), &[]);
    for part in ["access", "roles"] {
        fs::remove_dir_all(project.join(part)).unwrap();
        fs::rename(whole.join(part), project.join(part)).unwrap();
    }
    let (code, out, err) = latchkey(&project, &["test"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("no_permission"), "{out}");
}

#[test]
fn too_short_a_time_suggests_nothing() {
    let recording = record("payments", &|it| it.tool.as_deref() == Some("get_balance"));
    let folder = tempfile::tempdir().unwrap();
    let project = edited(folder.path(), &[]);
    let log = recording.log();
    let (code, out, _) = latchkey(&project, &["suggest", log.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("nothing to take away"), "{out}");
    assert!(out.contains("too short a time"), "{out}");

    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let holed = [&lines[..1], &lines[2..]].concat().join("\n");
    let path = folder.path().join("holed.jsonl");
    fs::write(&path, holed).unwrap();
    let (code, _, err) = latchkey(&project, &["suggest", path.to_str().unwrap()]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("a line before it is missing"), "{err}");
}
