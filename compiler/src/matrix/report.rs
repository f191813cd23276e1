//! The outcome of matrices, for people and for machines.

use std::fmt::Write as _;

use latchkey_gate::supply::Digest;
use serde_json::{Value as Json, json as value};

use super::{CellRun, OthersRun, Run, outcome};
use crate::{diag::render::junit::escaped, source::SourceMap};

/// The version of the JSON form; raised on any breaking change.
const VERSION: u32 = 1;

/// The mismatches, each with its place, and a line that counts.
pub fn human(run: &Run<'_>, sources: &SourceMap) -> String {
    let mut out = String::new();
    for cell in run.cells.iter().filter(|cell| !cell.passed) {
        let _ = writeln!(
            out,
            "{}: {}: `{}` calls `{}`\n  expected {}, was {}\n",
            sources.place(cell.span),
            cell.matrix,
            cell.caller,
            cell.call,
            cell.expected,
            happened(cell),
        );
    }
    for others in run.others.iter().filter(|others| !others.passed()) {
        let _ = writeln!(out, "{}: {}", sources.place(others.span), sentence(others));
    }
    let (passed, failed) = run.counts();
    if passed + failed == 0 {
        return "there are no matrices: nothing was tested\n".to_owned();
    }
    let matrices: std::collections::BTreeSet<&str> =
        run.cells.iter().map(|cell| cell.matrix).collect();
    let cells = counted(run.cells.len(), "cell", "cells");
    let statements = counted(run.others.len(), "statement", "statements");
    let matrices = counted(matrices.len(), "matrix", "matrices");
    let verdict = match failed {
        0 => "all as expected".to_owned(),
        _ => format!("{failed} not as expected"),
    };
    let _ = writeln!(
        out,
        "{cells} and {statements} about others in {matrices}: {verdict}"
    );
    out
}

/// A number and its noun.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Every row, with what decided it.
pub fn rows(run: &Run<'_>, sources: &SourceMap) -> String {
    let mut out = String::new();
    for cell in &run.cells {
        let verdict = if cell.passed { "ok" } else { "FAILED" };
        let _ = writeln!(
            out,
            "{verdict:6} {}: {}: `{}` calls `{}`: {}",
            sources.place(cell.span),
            cell.matrix,
            cell.caller,
            cell.call,
            happened(cell),
        );
    }
    out
}

/// What happened in a cell, and what decided it.
fn happened(cell: &CellRun<'_>) -> String {
    format!("{} ({})", outcome::word(&cell.actual), decided(cell))
}

/// What decided a cell: the rule, the bindings that grant, or which default, with its place.
pub fn decided(cell: &CellRun<'_>) -> String {
    let actual = &cell.actual;
    let by = match (&actual.rule, actual.decision, actual.reason) {
        (Some(rule), ..) => format!("rule {rule}"),
        (None, "allow", _) if actual.granted_by.is_empty() => "open to this caller".to_owned(),
        (None, "allow", _) => format!("granted by {}", actual.granted_by.join(", ")),
        (None, _, "no_permission") => match cell.missed.first() {
            None => "default: no binding grants it".to_owned(),
            Some((binding, why)) => {
                format!("default: no binding grants it, nearest is {binding}: {why}")
            }
        },
        (None, _, "surface_unmatched") => "default: it is not in the registry".to_owned(),
        (None, _, _) => "default: a check before any rule".to_owned(),
    };
    match &actual.place {
        None => by,
        Some(place) => format!("{by}, {place}"),
    }
}

fn sentence(others: &OthersRun<'_>) -> String {
    let mut out = format!("{}: others of `{}`", others.matrix, others.caller);
    if !others.unlisted.is_empty() {
        let names = others.unlisted.join(", ");
        let _ = write!(out, "\n  may be reached, and is not listed: {names}");
    }
    if !others.unreachable.is_empty() {
        let names = others.unreachable.join(", ");
        let _ = write!(out, "\n  is listed, and can never be reached: {names}");
    }
    out.push('\n');
    out
}

