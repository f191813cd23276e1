//! A review for people at a terminal.

use std::fmt::{self, Write as _};

use super::{OUTSIDE, counted, list, others, visible};
use crate::{
    diff::{
        report::{Report, Side},
        review::{Entry, Kind, Review, named, outcome},
        written::Located,
    },
    model::risk_name,
};

/// The most names of one entry that are listed.
const MOST_NAMES: usize = 6;
/// The most entries of one kind that are drawn.
const MOST_ENTRIES: usize = 100;

/// A report as text, without the text of the policy; `colour` adds ANSI colours.
#[must_use]
pub fn bare(report: &Report, colour: bool) -> String {
    render(&Review::new(report, ["old", "new"], [None, None]), colour)
}

/// The review as text; `colour` adds ANSI colours.
#[must_use]
pub fn render(review: &Review<'_>, colour: bool) -> String {
    let mut out = Out {
        text: String::new(),
        colour,
    };
    // Writing to a string cannot fail.
    let _ = write(review, &mut out);
    out.text
}

struct Out {
    text: String,
    colour: bool,
}

impl Out {
    fn paint(&self, code: &str, text: &str) -> String {
        let text = visible(text);
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text
        }
    }

    fn line(&mut self, head: &str, text: &str) -> fmt::Result {
        writeln!(self.text, "     {head:<8}{text}")
    }
}

fn write(review: &Review<'_>, out: &mut Out) -> fmt::Result {
    let [old, new] = review.names;
    if !review.report.changes() {
        return writeln!(
            out.text,
            "No access changes: every call has the same outcome in {} and {}.",
            visible(old),
            visible(new)
        );
    }
    let head = out.paint("1", &format!("Access changes from {old} to {new}"));
    writeln!(out.text, "{head}")?;
    if let Some(warning) = review.warning() {
        let warning = out.paint("31;1", &warning);
        writeln!(out.text, "{warning}")?;
    }
    let mut number = 0;
    for kind in Kind::ALL {
        section(review, kind, &mut number, out)?;
        if kind == Kind::Unlocked {
            gaps(review, out)?;
        }
    }
    let sum = &review.report.summary;
    writeln!(
        out.text,
        "\n{} widened, {} loosened, {} narrowed, {} tightened, {} with another reason, \
         {} undecided\n{OUTSIDE}",
        sum.widened, sum.loosened, sum.narrowed, sum.tightened, sum.reason, sum.undecided
    )?;
    writeln!(
        out.text,
        "To ask again: put a `call` on a line of a file, and run \
         `latchkey eval --bundle DIR --calls FILE`."
    )
}

fn section(review: &Review<'_>, kind: Kind, number: &mut usize, out: &mut Out) -> fmt::Result {
    let count = review.count(kind);
    if count == 0 {
        return Ok(());
    }
    let colour = match kind {
        Kind::Widened | Kind::Unlocked => "31;1",
        Kind::Loosened => "33;1",
        Kind::Narrowed | Kind::Tightened => "32;1",
        Kind::Reason => "34;1",
    };
    let title = out.paint(colour, kind.title());
    writeln!(out.text, "\n{title}")?;
    for entry in review.of(kind).take(MOST_ENTRIES) {
        *number += 1;
        one(entry, *number, out)?;
    }
    match count.saturating_sub(MOST_ENTRIES) {
        0 => Ok(()),
        more => writeln!(out.text, "\n  {more} more; `--format json` lists them"),
    }
}

fn one(entry: &Entry<'_>, number: usize, out: &mut Out) -> fmt::Result {
    let bold = |out: &Out, text: &str| out.paint("1", text);
    let subjects = list(
        entry.subjects.iter().map(String::as_str),
        MOST_NAMES,
        str::to_owned,
    );
    let surfaces = entry.surfaces.iter().map(String::as_str);
    let surfaces = list(surfaces, MOST_NAMES, str::to_owned);
    let (subjects, surfaces) = (bold(out, &subjects), bold(out, &surfaces));
    let scopes = list(entry.scopes.iter().copied(), MOST_NAMES, visible);
    let (verb, risk) = (entry.kind.verb(), risk_name(entry.risk));
    writeln!(
        out.text,
        "\n{number:>3}. {subjects} {verb} {surfaces} in {scopes} [{risk}]"
    )?;
    let region = entry.region();
    if !region.is_empty() {
        out.line("where", &visible(&region))?;
    }
    out.line("before", &visible(&outcome(entry.before)))?;
    out.line("now", &visible(&outcome(entry.after)))?;
    for cause in &entry.causes {
        self::cause(cause, out)?;
    }
    if entry.causes.is_empty()
        && let Some((side, place)) = entry.place()
    {
        let note = if side == Side::From {
            ", as it was"
        } else {
            ""
        };
        out.line("at", &format!("{}{note}", visible(place)))?;
    }
    let witness = out.paint("2", &entry.witness());
    out.line("call", &witness)?;
    match others(entry) {
        0 => Ok(()),
        more => out.line("", &format!("and {}", counted(more, "call like it"))),
    }
}

fn cause(cause: &Located, out: &mut Out) -> fmt::Result {
    let [old, new] = cause.places.each_ref().map(Option::as_deref);
    let how = cause.cause.how.word();
    let place = match (old, new) {
        (_, Some(place)) => format!(" at {place}"),
        (Some(place), None) => format!(" at {place}, as it was"),
        (None, None) => String::new(),
    };
    out.line(
        "because",
        &visible(&format!("{} {how}{place}", named(cause))),
    )?;
    for line in &cause.lines {
        let (sign, colour) = match line.side {
            Side::From => ("-", "31"),
            Side::To => ("+", "32"),
        };
        let text = format!("{sign} {:>4} | {}", line.number, line.text);
        let text = out.paint(colour, &text);
        out.line("", &text)?;
    }
    match cause.more {
        0 => Ok(()),
        more => out.line("", &format!("... and {}", counted(more, "more line"))),
    }
}

fn gaps(review: &Review<'_>, out: &mut Out) -> fmt::Result {
    if review.undecided.is_empty() {
        return Ok(());
    }
    let title = out.paint("35;1", "Cannot tell: counts as widening");
    writeln!(out.text, "\n{title}")?;
    for (surfaces, gap) in &review.undecided {
        let surfaces = list(surfaces.iter().copied(), MOST_NAMES, visible);
        let place = gap.place.as_deref().map(|it| format!(" ({it})"));
        let place = place.unwrap_or_default();
        writeln!(
            out.text,
            "\n  {surfaces}{place}\n     {}",
            visible(&gap.why)
        )?;
    }
    Ok(())
}
