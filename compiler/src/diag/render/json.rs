//! The JSON form of a report, `version` 1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::diag::{Diagnostic, Label, Report, Severity};
use crate::source::{SourceMap, Span};

/// The version of this form; raised on any breaking change.
pub const VERSION: u32 = 1;

/// The whole report as one JSON value. Lines and columns count from 1 and columns in characters;
/// offsets are bytes.
pub fn render(report: &Report, sources: &SourceMap) -> Value {
    let diagnostics: Vec<_> = report
        .diagnostics
        .iter()
        .map(|found| diagnostic(found, sources))
        .collect();
    json!({
        "version": VERSION,
        "diagnostics": diagnostics,
        "summary": {
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
            "suppressed": report.suppressed,
            "files": sources.files().count(),
        },
    })
}

fn diagnostic(found: &Diagnostic, sources: &SourceMap) -> Value {
    let labels: Vec<_> = found
        .labels
        .iter()
        .map(|each| label(each, sources))
        .collect();
    let fixes: Vec<_> = found.fixes.iter().map(|each| fix(each, sources)).collect();
    let mut value = BTreeMap::from([
        ("code", json!(found.code.id)),
        ("slug", json!(found.code.slug)),
        ("severity", json!(found.severity.name())),
        ("message", json!(found.message)),
        ("labels", json!(labels)),
        ("fixes", json!(fixes)),
    ]);
    if !found.notes.is_empty() {
        value.insert("notes", json!(found.notes));
    }
    if let Some(help) = &found.help {
        value.insert("help", json!(help));
    }
    json!(value)
}

fn label(label: &Label, sources: &SourceMap) -> Value {
    json!({
        "file": sources.path(label.span.file),
        "start": point(label.span, label.span.start, sources),
        "end": point(label.span, label.span.end, sources),
        "text": label.text,
        "primary": label.primary,
    })
}

fn point(span: Span, offset: u32, sources: &SourceMap) -> Value {
    let here = sources.position(Span {
        start: offset,
        end: offset,
        ..span
    });
    json!({ "line": here.line, "column": here.column, "offset": offset })
}

fn fix(fix: &crate::diag::Fix, sources: &SourceMap) -> Value {
    let edits: Vec<_> = fix
        .edits
        .iter()
        .map(|edit| {
            json!({
                "file": sources.path(edit.span.file),
                "start": edit.span.start,
                "end": edit.span.end,
                "insert": edit.insert,
            })
        })
        .collect();
    json!({ "title": fix.title, "applicability": fix.applicability.name(), "edits": edits })
}

#[cfg(test)]
mod tests {
    use crate::diag::{Applicability, Levels, Sink, codes};
    use crate::source::FileId;

    use super::*;

    #[test]
    fn the_form_is_exact() {
        let files = [("access/a.yaml".to_owned(), "é: no\n".as_bytes().to_vec())];
        let sources = SourceMap::from_files(files.into());
        let span = Span::new(FileId(0), 4..6);
        let mut sink = Sink::new();
        sink.push(
            Diagnostic::new(&codes::AMBIGUOUS_VALUE, span, "m")
                .label("here")
                .help("h")
                .fix("quote it", Applicability::Always, span, "\"no\""),
        );
        let value = render(&sink.finish(&Levels::new()), &sources);
        let expected = json!({"version":1,"diagnostics":[{"code":"LK0011","slug":"ambiguous-value",
            "severity":"error","message":"m","help":"h","labels":[{"file":"access/a.yaml",
            "start":{"line":1,"column":4,"offset":4},"end":{"line":1,"column":6,"offset":6},
            "text":"here","primary":true}],"fixes":[{"title":"quote it","applicability":"always",
            "edits":[{"file":"access/a.yaml","start":4,"end":6,"insert":"\"no\""}]}]}],
            "summary":{"errors":1,"warnings":0,"suppressed":0,"files":1}});
        assert_eq!(value, expected);
    }
}
