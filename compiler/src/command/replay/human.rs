//! A replay for people.

use std::fmt::Write as _;

use crate::replay::{Change, Group, Report};

/// The most groups of one kind that are printed; JSON has all.
const MAX_SHOWN: usize = 50;

/// The report as text; `colour` adds ANSI colours.
pub(super) fn render(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    for (change, title, code) in [
        (Change::Widened, "Widened: denied then, allowed now", "31;1"),
        (
            Change::MayWiden,
            "May widen: denied then, and a value that was not logged decides",
            "33;1",
        ),
        (
            Change::Narrowed,
            "Narrowed: allowed then, denied now",
            "32;1",
        ),
        (
            Change::MayNarrow,
            "May narrow: allowed then, and a value that was not logged decides",
            "33;1",
        ),
        (Change::Reason, "Denied for another reason", "34;1"),
    ] {
        let groups = report.groups.iter().filter(|it| it.key.change == change);
        let groups: Vec<&Group> = groups.collect();
        if groups.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{}", paint(colour, code, title));
        for group in groups.iter().take(MAX_SHOWN) {
            one(&mut out, group);
        }
        if groups.len() > MAX_SHOWN {
            let more = groups.len() - MAX_SHOWN;
            let _ = writeln!(out, "  and {more} groups more: `--format json` has all");
        }
        out.push('\n');
    }
    for broken in &report.broken {
        let _ = writeln!(out, "{}:{}: {}", broken.file, broken.line, broken.what);
    }
    let listed = report.broken.len();
    if report.summary.broken > listed {
        let _ = writeln!(
            out,
            "and {} broken lines more",
            report.summary.broken - listed
        );
    }
    ending(&mut out, report);
    out
}

fn one(out: &mut String, group: &Group) {
    let key = &group.key;
    let operation = key.operation.as_ref().map(|it| format!(":{it}"));
    let _ = writeln!(
        out,
        "  {} x {}{} by {}",
        group.count,
        key.surface,
        operation.unwrap_or_default(),
        key.subject
    );
    let after = match (&key.after, &key.rule) {
        (Some(after), Some(rule)) => format!("{after}, rule {rule}"),
        (Some(after), None) => after.clone(),
        (None, _) => {
            let needs: Vec<&str> = key.needs.iter().map(String::as_str).collect();
            format!("depends on {}", needs.join(", "))
        }
    };
    let _ = writeln!(out, "      {} -> {after}", key.before);
    let _ = writeln!(
        out,
        "      from {} to {}, first {}:{} request {}",
        group.period.first,
        group.period.last,
        group.example.file,
        group.example.line,
        group.example.request_id
    );
}

fn ending(out: &mut String, report: &Report) {
    let sum = &report.summary;
    let _ = writeln!(
        out,
        "{} requests{}: {} same, {} widened, {} narrowed, {} with another reason; {} may widen and \
         {} may narrow",
        sum.requests,
        match &report.period {
            Some(span) => format!(" from {} to {}", span.first, span.last),
            None => String::new(),
        },
        sum.same,
        sum.widened,
        sum.narrowed,
        sum.reason,
        sum.may_widen,
        sum.may_narrow,
    );
    let _ = writeln!(
        out,
        "{} call no surface; {} were refused before caller and surface were known, and cannot be \
         followed",
        sum.elsewhere, sum.unfollowed
    );
    if sum.subjects_joined {
        out.push_str("There are too many groups: the later ones are not told apart by subject.\n");
    }
    match (&report.baseline, sum.other_bundle) {
        (None, _) => out.push_str(
            "Without --baseline, scopes, group names and whether arguments fit their schema were \
             taken as recorded.\n",
        ),
        (Some(_), 0) => {}
        (Some(_), count) => {
            let _ = writeln!(
                out,
                "{count} were decided by another bundle than the baseline, and taken as recorded"
            );
        }
    }
    if sum.broken > 0 {
        let _ = writeln!(
            out,
            "{} lines are broken: what this log says is not proved",
            sum.broken
        );
    }
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
