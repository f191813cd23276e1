//! `latchkey eval` answers as the specification writes it, byte for byte.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and prints its figures"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use latchkey_tests::{golden::root, program::program};
use serde_json::{Value, json};
use tempfile::TempDir;

const PUSH: &str = r#"{"id":"r1","caller":{"principal":"alice","groups":["gh-payments-maint"]},"server":"github","tool":"push_files","arguments":{"owner":"ACME","repo":"Ledger","branch":"main","files":[]},"at":"2026-12-01T10:00:00Z"}"#;
const CHAIN: &str = r#"{"id":"r2","caller":{"issuer":"acme-idp","subject":"u-77","groups":[]},"on_behalf_of":[{"principal":"alice"}],"server":"github","tool":"get_issue","arguments":{"owner":"acme","repo":"ledger","number":1},"at":"2026-12-01T10:00:00Z","ip":"10.1.2.3","token_permissions":["tools:github/get_issue:call"]}"#;

const PUSHED: &str = r#"{"id":"r1","decision":"allow","reason":"ok","rule":null,"granted_by":["maintainers"],"surface":"github/push_files","operation":null,"scopes":["acme/payments"],"permissions":["tools:github/push_files:call"],"obligations":{"rate":["30/m"]},"undetermined":[],"place":"access/payments.yaml:3:3"}"#;
const CHAINED: &str = r#"{"id":"r2","decision":"deny","reason":"principal_unknown","rule":null,"granted_by":[],"surface":"github/get_issue","operation":null,"scopes":["acme/payments"],"permissions":["tools:github/get_issue:call"],"obligations":{},"undetermined":[],"place":null}"#;

/// A folder with the bundle of the specification's example.
fn built() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = latchkey(
        &root().join("tests/golden/design"),
        &["build", "--allow-dirty", "--sequence", "1", "--out"],
        &folder.path().join("bundle"),
    );
    assert!(output.status.success(), "{output:?}");
    folder
}

fn latchkey(directory: &Path, args: &[&str], last: &Path) -> Output {
    let mut command = Command::new(program("latchkey"));
    command.current_dir(directory).args(args).arg(last);
    command.output().unwrap()
}

fn eval(folder: &TempDir, calls: &str, overlay: Option<&str>) -> Output {
    fs::write(folder.path().join("calls.jsonl"), calls).unwrap();
    let mut args = vec!["eval", "--bundle", "bundle"];
    if let Some(overlay) = overlay {
        fs::write(folder.path().join("overlay.json"), overlay).unwrap();
        args.extend(["--overlay", "overlay.json"]);
    }
    args.push("--calls");
    latchkey(folder.path(), &args, Path::new("calls.jsonl"))
}

fn lines(output: &Output) -> Vec<String> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_examples_of_the_specification_are_answered_byte_for_byte() {
    let output = eval(&built(), &format!("{PUSH}\n{CHAIN}\n"), None);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output), [PUSHED, CHAINED]);
}

#[test]
fn ten_thousand_calls_are_answered_in_order() {
    let folder = built();
    let (mut calls, mut wanted) = (String::new(), Vec::new());
    for at in 0..10_000 {
        let (call, answer) = if at % 3 == 0 {
            (CHAIN, CHAINED)
        } else {
            (PUSH, PUSHED)
        };
        let id = format!("\"id\":\"c{at}\"");
        let named = |line: &str| {
            line.replacen("\"id\":\"r1\"", &id, 1)
                .replacen("\"id\":\"r2\"", &id, 1)
        };
        calls.push_str(&named(call));
        calls.push('\n');
        wanted.push(named(answer));
    }
    let started = Instant::now();
    let output = eval(&folder, &calls, None);
    println!("10,000 calls in {:?} (unoptimised)", started.elapsed());
    assert_eq!(output.status.code(), Some(0));
    assert!(lines(&output) == wanted);
}

#[test]
fn an_overlay_is_honoured() {
    let folder = built();
    let reason = |overlay: &Value, call: &str| {
        let output = eval(&folder, call, Some(&overlay.to_string()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let answer: Value = serde_json::from_str(&lines(&output)[0]).unwrap();
        answer["reason"].as_str().unwrap().to_owned()
    };
    let delete = r#"{"caller":{"principal":"alice","groups":["gh-owners"]},"server":"github","tool":"delete_repository","arguments":{"owner":"acme","repo":"ledger"},"at":"2026-12-01T10:00:00Z","token_id":"t-1"}"#;
    let open = json!({"id": "i-1", "principal": "alice", "surfaces": ["github/delete_repository"],
        "in": "acme", "expires": "2026-12-01T10:00:01Z"});
    for (overlay, call, wanted) in [
        (json!({}), PUSH, "ok"),
        (json!({"suspended": ["alice"]}), PUSH, "principal_suspended"),
        (
            json!({"denied": ["github/push_files"]}),
            PUSH,
            "denied_by_overlay",
        ),
        (json!({"revoked_tokens": ["t-1"]}), delete, "token_revoked"),
        (json!({}), delete, "break_glass_required"),
        (json!({"break_glass": [open]}), delete, "ok"),
    ] {
        assert_eq!(reason(&overlay, call), wanted, "{overlay}");
    }
    let output = eval(&folder, PUSH, Some(r#"{"suspend":["alice"]}"#));
    assert_eq!(
        output.status.code(),
        Some(2),
        "an overlay that is none is not passed over"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_line_is_named_and_the_others_are_answered() {
    let wrong = [
        ("{\"id\":\"x\"", "no call"),
        (
            r#"{"id":"x","server":"github","tool":"t","at":"yesterday"}"#,
            "`yesterday`",
        ),
        (
            r#"{"id":"x","server":"hub","tool":"t","at":"2026-12-01T10:00:00Z"}"#,
            "`hub`",
        ),
        (
            r#"{"id":"x","server":"github","at":"2026-12-01T10:00:00Z"}"#,
            "state one of",
        ),
        (
            r#"{"id":"x","server":"github","tool":"t","at":"2026-12-01T10:00:00Z","allow":true}"#,
            "allow",
        ),
        (
            r#"{"id":"x","caller":{"principal":"eve"},"server":"github","tool":"t","at":"2026-12-01T10:00:00Z"}"#,
            "`eve`",
        ),
    ];
    let folder = built();
    for (line, says) in wrong {
        let output = eval(&folder, &format!("{PUSH}\n{line}\n{CHAIN}\n"), None);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let lines = lines(&output);
        assert_eq!([&lines[0], &lines[2]], [PUSHED, CHAINED]);
        let error: Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(error["error"]["line"], 2, "{error}");
        assert!(
            error["error"]["message"].as_str().unwrap().contains(says),
            "{error}"
        );
        assert!(error.get("decision").is_none(), "an error is no decision");
    }
}
