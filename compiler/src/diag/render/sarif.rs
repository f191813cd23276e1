//! Findings in SARIF 2.1.0, which code scanning shows beside the lines of a pull request.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::diag::{Code, Diagnostic, Report, Severity, Sink};
use crate::source::{FileId, SourceMap, Span};
use crate::syntax::{node::Node, yaml};

/// What GitHub takes of one run.
const MOST_RESULTS: usize = 5_000;

/// The report as one run. `prefix` leads from the root of the repository to the project: places
/// are relative to the root there.
pub fn render(report: &Report, sources: &SourceMap, prefix: &str) -> Json {
    let mut trees = BTreeMap::new();
    let codes: BTreeSet<&Code> = report.diagnostics.iter().map(|it| it.code).collect();
    let rules: Vec<Json> = codes.into_iter().map(rule).collect();
    let kept: Vec<&Diagnostic> = worst_first(report).take(MOST_RESULTS).collect();
    let total = report.diagnostics.len() + report.omitted_errors + report.omitted_warnings;
    let omitted = total - kept.len();
    let results: Vec<Json> = kept
        .into_iter()
        .map(|found| result(found, sources, prefix, &mut trees))
        .collect();
    let mut invocation = json!({"executionSuccessful": true});
    if let (true, Some(object)) = (omitted > 0, invocation.as_object_mut()) {
        let text = format!("{omitted} more findings are left out; `latchkey check` counts all");
        object.insert(
            "toolExecutionNotifications".to_owned(),
            json!([{"level": "warning", "message": {"text": text}}]),
        );
    }
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "latchkey",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    })
}

fn worst_first(report: &Report) -> impl Iterator<Item = &Diagnostic> {
    let order = [Severity::Error, Severity::Warning, Severity::Note];
    order.into_iter().flat_map(|severity| {
        let found = report.diagnostics.iter();
        found.filter(move |it| it.severity == severity)
    })
}

fn rule(code: &Code) -> Json {
    json!({
        "id": code.id,
        "name": code.slug,
        "shortDescription": {"text": code.title},
        "help": {
            "text": format!("latchkey explain {}", code.id),
            "markdown": code.page,
        },
        "defaultConfiguration": {"level": code.severity.name()},
        "properties": {"tags": ["security", "policy"]},
    })
}

fn result(
    found: &Diagnostic,
    sources: &SourceMap,
    prefix: &str,
    trees: &mut BTreeMap<FileId, Option<Node>>,
) -> Json {
    let mut text = found.message.clone();
    for more in found.notes.iter().chain(&found.help) {
        text.push_str(". ");
        text.push_str(more);
    }
    let mut related = Vec::new();
    for label in found.labels.iter().filter(|it| !it.primary) {
        let mut place = location(label.span, sources, prefix);
        if let Some(object) = place.as_object_mut() {
            object.insert("id".to_owned(), json!(related.len()));
            object.insert("message".to_owned(), json!({"text": label.text}));
        }
        related.push(place);
    }
    // Every result has a place: code scanning drops what has none.
    let nowhere = || {
        json!({"physicalLocation": {
            "artifactLocation": {
                "uri": uri(&format!("{prefix}{}", crate::project::FILE)),
                "uriBaseId": "%SRCROOT%",
            },
            "region": {"startLine": 1},
        }})
    };
    let main = found
        .primary()
        .map_or_else(nowhere, |span| location(span, sources, prefix));
    let path = found
        .primary()
        .map_or(String::new(), |span| path(span, sources, trees));
    json!({
        "ruleId": found.code.id,
        "level": found.severity.name(),
        "message": {"text": text},
        "locations": [main],
        "relatedLocations": related,
        // The entry and the field, and no line: a finding stays the same where others move it.
        "partialFingerprints": {
            "latchkey/v1": fingerprint(&format!("{} {path} {}", found.code.id, found.message)),
        },
    })
}

fn path(span: Span, sources: &SourceMap, trees: &mut BTreeMap<FileId, Option<Node>>) -> String {
    let tree = trees.entry(span.file).or_insert_with(|| {
        let file = sources.file(span.file)?;
        let yaml = matches!(file.path().rsplit('.').next(), Some("yaml" | "yml"));
        yaml.then(|| yaml::parse(span.file, file.text(), &mut Sink::new()).root)?
    });
    tree.as_ref()
        .map_or(String::new(), |it| it.path_at(span.start))
}

fn location(span: Span, sources: &SourceMap, prefix: &str) -> Json {
    let at = |offset| {
        sources.position(Span {
            start: offset,
            end: offset,
            ..span
        })
    };
    let (start, end) = (at(span.start), at(span.end));
    json!({"physicalLocation": {
        "artifactLocation": {
            "uri": uri(&format!("{prefix}{}", sources.path(span.file))),
            "uriBaseId": "%SRCROOT%",
        },
        "region": {
            "startLine": start.line, "startColumn": start.column,
            "endLine": end.line, "endColumn": end.column,
        },
    }})
}

/// A path as a relative URI.
pub(crate) fn uri(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// A number of the text that stays the same from run to run.
pub(crate) fn fingerprint(text: &str) -> String {
    // FNV-1a: a fingerprint tells results apart, it protects nothing.
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let hash = text.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use crate::diag::{Levels, codes};

    use super::*;

    fn log(yaml: &str, count: usize) -> Json {
        let files = [("a b.yaml".to_owned(), yaml.as_bytes().to_vec())];
        let sources = SourceMap::from_files(files.into());
        let at = yaml.find("nobody").unwrap();
        let mut sink = Sink::new();
        for number in 0..count {
            let span = Span::new(FileId(0), at..at + 6);
            let message = format!("there is no principal {number}");
            sink.push(Diagnostic::new(&codes::UNKNOWN_PRINCIPAL, span, message));
        }
        render(&sink.finish(&Levels::new()), &sources, "policies/")
    }

    #[test]
    fn a_finding_keeps_its_fingerprint_where_lines_move_and_not_elsewhere() {
        let print = |yaml: &str| {
            let log = log(yaml, 1);
            let result = &log["runs"][0]["results"][0];
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], "policies/a%20b.yaml");
            result["partialFingerprints"]["latchkey/v1"].clone()
        };
        let one = print("bindings:\n  b: {who: [nobody]}\n");
        let moved = print("# more\n\nbindings:\n  a: {}\n  b: {in: acme, who: [nobody]}\n");
        let other = print("bindings:\n  c: {who: [nobody]}\n");
        assert_eq!(one, moved);
        assert_ne!(one, other);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let log = log("bindings: nobody", MOST_RESULTS + 3);
        let run = &log["runs"][0];
        assert_eq!(run["results"].as_array().unwrap().len(), MOST_RESULTS);
        let said = &run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"];
        assert!(said.as_str().unwrap().starts_with("3 more"), "{said}");
    }
}
