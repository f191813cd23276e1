//! A review as one page of HTML that needs nothing else: no script, no network, and it prints.

use std::fmt::{self, Write as _};

use latchkey_engine::index::Risk;

use super::{OUTSIDE, counted, others, visible};
use crate::{
    diff::{
        report::Side,
        review::{Entry, Kind, Review, named, outcome, shortened},
        written::Located,
    },
    model::risk_name,
};

const STYLE: &str = include_str!("style.css");
/// The most names in one cell; the rest can be unfolded.
const MOST_NAMES: usize = 8;
/// The most entries of one kind.
const MOST_ENTRIES: usize = 1_000;

/// The review as one page.
#[must_use]
pub fn render(review: &Review<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(review, &mut out);
    out
}

fn write(review: &Review<'_>, out: &mut String) -> fmt::Result {
    let [old, new] = review.names.map(text);
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Access changes from {old} to {new}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<h1>Access changes</h1>"
    )?;
    writeln!(
        out,
        "<p class=\"sides\">from <code>{old}</code> to <code>{new}</code></p>"
    )?;
    if review.report.changes() {
        tiles(review, out)?;
        let mut number = 0;
        for kind in Kind::ALL {
            section(review, kind, &mut number, out)?;
            if kind == Kind::Unlocked {
                gaps(review, out)?;
            }
        }
    } else {
        writeln!(
            out,
            "<p>No access changes: every call has the same outcome in both.</p>"
        )?;
    }
    let (from, to) = (&review.report.from.digest, &review.report.to.digest);
    writeln!(
        out,
        "<footer>\n<p>{}</p>\n<p>Bundles <code>{}</code> and <code>{}</code>.</p>\n</footer>\n\
         </body>\n</html>",
        text(OUTSIDE),
        text(from),
        text(to)
    )
}

fn tone(kind: Kind) -> &'static str {
    match kind {
        Kind::Widened | Kind::Unlocked => "bad",
        Kind::Loosened => "warn",
        Kind::Narrowed | Kind::Tightened => "good",
        Kind::Reason => "note",
    }
}

fn tiles(review: &Review<'_>, out: &mut String) -> fmt::Result {
    if let Some(warning) = review.warning() {
        writeln!(out, "<p class=\"alarm\">{warning}.</p>")?;
    }
    writeln!(out, "<ul class=\"tiles\">")?;
    let counts = Kind::ALL.map(|kind| (tone(kind), kind.word(), review.count(kind)));
    let gaps = ("bad", "undecided", review.undecided.len());
    for (tone, word, count) in counts.into_iter().chain([gaps]) {
        let some = if count > 0 { " some" } else { "" };
        let word = if word == "reason" {
            "other reason"
        } else {
            word
        };
        writeln!(out, "<li class=\"{tone}{some}\"><b>{count}</b>{word}</li>")?;
    }
    writeln!(out, "</ul>")
}

fn section(review: &Review<'_>, kind: Kind, number: &mut usize, out: &mut String) -> fmt::Result {
    let count = review.count(kind);
    if count == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<section class=\"{}\">\n<h2>{}</h2>\n<table>\n<thead><tr><th>#</th><th>Who</th>\
         <th>What</th><th>Risk</th><th>Where</th><th>Which calls</th></tr></thead>",
        tone(kind),
        text(kind.title())
    )?;
    for entry in review.of(kind).take(MOST_ENTRIES) {
        *number += 1;
        one(entry, *number, out)?;
    }
    writeln!(out, "</table>")?;
    let more = count.saturating_sub(MOST_ENTRIES);
    if more > 0 {
        writeln!(
            out,
            "<p class=\"quiet\">{more} more are in the JSON report.</p>"
        )?;
    }
    writeln!(out, "</section>")
}

