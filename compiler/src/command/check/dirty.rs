//! Lines that Git could not give back: what is neither committed nor staged is not edited unasked.

use std::{collections::BTreeMap, ops::Range, path::Path};

use crate::command::{Failure, diff::revision::git};

/// How far two texts are compared for the place where they go on alike.
const WINDOW: usize = 200;

/// Refuses edits of lines that have changes which are not in Git. Outside of a repository, and where
/// there is no Git, nobody expects to get anything back from it.
pub(super) fn refuse(
    root: &Path,
    files: &BTreeMap<String, (Vec<u8>, Vec<u8>)>,
) -> Result<(), Failure> {
    if files.is_empty() || asked(root, &["rev-parse", "--is-inside-work-tree"]).is_none() {
        return Ok(());
    }
    for (path, (before, after)) in files {
        let literal = format!(":(literal){path}");
        let known = asked(root, &["ls-files", "--", &literal]);
        if known.is_some_and(|it| it.trim().is_empty()) {
            let what = format!("Git does not know `{path}`, so nothing could undo the fixes");
            return Err(help(Failure::usage(what)));
        }
        let options = [
            "diff",
            "-U0",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
        ];
        let diff = asked(root, &[&options[..], &["--", &literal]].concat());
        let dirty = diff.iter().flat_map(|it| it.lines()).filter_map(hunk);
        let touched = touched(before, after);
        for lines in dirty {
            let meets = |it: &Range<usize>| it.start < lines.end && lines.start < it.end;
            if touched.iter().any(meets) {
                let line = lines.start + 1;
                let what = format!("`{path}` has changes at line {line} that are not in Git");
                return Err(help(Failure::usage(what)));
            }
        }
    }
    Ok(())
}

fn help(failure: Failure) -> Failure {
    failure.help(
        "nothing was written: stage or commit them, so that the fixes can be told from your own \
         changes, or add `--allow-dirty`",
    )
}

/// What a command of Git says; nothing where it fails.
fn asked(root: &Path, args: &[&str]) -> Option<String> {
    let output = git(root).args(args).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

/// The new lines of a hunk, from 0, by its head: `@@ -7 +7,2 @@`.
fn hunk(line: &str) -> Option<Range<usize>> {
    let head = line.strip_prefix("@@ -")?;
    let new = head.split(' ').nth(1)?.strip_prefix('+')?;
    let (start, count) = new.split_once(',').unwrap_or((new, "1"));
    let start = start.parse::<usize>().ok()?.saturating_sub(1);
    let count: usize = count.parse().ok()?;
    Some(start..start + count)
}

/// The lines of a text that another one does not have at that place, from 0.
fn touched(before: &[u8], after: &[u8]) -> Vec<Range<usize>> {
    let lines = |text| <[u8]>::split(text, |byte| *byte == b'\n').collect::<Vec<_>>();
    let (old, new) = (lines(before), lines(after));
    let (mut at, mut there) = (0, 0);
    let mut touched = Vec::new();
    while at < old.len() || there < new.len() {
        if old.get(at).is_some() && old.get(at) == new.get(there) {
            (at, there) = (at + 1, there + 1);
            continue;
        }
        let same = |skip: usize, more: usize| {
            let line = old.get(at + skip);
            line.is_some() && line == new.get(there + more)
        };
        let pairs = (1..WINDOW).flat_map(|all| (0..=all).map(move |skip| (skip, all - skip)));
        let Some((skip, more)) = { pairs }.find(|(skip, more)| same(*skip, *more)) else {
            touched.push(at..old.len().max(at + 1));
            break;
        };
        touched.push(at..at + skip.max(1));
        (at, there) = (at + skip, there + more);
    }
    touched
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_lines_are_those_that_differ() {
        let touched = |a: &str, b: &str| touched(a.as_bytes(), b.as_bytes());
        assert!(touched("a\nb\nc\n", "a\nb\nc\n").is_empty());
        assert_eq!(touched("a\nb\nc\n", "a\nB\nc\n").first(), Some(&(1..2)));
        assert_eq!(touched("a\nb\nc\n", "a\nc\n").first(), Some(&(1..2)));
        assert_eq!(touched("a\nb\nc\nd\n", "A\nb\nc\nD\n"), [0..1, 3..4]);
    }

    #[test]
    fn hunks_are_read() {
        assert_eq!(hunk("@@ -7 +7,2 @@ rules:"), Some(6..8));
        assert_eq!(hunk("@@ -7,3 +9 @@"), Some(8..9));
        assert_eq!(hunk("+++ b/a.yaml"), None);
    }
}
