//! Where a name is declared, and where it is mentioned.

use serde_json::{Value as Json, json};

use super::{Asked, names::Mention, wire, world::World};

/// Answers `textDocument/definition`.
pub(super) fn definition(world: &World, asked: &Asked) -> Json {
    places(world, asked, |it| it.declares)
}

/// Answers `textDocument/references`.
pub(super) fn references(world: &World, params: &Json, asked: &Asked) -> Json {
    let declared = *wire::part(params, "/context/includeDeclaration") != json!(false);
    places(world, asked, |it| declared || !it.declares)
}

fn places(world: &World, asked: &Asked, wanted: impl Fn(&Mention) -> bool) -> Json {
    let Some(here) = here(world, asked) else {
        return Json::Null;
    };
    let places = world.names.places(&here.name).filter(|it| wanted(it));
    places.map(|it| world.location(it.span)).collect()
}

/// Answers `textDocument/documentHighlight`.
pub(super) fn highlight(world: &World, asked: &Asked) -> Json {
    let Some(here) = here(world, asked) else {
        return Json::Null;
    };
    let places = world.names.places(&here.name);
    let own = places.filter(|it| it.span.file == here.span.file);
    // Writing is what declares, reading is what mentions.
    let marks = own.map(|it| {
        let kind = if it.declares { 3 } else { 2 };
        json!({"range": wire::range(&world.sources, it.span), "kind": kind})
    });
    marks.collect()
}

/// The name that is asked about.
pub(super) fn here<'w>(world: &'w World, asked: &Asked) -> Option<&'w Mention> {
    let file = world.sources.find(&asked.file)?;
    world.names.at(file, asked.offset)
}
