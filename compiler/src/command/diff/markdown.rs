//! A report as a comment on a pull request.

use std::fmt::Write as _;

use crate::diff::{Change, Finding, Report, State};

/// The most findings that are spelled out; a comment has to stay readable.
const MOST: usize = 100;

/// The report in GitHub's Markdown.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    if !report.changes() {
        return writeln!(
            out,
            "### No access changes\n\nEvery call has the same outcome."
        );
    }
    let sum = &report.summary;
    writeln!(out, "### Access changes\n")?;
    writeln!(
        out,
        "{} widened, {} loosened, {} narrowed, {} tightened, {} with another reason, {} undecided\n",
        sum.widened, sum.loosened, sum.narrowed, sum.tightened, sum.reason, sum.undecided
    )?;
    if !report.findings.is_empty() {
        writeln!(
            out,
            "| change | who | what | where | when | before | after | places |"
        )?;
        writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    }
    for finding in report.findings.iter().take(MOST) {
        row(finding, out)?;
    }
    let rest = report.findings.len().saturating_sub(MOST);
    if rest > 0 {
        writeln!(out, "\n{rest} more; run `latchkey diff` to see them.")?;
    }
    if !report.undecided.is_empty() {
        writeln!(out, "\n**Cannot be told, and counts as widening:**\n")?;
        for gap in &report.undecided {
            let place = gap.place.as_deref().unwrap_or_default();
            writeln!(
                out,
                "- {}: {} {}",
                code(&gap.surface),
                cell(&gap.why),
                code(place)
            )?;
        }
    }
    Ok(())
}

fn row(finding: &Finding, out: &mut String) -> std::fmt::Result {
    let mark = match finding.change {
        Change::Widened => "**widened**",
        Change::Loosened => "**loosened**",
        Change::Narrowed => "narrowed",
        Change::Tightened => "tightened",
        Change::Reason => "reason",
    };
    let subjects: Vec<_> = finding.subjects.iter().map(|it| code(it)).collect();
    let operation = finding
        .operation
        .as_ref()
        .map(|it| format!(":{it}"))
        .unwrap_or_default();
    let surface = code(&format!("{}{operation}", finding.surface));
    let places: Vec<_> = finding.places.iter().map(|it| code(&it.place)).collect();
    writeln!(
        out,
        "| {mark} | {} | {surface} | {} | {} | {} | {} | {} |",
        subjects.join(" "),
        code(&finding.scope),
        code(&finding.region),
        state(&finding.before),
        state(&finding.after),
        places.join(" ")
    )
}

fn state(state: &State) -> String {
    if state.decision == "deny" {
        return format!("deny {}", code(state.reason));
    }
    let obligations = state.obligations.iter();
    let carried: Vec<_> = obligations
        .map(|(kind, all)| format!("{kind} {}", all.join(" ")))
        .collect();
    cell(&format!("allow {}", carried.join(", ")))
        .trim_end()
        .to_owned()
}

/// Text in a code span of a table cell; nothing for no text.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{}`", cell(&text.replace('`', "'")))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
