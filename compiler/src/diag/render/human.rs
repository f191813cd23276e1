//! The form for people: the source with the place underlined, then what to do.

use std::fmt;

use miette::{
    Diagnostic as MietteDiagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan,
    NamedSource, SourceCode,
};

use crate::diag::{Diagnostic, Label, Report, Severity};
use crate::source::{FileId, SourceMap};

/// How to draw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to draw with Unicode; plain ASCII otherwise.
    pub unicode: bool,
    /// The width of the page, in characters.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            colour: false,
            unicode: true,
            width: 100,
        }
    }
}

/// So many findings are drawn; the summary counts all, and the JSON form lists them.
pub const MOST: usize = 200;

/// Longer lines, in bytes, are not drawn; their findings are said in one line each.
const LONGEST_LINE: usize = 1000;
/// Findings over more lines are not drawn either.
const MOST_LINES: u32 = 100;

/// The report as text, with a summary line at the end.
pub fn render(report: &Report, sources: &SourceMap, style: Style) -> String {
    let mut out = drawn(&report.diagnostics, sources, style);
    out.push_str(&summary(report, sources));
    out
}

/// Findings as text, without a summary.
pub fn drawn(found: &[Diagnostic], sources: &SourceMap, style: Style) -> String {
    let handler = handler(style);
    let mut out = String::new();
    let total = found.len();
    for found in found.iter().take(MOST) {
        let drawable = found.labels.iter().all(|label| fits(label, sources));
        let drawn = drawable
            && handler
                .render_report(&mut out, &Drawn::new(found, sources))
                .is_ok();
        if !drawn {
            // What cannot be drawn is still said.
            out.push_str(&plain(found, sources));
        }
        out.push('\n');
    }
    if let Some(more) = total.checked_sub(MOST).filter(|&more| more > 0) {
        let more = counted(more, "finding");
        out.push_str(&more);
        out.push_str(" more, not drawn here; `--format json` lists them\n");
    }
    out
}

/// The counts of a report in one line.
pub fn summary(report: &Report, sources: &SourceMap) -> String {
    let files = counted(sources.files().count(), "file");
    let silenced = match report.suppressed {
        0 => String::new(),
        count => format!(" ({count} silenced)"),
    };
    let (errors, warnings) = (
        report.count(Severity::Error),
        report.count(Severity::Warning),
    );
    if errors + warnings == 0 {
        return format!("no findings in {files}{silenced}\n");
    }
    let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
    format!("{errors}, {warnings}{silenced} in {files}\n")
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn handler(style: Style) -> GraphicalReportHandler {
    let mut theme = match (style.colour, style.unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (_, false) => GraphicalTheme::none(),
    };
    if !style.unicode {
        theme.characters = miette::ThemeCharacters::ascii();
    }
    GraphicalReportHandler::new_themed(theme)
        .with_width(style.width)
        .with_links(false)
        .with_context_lines(1)
}

/// Whether the lines around a label are of a length that a page can show.
fn fits(label: &Label, sources: &SourceMap) -> bool {
    let Some(file) = sources.file(label.span.file) else {
        return false;
    };
    let line = file.position(label.span.start as usize).line;
    let last = file.position(label.span.end as usize).line;
    let mut around = line.saturating_sub(1)..=last.saturating_add(1);
    last - line <= MOST_LINES
        && around.all(|line| {
            file.line(line)
                .is_none_or(|range| range.len() <= LONGEST_LINE)
        })
}

fn plain(found: &Diagnostic, sources: &SourceMap) -> String {
    let place = found
        .primary()
        .map_or(String::new(), |span| format!(" {}", sources.place(span)));
    let help = found
        .help
        .as_ref()
        .map_or(String::new(), |help| format!("\n  help: {help}"));
    let (severity, code) = (found.severity.name(), found.code.id);
    visible(&format!(
        "{severity}[{code}]{place}: {}{help}\n",
        found.message
    ))
}

/// A diagnostic as the drawing library wants it: one file each, the others as related reports.
#[derive(Debug)]
struct Drawn {
    message: String,
    code: Option<String>,
    severity: miette::Severity,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Drawn>,
}

impl Drawn {
    fn new(found: &Diagnostic, sources: &SourceMap) -> Self {
        let severity = match found.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        };
        let home = found.primary().map(|span| span.file);
        let mut help = found.notes.clone();
        help.extend(found.help.clone());
        let help = (!help.is_empty()).then(|| visible(&help.join("\n")));
        Self {
            message: visible(&found.message),
            code: Some(format!(
                "{}[{}] {}",
                found.severity.name(),
                found.code.id,
                found.code.slug
            )),
            severity,
            help,
            source: home.and_then(|file| source(file, sources)),
            labels: labels(
                found
                    .labels
                    .iter()
                    .filter(|label| Some(label.span.file) == home),
            ),
            related: found
                .labels
                .iter()
                .filter(|label| Some(label.span.file) != home)
                .map(|label| Self::elsewhere(label, sources))
                .collect(),
        }
    }

    fn elsewhere(label: &Label, sources: &SourceMap) -> Self {
        Self {
            message: visible(&label.text),
            code: None,
            severity: miette::Severity::Advice,
            help: None,
            source: source(label.span.file, sources),
            labels: vec![LabeledSpan::underline(label.span.range())],
            related: Vec::new(),
        }
    }
}

fn source(file: FileId, sources: &SourceMap) -> Option<NamedSource<String>> {
    sources
        .file(file)
        .map(|file| NamedSource::new(visible(file.path()), visible(file.text())))
}

/// Text that cannot steer the terminal or hide what it says; every byte keeps its offset.
pub(crate) fn visible(text: &str) -> String {
    let steers = |c: char| {
        let bidirectional = matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}');
        bidirectional || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    };
    let shown = |c: char| match c.len_utf8() {
        _ if !steers(c) => c,
        1 => '?',
        2 => '\u{b7}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(shown).collect()
}

fn labels<'a>(labels: impl Iterator<Item = &'a Label>) -> Vec<LabeledSpan> {
    labels
        .map(|label| {
            let text = (!label.text.is_empty()).then(|| visible(&label.text));
            if label.primary {
                LabeledSpan::new_primary_with_span(text, label.span.range())
            } else {
                LabeledSpan::new_with_span(text, label.span.range())
            }
        })
        .collect()
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn {}

impl MietteDiagnostic for Drawn {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code
            .as_ref()
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn MietteDiagnostic> + 'a>> {
        let related = self
            .related
            .iter()
            .map(|each| each as &dyn MietteDiagnostic);
        Some(Box::new(related))
    }
}

#[cfg(test)]
mod tests;
