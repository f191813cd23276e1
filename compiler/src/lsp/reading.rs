//! A project as it was read, of which one changed file can be read again by itself.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::time::Time;

use crate::{
    diag::{Code, Diagnostic, Report, Severity, Sink, codes},
    lint,
    model::Model,
    project, prove, resolve,
    source::{FileId, MAX_FILE_BYTES, SourceMap, Span, Tree},
    syntax::{self, node::Node, shape::Reader},
    text::Text,
};

/// Errors that only a look at every file tells; those of other files stay as they were.
const ACROSS: &[&Code] = &[
    &codes::DUPLICATE_CLAIM,
    &codes::DUPLICATE_ENTRY,
    &codes::DUPLICATE_IDENTITY,
    &codes::ROLE_CYCLE,
    &codes::TOO_MANY_OBLIGATIONS,
    &codes::UNSCOPED_BELOW,
];

/// What was written, and what was found while it was read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) project: project::Project,
    syntax: syntax::Project,
    opened: Sink,
    found: BTreeMap<FileId, Sink>,
    /// What was found when the files were put together.
    together: Sink,
}

/// What a reading comes to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What it means, as far as it goes.
    pub(super) model: Model,
    /// Whether that is all of it.
    pub(super) sound: bool,
    pub(super) report: Report,
}

impl Reading {
    /// Reads everything.
    pub(super) fn new(tree: &dyn Tree) -> (Self, SourceMap, BTreeMap<FileId, Node>) {
        let mut opened = Sink::new();
        let (sources, project) = project::open(tree, &mut opened);
        let mut reading = Self {
            syntax: syntax::Project::default(),
            found: BTreeMap::new(),
            together: Sink::new(),
            opened,
            project,
        };
        let (mut trees, mut files) = (BTreeMap::new(), Vec::new());
        for part in syntax::parts(&sources, &reading.project, true) {
            trees.extend(part.root.map(|it| (part.file, it)));
            files.push((part.file, part.written));
            if !part.sink.is_empty() {
                reading.found.insert(part.file, part.sink);
            }
        }
        let cx = &mut Reader::new(&sources, &mut reading.together);
        reading.syntax.take_all(files, cx);
        reading.syntax.finish(&reading.project, cx);
        (reading, sources, trees)
    }

