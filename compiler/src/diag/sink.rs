//! Where findings are collected, ordered and counted.

use std::collections::BTreeMap;

use super::{Code, Diagnostic, Severity};
use crate::source::Span;

/// What `latchkey.toml` says about one lint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Silenced, and counted as suppressed.
    Allow,
    /// Shown as a warning.
    Warn,
    /// Shown as an error.
    Deny,
}

/// Levels by slug. Errors are not changed by a level: they cannot be silenced.
pub type Levels = BTreeMap<String, Level>;

/// After so many findings the rest is only counted: nobody reads them, and hostile input must not
/// exhaust memory.
pub const MOST: usize = 10_000;

/// Collects findings of all stages.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    found: Vec<Diagnostic>,
    omitted_errors: usize,
    omitted_warnings: usize,
    suppressed: usize,
}

impl Sink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            _ if self.found.len() < MOST => self.found.push(diagnostic),
            Severity::Error => self.omitted_errors += 1,
            Severity::Warning | Severity::Note => self.omitted_warnings += 1,
        }
    }

    /// Adds all that another sink has.
    pub fn append(&mut self, other: Self) {
        self.omitted_errors += other.omitted_errors;
        self.omitted_warnings += other.omitted_warnings;
        self.suppressed += other.suppressed;
        for found in other.found {
            self.push(found);
        }
    }

    /// What was found, in the order in which it was.
    pub fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Counts a warning that a comment silenced at its place.
    pub fn suppressed(&mut self) {
        self.suppressed += 1;
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.suppressed == 0
    }

    /// Whether an error was found so far; lint levels are not considered.
    pub fn has_errors(&self) -> bool {
        let shown = self
            .found
            .iter()
            .any(|found| found.severity == Severity::Error);
        shown || self.omitted_errors > 0
    }

    /// Every place that a finding marks or would edit.
    pub(crate) fn places(&self) -> impl Iterator<Item = Span> {
        self.found.iter().flat_map(|found| {
            let labels = found.labels.iter().map(|label| label.span);
            let edits = found.fixes.iter().flat_map(|fix| &fix.edits);
            labels.chain(edits.map(|edit| edit.span))
        })
    }

    /// How many findings of a code were kept so far.
    pub fn count(&self, code: &Code) -> usize {
        self.found.iter().filter(|it| it.code == code).count()
    }

    /// Everything found, ordered by file, offset and code, without repetition, at these levels.
    pub fn finish(self, levels: &Levels) -> Report {
        let mut report = Report {
            omitted_errors: self.omitted_errors,
            omitted_warnings: self.omitted_warnings,
            suppressed: self.suppressed,
            ..Report::default()
        };
        let mut found = self.found;
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        found.dedup_by(|a, b| a.order() == b.order() && a.labels == b.labels);
        for mut diagnostic in found {
            if diagnostic.severity == Severity::Warning {
                match levels.get(diagnostic.code.slug) {
                    Some(Level::Allow) => {
                        report.suppressed += 1;
                        continue;
                    }
                    Some(Level::Deny) => diagnostic.severity = Severity::Error,
                    Some(Level::Warn) | None => {}
                }
            }
            report.diagnostics.push(diagnostic);
        }
        report
    }
}

/// The findings of one run, ready to be shown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings in order.
    pub diagnostics: Vec<Diagnostic>,
    /// How many warnings were silenced.
    pub suppressed: usize,
    /// How many errors were counted and not kept.
    pub omitted_errors: usize,
    /// How many warnings and notes were counted and not kept.
    pub omitted_warnings: usize,
}

impl Report {
    /// How many findings have this severity, those that were not kept included.
    pub fn count(&self, severity: Severity) -> usize {
        let kept = self
            .diagnostics
            .iter()
            .filter(|found| found.severity == severity)
            .count();
        let omitted = match severity {
            Severity::Error => self.omitted_errors,
            Severity::Warning => self.omitted_warnings,
            Severity::Note => 0,
        };
        kept + omitted
    }

    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

#[cfg(test)]
mod tests {
    use crate::diag::codes::{NOT_UTF8, YAML_SYNTAX};
    use crate::source::{FileId, Span};

    use super::*;

    static LINT: Code = Code {
        id: "LK8999",
        slug: "a-lint",
        severity: Severity::Warning,
        title: "A lint for this test",
        page: "",
    };

    fn at(code: &'static Code, file: u32, start: usize) -> Diagnostic {
        Diagnostic::new(code, Span::new(FileId(file), start..start + 1), "x")
    }

    #[test]
    fn findings_are_ordered_by_file_offset_and_code_and_said_once() {
        let mut sink = Sink::new();
        for found in [(1, 0), (0, 9), (0, 2), (0, 9)] {
            sink.push(at(&YAML_SYNTAX, found.0, found.1));
        }
        sink.push(at(&NOT_UTF8, 0, 9));
        let report = sink.finish(&Levels::new());
        let order: Vec<_> = report
            .diagnostics
            .iter()
            .map(|found| {
                (
                    found.primary().unwrap().file.0,
                    found.primary().unwrap().start,
                    found.code.id,
                )
            })
            .collect();
        let expected = [
            (0, 2, "LK0004"),
            (0, 9, "LK0002"),
            (0, 9, "LK0004"),
            (1, 0, "LK0004"),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn levels_raise_and_silence_warnings_but_never_errors() {
        let run = |slug: &str, level| {
            let mut sink = Sink::new();
            sink.push(at(&LINT, 0, 0));
            sink.push(at(&YAML_SYNTAX, 0, 0));
            let report = sink.finish(&Levels::from([(slug.to_owned(), level)]));
            (
                report.count(Severity::Error),
                report.count(Severity::Warning),
                report.suppressed,
            )
        };
        assert_eq!(run("a-lint", Level::Allow), (1, 0, 1));
        assert_eq!(run("a-lint", Level::Deny), (2, 0, 0));
        assert_eq!(run("a-lint", Level::Warn), (1, 1, 0));
        assert_eq!(run("yaml-syntax", Level::Allow), (1, 1, 0));
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut sink = Sink::new();
        for start in 0..MOST + 5 {
            sink.push(at(&YAML_SYNTAX, 0, start));
        }
        assert!(sink.has_errors());
        let report = sink.finish(&Levels::new());
        assert_eq!(report.diagnostics.len(), MOST);
        assert_eq!(report.count(Severity::Error), MOST + 5);
    }
}
