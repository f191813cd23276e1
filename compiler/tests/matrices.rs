//! Matrices as scripts see them: what decided, what is covered, what nothing would notice.

#![expect(clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value as Json;

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")
}

/// A copy of the starter library, for one test.
fn library(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("matrices")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    copy(&policies(), &folder);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Runs the program: its exit code, standard output and standard error.
fn latchkey(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(directory)
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

fn json(directory: &Path, args: &[&str]) -> Json {
    let (_, out, err) = latchkey(directory, args);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("the file");
    assert!(text.contains(from), "{} has no {from:?}", file.display());
    fs::write(file, text.replacen(from, to, 1)).expect("written");
}

/// The starter library is the standard that it asks of others.
#[test]
fn the_starter_library_is_covered_and_nearly_every_mutant_is_noticed() {
    let library = library("library");
    let begin = Instant::now();
    let mutated = json(&library, &["test", "--mutate", "--format", "json"]);
    let took = begin.elapsed();
    let summary = &mutated["summary"];
    assert!(summary["permille"].as_u64() > Some(950), "{mutated:#}");
    assert!(summary["mutants"].as_u64() > Some(250), "{summary}");
    // Unoptimised and beside other tests; the bound for people is 10 seconds.
    assert!(took < Duration::from_mins(2), "{took:?}");

    let covered = json(&library, &["test", "--coverage", "--format", "json"]);
    assert_eq!(covered["summary"]["permille"], 1000, "{covered:#}");
    assert!(covered["summary"]["points"].as_u64() > Some(100));
    let (code, ..) = latchkey(&library, &["test", "--coverage", "--fail-under", "100"]);
    assert_eq!(code, 0);
}

#[test]
fn a_planted_deny_that_no_row_tests_is_found_and_its_row_kills_it() {
    let library = library("planted");
    fs::write(
        library.join("access/planted.yaml"),
        "rules:\n  planted:\n    effect: deny\n    who: [\"type:agent\"]\n    \
         surfaces: {github: [get_issue]}\n    when: args.number > 700000\n    message: No.\n",
    )
    .expect("written");
    let (code, out, err) = latchkey(&library, &["test"]);
    assert_eq!(code, 0, "no row notices it: {out}{err}");
    let mutated = json(&library, &["test", "--mutate", "--format", "json"]);
    let survivor = planted(&mutated).expect("the planted rule survives");
    assert!(
        survivor["place"]
            .as_str()
            .is_some_and(|it| it.starts_with("access/planted.yaml:2:3")),
        "{survivor}"
    );
    let (code, ..) = latchkey(&library, &["test", "--mutate", "--fail-under", "100"]);
    assert_eq!(code, 1);

    // The row is pasted where the report says.
    let at = usize::try_from(survivor["row"].as_u64().expect("a row")).expect("small");
    let row = &mutated["rows"][at];
    let part = |key: &str| row[key].as_str().expect("text");
    let file = library.join(part("file"));
    let text = fs::read_to_string(&file).expect("the file");
    let (before, own) = text
        .split_once(&format!("\n  {}:\n", part("matrix")))
        .expect("the matrix");
    let own = own.replacen(
        "    calls:\n",
        &format!("    calls:\n      {}\n", part("calls")),
        1,
    );
    let (head, table) = own.split_once("    expect: |\n").expect("the table");
    let (header, rows) = table.split_once('\n').expect("its header");
    let pasted = format!(
        "{before}\n  {}:\n{head}    expect: |\n{header}\n      {}\n{rows}",
        part("matrix"),
        part("expect"),
    );
    fs::write(&file, pasted).expect("written");
    let (code, out, err) = latchkey(&library, &["test"]);
    assert_eq!(code, 0, "the row holds: {out}{err}");
    let after = json(&library, &["test", "--mutate", "--format", "json"]);
    assert!(planted(&after).is_none(), "{after:#}");
}

fn planted(report: &Json) -> Option<&Json> {
    let survivors = report["survivors"].as_array().expect("survivors");
    survivors
        .iter()
        .find(|it| it["change"] == "deny rule `planted` is gone")
}

/// The tables of this example ask about one Tuesday, by day and by night.
#[test]
fn windows_that_no_row_tests_are_found_and_their_rows_kill_them() {
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrices/windows");
    let _ = fs::remove_dir_all(&project);
    let example = policies().join("../examples/office-hours/before");
    copy(&example, &project);
    let changes = [
        ("has no monday in its window 09:00 to 17:00", "10:17"),
        (
            "begins an hour earlier in its window 09:00 to 17:00",
            "10:62",
        ),
        ("has no window 09:00 to 15:00", "11:32"),
        ("ends an hour earlier in its window 09:00 to 15:00", "11:45"),
        ("is not off on 2026-12-24", "12:14"),
    ];
    for (what, place) in changes {
        let mutated = json(&project, &["test", "--mutate", "--format", "json"]);
        let survivor = schedule_survivor(&mutated, what, place).expect(what);
        assert_eq!(survivor["operator"], "schedule", "{survivor}");
        // The matrix is pasted where the report says.
        let at = usize::try_from(survivor["row"].as_u64().expect("a row")).expect("small");
        let row = &mutated["rows"][at];
        assert_eq!(row["file"], "matrix.yaml", "{row}");
        let lines = row["matrices"].as_str().expect("text").lines();
        let matrix: Vec<String> = lines.map(|line| format!("  {line}")).collect();
        let matrix = matrix.join("\n");
        edit(
            &project.join("matrix.yaml"),
            "matrices:\n",
            &format!("matrices:\n{matrix}\n"),
        );
        let (code, out, err) = latchkey(&project, &["test"]);
        assert_eq!(code, 0, "the row holds: {out}{err}");
        let after = json(&project, &["test", "--mutate", "--format", "json"]);
        assert!(
            schedule_survivor(&after, what, place).is_none(),
            "{after:#}"
        );
    }
    let (code, _, err) = latchkey(&project, &["test", "--mutate", "--write"]);
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = latchkey(&project, &["test", "--mutate", "--fail-under", "100"]);
    assert_eq!(code, 0, "{out}{err}");
}

fn schedule_survivor<'r>(report: &'r Json, what: &str, place: &str) -> Option<&'r Json> {
    let survivors = report["survivors"].as_array().expect("survivors");
    survivors.iter().find(|it| {
        it["change"] == format!("schedule `office-hours` {what}")
            && it["place"] == format!("access.yaml:{place}")
    })
}

