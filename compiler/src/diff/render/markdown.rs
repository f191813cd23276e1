//! A review as a comment on a pull request.

use std::fmt::{self, Write as _};

use super::{OUTSIDE, counted, list, others, visible};
use crate::{
    diff::{
        report::Side,
        review::{Entry, Kind, Review, named, outcome},
        written::Located,
    },
    model::risk_name,
};

/// The most names in one cell.
const MOST_NAMES: usize = 5;
/// The most rows of one table.
const MOST_ROWS: usize = 40;
/// A comment on GitHub holds 65,536 characters; details end before that, in bytes.
const MOST_BYTES: usize = 56_000;

/// The review in GitHub's Markdown.
#[must_use]
pub fn render(review: &Review<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(review, &mut out);
    out
}

fn write(review: &Review<'_>, out: &mut String) -> fmt::Result {
    let [old, new] = review.names.map(code);
    if !review.report.changes() {
        return writeln!(
            out,
            "### No access changes\n\nEvery call has the same outcome in {old} and {new}."
        );
    }
    let agree = Kind::ALL.into_iter().filter(|kind| kind.needs_review());
    let agree = agree.map(|kind| review.count(kind)).sum::<usize>() + review.undecided.len();
    let head = match (agree, review.destructive()) {
        (0, _) => "Access only shrinks".to_owned(),
        (some, 0) => format!("{} of access to agree to", counted(some, "change")),
        (some, grave) => {
            let changes = counted(some, "change");
            format!("{changes} of access to agree to, {grave} destructive")
        }
    };
    writeln!(
        out,
        "### {head}\n\nFrom {old} to {new}: {}.",
        review.counts()
    )?;
    let mut number = 0;
    for kind in Kind::ALL {
        section(review, kind, &mut number, out)?;
        if kind == Kind::Unlocked {
            gaps(review, out)?;
        }
    }
    writeln!(out, "\n<sub>{OUTSIDE}</sub>")
}

fn section(review: &Review<'_>, kind: Kind, number: &mut usize, out: &mut String) -> fmt::Result {
    let count = review.count(kind);
    if count == 0 {
        return Ok(());
    }
    // What needs nobody's agreement is folded away.
    let open = kind.needs_review();
    if open {
        writeln!(out, "\n#### {}\n", kind.title())?;
    } else {
        let title = format!("{} ({count})", kind.title());
        writeln!(out, "\n<details><summary><b>{title}</b></summary>\n")?;
    }
    writeln!(
        out,
        "| # | who | what | risk | where | which calls | because of |"
    )?;
    writeln!(out, "| --: | --- | --- | --- | --- | --- | --- |")?;
    let entries: Vec<_> = review.of(kind).take(MOST_ROWS).collect();
    let first = *number + 1;
    for (entry, number) in entries.iter().zip(first..) {
        row(entry, number, out)?;
    }
    *number += entries.len();
    let rest = count.saturating_sub(entries.len());
    if rest > 0 {
        writeln!(
            out,
            "\n{rest} more; `latchkey diff --format json` lists them."
        )?;
    }
    if open {
        for (entry, number) in entries.iter().zip(first..) {
            if out.len() > MOST_BYTES {
                writeln!(
                    out,
                    "\nFurther details are left out; `latchkey diff` has them."
                )?;
                break;
            }
            details(entry, number, out)?;
        }
    } else {
        writeln!(out, "\n</details>")?;
    }
    Ok(())
}

fn row(entry: &Entry<'_>, number: usize, out: &mut String) -> fmt::Result {
    let surfaces = entry.surfaces.iter().map(String::as_str);
    let risk = match risk_name(entry.risk) {
        "destructive" => "**destructive**",
        other => other,
    };
    let region = entry.region();
    let region = if region.is_empty() {
        "all".to_owned()
    } else {
        cell(&region)
    };
    writeln!(
        out,
        "| {number} | {} | {} | {risk} | {} | {region} | {} |",
        list(entry.subjects.iter().map(String::as_str), MOST_NAMES, cell),
        list(surfaces, MOST_NAMES, cell),
        list(entry.scopes.iter().copied(), MOST_NAMES, cell),
        because(entry)
    )
}

