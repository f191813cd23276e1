//! Old and new texts as one unified patch.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::source::SourceMap;

/// How many unchanged lines stand around a change.
const CONTEXT: usize = 3;
/// The largest table that is filled to find what two middles share.
const MAX_TABLE: usize = 16_000_000;

/// The patch of some files, each with its whole new text. Its names are relative to the folder
/// that it is applied in, as `git apply` and `patch -p1` take them.
pub(super) fn unified(sources: &SourceMap, files: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (path, new) in files {
        let file = sources.find(path).and_then(|id| sources.file(id));
        let old = file.map_or("", |file| file.text());
        if old == new {
            continue;
        }
        let _ = writeln!(out, "--- a/{path}\n+++ b/{path}");
        hunks(&mut out, &lines(old), &lines(new));
    }
    out
}

/// The lines of a text, each with its line end.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// One line of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'t> {
    Same(&'t str),
    Gone(&'t str),
    New(&'t str),
}

fn hunks(out: &mut String, old: &[&str], new: &[&str]) {
    let steps = steps(old, new);
    let changed = |step: &Step<'_>| !matches!(step, Step::Same(_));
    let places: Vec<usize> = (0..steps.len())
        .filter(|at| steps.get(*at).is_some_and(changed))
        .collect();
    let mut places = places.into_iter().peekable();
    while let Some(first) = places.next() {
        let mut last = first;
        while let Some(next) = places.next_if(|next| *next <= last + 2 * CONTEXT) {
            last = next;
        }
        let start = first.saturating_sub(CONTEXT);
        let end = (last + CONTEXT + 1).min(steps.len());
        let before = steps.get(..start).unwrap_or_default();
        hunk(out, before, steps.get(start..end).unwrap_or_default());
    }
}

fn hunk(out: &mut String, before: &[Step<'_>], steps: &[Step<'_>]) {
    let old = |steps: &[Step<'_>]| count(steps, |it| !matches!(it, Step::New(_)));
    let new = |steps: &[Step<'_>]| count(steps, |it| !matches!(it, Step::Gone(_)));
    let range = |from: usize, lines: usize| {
        let start = if lines == 0 { from } else { from + 1 };
        format!("{start},{lines}")
    };
    let _ = writeln!(
        out,
        "@@ -{} +{} @@",
        range(old(before), old(steps)),
        range(new(before), new(steps))
    );
    for step in steps {
        let (sign, line) = match step {
            Step::Same(line) => (' ', line),
            Step::Gone(line) => ('-', line),
            Step::New(line) => ('+', line),
        };
        let _ = write!(out, "{sign}{line}");
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

fn count(steps: &[Step<'_>], wanted: impl Fn(&Step<'_>) -> bool) -> usize {
    steps.iter().filter(|step| wanted(step)).count()
}

/// The way from one list of lines to the other, along what they share.
fn steps<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Step<'t>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (rest(old, head), rest(new, head));
    let backwards = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = backwards.take_while(|(a, b)| a == b).count();
    let middle = |lines: &[&'t str]| -> Vec<&'t str> {
        let end = lines.len() - tail;
        lines.get(..end).unwrap_or_default().to_vec()
    };
    let same = |lines: &[&'t str]| lines.iter().map(|it| Step::Same(it)).collect::<Vec<_>>();
    let mut all = same(old.get(..head).unwrap_or_default());
    all.extend(shared(&middle(old_rest), &middle(new_rest)));
    all.extend(same(rest(old, old.len() - tail)));
    all
}

fn rest<'s, 't>(lines: &'s [&'t str], from: usize) -> &'s [&'t str] {
    lines.get(from..).unwrap_or_default()
}

/// The longest list of lines that both middles have, in order.
fn shared<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Step<'t>> {
    let width = new.len() + 1;
    let size = (old.len() + 1) * width;
    let mut table = vec![0_u32; if size > MAX_TABLE { 0 } else { size }];
    let at = |row: usize, column: usize| row * width + column;
    if !table.is_empty() {
        for (row, a) in old.iter().enumerate().rev() {
            for (column, b) in new.iter().enumerate().rev() {
                let read = |at: usize| table.get(at).copied().unwrap_or(0);
                let value = if a == b {
                    read(at(row + 1, column + 1)) + 1
                } else {
                    read(at(row + 1, column)).max(read(at(row, column + 1)))
                };
                if let Some(cell) = table.get_mut(at(row, column)) {
                    *cell = value;
                }
            }
        }
    }
    let read = |row: usize, column: usize| table.get(at(row, column)).copied().unwrap_or(0);
    let (mut row, mut column) = (0, 0);
    let mut steps = Vec::new();
    loop {
        match (old.get(row), new.get(column)) {
            (Some(a), Some(b)) if a == b && !table.is_empty() => {
                steps.push(Step::Same(a));
                (row, column) = (row + 1, column + 1);
            }
            (Some(a), b) if b.is_none() || read(row + 1, column) >= read(row, column + 1) => {
                steps.push(Step::Gone(a));
                row += 1;
            }
            (_, Some(b)) => {
                steps.push(Step::New(b));
                column += 1;
            }
            _ => return steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_far_apart_are_hunks_of_their_own() {
        let old: Vec<String> = (0..30).map(|at| format!("line {at}\n")).collect();
        let mut new = old.clone();
        new.remove(20);
        new[3] = "changed\n".to_owned();
        let (old, new) = (old.concat(), new.concat());
        let mut out = String::new();
        hunks(&mut out, &lines(&old), &lines(&new));
        let heads: Vec<&str> = out.lines().filter(|it| it.starts_with("@@")).collect();
        assert_eq!(heads, ["@@ -1,7 +1,7 @@", "@@ -18,7 +18,6 @@"]);
        assert!(out.contains("-line 3\n+changed\n"));
    }

    #[test]
    fn a_last_line_without_an_end_is_said() {
        let mut out = String::new();
        hunks(&mut out, &lines("a\nb"), &lines("a\n"));
        assert_eq!(
            out,
            "@@ -1,2 +1,1 @@\n a\n-b\n\\ No newline at end of file\n"
        );
    }
}
