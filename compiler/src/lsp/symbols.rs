//! The outline of a file, and names across all files.

use serde_json::{Value as Json, json};

use super::{
    Asked,
    names::Kind,
    wire,
    world::{World, Worlds},
};
use crate::{
    source::{SourceMap, Span},
    syntax::node::{Node, Pair, Value},
};

/// The numbers that the protocol has for kinds of symbols.
const NAMESPACE: u32 = 3;
const CLASS: u32 = 5;
const METHOD: u32 = 6;

/// At most so many names are answered across files.
const MOST: usize = 500;

/// Answers `textDocument/documentSymbol`: sections, their entries, and what a server offers.
pub(super) fn answer(world: &World, asked: &Asked) -> Json {
    let id = world.sources.find(&asked.file);
    let Some(tree) = id.and_then(|id| world.trees.get(&id)) else {
        return json!([]);
    };
    let sections = pairs(tree).iter().map(|section| {
        let entries = pairs(&section.value).iter().map(|entry| {
            let below = inner(&section.key.value, entry).into_iter();
            let below = below.map(|it| symbol(&world.sources, it, METHOD, &[]));
            symbol(&world.sources, entry, CLASS, &below.collect::<Vec<_>>())
        });
        symbol(
            &world.sources,
            section,
            NAMESPACE,
            &entries.collect::<Vec<_>>(),
        )
    });
    sections.collect()
}

/// What an entry holds that has a name of its own.
fn inner<'n>(section: &str, entry: &'n Pair) -> Vec<&'n Pair> {
    let maps: &[&str] = match section {
        "servers" => &["tools", "prompts", "resources", "routes"],
        "organizations" => &["teams"],
        "matrices" => &["callers", "calls"],
        _ => &[],
    };
    let maps = maps.iter().filter_map(|key| entry.value.get(key));
    maps.flat_map(pairs).collect()
}

fn pairs(node: &Node) -> &[Pair] {
    node.as_map().unwrap_or_default()
}

fn symbol(sources: &SourceMap, pair: &Pair, kind: u32, children: &[Json]) -> Json {
    let key = pair.key.span;
    let whole = Span {
        end: end(&pair.value).max(key.end),
        ..key
    };
    // A client refuses a symbol without a name.
    let name = Some(pair.key.value.as_str()).filter(|it| !it.trim().is_empty());
    json!({
        "name": name.unwrap_or("?"),
        "kind": kind,
        "range": wire::range(sources, whole),
        "selectionRange": wire::range(sources, key),
        "children": children,
    })
}

/// Where a value ends; the span of a block is that of its first key.
fn end(node: &Node) -> u32 {
    let inner = match &node.value {
        Value::List(items) => items.last().map(end),
        Value::Map(pairs) => pairs.last().map(|it| end(&it.value).max(it.key.span.end)),
        _ => None,
    };
    inner.unwrap_or(0).max(node.span.end)
}

/// Answers `workspace/symbol`.
pub(super) fn everywhere(worlds: &mut Worlds, params: &Json) -> Json {
    let query = wire::part(params, "/query")
        .as_str()
        .unwrap_or_default()
        .to_lowercase();
    let mut found = Vec::new();
    for world in worlds.iter_mut() {
        let declared = world.names.mentions.iter().filter(|it| it.declares);
        let fitting = declared.filter(|it| it.name.full.to_lowercase().contains(&query));
        for it in fitting.take(MOST - found.len().min(MOST)) {
            let kind = if it.name.kind == Kind::Surface {
                METHOD
            } else {
                CLASS
            };
            found.push(json!({
                "name": it.name.full,
                "kind": kind,
                "location": world.location(it.span),
                "containerName": it.name.kind.noun(),
            }));
        }
    }
    json!(found)
}
