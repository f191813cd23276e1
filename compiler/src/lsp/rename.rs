//! A new name for something, in every file. What would not check afterwards is refused.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Asked, actions,
    definition::here,
    names::{Kind, Mention},
    wire,
    world::World,
};
use crate::{
    diag::Edit,
    fix,
    source::{File, FileId},
    syntax::{
        node::Node,
        scalar::{Label, Scalar as _, SurfaceName},
    },
};

/// Answers `textDocument/prepareRename`.
pub(super) fn prepare(world: &World, asked: &Asked) -> Result<Json, String> {
    let Some(here) = here(world, asked) else {
        return Ok(Json::Null);
    };
    renameable(world, here)?;
    let text = world.sources.text(here.span);
    Ok(json!({"range": wire::range(&world.sources, here.span), "placeholder": text}))
}

/// Answers `textDocument/rename`.
pub(super) fn answer(world: &World, params: &Json, asked: &Asked) -> Result<Json, String> {
    let new = wire::part(params, "/newName").as_str().unwrap_or_default();
    let Some(here) = here(world, asked) else {
        return Err("there is no name here".to_owned());
    };
    renameable(world, here)?;
    let kind = here.name.kind;
    let fits = match kind {
        Kind::Surface => SurfaceName::parse(new).map(|_| ()),
        _ => Label::parse(new).map(|_| ()),
    };
    fits.map_err(|problem| problem.message)?;
    let full = match here.name.full.rsplit_once('/') {
        Some((outer, _)) => format!("{outer}/{new}"),
        None => new.to_owned(),
    };
    if full != here.name.full && world.names.known(kind).contains(&full.as_str()) {
        return Err(format!("there is a {} `{full}` already", kind.noun()));
    }
    let edits: Vec<Edit> = world
        .names
        .places(&here.name)
        .map(|it| Edit {
            span: it.span,
            insert: new.to_owned(),
        })
        .collect();
    harmless(world, &edits)?;
    Ok(actions::changes(world, &edits))
}

/// What a server, and not this project, calls so keeps its name.
fn renameable(world: &World, here: &Mention) -> Result<(), String> {
    match here.name.kind {
        Kind::Operation => Err("an operation is a value of the server's argument".to_owned()),
        Kind::Surface if !own(world, here) => {
            Err("the server gives its tools and prompts their names".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether a surface is a route or a resource: those are named here.
fn own(world: &World, here: &Mention) -> bool {
    let (server, name) = here.name.full.split_once('/').unwrap_or_default();
    let mut entries = world
        .trees
        .values()
        .filter_map(|tree| tree.get("servers")?.get(server));
    let has = |entry: &Node, kind: &str| entry.get(kind).is_some_and(|it| it.get(name).is_some());
    entries.any(|entry| has(entry, "routes") || has(entry, "resources"))
}

/// Refuses edits after which there are errors that there are not now.
fn harmless(world: &World, edits: &[Edit]) -> Result<(), String> {
    let mut files: BTreeMap<FileId, Vec<_>> = BTreeMap::new();
    for edit in edits {
        let place = (edit.span.range(), edit.insert.as_str());
        files.entry(edit.span.file).or_default().push(place);
    }
    let texts = files.into_iter().filter_map(|(id, edits)| {
        let file: &File = world.sources.file(id)?;
        let new = fix::edited(file.text(), edits);
        Some((file.path().to_owned(), new.into_bytes()))
    });
    let after = world.errors_with(&texts.collect());
    let before = world.errors();
    if after.len() <= before.len() {
        return Ok(());
    }
    let mut left = before;
    let new = after.into_iter().find(|it| {
        let known = left.iter().position(|old| old == it);
        known.map(|at| left.remove(at)).is_none()
    });
    Err(format!("it would be an error: {}", new.unwrap_or_default()))
}
