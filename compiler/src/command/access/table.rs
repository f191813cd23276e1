//! Access as a table for a terminal.

use std::fmt::Write as _;

use super::Question;
use crate::diff::access::{Access, Grant, Line, Source, What};

/// The answer as text; `colour` adds ANSI colours.
pub(super) fn render(question: &Question<'_>, found: &Access, colour: bool) -> String {
    let mut out = String::new();
    let rows: Vec<[String; 3]> = found.lines.iter().map(row).collect();
    let titles = ["WHO", "MAY CALL", "IN"].map(str::to_owned);
    let widths = widths(&titles, &rows);
    if rows.is_empty() {
        let _ = writeln!(out, "Nobody: no call that was asked about is ever allowed.");
    } else {
        let title = padded(&titles, widths);
        let _ = writeln!(out, "{}", paint(colour, "1", &title));
    }
    for (line, row) in found.lines.iter().zip(&rows) {
        let _ = writeln!(out, "{}", paint(colour, "36", &padded(row, widths)));
        for detail in details(line) {
            let _ = writeln!(out, "    {detail}");
        }
    }
    for gap in &found.undecided {
        let _ = writeln!(out, "cannot tell: {}: {}", gap.surface, gap.why);
    }
    out.push_str(&ending(question, found));
    out
}

fn row(line: &Line) -> [String; 3] {
    let what = &line.what;
    let who: Vec<&str> = line.subjects.iter().map(String::as_str).collect();
    [who.join(", "), call(what), what.scope.clone()]
}

/// The surface and its operation.
pub(super) fn call(what: &What) -> String {
    match &what.operation {
        None => what.surface.clone(),
        Some(operation) => format!("{}:{operation}", what.surface),
    }
}

/// Everything besides who, what and where, each in a few words.
pub(super) fn details(line: &Line) -> Vec<String> {
    let what = &line.what;
    let mut all = Vec::new();
    if !what.token_groups.is_empty() {
        let groups: Vec<_> = what.token_groups.iter().map(String::as_str).collect();
        all.push(format!("if the token says {}", groups.join(", ")));
    }
    if what.chain {
        all.push("in a chain with other callers".to_owned());
    }
    if !what.when.is_empty() {
        all.push(format!("when {}", what.when));
    }
    if let Some(dates) = dates(what.not_before.as_deref(), what.expires.as_deref()) {
        all.push(dates);
    }
    if let Some(whose) = what.activation {
        all.push(format!("with a break-glass activation of {whose}"));
    }
    for (kind, texts) in &what.obligations {
        all.push(format!("with {kind} {}", texts.join(", ")));
    }
    match what.access {
        "public" => all.push("public: no grant is needed".to_owned()),
        "authenticated" if what.grants.is_empty() => {
            all.push("open to every known caller: no grant is needed".to_owned());
        }
        _ => all.extend(
            what.grants
                .iter()
                .map(|it| format!("through {}", chain(it))),
        ),
    }
    for denial in &what.unless {
        let when = denial.when.as_ref().map(|it| format!(" when {it}"));
        let place = at(denial.place.as_deref());
        all.push(format!(
            "denied by {}{place}{}",
            denial.rule,
            when.unwrap_or_default()
        ));
    }
    if line.witness.is_none() {
        all.push("no call was found that shows it: it may be that none exists".to_owned());
    }
    all
}

/// A chain from the subject to the role.
pub(super) fn chain(grant: &Grant) -> String {
    let when = grant.when.as_ref().map(|it| format!(", when {it}"));
    let dates = dates(grant.not_before.as_deref(), grant.expires.as_deref());
    let dates = dates.map(|it| format!(", {it}"));
    format!(
        "{} > binding {}{} in {}{}{} > role {}",
        named(&grant.subjects),
        grant.binding,
        at(grant.place.as_deref()),
        grant.scope,
        when.unwrap_or_default(),
        dates.unwrap_or_default(),
        named(&grant.roles),
    )
}

fn named(sources: &[Source]) -> String {
    let each = sources
        .iter()
        .map(|it| format!("{}{}", it.name, at(it.place.as_deref())));
    each.collect::<Vec<_>>().join(" or ")
}

fn at(place: Option<&str>) -> String {
    place.map_or_else(String::new, |place| format!(" ({place})"))
}

/// A half-open period in words; none when it is open at both ends.
pub(super) fn dates(from: Option<&str>, until: Option<&str>) -> Option<String> {
    match (from, until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {from}")),
        (None, Some(until)) => Some(format!("until {until}")),
        (Some(from), Some(until)) => Some(format!("from {from} until {until}")),
    }
}

/// What was asked, and what an answer does not know.
pub(super) fn ending(question: &Question<'_>, found: &Access) -> String {
    let at = match &question.at {
        Some(at) => format!("at {at}"),
        None => "at any time".to_owned(),
    };
    let lines = match found.lines.len() {
        1 => "1 line".to_owned(),
        many => format!("{many} lines"),
    };
    format!(
        "{lines}, {at}, by bundle {}. Not in the model: rates used up, revocations, what a token \
         is restricted to, who the identity provider puts in a group.\n",
        found.digest.get(..12).unwrap_or(&found.digest)
    )
}

/// The widest that a column is padded to.
const MAX_WIDTH: usize = 44;

fn widths(titles: &[String; 3], rows: &[[String; 3]]) -> [usize; 3] {
    let mut widths = [0; 3];
    for row in rows.iter().chain([titles]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
        }
    }
    widths
}

fn padded(row: &[String; 3], widths: [usize; 3]) -> String {
    let cells = row.iter().zip(widths);
    let line: Vec<String> = cells
        .map(|(cell, width)| format!("{cell:<width$}"))
        .collect();
    line.join("  ").trim_end().to_owned()
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
