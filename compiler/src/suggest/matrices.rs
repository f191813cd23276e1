//! The matrices of a narrowed project: what they say follows what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use latchkey_engine::time::Time;

use super::{
    NotNow,
    edit::{Item, end, items, replaced},
};
use crate::{
    Checked, check,
    diag::Sink,
    matrix::{self, OthersRun, Run},
    model::Model,
    source::{SourceMap, Span, Tree},
    syntax::{
        node::{Node, Value},
        yaml,
    },
};

/// How often text is edited and looked at again: cells first, then what else callers may reach.
const MAX_ROUNDS: usize = 4;

/// The files of a project with some texts replaced.
struct Patched<'t> {
    tree: &'t dyn Tree,
    files: &'t BTreeMap<String, String>,
}

impl Tree for Patched<'_> {
    fn paths(&self) -> io::Result<Vec<String>> {
        self.tree.paths()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => self.tree.read(path),
        }
    }
}

/// A project with some texts replaced, and no errors.
pub(super) struct Narrowed {
    pub(super) sources: SourceMap,
    pub(super) model: Model,
}

/// Reads a project with some texts replaced.
pub(super) fn read(
    tree: &dyn Tree,
    files: &BTreeMap<String, String>,
    today: Time,
) -> Result<Narrowed, NotNow> {
    let Checked {
        sources,
        project,
        model,
        sink,
        ..
    } = check(&Patched { tree, files }, today);
    let report = sink.finish(&project.levels);
    let model = model
        .filter(|_| !report.has_errors())
        .ok_or_else(|| NotNow("without the unused grants the project has errors".to_owned()))?;
    Ok(Narrowed { sources, model })
}

/// Lets the matrices say what happens in the edited project. Answers all edited files, and how
/// many cells changed.
pub(super) fn follow(
    tree: &dyn Tree,
    mut files: BTreeMap<String, String>,
    today: Time,
) -> Result<(BTreeMap<String, String>, usize), NotNow> {
    let mut cells = 0;
    for _ in 0..MAX_ROUNDS {
        let Narrowed { sources, model } = read(tree, &files, today)?;
        let run = matrix::run(&model, &sources)
            .map_err(|_| NotNow("the matrices cannot be run on the narrowed project".to_owned()))?;
        if run.counts().1 == 0 {
            return Ok((files, cells));
        }
        let blessed = matrix::bless(&run, &sources);
        cells += blessed.cells;
        let edited = if blessed.cells > 0 {
            blessed.files
        } else {
            others(&run, &model, &sources)
        };
        files.extend(edited);
    }
    Err(NotNow(
        "the matrices of the narrowed project cannot be brought up to date".to_owned(),
    ))
}

/// The statements about what else callers may reach, without what they can reach no more.
fn others(run: &Run<'_>, model: &Model, sources: &SourceMap) -> BTreeMap<String, String> {
    let mut gone: BTreeMap<&str, BTreeSet<Span>> = BTreeMap::new();
    for statement in run.others.iter().filter(|it| !it.unreachable.is_empty()) {
        for span in spans(statement, model) {
            gone.entry(sources.path(span.file))
                .or_default()
                .insert(span);
        }
    }
    let mut files = BTreeMap::new();
    for (path, spans) in gone {
        let Some((id, file)) = sources.files().find(|(_, file)| file.path() == path) else {
            continue;
        };
        let document = yaml::parse(id, file.text(), &mut Sink::new());
        let Some(root) = document.root else { continue };
        let mut edits = Vec::new();
        lists(&root, &spans, &mut |key, list, all| {
            if all && let Some(key) = key {
                let range = key.range().end..end(file.text(), list);
                edits.push((range, ": []".to_owned()));
                return;
            }
            let keep = |item: &Node| {
                if spans.contains(&item.span) {
                    Item::Drop
                } else {
                    Item::Keep
                }
            };
            edits.extend(items(file.text(), list, &keep).unwrap_or_default());
        });
        files.insert(path.to_owned(), replaced(file.text(), edits));
    }
    files
}

/// Where a statement lists what cannot be reached.
fn spans(statement: &OthersRun<'_>, model: &Model) -> Vec<Span> {
    let Some(matrix) = model.matrices.get(statement.matrix) else {
        return Vec::new();
    };
    let callers = matrix.callers.iter().zip(&matrix.others);
    let own = callers.filter(|(caller, _)| caller.name.value == statement.caller);
    let listed = own.flat_map(|(_, others)| &others.permissions);
    let unreachable = listed.filter(|(permission, _)| {
        let name = match &permission.operation {
            None => permission.surface.name.to_string(),
            Some(operation) => format!("{}:{operation}", permission.surface.name),
        };
        statement.unreachable.contains(&name)
    });
    unreachable.map(|(_, span)| *span).collect()
}

/// Every list that has one of the items, with its key, and whether it has no others.
fn lists(node: &Node, spans: &BTreeSet<Span>, found: &mut dyn FnMut(Option<Span>, &Node, bool)) {
    let mut open = vec![(None, node)];
    while let Some((key, node)) = open.pop() {
        match &node.value {
            Value::List(items) => {
                let hit = items.iter().filter(|it| spans.contains(&it.span)).count();
                if hit > 0 {
                    found(key, node, hit == items.len());
                }
                open.extend(items.iter().map(|it| (None, it)));
            }
            Value::Map(pairs) => {
                open.extend(pairs.iter().map(|it| (Some(it.key.span), &it.value)));
            }
            _ => {}
        }
    }
}
