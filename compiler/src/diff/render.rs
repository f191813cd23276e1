//! A report for people.

use std::fmt::Write as _;

use super::report::{Change, Finding, Report, Side, State};

/// The report as text; `colour` adds ANSI colours.
#[must_use]
pub fn human(report: &Report, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    if !report.changes() {
        out.push_str("No access changes: every call has the same outcome in both.\n");
        return out;
    }
    for (change, title, code) in [
        (
            Change::Widened,
            "Widened: denied before, allowed now",
            "31;1",
        ),
        (
            Change::Loosened,
            "Loosened: allowed, with less asked in return",
            "33;1",
        ),
        (
            Change::Narrowed,
            "Narrowed: allowed before, denied now",
            "32;1",
        ),
        (
            Change::Tightened,
            "Tightened: allowed, with more asked in return",
            "32;1",
        ),
        (Change::Reason, "Same access, different reason", "34;1"),
    ] {
        let findings: Vec<_> = report
            .findings
            .iter()
            .filter(|it| it.change == change)
            .collect();
        if findings.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{}", paint.code(code, title));
        for finding in findings {
            one(&mut out, finding, paint);
        }
        out.push('\n');
    }
    if !report.undecided.is_empty() {
        let _ = writeln!(
            out,
            "{}",
            paint.code("35;1", "Cannot tell (counts as widening)")
        );
        for gap in &report.undecided {
            let _ = writeln!(out, "  {}: {}", gap.surface, gap.why);
        }
        out.push('\n');
    }
    let sum = report.summary;
    let _ = writeln!(
        out,
        "{} widened, {} loosened, {} narrowed, {} tightened, {} with another reason, {} undecided",
        sum.widened, sum.loosened, sum.narrowed, sum.tightened, sum.reason, sum.undecided
    );
    out.push_str(
        "Every finding was replayed. Not in the model: rates used up, revocations, activations, \
         who the identity provider puts in a group.\n",
    );
    out
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn code(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn one(out: &mut String, finding: &Finding, paint: Paint) {
    let subjects: Vec<_> = finding.subjects.iter().map(String::as_str).collect();
    let operation = finding
        .operation
        .as_ref()
        .map_or_else(String::new, |it| format!(":{it}"));
    let what = format!("{}{operation}", finding.surface);
    let _ = writeln!(
        out,
        "  {} {} {} in {}",
        paint.code("1", &shortened(&subjects)),
        verb(finding.change),
        paint.code("1", &what),
        finding.scope
    );
    if !finding.region.is_empty() {
        let _ = writeln!(out, "      where  {}", finding.region);
    }
    let _ = writeln!(out, "     before  {}", state(&finding.before));
    let _ = writeln!(out, "        now  {}", state(&finding.after));
    for place in &finding.places {
        let side = match place.side {
            Side::From => "old",
            Side::To => "new",
        };
        let _ = writeln!(out, "         at  {} ({side})", place.place);
    }
    if let Ok(witness) = serde_json::to_string(&finding.witness) {
        let _ = writeln!(out, "    witness  {}", paint.code("2", &witness));
    }
}

fn verb(change: Change) -> &'static str {
    match change {
        Change::Widened => "may now call",
        Change::Narrowed => "may no longer call",
        Change::Loosened | Change::Tightened => "may still call",
        Change::Reason => "may not call",
    }
}

/// The first few names, and how many more.
fn shortened(subjects: &[&str]) -> String {
    const MOST: usize = 6;
    match subjects.get(..MOST) {
        Some(first) if subjects.len() > MOST => {
            format!("{} and {} more", first.join(", "), subjects.len() - MOST)
        }
        _ => subjects.join(", "),
    }
}

fn state(state: &State) -> String {
    let mut text = state.decision.to_owned();
    if state.decision != "allow" {
        let _ = write!(text, " {}", state.reason);
    }
    if let Some(rule) = &state.rule {
        let _ = write!(text, " by rule {rule}");
    }
    if !state.granted_by.is_empty() {
        let _ = write!(text, " by binding {}", state.granted_by.join(", "));
    }
    for (kind, values) in &state.obligations {
        let _ = write!(text, ", {kind} {}", values.join(" and "));
    }
    text
}