/// The digest that names the outcome in a release statement: of its JSON form in canonical spelling
/// (RFC 8785). `None` when nothing was tested.
pub fn digest(run: &Run<'_>, sources: &SourceMap) -> Option<Digest> {
    if run.cells.is_empty() && run.others.is_empty() {
        return None;
    }
    let bytes = serde_json_canonicalizer::to_vec(&json(run, sources)).ok()?;
    Some(Digest::of(&bytes))
}

/// One JSON value, `version` 1.
pub fn json(run: &Run<'_>, sources: &SourceMap) -> Json {
    let cells: Vec<Json> = run
        .cells
        .iter()
        .map(|cell| {
            value!({
                "matrix": cell.matrix,
                "caller": cell.caller,
                "call": cell.call,
                "expected": cell.expected,
                "actual": {
                    "decision": cell.actual.decision,
                    "reason": cell.actual.reason,
                    "granted_by": cell.actual.granted_by,
                    "rule": cell.actual.rule,
                    "obligations": cell.actual.obligations,
                },
                "decided_by": decided(cell),
                "passed": cell.passed,
                "place": sources.place(cell.span),
            })
        })
        .collect();
    let others: Vec<Json> = run
        .others
        .iter()
        .map(|others| {
            value!({
                "matrix": others.matrix,
                "caller": others.caller,
                "unlisted": others.unlisted,
                "unreachable": others.unreachable,
                "passed": others.passed(),
                "place": sources.place(others.span),
            })
        })
        .collect();
    let count = |passed: bool| {
        run.cells
            .iter()
            .filter(|cell| cell.passed == passed)
            .count()
    };
    let count_others = |passed: bool| run.others.iter().filter(|it| it.passed() == passed).count();
    value!({
        "version": VERSION,
        "cells": cells,
        "others": others,
        "summary": {
            "passed": count(true),
            "failed": count(false),
            "others": {"passed": count_others(true), "failed": count_others(false)},
        },
    })
}

/// `JUnit` XML: a suite for each matrix, a case for each cell and each statement about others.
pub fn junit(run: &Run<'_>, sources: &SourceMap) -> String {
    let mut names: Vec<&str> = run.cells.iter().map(|cell| cell.matrix).collect();
    names.dedup();
    let (passed, failed) = run.counts();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"latchkey\" tests=\"{}\" failures=\"{failed}\">\n",
        passed + failed,
    );
    for name in names {
        let cells = run.cells.iter().filter(|cell| cell.matrix == name);
        let others = run.others.iter().filter(|others| others.matrix == name);
        let cases: Vec<Case> = cells
            .map(|cell| Case {
                name: format!("{} / {}", cell.call, cell.caller),
                place: sources.place(cell.span),
                decided: Some(happened(cell)),
                fault: (!cell.passed)
                    .then(|| format!("expected {}, was {}", cell.expected, happened(cell))),
            })
            .chain(others.map(|others| Case {
                name: format!("others of {}", others.caller),
                place: sources.place(others.span),
                decided: None,
                fault: (!others.passed()).then(|| sentence(others).trim_end().to_owned()),
            }))
            .collect();
        suite(&mut out, name, &cases);
    }
    out.push_str("</testsuites>\n");
    out
}

struct Case {
    name: String,
    place: String,
    decided: Option<String>,
    fault: Option<String>,
}

fn suite(out: &mut String, name: &str, cases: &[Case]) {
    let failures = cases.iter().filter(|case| case.fault.is_some()).count();
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
        escaped(name),
        cases.len(),
    );
    for case in cases {
        let (class, title, place) = (escaped(name), escaped(&case.name), escaped(&case.place));
        let _ = writeln!(out, "    <testcase classname=\"{class}\" name=\"{title}\">");
        if let Some(fault) = &case.fault {
            let fault = escaped(fault);
            let _ = writeln!(out, "      <failure message=\"{fault}\">{place}</failure>");
        }
        if let Some(decided) = &case.decided {
            let _ = writeln!(out, "      <system-out>{}</system-out>", escaped(decided));
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n");
}
