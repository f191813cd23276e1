//! Workflow commands of GitHub Actions: each finding beside its line in a pull request.

use std::fmt::Write as _;

use crate::diag::{Diagnostic, Report, Severity};
use crate::source::{SourceMap, Span};

/// The report as workflow commands, the worst first, and a summary line. `prefix` leads from the
/// root of the repository to the project.
pub fn render(report: &Report, sources: &SourceMap, prefix: &str) -> String {
    let mut out = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let found = report.diagnostics.iter();
        for found in found.filter(|it| it.severity == severity) {
            command(found, sources, prefix, &mut out);
        }
    }
    out.push_str(&super::human::summary(report, sources));
    out
}

fn command(found: &Diagnostic, sources: &SourceMap, prefix: &str, out: &mut String) {
    let kind = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let place = found
        .primary()
        .map_or(String::new(), |span| place(span, sources, prefix));
    let title = property(&format!("{} {}", found.code.id, found.code.slug));
    let mut text = found.message.clone();
    for more in found.notes.iter().chain(&found.help) {
        text.push('\n');
        text.push_str(more);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "::{kind} {place}title={title}::{}", data(&text));
}

fn place(span: Span, sources: &SourceMap, prefix: &str) -> String {
    let at = |offset| {
        sources.position(Span {
            start: offset,
            end: offset,
            ..span
        })
    };
    let (start, end) = (at(span.start), at(span.end));
    let file = property(&format!("{prefix}{}", sources.path(span.file)));
    let mut place = format!("file={file},line={},endLine={},", start.line, end.line);
    // Columns are only understood within one line.
    if start.line == end.line {
        let _ = write!(place, "col={},endColumn={},", start.column, end.column);
    }
    place
}

/// Text after `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use crate::diag::{Levels, Sink, codes};
    use crate::source::FileId;

    use super::*;

    #[test]
    fn the_worst_comes_first_and_what_steers_is_escaped() {
        let files = [("a,b.yaml".to_owned(), "é: no\n".as_bytes().to_vec())];
        let sources = SourceMap::from_files(files.into());
        let mut sink = Sink::new();
        let at = |range| Span::new(FileId(0), range);
        sink.push(Diagnostic::new(&codes::UNUSED_ROLE, at(0..2), "50%\nof"));
        sink.push(Diagnostic::new(&codes::AMBIGUOUS_VALUE, at(4..6), "m").help("h"));
        let text = render(&sink.finish(&Levels::new()), &sources, "policies/");
        assert_eq!(
            text,
            "::error file=policies/a%2Cb.yaml,line=1,endLine=1,col=4,endColumn=6,\
             title=LK0011 ambiguous-value::m%0Ah\n\
             ::warning file=policies/a%2Cb.yaml,line=1,endLine=1,col=1,endColumn=2,\
             title=LK3012 unused-role::50%25%0Aof\n1 error, 1 warning in 1 file\n"
        );
    }
}