#[test]
fn written_rows_raise_the_score_and_nothing_else_changes() {
    let library = library("written");
    fs::remove_file(library.join("tests/payments.yaml")).expect("gone");
    let before = json(&library, &["test", "--mutate", "--format", "json"]);
    let args = [
        "test",
        "--mutate",
        "--write",
        "--at",
        "2026-12-01T10:00:00Z",
    ];
    let (code, _, err) = latchkey(&library, &args);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("added "), "{err}");
    let (code, out, err) = latchkey(&library, &["test"]);
    assert_eq!(code, 0, "{out}{err}");
    let after = json(&library, &["test", "--mutate", "--format", "json"]);
    let score = |report: &Json| report["summary"]["permille"].as_u64();
    assert!(
        score(&before) < score(&after),
        "{:?}",
        (score(&before), score(&after))
    );
    // All that was there is there.
    let old = fs::read_to_string(policies().join("tests/github.yaml")).expect("the file");
    let new = fs::read_to_string(library.join("tests/github.yaml")).expect("the file");
    let mut lines = new.lines();
    assert!(old.lines().all(|line| lines.any(|it| it == line)));
}

/// In brackets or quotes a line more would not be a row more.
#[test]
fn rows_are_not_written_into_matrices_in_flow_style() {
    let library = library("flow");
    fs::remove_dir_all(library.join("tests")).expect("gone");
    let file = library.join("flow.yaml");
    let calls_in_brackets = "matrices:
  flow:
    server: github
    at: \"2027-03-30T00:00:00Z\"
    callers: {bot: {principal: triage-bot}}
    calls: {
      bug: {create_issue: {owner: acme, repo: invoices, title: x}}}
    expect: |
      .    bot
      bug  allow
    others: {bot: [get_issue, push_files, search_issues]}
";
    let all_in_brackets = "matrices: {
  flow: {
    server: github, at: \"2027-03-30T00:00:00Z\", callers: {bot: {principal: triage-bot}},
    calls: {
      bug: {create_issue: {owner: acme, repo: invoices, title: x}}},
    expect: \".    bot\\nbug  allow\",
    others: {bot: [get_issue, push_files, search_issues]}}}
";
    for (written, adds) in [(calls_in_brackets, true), (all_in_brackets, false)] {
        fs::write(&file, written).expect("written");
        let (code, out, err) = latchkey(&library, &["test"]);
        assert_eq!(code, 0, "{out}{err}");
        let (_, out, _) = latchkey(&library, &["test", "--mutate", "--write"]);
        assert!(out.contains("survive"), "{out}");
        let text = fs::read_to_string(&file).expect("the file");
        assert_eq!(text != written, adds, "{text}");
        let (code, out, err) = latchkey(&library, &["test"]);
        assert_eq!(code, 0, "{out}{err}{text}");
    }
}

