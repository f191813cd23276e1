//! Paths that one request could mean at once.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Document;

/// How many pairs of routes are told.
const MOST_TOLD: usize = 1000;

/// Leaves out a route that another one matches always, and says which routes a path may mean both
/// of.
pub(super) fn check(document: &mut Document) {
    let mut same: BTreeMap<String, String> = BTreeMap::new();
    let mut twins = Vec::new();
    for (key, definition) in &document.routes {
        let (method, path) = parts(definition);
        let pattern: Vec<_> = path.split('/').map(anonymous).collect();
        let pattern = format!("{method} {}", pattern.join("/"));
        match same.get(&pattern) {
            Some(first) => twins.push((key.clone(), first.clone())),
            None => {
                same.insert(pattern, key.clone());
            }
        }
    }
    for (key, first) in twins {
        document.routes.remove(&key);
        let why = format!("every request for it is one for `{first}` as well");
        document.left_out.push((key, why));
    }
    let mut groups: BTreeMap<_, Vec<(&str, Vec<&str>)>> = BTreeMap::new();
    for (key, definition) in &document.routes {
        let (method, path) = parts(definition);
        let path: Vec<&str> = path.split('/').collect();
        let group = groups.entry((method, path.len())).or_default();
        group.push((key, path));
    }
    let mut found = Vec::new();
    for group in groups.values() {
        for (at, (key, path)) in group.iter().enumerate() {
            let others = group.iter().skip(at + 1);
            let others = others.filter(|(_, other)| crossed(path, other));
            let others = others.take(MOST_TOLD.saturating_sub(found.len()));
            found.extend(others.map(|(other, _)| ((*key).to_owned(), (*other).to_owned())));
        }
    }
    for (one, other) in found {
        let what = "some paths fit two routes: the sidecar takes the one whose first part that \
                    differs is fixed";
        let routes = document.notes.entry(what.to_owned()).or_default();
        routes.insert(format!("{one} and {other}"));
    }
}

fn parts(definition: &Json) -> (&str, &str) {
    let text = |key: &str| definition.get(key).and_then(Json::as_str);
    (
        text("method").unwrap_or_default(),
        text("path").unwrap_or_default(),
    )
}

/// A part of a path without the name of its variable.
fn anonymous(part: &str) -> String {
    match (part.split_once('{'), part.split_once('}')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{{}}{after}"),
        _ => part.to_owned(),
    }
}

/// Whether a path may fit both, and each is the fixed one somewhere.
fn crossed(one: &[&str], other: &[&str]) -> bool {
    let (mut own, mut its) = (false, false);
    for (one, other) in one.iter().zip(other) {
        match (one.contains('{'), other.contains('{')) {
            (false, false) if one != other => return false,
            (false, true) => own = true,
            (true, false) => its = true,
            _ => {}
        }
    }
    own && its
}
