//! Findings as `JUnit` XML, for places that show nothing but test results.

use std::fmt::Write as _;

use crate::diag::{Diagnostic, Report, Severity};
use crate::source::SourceMap;

/// The report as one suite with a case for each finding: errors fail, the rest passes and says what
/// it is. A clean project is one case that passes.
pub fn render(report: &Report, sources: &SourceMap) -> String {
    let failures = report.count(Severity::Error);
    let omitted = report.omitted_errors + report.omitted_warnings;
    let mut cases: Vec<String> = report
        .diagnostics
        .iter()
        .map(|found| case(found, sources))
        .collect();
    if omitted > 0 {
        let text = format!("{omitted} more findings are counted and not listed");
        let text = if report.omitted_errors > 0 {
            format!("<failure message=\"{text}\"/>")
        } else {
            format!("<system-out>{text}</system-out>")
        };
        cases.push(row("project", "more", &text));
    }
    if cases.is_empty() {
        cases.push(row("project", "no finding", ""));
    }
    let shown = report.diagnostics.iter();
    let shown = shown.filter(|it| it.severity == Severity::Error).count();
    let failed = shown + usize::from(failures > shown);
    let counts = format!("tests=\"{}\" failures=\"{failed}\"", cases.len());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"latchkey\" {counts}>\n  <testsuite name=\"check\" {counts}>\n\
         {}  </testsuite>\n</testsuites>\n",
        cases.concat(),
    )
}

fn case(found: &Diagnostic, sources: &SourceMap) -> String {
    let (file, place) = match found.primary() {
        Some(span) => (sources.path(span.file), sources.place(span)),
        None => ("project", String::new()),
    };
    let title = format!("{} {} {place}", found.code.id, found.code.slug);
    let mut text = place;
    for more in found.notes.iter().chain(&found.help) {
        let _ = write!(text, "\n{more}");
    }
    let (message, text) = (escaped(&found.message), escaped(text.trim()));
    let body = match found.severity {
        Severity::Error => format!("<failure message=\"{message}\">{text}</failure>"),
        Severity::Warning | Severity::Note => {
            let kind = found.severity.name();
            format!("<system-out>{kind}: {message}&#10;{text}</system-out>")
        }
    };
    row(file, title.trim(), &body)
}

fn row(class: &str, name: &str, body: &str) -> String {
    let (class, name) = (escaped(class), escaped(name));
    if body.is_empty() {
        return format!("    <testcase classname=\"{class}\" name=\"{name}\"/>\n");
    }
    format!("    <testcase classname=\"{class}\" name=\"{name}\">\n      {body}\n    </testcase>\n")
}

/// Text as XML content or as an attribute; controls that XML cannot hold become spaces.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::diag::{Levels, Sink, codes};
    use crate::source::{FileId, Span};

    use super::*;

    #[test]
    fn errors_fail_and_warnings_pass_and_text_is_escaped() {
        let files = [("a.yaml".to_owned(), b"x: no\n".to_vec())];
        let sources = SourceMap::from_files(files.into());
        let clean = render(&Report::default(), &sources);
        assert!(clean.contains("tests=\"1\" failures=\"0\""), "{clean}");
        let mut sink = Sink::new();
        let at = |range| Span::new(FileId(0), range);
        sink.push(Diagnostic::new(&codes::UNUSED_ROLE, at(0..1), "nobody"));
        sink.push(Diagnostic::new(&codes::AMBIGUOUS_VALUE, at(3..5), "a < \"b\"").help("h"));
        let text = render(&sink.finish(&Levels::new()), &sources);
        assert!(text.contains("tests=\"2\" failures=\"1\""), "{text}");
        let failure = "<failure message=\"a &lt; &quot;b&quot;\">a.yaml:1:4&#10;h</failure>";
        assert!(text.contains(failure), "{text}");
        assert!(text.contains("<system-out>warning: nobody"), "{text}");
    }
}