    /// Checks everything that was read, unless told to stop.
    pub(super) fn check(
        &self,
        sources: &SourceMap,
        when: (Time, lint::Depth),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Outcome> {
        let mut sink = self.opened.clone();
        for found in self.found.values().chain([&self.together]) {
            sink.append(found.clone());
        }
        let name = self.project.name.as_ref();
        let name = name.map_or("", |name| name.value.as_str());
        let model = resolve::as_far_as_it_goes(name, &self.syntax, sources, &mut sink);
        let sound = resolve::is_sound(&self.syntax, &sink);
        if stop() {
            return None;
        }
        let gate = { sound.then(|| prove::prove(&model, &mut sink)) }.flatten();
        let sound = gate.is_some();
        let meant = gate.as_ref().map(|gate| (&model, gate));
        let written = (&self.project, &self.syntax);
        let texts = (lint::Texts::read(&self.project, sources), sources);
        let done = lint::run_unless(written, meant, texts, &mut sink, when, stop);
        done.then(|| Outcome {
            report: sink.finish(&self.project.levels),
            model,
            sound,
        })
    }

    /// Reads one file again, and puts what it says into the model. What was found in it is in the
    /// report then; what that does to other files is not, and lints are those of before. `false`
    /// when everything has to be read.
    pub(super) fn change(
        &mut self,
        id: FileId,
        bytes: Vec<u8>,
        sources: &mut SourceMap,
        trees: &mut BTreeMap<FileId, Node>,
        (model, report): (&mut Model, &mut Report),
    ) -> bool {
        let Some(before) = sources.file(id) else {
            return false;
        };
        let readable = before.invalid_at().is_none()
            && before.text().len().max(bytes.len()) <= MAX_FILE_BYTES
            && std::str::from_utf8(&bytes).is_ok();
        if !readable || !self.project.includes(before.path()) {
            return false;
        }
        let text = before.text().to_owned();
        sources.replace(id, bytes);
        let part = syntax::part(id, sources);
        let mut found = part.sink;
        let cx = &mut Reader::new(sources, &mut found);
        let Some(before) = self.syntax.replace(id, part.written, cx) else {
            return false;
        };
        match part.root {
            Some(root) => trees.insert(id, root),
            None => trees.remove(&id),
        };
        self.found.remove(&id);
        if !found.is_empty() {
            self.found.insert(id, found);
        }
        let moved = Moved::between(id, &text, sources);
        let said = std::mem::take(&mut report.diagnostics).into_iter();
        report.diagnostics = said.filter_map(|it| moved.diagnostic(it)).collect();
        let files = BTreeMap::from([(id, before)]);
        self.resolve_again(&files, sources, (model, report));
        true
    }

    /// Looks again at files that did not change: a name that they mention is given now, or no
    /// longer. What is found in them is in the report then.
    pub(super) fn look_again(
        &self,
        files: &BTreeSet<FileId>,
        sources: &SourceMap,
        into: (&mut Model, &mut Report),
    ) {
        let given = |file: FileId| self.syntax.names_of(file).cloned().collect();
        let files = files.iter().map(|file| (*file, given(*file))).collect();
        self.resolve_again(&files, sources, into);
    }

    /// Puts what some files say into the model, in place of the names that they gave before, and
    /// what is wrong there into the report.
    fn resolve_again(
        &self,
        files: &BTreeMap<FileId, BTreeSet<Text>>,
        sources: &SourceMap,
        (model, report): (&mut Model, &mut Report),
    ) {
        let mut found = Sink::new();
        for read in files.keys().filter_map(|id| self.found.get(id)) {
            found.append(read.clone());
        }
        resolve::again(files, model, &self.syntax, sources, &mut found);
        for old in std::mem::take(&mut report.diagnostics) {
            let of_files = { old.primary() }.is_some_and(|it| files.contains_key(&it.file));
            let asked = old.code.severity == Severity::Error && !ACROSS.contains(&old.code);
            if !(of_files && asked) {
                found.push(old);
            }
        }
        report.diagnostics = found.finish(&self.project.levels).diagnostics;
    }
}

/// Where the parts of a text are that an edit left alone.
struct Moved {
    file: FileId,
    /// How many bytes are the same from the start.
    start: u32,
    /// Where the bytes begin that are the same to the end: before, and now.
    end: (u32, u32),
}

impl Moved {
    fn between(file: FileId, before: &str, sources: &SourceMap) -> Self {
        let now = sources.file(file).map_or("", |it| it.text());
        let same = |pair: &(u8, u8)| pair.0 == pair.1;
        let start = before.bytes().zip(now.bytes()).take_while(same).count();
        let backwards = before.bytes().rev().zip(now.bytes().rev());
        let most = before.len().min(now.len()) - start;
        let end = backwards.take(most).take_while(same).count();
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            file,
            start: number(start),
            end: (number(before.len() - end), number(now.len() - end)),
        }
    }

    fn span(&self, span: Span) -> Option<Span> {
        if span.file != self.file || span.end <= self.start {
            return Some(span);
        }
        let (before, now) = self.end;
        let (start, end) = (
            span.start.checked_sub(before)?,
            span.end.checked_sub(before)?,
        );
        Some(Span {
            start: start + now,
            end: end + now,
            ..span
        })
    }

    /// A finding where it is now; `None` if its place was edited.
    fn diagnostic(&self, mut found: Diagnostic) -> Option<Diagnostic> {
        let labels = found.labels.len();
        let primary = found.primary();
        if let Some(primary) = primary {
            self.span(primary)?;
        }
        found.labels.retain_mut(|label| {
            let span = self.span(label.span);
            label.span = span.unwrap_or(label.span);
            span.is_some()
        });
        found.fixes.retain_mut(|fix| {
            fix.edits.iter_mut().all(|edit| {
                let span = self.span(edit.span);
                edit.span = span.unwrap_or(edit.span);
                span.is_some()
            })
        });
        (labels == 0 || !found.labels.is_empty()).then_some(found)
    }
}

#[cfg(test)]
mod tests;
