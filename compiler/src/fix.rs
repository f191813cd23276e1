//! Fixes of findings, applied as edits of bytes: comments and layout stay as they are.
//!
//! A fix is applied whole or not at all, and never beside another one that touches the same bytes.
//! Rounds of check and fix go on until nothing is left to fix, so a second run changes nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use latchkey_engine::time::Time;

use crate::{
    Checked,
    diag::{Applicability, Edit, Fix, Levels, Report, codes},
    source::{FileId, Overlay, SourceMap, Tree},
};

/// More rounds than any project needs; fixes that undo each other end here.
const MOST_ROUNDS: usize = 16;

/// Texts by path.
type Texts = BTreeMap<String, Vec<u8>>;

/// What fixing a project comes to. Nothing is written yet.
#[derive(Debug, Default)]
pub struct Fixed {
    /// The changed files: path, and the text before and after.
    pub files: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    /// How many fixes were applied.
    pub applied: usize,
    /// How many were left out, for they overlap others or would break a file.
    pub left_out: usize,
}

impl Fixed {
    /// The new texts.
    pub fn texts(&self) -> Texts {
        let files = self.files.iter();
        files
            .map(|(path, (_, new))| (path.clone(), new.clone()))
            .collect()
    }
}

/// Fixes what can be fixed in a project: what is sure, and with `guesses` also what a person has
/// to look at afterwards.
pub fn fix(tree: &dyn Tree, today: Time, guesses: bool) -> Fixed {
    let mut fixed = Fixed::default();
    let mut texts = Texts::new();
    let mut checked = crate::check(&Overlay::new(tree, &texts), today);
    for _ in 0..MOST_ROUNDS {
        let report = std::mem::take(&mut checked.sink).finish(&Levels::new());
        let round = apply(&report, &checked.sources, guesses);
        fixed.left_out = round.left_out;
        if round.applied == 0 {
            break;
        }
        let mut next = texts.clone();
        next.extend(round.files.clone());
        let again = crate::check(&Overlay::new(tree, &next), today);
        if unreadable(&again) > unreadable_in(&report) {
            fixed.left_out += round.applied;
            break;
        }
        for (path, new) in round.files {
            let before = || checked.sources.find(&path);
            let before = before().and_then(|id| checked.sources.file(id));
            let before = before.map_or("", crate::source::File::text);
            let first = || (before.as_bytes().to_vec(), Vec::new());
            fixed.files.entry(path).or_insert_with(first).1 = new;
        }
        fixed.applied += round.applied;
        texts = next;
        checked = again;
    }
    fixed
}

/// One round of edits.
#[derive(Debug, Default)]
struct Round {
    files: Texts,
    applied: usize,
    left_out: usize,
}

fn apply(report: &Report, sources: &SourceMap, guesses: bool) -> Round {
    let mut round = Round::default();
    let mut taken: BTreeMap<FileId, Vec<&Edit>> = BTreeMap::new();
    let mut done: Vec<&Fix> = Vec::new();
    for found in &report.diagnostics {
        let wanted = |fix: &&Fix| guesses || fix.applicability == Applicability::Always;
        let Some(fix) = found.fixes.iter().find(wanted) else {
            continue;
        };
        if done.iter().any(|it| it.edits == fix.edits) {
            continue;
        }
        if !fits(fix, &taken, sources) {
            round.left_out += 1;
            continue;
        }
        for edit in &fix.edits {
            taken.entry(edit.span.file).or_default().push(edit);
        }
        round.applied += 1;
        done.push(fix);
    }
    for (id, edits) in taken {
        let file = sources.file(id);
        let text = file.map_or("", crate::source::File::text);
        let edits = edits.iter().map(|it| (it.span.range(), it.insert.as_str()));
        let new = edited(text, edits.collect());
        round
            .files
            .insert(sources.path(id).to_owned(), new.into_bytes());
    }
    round
}

/// Whether a fix stays clear of what was taken before, and each place of it exists.
fn fits(fix: &Fix, taken: &BTreeMap<FileId, Vec<&Edit>>, sources: &SourceMap) -> bool {
    fix.edits.iter().all(|edit| {
        let file = sources
            .file(edit.span.file)
            .filter(|it| it.invalid_at().is_none());
        let there = file.is_some_and(|it| it.text().get(edit.span.range()).is_some());
        let others = taken.get(&edit.span.file).into_iter().flatten();
        // Edits that only touch are refused as well: which comes first would be a guess.
        let clear =
            |other: &&Edit| other.span.end < edit.span.start || edit.span.end < other.span.start;
        there && others.copied().all(|other| clear(&other))
    })
}

/// A text with these bytes replaced; what does not lie on characters, or overlaps, is left.
pub fn edited(text: &str, mut edits: Vec<(Range<usize>, &str)>) -> String {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, insert) in edits {
        let Some(between) = text.get(at..range.start) else {
            continue;
        };
        if !text.is_char_boundary(range.end) {
            continue;
        }
        out.push_str(between);
        out.push_str(insert);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// How many files or parts of files nobody can read: a fix must not add one.
fn unreadable(checked: &Checked) -> usize {
    checked.sink.count(&codes::YAML_SYNTAX) + checked.sink.count(&codes::BAD_PROJECT_FILE)
}

fn unreadable_in(report: &Report) -> usize {
    let codes = [&codes::YAML_SYNTAX, &codes::BAD_PROJECT_FILE];
    let found = report.diagnostics.iter();
    found.filter(|it| codes.contains(&it.code)).count()
}

#[cfg(test)]
mod tests;
