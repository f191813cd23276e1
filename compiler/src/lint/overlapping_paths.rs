//! Routes whose paths match the same requests, where neither is the narrower one.

use latchkey_engine::index::SurfaceKind;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.model.servers.values() {
        let routes: Vec<_> = server
            .surfaces
            .iter()
            .filter_map(|(name, surface)| match &surface.kind {
                SurfaceKind::Route { method, path } => Some((name, surface.span, method, path)),
                _ => None,
            })
            .collect();
        for (at, (name, span, method, path)) in routes.iter().enumerate() {
            let others = routes.iter().skip(at + 1).filter(|it| it.2 == *method);
            for (other, place, _, wider) in others.filter(|it| overlap(path, it.3)) {
                let message = format!("`{other}` and `{name}` match some of the same requests");
                found.push(
                    Diagnostic::new(&codes::OVERLAPPING_PATHS, *place, message)
                        .also(*span, format!("this one is `{path}`"))
                        .note(format!(
                            "`{wider}` and `{path}` each name a segment that the other leaves open"
                        ))
                        .help(
                            "the one that names the first such segment is meant; give one of them \
                             another path if that is not clear to everybody",
                        ),
                );
            }
        }
    }
}

/// Whether two templates match a common path, and each names a segment that the other leaves open.
fn overlap(one: &str, other: &str) -> bool {
    let (ones, others): (Vec<_>, Vec<_>) = (one.split('/').collect(), other.split('/').collect());
    if ones.len() != others.len() {
        return false;
    }
    let open = |segment: &str| segment.contains('{');
    let (mut left, mut right) = (false, false);
    for (one, other) in ones.iter().zip(&others) {
        match (open(one), open(other)) {
            (false, false) if one != other => return false,
            (false, true) => left = true,
            (true, false) => right = true,
            _ => {}
        }
    }
    left && right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_overlap_where_each_is_narrower_somewhere() {
        assert!(overlap("/v1/{team}/new", "/v1/sales/{id}"));
        assert!(!overlap("/v1/tickets/{id}", "/v1/tickets/new"));
        assert!(!overlap("/v1/{team}/new", "/v1/sales/{id}/notes"));
        assert!(!overlap("/v1/{team}/new", "/v2/sales/{id}"));
    }
}
