//! What an import says.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::{
    Failure,
    change::{Change, What},
    plan::Plan,
};
use crate::cli::Format;

/// The longest value that is shown, in characters.
const LONGEST: usize = 160;
/// How many of the entries that a note is about are named.
const EXAMPLES: usize = 3;

/// Says what differs and what was written.
pub(super) fn show(
    plan: &Plan,
    check: bool,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if format == Format::Json {
        writeln!(out, "{}", report(plan, check))?;
        return Ok(());
    }
    let lists = plan.counts.iter().map(|(_, noun, count)| {
        let plural = if *count == 1 { "" } else { "s" };
        format!("{count} {noun}{plural}")
    });
    let lists: Vec<_> = lists.collect();
    writeln!(out, "{} {}: {}", plan.server, plan.says, lists.join(", "))?;
    if !plan.is_new {
        differences(plan, out)?;
    }
    for left in &plan.left_out {
        writeln!(
            out,
            "left out: {} {}: {}",
            left.noun,
            shown(&left.name),
            visible(&left.why)
        )?;
    }
    for (note, about) in &plan.notes {
        writeln!(out, "note: {}{}", visible(note), examples(about))?;
    }
    if check {
        return Ok(());
    }
    for name in plan.files.keys() {
        writeln!(out, "wrote {name}")?;
    }
    if let Some(lines) = &plan.by_hand {
        writeln!(
            out,
            "\n{} is not in block style; add this by hand:\n{lines}",
            plan.policy
        )?;
    }
    if plan.added > 0 {
        let what = if plan.added == 1 {
            "the new entry"
        } else {
            "each new entry"
        };
        let file = &plan.policy;
        writeln!(
            out,
            "\nNext: look at {what} in {file}, set its risk, and remove `review`."
        )?;
    }
    Ok(())
}

fn differences(plan: &Plan, out: &mut dyn Write) -> Result<(), Failure> {
    if plan.changes.is_empty() {
        writeln!(out, "every definition is as it was reviewed")?;
        return Ok(());
    }
    for change in &plan.changes {
        let (noun, name) = (change.noun, shown(&change.name));
        writeln!(out, "{noun} {name}: {}", sentence(change))?;
        if !matches!(change.what, What::New | What::Gone) {
            for (mark, value) in [("-", &change.old), ("+", &change.new)] {
                if let Some(value) = value {
                    writeln!(out, "    {mark} {}", text(value))?;
                }
            }
        }
    }
    let (new, gone) = (plan.count(&What::New), plan.count(&What::Gone));
    let changed = plan.changes.len() - new - gone;
    writeln!(out, "{new} new, {gone} gone, {changed} changes")?;
    Ok(())
}

fn sentence(change: &Change) -> String {
    let at = shown(change.what.at().unwrap_or_default());
    match change.what {
        What::New => "is new".to_owned(),
        What::Gone => "is gone".to_owned(),
        What::ArgumentNew(_) => format!("argument `{at}` is new"),
        What::ArgumentGone(_) => format!("argument `{at}` is gone"),
        What::ArgumentRequired(_) => format!("argument `{at}` must be given now"),
        What::ArgumentOptional(_) => format!("argument `{at}` need not be given any more"),
        What::Schema(_, direction) => {
            let how = format!("{direction:?}").to_lowercase();
            format!("schema {how} at `{at}`")
        }
        What::Annotation(_) => format!("annotation `{at}` changed"),
        What::Member(_) => format!("`{at}` changed"),
    }
}

fn report(plan: &Plan, check: bool) -> Json {
    let changes = plan.changes.iter().map(|change| {
        json!({
            "kind": change.noun,
            "name": change.name,
            "what": change.what.word(),
            "at": change.what.at(),
            "old": change.old,
            "new": change.new,
        })
    });
    let left_out = plan
        .left_out
        .iter()
        .map(|left| json!({"kind": left.noun, "name": left.name, "why": left.why}));
    let notes = plan.notes.iter();
    let notes = notes.map(|(what, about)| json!({"what": what, "about": about}));
    let counts = plan
        .counts
        .iter()
        .map(|(list, _, count)| ((*list).to_owned(), json!(count)));
    json!({
        "version": 1,
        "server": plan.server,
        "revision": plan.revision,
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "new": plan.is_new,
        "changes": changes.collect::<Vec<_>>(),
        "leftOut": left_out.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
        "wrote": if check { Vec::new() } else { plan.files.keys().collect() },
        "byHand": plan.by_hand,
    })
}

/// The first entries that a note is about, and how many more there are.
pub(super) fn examples(about: &[String]) -> String {
    let first: Vec<_> = about.iter().take(EXAMPLES).map(|it| shown(it)).collect();
    match about.len().saturating_sub(EXAMPLES) {
        _ if first.is_empty() => String::new(),
        0 => format!(" ({})", first.join(", ")),
        more => format!(" ({}, and {more} more)", first.join(", ")),
    }
}

/// A value, on one line.
fn text(value: &Json) -> String {
    match value {
        Json::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

/// What a server says, made fit for a terminal: no control characters, and not without end.
fn shown(text: &str) -> String {
    let first: String = text.chars().take(LONGEST).collect();
    let mut shown = visible(&first);
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A text with its hidden characters made visible, however long it is.
pub(super) fn visible(text: &str) -> String {
    let visible = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}

/// Characters that change how others look, or that are not seen: descriptions hide orders in them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{ad}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_hides_in_a_text_is_seen() {
        assert_eq!(
            shown("a\u{1b}[2Jb\u{202e}c\u{e0041}"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}"
        );
        assert_eq!(shown(&"x".repeat(500)).len(), LONGEST + 3);
    }
}
