//! The reusable action, run as a workflow would run it, with a `gh` that writes down what it is asked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use latchkey_tests::{golden::root, program::program};
use serde_json::Value;

/// Writes each call's arguments, and the files that it sends, beside each other.
const GH: &str = r#"#!/bin/sh
echo "$*" >> "$CALLS/calls"
for word in "$@"; do
  case "$word" in
    sarif=@*) cp "${word#sarif=@}" "$CALLS/sarif" ;;
    body=@*) cp "${word#body=@}" "$CALLS/body" ;;
  esac
done
case "$*" in *--jq*) cat "$CALLS/old" 2>/dev/null ;; esac
true
"#;

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

struct Workflow {
    folder: tempfile::TempDir,
    base: String,
}

impl Workflow {
    /// A repository whose last commit is the prepared pull request of an example.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        let example = root().join("examples/wildcard");
        copy(&example.join("before"), &repository.join("policies"));
        git(&repository, &["init", "--quiet"]);
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "--quiet", "-m", "before"]);
        let base = git(&repository, &["rev-parse", "HEAD"]);
        copy(&example.join("after"), &repository.join("policies"));
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "--quiet", "-m", "after"]);
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("gh"), GH).unwrap();
        fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, base }
    }

    fn run(&self, fail_on: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        let bin = self.folder.path().join("bin");
        Command::new(root().join(".github/actions/check/run.sh"))
            .current_dir(self.folder.path().join("repository"))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("CALLS", self.folder.path())
            .env("RUNNER_TEMP", self.folder.path().join("temp"))
            .env("GITHUB_STEP_SUMMARY", self.folder.path().join("summary"))
            .env("GITHUB_REPOSITORY", "acme/policies")
            .env("GITHUB_SHA", "0123")
            .env("GITHUB_REF", "refs/pull/7/merge")
            .env("LATCHKEY", program("latchkey"))
            .env("DIRECTORY", "policies")
            .env("FAIL_ON", fail_on)
            .env("SARIF", "true")
            .env("COMMENT", "true")
            .env("BASE", &self.base)
            .env("NUMBER", "7")
            .output()
            .unwrap()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What was sent to code scanning.
    fn sarif(&self) -> Value {
        let output = Command::new("sh")
            .args(["-c", "base64 -d sarif | gzip -dc"])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_pull_request_gets_its_findings_and_one_comment() {
    let workflow = Workflow::new();
    let output = workflow.run("");
    assert!(output.status.success(), "{}", said(&output));
    let calls = workflow.file("calls");
    assert!(
        calls.contains("repos/acme/policies/code-scanning/sarifs"),
        "{calls}"
    );
    assert!(
        calls.contains("--method POST repos/acme/policies/issues/7/comments"),
        "{calls}"
    );
    assert_eq!(workflow.sarif()["version"], "2.1.0");
    let comment = workflow.file("body");
    assert!(comment.starts_with("<!-- latchkey diff -->\n"), "{comment}");
    let summary = workflow.file("summary");
    assert!(
        summary.len() > 100 && comment.contains(&summary),
        "{summary}"
    );
    // The next push changes the comment that is there.
    fs::write(workflow.folder.path().join("old"), "41\n42\n").unwrap();
    workflow.run("");
    let calls = workflow.file("calls");
    assert!(
        calls.contains("--method PATCH repos/acme/policies/issues/comments/41"),
        "{calls}"
    );
    // The example widens access, which may be asked to fail.
    assert_eq!(workflow.run("widening").status.code(), Some(1));
}

#[test]
fn a_project_with_errors_is_annotated_and_not_compared() {
    let workflow = Workflow::new();
    let file = workflow
        .folder
        .path()
        .join("repository/policies/broken.yaml");
    fs::write(file, "roles:\n  a: {inherits: [nobody]}\n").unwrap();
    let output = workflow.run("");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("::error file=policies/broken.yaml,line=2"),
        "{}",
        said(&output)
    );
    let results = workflow.sarif()["runs"][0]["results"].clone();
    assert!(results.to_string().contains("LK1003"), "{results}");
    assert!(!workflow.file("calls").contains("comments"));
}
