//! Surfaces that come or go, and leave their requests to others.
//!
//! The diagrams compare a surface with the one of the same name. Where a narrow route is removed, its
//! requests match a wider one from then on, which is a change of no name.

use latchkey_engine::index::{Surface, SurfaceKind};

use super::super::{report::Report, world::Side};

/// Reports every surface that only one side has, and whose requests mean another of the other side.
pub(super) fn find([from, to]: [&Side<'_>; 2], report: &mut Report) {
    for old in only([from, to]) {
        for other in others(from, old, to) {
            let why = format!(
                "it is no more, and requests that it matched can match `{}` now: who may make them \
                 can change",
                other.name
            );
            report.undecided(&name(from, old), &why, None);
        }
    }
    for new in only([to, from]) {
        // Of those that went meanwhile the loop above has told.
        let stays = |it: &&Surface| to.surface(&name(from, it)).is_some();
        for other in others(to, new, from).filter(stays) {
            let why = format!(
                "it is new, and requests that matched `{}` can match it now: who may make them can \
                 change",
                other.name
            );
            report.undecided(&name(to, new), &why, None);
        }
    }
}

/// The surfaces of the first side whose names the second does not have.
fn only<'s>([one, other]: [&'s Side<'_>; 2]) -> impl Iterator<Item = &'s Surface> {
    let all = one.index.surfaces.iter();
    all.filter(move |it| other.surface(&name(one, it)).is_none())
}

/// The surfaces of the other side, on the same server, that the requests of one can match where it
/// is not there itself.
fn others<'s>(
    side: &Side<'_>,
    surface: &'s Surface,
    other: &'s Side<'_>,
) -> impl Iterator<Item = &'s Surface> {
    let own = server(side, surface).to_owned();
    let all = other.index.surfaces.iter();
    all.filter(move |it| server(other, it) == own && takes(&it.kind, &surface.kind))
}

fn server<'s>(side: &'s Side<'_>, surface: &Surface) -> &'s str {
    let server = side.policy.server_entry(surface.server);
    server.map_or("", |it| it.name.as_str())
}

fn name(side: &Side<'_>, surface: &Surface) -> String {
    format!("{}/{}", server(side, surface), surface.name)
}

/// Whether requests mean the second while both are there, and the first when it is alone.
fn takes(left: &SurfaceKind, gone: &SurfaceKind) -> bool {
    match (left, gone) {
        (SurfaceKind::Resource { uri: left }, SurfaceKind::Resource { uri: gone }) => {
            falls(left, gone)
        }
        (
            SurfaceKind::Route { method, path: left },
            SurfaceKind::Route {
                method: same,
                path: gone,
            },
        ) => method == same && falls(left, gone),
        _ => false,
    }
}

/// The more literal template wins at the first segment that differs, so only what is left to a
/// template that is not more literal can fall to it.
fn falls(left: &str, gone: &str) -> bool {
    let (left, gone) = (segments(left), segments(gone));
    let mut ranks = left.iter().map(rank).zip(gone.iter().map(rank));
    let wins = ranks.find(|(left, gone)| left != gone);
    wins.is_none_or(|(left, gone)| left > gone) && overlap(&left, &gone)
}

/// A template's segments. A last slash is left out: what only it tells apart matches nothing.
fn segments(template: &str) -> Vec<&str> {
    let mut segments: Vec<_> = template.split('/').collect();
    if segments.len() > 1 && segments.last().is_some_and(|it| it.is_empty()) {
        segments.pop();
    }
    segments
}

fn rank(segment: &&str) -> u8 {
    match parts(segment) {
        _ if segment.starts_with("{+") => 3,
        None => 0,
        Some(("", "")) => 2,
        Some(_) => 1,
    }
}

/// What stands before and after the variable of a segment; `None` where it has none.
fn parts(segment: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = segment.split_once('{')?;
    let (_, suffix) = rest.split_once('}')?;
    Some((prefix, suffix))
}

/// Whether some path fits both; case is ignored, for what only it tells apart matches nothing.
fn overlap(ones: &[&str], others: &[&str]) -> bool {
    for (one, other) in ones.iter().zip(others) {
        // It takes at least one more segment, and here is one of the other.
        if rank(one) == 3 || rank(other) == 3 {
            return true;
        }
        if !can_be_the_same(one, other) {
            return false;
        }
    }
    ones.len() == others.len()
}

fn can_be_the_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    match (parts(&one), parts(&other)) {
        (None, None) => one == other,
        (Some(open), None) => fits(open, &other),
        (None, Some(open)) => fits(open, &one),
        (Some((before, after)), Some((start, end))) => {
            (before.starts_with(start) || start.starts_with(before))
                && (after.ends_with(end) || end.ends_with(after))
        }
    }
}

fn fits((before, after): (&str, &str), text: &str) -> bool {
    text.len() > before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_leaves_falls_to_a_wider_one() {
        for (left, gone, wanted) in [
            ("/items/{id}", "/items/secret", true),
            ("/items/secret", "/items/{id}", false),
            ("/items/{id}", "/items/secret/", true),
            ("/items/{id}", "/items/{name}", true),
            ("/items/{id}", "/items/secret/notes", false),
            ("/items/{id}", "/other/secret", false),
            ("/Items/{id}", "/items/secret", true),
            ("/items/{+rest}", "/items/secret/notes", true),
            ("/items/{+rest}", "/items", false),
            ("/items/{id}", "/items/{+rest}", false),
            ("/items/{name}.md", "/items/a.md", true),
            ("/items/{name}.md", "/items/a.txt", false),
            ("/items/a{name}", "/items/{name}.md", true),
            ("/items/a{name}", "/items/b{name}", false),
            ("/v1/sales/{id}", "/v1/{team}/new", false),
            ("/v1/{team}/new", "/v1/sales/{id}", true),
        ] {
            assert_eq!(falls(left, gone), wanted, "{left} {gone}");
        }
    }
}