/// The causes of a row, with the place of each.
fn because(entry: &Entry<'_>) -> String {
    if entry.causes.is_empty() {
        return entry
            .place()
            .map(|(_, place)| cell(place))
            .unwrap_or_default();
    }
    let each = entry.causes.iter().take(MOST_NAMES).map(|cause| {
        let how = cause.cause.how.word();
        let place = cause.places.iter().rev().flatten().next();
        let place = place.map(|it| format!(" {}", cell(it)));
        format!("{} {how}{}", cell(&named(cause)), place.unwrap_or_default())
    });
    let mut text = each.collect::<Vec<_>>().join("<br>");
    let more = entry.causes.len().saturating_sub(MOST_NAMES);
    if more > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, "<br>and {more} more");
    }
    text
}

fn details(entry: &Entry<'_>, number: usize, out: &mut String) -> fmt::Result {
    let surface = entry.surfaces.first().map_or("", String::as_str);
    let subject = entry.subjects.first().map_or("", String::as_str);
    let title = format!("{subject} {} {surface}", entry.kind.verb());
    let title = html(&visible(&title));
    writeln!(out, "\n<details><summary>{number}. {title}</summary>\n")?;
    writeln!(out, "- before: {}", code(&outcome(entry.before)))?;
    writeln!(out, "- now: {}", code(&outcome(entry.after)))?;
    for cause in &entry.causes {
        self::cause(cause, out)?;
    }
    writeln!(out, "\nA call that shows it, for `latchkey eval`:")?;
    fenced("json", &visible(&entry.witness()), out)?;
    if others(entry) > 0 {
        let more = counted(others(entry), "call like it");
        writeln!(out, "\nThe JSON report has {more}.")?;
    }
    writeln!(out, "\n</details>")
}

fn cause(cause: &Located, out: &mut String) -> fmt::Result {
    if cause.lines.is_empty() {
        return Ok(());
    }
    let place = cause.places.iter().rev().flatten().next();
    let place = place.map_or_else(String::new, |it| format!(", {}", code(it)));
    writeln!(
        out,
        "\n{} {}{place}:",
        code(&named(cause)),
        cause.cause.how.word()
    )?;
    let lines = cause.lines.iter().map(|line| {
        let sign = match line.side {
            Side::From => '-',
            Side::To => '+',
        };
        format!("{sign}{}", visible(&line.text))
    });
    let mut lines: Vec<_> = lines.collect();
    if cause.more > 0 {
        lines.push(format!("@@ and {} @@", counted(cause.more, "more line")));
    }
    fenced("diff", &lines.join("\n"), out)
}

fn gaps(review: &Review<'_>, out: &mut String) -> fmt::Result {
    if review.undecided.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n#### Cannot tell: counts as widening\n")?;
    for (surfaces, gap) in review.undecided.iter().take(MOST_ROWS) {
        let surfaces = list(surfaces.iter().copied(), MOST_NAMES, code);
        let place = gap.place.as_deref().map(|it| format!(" ({})", code(it)));
        let place = place.unwrap_or_default();
        writeln!(out, "- {surfaces}: {}{place}", prose(&gap.why))?;
    }
    match review.undecided.len().saturating_sub(MOST_ROWS) {
        0 => Ok(()),
        more => writeln!(out, "- and {more} more"),
    }
}

/// A code block whose fence no line of it can close.
fn fenced(language: &str, text: &str, out: &mut String) -> fmt::Result {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    writeln!(out, "\n{fence}{language}\n{text}\n{fence}")
}

/// A code span that nothing in the text can close.
fn code(text: &str) -> String {
    let text = visible(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

/// A code span in a table, which takes a bar as its own even there. No escape is safe behind a
/// backslash of the text itself; such text is spelt in character references.
fn cell(text: &str) -> String {
    let text = visible(text);
    if !text.contains("\\|") {
        return code(&text).replace('|', "\\|");
    }
    let spelt = text.chars().map(|c| {
        if c.is_ascii_punctuation() {
            format!("&#{};", u32::from(c))
        } else {
            c.to_string()
        }
    });
    format!("<code>{}</code>", spelt.collect::<String>())
}

/// Words of the tool, in which names of the policy stand in code spans. Where the backticks are
/// not the tool's alone, they make no span.
fn prose(text: &str) -> String {
    let text = visible(text);
    let spans = longest_run(&text) <= 1 && text.matches('`').count().is_multiple_of(2);
    let (mut out, mut inside) = (String::new(), false);
    for c in text.chars() {
        inside ^= c == '`' && spans;
        let special = "\\*_[]<>#|~&:@".contains(c) || (c == '`' && !spans);
        if !inside && special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
        .replace('*', "&#42;")
        .replace('_', "&#95;")
}
