//! A surface that no row of its server's matrices calls.

use std::collections::BTreeSet;

use latchkey_engine::index::SurfaceKind;

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Matrix, Server},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (server_name, server) in &facts.model.servers {
        let matrices = facts.model.matrices.values();
        let matrices: Vec<_> = matrices.filter(|it| it.server == *server_name).collect();
        if matrices.is_empty() {
            // Said once, about the server.
            continue;
        }
        let tested = tested(&matrices, server);
        for (name, surface) in &server.surfaces {
            if !tested.contains(name.as_str()) {
                let message = format!("no row of a matrix calls `{server_name}/{name}`");
                found.push(
                    Diagnostic::new(&codes::UNTESTED_SURFACE, surface.span, message)
                        .help("add a call of it to a matrix of the server"),
                );
            }
        }
    }
}

fn tested<'a>(matrices: &[&'a Matrix], server: &'a Server) -> BTreeSet<&'a str> {
    let mut tested = BTreeSet::new();
    let calls = matrices.iter().flat_map(|matrix| &matrix.calls);
    for facts in calls.map(|call| &call.facts) {
        let text = |key: &str| -> Option<String> {
            let (_, value) = facts.iter().find(|(name, _)| *name == key)?;
            serde_json::from_str(value).ok()
        };
        if let Some(called) = text("tool").or_else(|| text("prompt")) {
            let named = server.surfaces.get_key_value(called.as_str());
            let named =
                named.filter(|(_, it)| matches!(it.kind, SurfaceKind::Tool | SurfaceKind::Prompt));
            tested.extend(named.map(|(name, _)| name.as_str()));
            continue;
        }
        let path = text("path").map(|path| path.split('?').next().unwrap_or_default().to_owned());
        let (verb, uri) = (text("method"), text("resource"));
        tested.extend(server.surfaces.iter().filter_map(|(name, surface)| {
            let hit = match &surface.kind {
                SurfaceKind::Tool | SurfaceKind::Prompt => false,
                SurfaceKind::Resource { uri: pattern } => {
                    uri.as_ref().is_some_and(|it| matches(pattern, it))
                }
                SurfaceKind::Route {
                    method,
                    path: pattern,
                } => {
                    let path = path.as_ref();
                    verb.as_ref() == Some(method) && path.is_some_and(|it| matches(pattern, it))
                }
            };
            hit.then_some(name.as_str())
        }));
    }
    tested
}

/// Whether a text has the form of a template: its fixed parts in order, anything between them.
fn matches(template: &str, text: &str) -> bool {
    let mut rest = text;
    let mut pieces = template.split('{');
    let first = pieces.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    let mut open = false;
    for piece in pieces {
        let fixed = piece.split_once('}').map_or("", |(_, fixed)| fixed);
        let Some(at) = rest.find(fixed) else {
            return false;
        };
        rest = rest.get(at + fixed.len()..).unwrap_or_default();
        open = fixed.is_empty();
    }
    open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_matches_its_fixed_parts() {
        assert!(matches("/v1/refunds/{id}", "/v1/refunds/7"));
        assert!(matches("/v1/{a}/lines/{b}", "/v1/x/lines/y"));
        assert!(matches("/v1", "/v1"));
        assert!(!matches("/v1/{a}/lines", "/v1/x/other"));
        assert!(!matches("/v1", "/v1/x"));
        assert!(!matches("/v1/{a}/lines", "/v1/x/lines/more"));
    }
}
