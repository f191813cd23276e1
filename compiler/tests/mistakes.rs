//! Thirty mistakes in twelve files are thirty findings in one run, each at its exact place.
//!
//! `LATCHKEY_BLESS=1` rewrites `tests/golden/mistakes`, the report in every format.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop"
)]

use std::{path::Path, process::Command};

use serde_json::Value as Json;

fn check(format: &str) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes"))
        .args(["check", "--at", "2026-12-01", "--format", format])
        .env_clear()
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    assert!(
        output.stderr.is_empty(),
        "{:?}",
        String::from_utf8(output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code().expect("an exit code"), text)
}

/// The marked text of a finding.
fn marked(label: &Json) -> String {
    let file = label["file"].as_str().expect("a file");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/mistakes")
        .join(file);
    let text = std::fs::read_to_string(path).expect("the file");
    let offset = |side: &str| {
        usize::try_from(label[side]["offset"].as_u64().expect("an offset")).expect("a position")
    };
    text[offset("start")..offset("end")].to_owned()
}

/// Code, place and the text that is underlined, in the order of the report.
const EXPECTED: &[&str] = &[
    "LK0015 access/rules.yaml:2 no-message",
    "LK4009 access/rules.yaml:6 \"ten\"",
    "LK4001 access/rules.yaml:11 ",
    "LK3009 access/sales.yaml:2 \"2026-01-01\"",
    "LK0017 access/sales.yaml:3 everyone",
    "LK1004 access/sales.yaml:4 seler",
    "LK1005 groups.yaml:2 evee",
    "LK0019 groups.yaml:3 []",
    "LK0014 latchkey.toml:6 unused-rol",
    "LK0014 org.yaml:2 team",
    "LK0017 org.yaml:3 0192F0C1",
    "LK0014 org.yaml:8 audience",
    "LK1001 org.yaml:14 initek",
    "LK0017 people.yaml:2 humen",
    "LK1001 people.yaml:3 initech/sale",
    "LK1002 people.yaml:4 sales-idb",
    "LK1011 people.yaml:6 u-4",
    "LK1005 people.yaml:7 dann",
    "LK1008 roles.yaml:2 read_tickets",
    "LK3002 roles.yaml:3 wipe_ticket",
    "LK3001 roles.yaml:4 looper",
    "LK1003 roles.yaml:5 raeder",
    "LK0014 servers/crm.yaml:6 rsk",
    "LK0017 servers/crm.yaml:7 30 per minute",
    "LK5009 servers/desk.yaml:6 Cards",
    "LK2001 servers/desk.yaml:15 public",
    "LK0020 teams/broken.yaml:1 budgets",
    "LK0021 teams/twice.yaml:2 dan",
    "LK0011 teams/twice.yaml:2 no",
    "LK6001 tests/desk.yaml:9 alow",
];

#[test]
fn thirty_mistakes_are_thirty_findings_at_their_places() {
    let (code, text) = check("json");
    assert_eq!(code, 1);
    let report: Json = serde_json::from_str(&text).expect("JSON");
    let found = report["diagnostics"].as_array().expect("findings");
    let found: Vec<_> = found
        .iter()
        .map(|finding| {
            let label = &finding["labels"][0];
            assert_eq!(label["primary"], true);
            let (code, file) = (&finding["code"], &label["file"]);
            let line = &label["start"]["line"];
            let (code, file) = (
                code.as_str().expect("a code"),
                file.as_str().expect("a file"),
            );
            format!("{code} {file}:{line} {}", marked(label))
        })
        .collect();
    assert_eq!(found, EXPECTED);
    assert_eq!(found.len(), 30);
    assert_eq!(report["summary"]["errors"], 30);
    assert_eq!(report["summary"]["files"], 12);
}

/// The formats, each with what begins a finding in it.
const FORMATS: [(&str, &str, &str); 5] = [
    ("human", "txt", "error[LK"),
    ("json", "json", "\"code\":\"LK"),
    ("sarif", "sarif", "\"ruleId\":\"LK"),
    ("github", "commands.txt", "::error "),
    ("junit", "xml", "<failure "),
];

#[test]
fn the_report_is_the_same_every_time_in_every_format() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/mistakes");
    for (format, extension, finding) in FORMATS {
        let (code, first) = check(format);
        assert_eq!(code, 1, "{format}");
        assert_eq!(check(format).1, first);
        assert_eq!(first.matches(finding).count(), EXPECTED.len(), "{first}");
        let first = first.replace(env!("CARGO_PKG_VERSION"), "[version]");
        let file = golden.join(format!("check.{extension}"));
        if std::env::var_os("LATCHKEY_BLESS").is_some() {
            std::fs::create_dir_all(&golden).expect("a folder");
            std::fs::write(&file, &first).expect("a file");
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            first, expected,
            "bless with LATCHKEY_BLESS=1 if this is right"
        );
    }
}

#[test]
fn the_report_satisfies_its_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/diagnostics.schema.json");
    let schema = std::fs::read_to_string(path).expect("the schema");
    let schema = latchkey_gate::schema::compile(&schema).expect("a sound schema");
    let report: Json = serde_json::from_str(&check("json").1).expect("JSON");
    assert!(schema.is_valid(&report));
}
