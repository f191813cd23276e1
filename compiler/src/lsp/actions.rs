//! What can be done about a finding: its fixes, a comment that silences it, and all sure fixes of
//! a file at once. Edits are offered, never made.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Asked, diagnostics, wire, world::World};
use crate::{
    command::now,
    diag::{Applicability, Diagnostic, Edit, Severity},
    fix,
    source::{File, FileId, Folder, Overlay, Span},
    syntax::yaml,
};

/// Answers `textDocument/codeAction`.
pub(super) fn answer(world: &World, params: &Json, asked: &Asked) -> Json {
    let Some(id) = world.sources.find(&asked.file) else {
        return json!([]);
    };
    let wanted = wire::part(params, "/context/only").as_array();
    let wants = |kind: &str| {
        wanted.is_none_or(|only| {
            let only = only.iter().filter_map(Json::as_str);
            only.clone().next().is_none()
                || only
                    .map(|it| it.trim_end_matches('.'))
                    .any(|it| kind == it || kind.starts_with(&format!("{it}.")))
        })
    };
    let start = world.offset(&asked.file, wire::part(params, "/range/start"));
    let end = world.offset(&asked.file, wire::part(params, "/range/end"));
    let mut actions = Vec::new();
    if wants("quickfix") {
        let found = world.report.diagnostics.iter();
        let here = found.filter(|it| {
            it.primary()
                .is_some_and(|it| it.file == id && it.start <= end && start <= it.end)
        });
        for found in here {
            actions.extend(quick(world, found));
        }
    }
    if wants("source.fixAll.latchkey") {
        actions.extend(all(world, id, &asked.file));
    }
    json!(actions)
}

fn quick(world: &World, found: &Diagnostic) -> Vec<Json> {
    let told = diagnostics::diagnostic(world, found);
    let mut actions: Vec<Json> = found
        .fixes
        .iter()
        .map(|it| {
            json!({
                "title": it.title,
                "kind": "quickfix",
                "diagnostics": [told],
                "isPreferred": it.applicability == Applicability::Always,
                "edit": changes(world, &it.edits),
            })
        })
        .collect();
    if let Some(edit) = silence(world, found) {
        actions.push(json!({
            "title": format!("silence `{}` here; the reason is yours to write", found.code.slug),
            "kind": "quickfix",
            "diagnostics": [told],
            "edit": changes(world, &[edit]),
        }));
    }
    actions
}

/// A comment above the line that silences a warning. It has no reason yet, and so it is an error
/// until somebody has written one.
fn silence(world: &World, found: &Diagnostic) -> Option<Edit> {
    let span = found
        .primary()
        .filter(|_| found.severity == Severity::Warning)?;
    let file = world.sources.file(span.file)?;
    let line = file.position(span.start as usize).line;
    let range = file.line(line)?;
    let text = file.text().get(range.clone())?;
    let indent = text.get(..text.len() - text.trim_start().len())?;
    let comment = format!("# latchkey: allow({}):", found.code.slug);
    let insert = format!("{indent}{comment} \n");
    // In a block of text a comment would be text: what it comes to is looked at.
    let new = fix::edited(file.text(), vec![(range.start..range.start, &insert)]);
    let at = range.start + indent.len();
    let comments = yaml::comments(span.file, &new);
    let read = comments.iter().any(|it| it.span.start as usize == at);
    read.then(|| Edit {
        span: Span::new(span.file, range.start..range.start),
        insert,
    })
}

/// All sure fixes of a file, as one edit.
fn all(world: &World, id: FileId, path: &str) -> Option<Json> {
    let sure = |it: &Diagnostic| {
        let mut fixes = it.fixes.iter();
        let here = it.primary().is_some_and(|it| it.file == id);
        here && fixes.any(|it| it.applicability == Applicability::Always)
    };
    if !world.report.diagnostics.iter().any(sure) {
        return None;
    }
    let folder = Folder::new(&world.root);
    let fixed = fix::fix(&Overlay::new(&folder, &world.buffers), now(), false);
    let (_, new) = fixed.files.get(path)?;
    let file = world.sources.file(id)?;
    let span = Span::new(id, 0..file.text().len());
    let edit = Edit {
        span,
        insert: String::from_utf8(new.clone()).ok()?,
    };
    Some(json!({
        "title": "apply all fixes that are sure",
        "kind": "source.fixAll.latchkey",
        "edit": changes(world, &[edit]),
    }))
}

/// Edits in the form of the protocol.
pub(super) fn changes(world: &World, edits: &[Edit]) -> Json {
    let mut files: BTreeMap<FileId, Vec<Json>> = BTreeMap::new();
    for edit in edits {
        files.entry(edit.span.file).or_default().push(json!({
            "range": wire::range(&world.sources, edit.span),
            "newText": edit.insert,
        }));
    }
    let changes: serde_json::Map<String, Json> = files
        .into_iter()
        .map(|(id, edits)| {
            let path = world.sources.file(id).map_or("", File::path);
            (world.uri(path), json!(edits))
        })
        .collect();
    json!({"changes": changes})
}
