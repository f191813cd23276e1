//! `who-can` and `what-can` on the tutorial project, as reviewers see them.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop"
)]

use std::{path::Path, process::Command};

use serde_json::Value as Json;

/// Runs the program in `policies/`: its exit code, standard output and standard error.
fn latchkey(args: &[&str]) -> (i32, String, String) {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(policies)
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

fn lines(args: &[&str]) -> Vec<Json> {
    let (code, out, err) = latchkey(&[args, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let found: Json = serde_json::from_str(&out).expect("JSON");
    found["lines"].as_array().expect("lines").clone()
}

/// The line of a subject whose token carries this many groups.
fn of<'l>(lines: &'l [Json], subject: &str, groups: usize) -> &'l Json {
    let has = |line: &&Json| {
        let subjects = line["subjects"].as_array().expect("subjects");
        let carried = line["token_groups"].as_array().expect("groups");
        subjects.iter().any(|it| it == subject) && carried.len() == groups
    };
    lines.iter().find(has).expect("a line of the subject")
}

#[test]
fn who_can_says_the_chain_the_condition_and_what_it_carries() {
    let lines = lines(&["who-can", "payments/refund", "--scope", "acme/payments"]);
    let bot = of(&lines, "refund-bot", 0);
    let when = bot["when"].as_str().expect("words");
    assert!(when.contains("args.amount in 1..=100"), "{bot:#}");
    assert!(when.contains("args.currency == \"EUR\""), "{bot:#}");
    let mut grants = bot["grants"].as_array().expect("grants").iter();
    let grant = grants.find(|it| it["binding"] == "refund-bot-small-amounts");
    let grant = grant.expect("its own binding");
    assert_eq!(grant["when"], "(args.amount <= 100)");
    assert_eq!(grant["roles"][0]["name"], "payments-refunder");
    for place in [
        &grant["place"],
        &grant["subjects"][0]["place"],
        &grant["roles"][0]["place"],
    ] {
        let place = place.as_str().expect("a place");
        assert!(place.contains(".yaml:"), "{bot:#}");
    }
    assert_eq!(bot["unless"][0]["rule"], "agents-refund-in-euro");
    let rates = bot["obligations"]["rate"].as_array().expect("rates");
    assert!(rates.iter().any(|it| it == "10/m"), "{bot:#}");
    assert_eq!(bot["witness"]["tool"], "refund");

    let alice = of(&lines, "alice", 1);
    assert_eq!(alice["token_groups"][0], "group:payments-maintainers");
    assert_eq!(alice["when"], "");
}

#[test]
fn what_can_shows_dates_and_break_glass() {
    let bot = lines(&["what-can", "triage-bot", "--server", "github"]);
    let alone = |it: &Json| it["token_groups"] == serde_json::json!([]);
    let reads = |it: &&Json| it["surface"] == "github/get_issue" && alone(it);
    let issue = bot.iter().find(reads);
    assert_eq!(issue.expect("a line")["expires"], "2027-03-31T00:00:00Z");
    let later = lines(&[
        "what-can",
        "triage-bot",
        "--server",
        "github",
        "--at",
        "2027-04-01",
    ]);
    assert_eq!(later.iter().find(reads), None);

    let bob = lines(&["what-can", "bob", "--server", "github"]);
    let delete = bob
        .iter()
        .find(|it| it["surface"] == "github/delete_repository");
    assert_eq!(delete.expect("a line")["activation"], "the caller");
    assert_eq!(delete.expect("a line")["risk"], "destructive");

    let group = lines(&["what-can", "group:payments-maintainers"]);
    assert!(!group.is_empty());
    let through = |line: &Json| {
        line["grants"]
            .to_string()
            .contains("group:payments-maintainers")
    };
    assert!(group.iter().all(through));
}

#[test]
fn every_format_tells_the_same_lines() {
    let (code, table, _) = latchkey(&["who-can", "github/push_files", "--format", "table"]);
    assert_eq!(code, 0);
    assert!(table.starts_with("WHO"), "{table}");
    assert!(table.contains("through triage-bot (org.yaml:"), "{table}");
    assert!(
        table.contains("denied by agents-stay-on-branches"),
        "{table}"
    );
    let (_, csv, _) = latchkey(&["who-can", "github/push_files", "--format", "csv"]);
    assert!(csv.starts_with("\"subject\",\"surface\""), "{csv}");
    assert!(
        csv.contains("\"triage-bot\",\"github/push_files\""),
        "{csv}"
    );
    let (_, html, _) = latchkey(&["who-can", "github/push_files", "--format", "html"]);
    assert!(html.starts_with("<!doctype html>"), "{html}");
    assert!(html.contains("Who can call github/push_files"), "{html}");
    assert!(html.contains("default-src &#39;none&#39;") || html.contains("default-src 'none'"));
    assert!(
        !html.contains("<script") && !html.contains("src="),
        "{html}"
    );
}

#[test]
fn names_that_do_not_exist_are_told_with_the_likely_one() {
    for (args, said) in [
        (
            ["who-can", "github/push_file"],
            "did you mean `github/push_files`?",
        ),
        (["what-can", "alise"], "did you mean `alice`?"),
        (
            ["what-can", "group:payments-maintainer"],
            "did you mean `payments-maintainers`?",
        ),
        (
            ["who-can", "github/repo_admin:renam"],
            "did you mean `rename`?",
        ),
    ] {
        let (code, _, err) = latchkey(&args);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(said), "{err}");
    }
}