fn one(entry: &Entry<'_>, number: usize, out: &mut String) -> fmt::Result {
    let region = entry.region();
    let region = if region.is_empty() {
        "<span class=\"quiet\">all</span>".to_owned()
    } else {
        format!("<code>{}</code>", text(&region))
    };
    let risk = risk_name(entry.risk);
    writeln!(
        out,
        "<tbody>\n<tr class=\"head\"><td class=\"number\">{number}</td><td>{}</td><td>{}</td>\
         <td><span class=\"risk {risk}\">{risk}</span></td><td>{}</td><td>{region}</td></tr>",
        names(entry.subjects.iter().map(String::as_str)),
        names(entry.surfaces.iter().map(String::as_str)),
        names(entry.scopes.iter().copied())
    )?;
    // Open where somebody has to agree: what is printed has to be complete.
    let open = if entry.kind.needs_review() || entry.risk == Risk::Destructive {
        " open"
    } else {
        ""
    };
    let summary = summary(entry);
    writeln!(
        out,
        "<tr class=\"more\"><td></td><td colspan=\"5\"><details{open}>\
         <summary>{summary}</summary>\n<dl><dt>before</dt><dd>{}</dd><dt>now</dt><dd>{}</dd></dl>",
        text(&outcome(entry.before)),
        text(&outcome(entry.after))
    )?;
    for cause in &entry.causes {
        self::cause(cause, out)?;
    }
    writeln!(
        out,
        "<h3>A call that shows it, for <code>latchkey eval</code></h3>\n<pre>{}</pre>",
        text(&entry.witness())
    )?;
    if others(entry) > 0 {
        let more = counted(others(entry), "call like it");
        writeln!(out, "<p class=\"quiet\">The JSON report has {more}.</p>")?;
    }
    writeln!(out, "</details></td></tr>\n</tbody>")
}

/// What an entry comes from, in one line.
fn summary(entry: &Entry<'_>) -> String {
    let each = entry.causes.iter().map(|cause| {
        let place = cause.places.iter().rev().flatten().next();
        let place = place.map(|it| format!(" at <code>{}</code>", text(it)));
        let how = cause.cause.how.word();
        format!("{} {how}{}", text(&named(cause)), place.unwrap_or_default())
    });
    let all: Vec<_> = each.collect();
    match (all.is_empty(), entry.place()) {
        (false, _) => format!("because of {}", all.join("; ")),
        (true, Some((_, place))) => format!("at <code>{}</code>", text(place)),
        (true, None) => "details".to_owned(),
    }
}

fn cause(cause: &Located, out: &mut String) -> fmt::Result {
    if cause.lines.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h3>{} {}</h3>",
        text(&named(cause)),
        cause.cause.how.word()
    )?;
    write!(out, "<pre>")?;
    for line in &cause.lines {
        let (class, sign) = match line.side {
            Side::From => ("gone", '-'),
            Side::To => ("new", '+'),
        };
        writeln!(
            out,
            "<span class=\"line\">{:>4}</span> <span class=\"{class}\">{sign} {}</span>",
            line.number,
            text(&line.text)
        )?;
    }
    if cause.more > 0 {
        let more = counted(cause.more, "more line");
        writeln!(out, "<span class=\"line\">     and {more}</span>")?;
    }
    writeln!(out, "</pre>")
}

fn gaps(review: &Review<'_>, out: &mut String) -> fmt::Result {
    if review.undecided.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section class=\"bad\">\n<h2>Cannot tell: counts as widening</h2>\n<table>\n\
         <thead><tr><th>What</th><th>Why</th></tr></thead>\n<tbody>"
    )?;
    for (surfaces, gap) in review.undecided.iter().take(MOST_ENTRIES) {
        let place = gap.place.as_deref().unwrap_or_default();
        writeln!(
            out,
            "<tr><td>{}</td><td>{} <code>{}</code></td></tr>",
            names(surfaces.iter().copied()),
            text(&gap.why),
            text(place)
        )?;
    }
    writeln!(out, "</tbody>\n</table>\n</section>")
}

/// Names below each other; many can be unfolded.
fn names<'n>(all: impl IntoIterator<Item = &'n str>) -> String {
    let all: Vec<_> = all.into_iter().collect();
    let items = |names: &[&str]| -> String {
        let each = names
            .iter()
            .map(|it| format!("<li><code>{}</code></li>", text(it)));
        format!("<ul>{}</ul>", each.collect::<String>())
    };
    let (first, more) = shortened(all.iter().copied(), MOST_NAMES);
    if more == 0 {
        return items(&first);
    }
    let rest = all.get(first.len()..).unwrap_or_default();
    format!(
        "{}<details><summary>and {more} more</summary>{}</details>",
        items(&first),
        items(rest)
    )
}

/// Text that is nothing but text.
fn text(text: &str) -> String {
    let text = visible(text).replace('&', "&amp;");
    let text = text.replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
