//! The prepared pull requests of `examples/`: what `latchkey diff` says of each, in every form.
//!
//! `LATCHKEY_BLESS=1 cargo nextest run -p latchkey --test reviews` rewrites `tests/golden/reviews`.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value as Json;

const EXAMPLES: [&str; 4] = ["wildcard", "boundary", "group-claim", "office-hours"];
const FORMATS: [(&str, &str); 5] = [
    ("human", "txt"),
    ("json", "json"),
    ("markdown", "md"),
    ("html", "html"),
    ("sarif", "sarif"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the program in the repository: its exit code and standard output.
fn latchkey(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(root())
        .args(args)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("an exit code"), text)
}

fn sides(example: &str) -> [String; 2] {
    ["before", "after"].map(|side| format!("examples/{example}/{side}"))
}

fn diff(example: &str, more: &[&str]) -> (i32, String) {
    let [old, new] = sides(example);
    latchkey(&[&["diff", &old, &new, "--at", "2026-12-01"], more].concat())
}

#[test]
fn every_form_of_every_review_is_golden() {
    let mut stale = Vec::new();
    for example in EXAMPLES {
        let report = diff(example, &["--format", "json"]).1;
        let report: Json = serde_json::from_str(&report).expect("JSON");
        let digests = ["from", "to"].map(|side| report[side]["digest"].as_str().expect("a digest"));
        for (format, extension) in FORMATS {
            let (code, mut said) = diff(example, &["--format", format]);
            assert_eq!(code, 0, "{example} {format}");
            // The digest of a bundle follows its format; what a review says does not.
            for (digest, name) in digests.into_iter().zip(["OLD", "NEW"]) {
                said = said.replace(digest, name);
            }
            let path = format!("tests/golden/reviews/{example}.{extension}");
            let file = root().join(&path);
            if std::env::var_os("LATCHKEY_BLESS").is_some() {
                fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
                fs::write(&file, &said).expect("the file");
            }
            if fs::read_to_string(&file).unwrap_or_default() != said {
                stale.push(path);
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ: LATCHKEY_BLESS=1 cargo nextest run -p latchkey --test reviews"
    );
}

#[test]
fn both_sides_are_sound_and_their_golden_tables_agree() {
    for example in EXAMPLES {
        for side in sides(example) {
            let (code, said) = latchkey(&["-C", &side, "check", "--at", "2026-12-01"]);
            assert_eq!(code, 0, "{side}: {said}");
            let (code, said) = latchkey(&["-C", &side, "test"]);
            assert_eq!(code, 0, "{side}: {said}");
        }
    }
}

#[test]
fn a_review_stops_what_widens_or_loosens() {
    for example in EXAMPLES {
        for kind in ["widening", "loosening", "any"] {
            let (code, said) = diff(example, &["--fail-on", kind]);
            assert_eq!(code, 1, "{example} {kind}: {said}");
        }
        let [old, _] = sides(example);
        let same = latchkey(&["diff", &old, &old, "--fail-on", "any"]);
        assert!(same.0 == 0 && same.1.starts_with("No access changes"));
    }
}

#[test]
fn the_json_form_satisfies_its_schema() {
    let file = root().join("schemas/diff-report.schema.json");
    let schema = fs::read_to_string(file).expect("the schema");
    let schema: Json = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    for example in EXAMPLES {
        let report = diff(example, &["--format", "json"]).1;
        let report: Json = serde_json::from_str(&report).expect("JSON");
        let wrong: Vec<_> = validator
            .iter_errors(&report)
            .map(|it| it.to_string())
            .collect();
        assert!(wrong.is_empty(), "{example}: {wrong:#?}");
    }
}

#[test]
fn every_witness_of_a_review_replays() {
    for example in EXAMPLES {
        let report = diff(example, &["--format", "json"]).1;
        let report: Json = serde_json::from_str(&report).expect("JSON");
        let findings = report["findings"].as_array().expect("findings");
        assert!(!findings.is_empty(), "{example}");
        for (side, when) in sides(example).iter().zip(["before", "after"]) {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join("reviews")
                .join(example);
            let bundle = folder.join(when);
            let bundle = bundle.to_str().expect("UTF-8");
            let calls = folder.join("calls.jsonl");
            let calls = calls.to_str().expect("UTF-8");
            assert_eq!(
                latchkey(&["-C", side, "build", "--out", bundle, "--allow-dirty"]).0,
                0
            );
            let lines: Vec<_> = findings
                .iter()
                .map(|it| it["witness"].to_string())
                .collect();
            fs::write(calls, lines.join("\n")).expect("the calls");
            let (code, said) = latchkey(&["eval", "--bundle", bundle, "--calls", calls]);
            assert_eq!(code, 0, "{said}");
            for (line, finding) in said.lines().zip(findings) {
                let answer: Json = serde_json::from_str(line).expect("JSON");
                for part in ["decision", "reason", "obligations"] {
                    assert_eq!(answer[part], finding[when][part], "{example}: {answer}");
                }
            }
            assert_eq!(said.lines().count(), findings.len());
        }
    }
}

/// The schema that the standard's authors publish, from a package that carries it.
fn sarif_schema() -> Json {
    const PACKAGE: &str = "@microsoft/jest-sarif@1.0.0-beta.0";
    let cache = root().join(".cache/npm");
    fs::create_dir_all(&cache).expect("the cache");
    // Tests are processes of their own, and one of them installs.
    let lock = fs::File::create(cache.join("sarif.lock")).expect("a lock");
    lock.lock().expect("the lock");
    let folder = cache.join("sarif");
    let file = folder.join("node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
    if !file.is_file() {
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("package.json"), "{\"private\": true}\n").expect("a file");
        let output = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund"])
            .args(["--ignore-scripts", "--save-exact", PACKAGE])
            .current_dir(&folder)
            .output()
            .expect("npm runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "npm cannot install {PACKAGE}: {said}"
        );
    }
    let text = fs::read_to_string(file).expect("the schema");
    // Its patterns of languages have a stray bracket, which stricter readers than JavaScript refuse.
    let text = text.replace(r"{2}]?$", r"{2}\\]?$");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn sarif_satisfies_the_published_schema() {
    let schema = sarif_schema();
    let validator = jsonschema::draft4::new(&schema).expect("a sound schema");
    for example in EXAMPLES {
        let said = diff(example, &["--format", "sarif"]).1;
        let mut log: Json = serde_json::from_str(&said).expect("JSON");
        let wrong: Vec<_> = validator
            .iter_errors(&log)
            .map(|it| it.to_string())
            .collect();
        assert!(wrong.is_empty(), "{example}: {wrong:#?}");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        for result in run["results"].as_array().expect("results") {
            assert!(
                rules.iter().any(|rule| rule["id"] == result["ruleId"]),
                "{result}"
            );
            let place = &result["locations"][0]["physicalLocation"];
            let file = place["artifactLocation"]["uri"].as_str().expect("a URI");
            let text = fs::read_to_string(root().join(file)).expect("the file that is named");
            let line = place["region"]["startLine"].as_u64().expect("a line");
            assert!(text.lines().count() as u64 >= line, "{file}:{line}");
        }
        // The validator is no rubber stamp.
        log["runs"][0]["results"][0]["level"] = "grave".into();
        assert!(!validator.is_valid(&log));
    }
}

/// A project in a folder of its own, with one file edited.
fn edited(name: &str, file: &str, from: &str, to: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("reviews")
        .join(name);
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(root().join("examples/wildcard/before")).expect("the example") {
        let path = entry.expect("an entry").path();
        let copy = folder.join(path.file_name().expect("a name"));
        fs::copy(path, copy).expect("a copy");
    }
    let file = folder.join(file);
    let text = fs::read_to_string(&file).expect("the file");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).expect("the file");
    folder
}

#[test]
fn what_break_glass_comes_to_open_counts_as_widening() {
    let new = edited(
        "unlocked",
        "access.yaml",
        "close_ticket]}}",
        "close_ticket]}, destructive: {helpdesk: [delete_customer]}}",
    );
    let new = new.to_str().expect("UTF-8");
    let old = "examples/wildcard/before";
    let (code, said) = latchkey(&["diff", old, new, "--fail-on", "widening"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("Unlocked: denied before") && said.contains("[destructive]"),
        "{said}"
    );
    let (code, said) = latchkey(&["diff", new, old, "--fail-on", "widening"]);
    assert!(code == 0 && !said.contains("Unlocked"), "{said}");
}

/// What `diff` says of two projects, and how it ends when widening fails it.
fn compared(old: &Path, new: &Path) -> (i32, String) {
    let [old, new] = [old, new].map(|it| it.to_str().expect("UTF-8"));
    latchkey(&["diff", old, new, "--fail-on", "widening"])
}

#[test]
fn where_a_server_is_and_how_it_is_enforced_is_said_with_both_values() {
    let old = root().join("examples/wildcard/before");
    let upstream = "upstream: http://127.0.0.1:9000/mcp";
    for (name, from, to, wanted) in [
        (
            "upstream",
            upstream,
            "upstream: http://127.0.0.1:9999/mcp",
            "`upstream` of server `helpdesk` differs: it was `http://127.0.0.1:9000/mcp` and is \
             `http://127.0.0.1:9999/mcp`",
        ),
        (
            "command",
            "transport: mcp\n    upstream: http://127.0.0.1:9000/mcp",
            "transport: mcp-stdio\n    command: [/usr/bin/helpdesk, --all]",
            "`command` of server `helpdesk` differs: it was not set and is \
             `[\"/usr/bin/helpdesk\",\"--all\"]`",
        ),
        (
            "disclose",
            upstream,
            "upstream: http://127.0.0.1:9000/mcp\n    disclose: full",
            "`disclose` of server `helpdesk` differs: it was code and is full",
        ),
        (
            "body",
            upstream,
            "upstream: http://127.0.0.1:9000/mcp\n    limits: {body: 2MiB}",
            "`limits.body` of server `helpdesk` differs: it was 1048576 bytes and is 2097152 bytes",
        ),
        (
            "audit",
            "reply:\n        risk: write",
            "reply:\n        risk: write\n        audit: [text]",
            "other arguments are logged: it was none and is `text`",
        ),
    ] {
        let new = edited(name, "helpdesk.yaml", from, to);
        let (code, said) = compared(&old, &new);
        assert!(code == 1 && flat(&said).contains(wanted), "{name}: {said}");
    }
}

#[test]
fn a_surface_that_leaves_its_requests_to_a_wider_one_is_told() {
    let resources = |name: &str, narrow: &str| {
        let more = format!(
            "    resources:\n      note: {{uri: \"file:///notes/{{name}}\", risk: read}}\n{narrow}    \
             tools:"
        );
        edited(name, "helpdesk.yaml", "    tools:", &more)
    };
    let narrow = "      secret: {uri: \"file:///notes/secret\", risk: read}\n";
    let wide = resources("wide", "");
    let both = resources("both", narrow);
    let apart = resources("apart", &narrow.replace("notes/secret", "keys/secret"));
    let (code, said) = compared(&both, &wide);
    let wanted = "requests that it matched can match `note` now";
    assert!(code == 1 && flat(&said).contains(wanted), "{said}");
    let (code, said) = compared(&wide, &both);
    let wanted = "requests that matched `note` can match it now";
    assert!(code == 1 && flat(&said).contains(wanted), "{said}");
    let (code, said) = compared(&apart, &wide);
    assert!(code == 0 && !said.contains("`note`"), "{said}");
}

/// A text without its line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn findings_in_sarif_satisfy_the_published_schema() {
    let schema = sarif_schema();
    let validator = jsonschema::draft4::new(&schema).expect("a sound schema");
    for project in ["policies", "compiler/tests/mistakes"] {
        let (_, said) = latchkey(&["-C", project, "check", "--format", "sarif"]);
        let log: Json = serde_json::from_str(&said).expect("JSON");
        let wrong: Vec<_> = validator
            .iter_errors(&log)
            .map(|it| it.to_string())
            .collect();
        assert!(wrong.is_empty(), "{project}: {wrong:#?}");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        for result in run["results"].as_array().expect("results") {
            let rule = rules.iter().find(|rule| rule["id"] == result["ruleId"]);
            assert!(rule.is_some(), "{result}");
            let place = &result["locations"][0]["physicalLocation"];
            let file = place["artifactLocation"]["uri"].as_str().expect("a URI");
            assert!(root().join(file).is_file(), "{file}");
        }
    }
    // Each mistake is a result, and an annotation in a workflow.
    let (_, sarif) = latchkey(&[
        "-C",
        "compiler/tests/mistakes",
        "check",
        "--format",
        "sarif",
    ]);
    let log: Json = serde_json::from_str(&sarif).expect("JSON");
    let results = log["runs"][0]["results"].as_array().expect("results").len();
    let (code, github) = latchkey(&[
        "-C",
        "compiler/tests/mistakes",
        "check",
        "--format",
        "github",
    ]);
    assert_eq!(code, 1);
    let commands = github.lines().filter(|line| line.starts_with("::"));
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), results);
    assert!(
        commands.iter().all(|it| it.contains("title=LK")),
        "{github}"
    );
}