#[test]
fn the_full_truth_holds_and_notices_nearly_everything() {
    let library = library("truth");
    fs::remove_dir_all(library.join("tests")).expect("gone");
    fs::create_dir(library.join("tests")).expect("a folder");
    let at = "2026-12-01T10:00:00Z";
    let args = ["matrix", "init", "--at", at, "--out", "tests/truth.yaml"];
    let (code, out, err) = latchkey(&library, &args);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = latchkey(&library, &["test"]);
    assert_eq!(code, 0, "{out}{err}");
    let mutated = json(&library, &["test", "--mutate", "--format", "json"]);
    assert!(
        mutated["summary"]["permille"].as_u64() > Some(900),
        "{mutated:#}"
    );
    let (code, _, err) = latchkey(&library, &args);
    assert_eq!(code, 2, "a file that is there stays: {err}");
    let (code, _, err) = latchkey(&library, &["matrix", "init"]);
    assert!(
        code == 2 && err.contains("every server has matrices"),
        "{err}"
    );
}

#[test]
fn every_form_of_the_outcome_says_what_decided() {
    let library = library("forms");
    let (code, out, _) = latchkey(&library, &["test", "--rows"]);
    assert_eq!(code, 0);
    for part in [
        "denied_by_policy (rule agents-stay-on-branches, access/payments.yaml:",
        "allow (granted by ",
        "no_permission (default: no binding grants it",
    ] {
        assert!(out.contains(part), "{part}");
    }
    let report = json(&library, &["test", "--format", "json"]);
    let cells = report["cells"].as_array().expect("cells");
    assert!(cells.iter().all(|cell| cell["decided_by"].is_string()));

    edit(
        &library.join("tests/github.yaml"),
        "push to Main      no_permission",
        "push to Main      allow        ",
    );
    let (code, out, _) = latchkey(&library, &["test", "--format", "junit"]);
    assert_eq!(code, 3);
    let document = roxmltree::Document::parse(&out).expect("XML");
    let root = document.root_element();
    assert!(root.has_tag_name("testsuites"));
    let named = |name: &'static str| root.descendants().filter(move |it| it.has_tag_name(name));
    let count = |attribute| {
        root.attribute(attribute)
            .and_then(|it| it.parse::<usize>().ok())
    };
    assert_eq!(count("tests"), Some(named("testcase").count()));
    assert_eq!(count("failures"), Some(1));
    let failure = named("failure").next().expect("one failure");
    let message = failure.attribute("message").expect("its message");
    assert!(
        message.contains("expected allow, was no_permission"),
        "{message}"
    );
    for suite in named("testsuite") {
        let cases = suite.children().filter(|it| it.has_tag_name("testcase"));
        assert_eq!(
            suite.attribute("tests"),
            Some(cases.count().to_string().as_str())
        );
    }
}

#[test]
fn a_cell_may_say_what_an_allow_carries() {
    let library = library("carries");
    let file = library.join("tests/payments.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    let row = text
        .lines()
        .find(|line| line.trim_start().starts_with("refund 100 "))
        .expect("a row");
    let wrong = row.replacen("allow", "allow+rate:11/m", 1);
    edit(&file, row, &wrong);
    let (code, out, _) = latchkey(&library, &["test"]);
    assert!(
        code == 3 && out.contains("expected allow+rate:11/m"),
        "{out}"
    );
    let (code, out, err) = latchkey(&library, &["test", "--bless"]);
    assert_eq!(code, 0, "{out}{err}");
    let blessed = fs::read_to_string(&file).expect("the file");
    assert!(
        blessed.contains("allow+rate:10/m+rate:server-caller-600/m"),
        "{blessed}"
    );
    edit(&file, "allow+rate:10/m", "allow+speed:10/m");
    let (code, _, err) = latchkey(&library, &["test"]);
    assert!(code == 1 && err.contains("LK6001"), "{err}");
}

#[test]
fn coverage_is_written_for_tools_that_read_lcov() {
    let library = library("lcov");
    let (code, out, _) = latchkey(&library, &["test", "--coverage", "--format", "lcov"]);
    assert_eq!(code, 0);
    let mut files = 0;
    for record in out.split("end_of_record\n").filter(|it| !it.is_empty()) {
        let path = record
            .lines()
            .find_map(|line| line.strip_prefix("SF:"))
            .expect("a file");
        let text = fs::read_to_string(library.join(path)).expect("a file of the project");
        let lines = text.lines().count();
        let hits: Vec<(usize, usize)> = record
            .lines()
            .filter_map(|line| line.strip_prefix("DA:")?.split_once(','))
            .map(|(line, hits)| {
                (
                    line.parse().expect("a line"),
                    hits.parse().expect("a count"),
                )
            })
            .collect();
        assert!(
            hits.iter().all(|(line, _)| (1..=lines).contains(line)),
            "{record}"
        );
        assert!(record.contains(&format!("LF:{}\n", hits.len())));
        files += 1;
    }
    assert!(files > 3, "{out}");
    // Without its rows, what they showed is uncovered.
    fs::remove_file(library.join("tests/payments.yaml")).expect("gone");
    let (code, out, _) = latchkey(&library, &["test", "--coverage", "--fail-under", "99.5"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("no row shows: rule `agents-refund-in-euro`"),
        "{out}"
    );
}
