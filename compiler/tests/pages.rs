//! Every code page: its failing example emits exactly its code at the marked lines, and the fixed
//! one does not.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use latchkey::{
    Findings,
    diag::{
        Levels, Report, Severity, codes,
        examples::{Example, examples},
    },
    findings,
    source::{Lasting, SourceMap},
};
use latchkey_engine::time::Time;

fn checked(example: &Example) -> (SourceMap, Report) {
    let today = Time::parse("2026-12-01").expect("a date");
    let tree: Lasting = Arc::new(example.files.clone());
    let Findings { sources, sink, .. } = findings(&tree, today);
    (sources, sink.finish(&Levels::new()))
}

/// Findings of a page: the errors, or for the page of a warning its own findings.
fn relevant(report: &Report, code: &codes::Code, sources: &SourceMap) -> Vec<(String, String)> {
    let of_interest = |id: &str, severity: Severity| match code.severity {
        Severity::Error => severity == Severity::Error,
        Severity::Warning | Severity::Note => id == code.id || severity == Severity::Error,
    };
    let found = report.diagnostics.iter();
    found
        .filter(|found| of_interest(found.code.id, found.severity))
        .map(|found| {
            let place = found.primary().map(|span| {
                format!(
                    "{}:{}",
                    sources.path(span.file),
                    sources.position(span).line
                )
            });
            (place.unwrap_or_default(), found.code.id.to_owned())
        })
        .collect()
}

#[test]
fn every_page_fires_at_its_marks_and_its_fix_is_clean() {
    let mut wrong = Vec::new();
    for code in codes::TABLE {
        let examples = examples(code.page);
        // What only a build or a command can find has no example.
        if examples.is_empty() && code.id.starts_with("LK7") {
            continue;
        }
        let [failing, fixed] = examples.as_slice() else {
            wrong.push(format!("{} needs a failing and a fixed example", code.id));
            continue;
        };
        let (sources, report) = checked(failing);
        let found = relevant(&report, code, &sources);
        let mut expected: Vec<_> = failing
            .expect
            .iter()
            .map(|mark| (format!("{}:{}", mark.file, mark.line), mark.code.clone()))
            .collect();
        if expected.is_empty() {
            expected.push((String::new(), code.id.to_owned()));
        }
        if found != expected {
            let messages: Vec<_> = report.diagnostics.iter().map(|it| &it.message).collect();
            wrong.push(format!(
                "{}: found {found:?}, not {expected:?}: {messages:?}",
                code.id
            ));
        }
        let (sources, report) = checked(fixed);
        let left = relevant(&report, code, &sources);
        if !left.is_empty() {
            let messages: Vec<_> = report.diagnostics.iter().map(|it| &it.message).collect();
            wrong.push(format!("{} fixed: {left:?}: {messages:?}", code.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Numbers that were given up. They are never given to another finding.
const RETIRED: &[&str] = &[];

#[test]
fn every_code_has_one_page_and_every_page_one_code() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codes");
    let pages = std::fs::read_dir(folder).expect("the folder of pages");
    let mut pages: Vec<_> = pages
        .map(|page| {
            page.expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    pages.sort();
    let codes: Vec<_> = codes::TABLE
        .iter()
        .map(|code| format!("{}.md", code.id))
        .collect();
    assert_eq!(pages, codes);
    for code in codes::TABLE {
        assert!(!RETIRED.contains(&code.id), "{} is retired", code.id);
        let text = code
            .page
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        assert!(text.count() > 2, "{} explains nothing", code.id);
    }
    let warnings = codes::TABLE
        .iter()
        .filter(|code| code.severity == Severity::Warning)
        .count();
    println!("{} codes, {warnings} of them lints", codes.len());
    assert!(codes.len() >= 120 && warnings >= 35);
}
