//! What the analysis does not compare: said, never dropped.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::index::Issuer;
use latchkey_gate::settings::{Settings as _, SurfaceSettings};

use super::{
    render,
    report::Report,
    same,
    world::{Class, Side},
};

mod overlap;
mod servers;

/// Lists every difference that the diagrams cannot see.
pub(super) fn find([from, to]: [&Side<'_>; 2], classes: &[Class], report: &mut Report) {
    issuers(from, to, report);
    chains([from, to], classes, report);
    servers::find(from, to, report);
    surfaces(from, to, report);
    overlap::find([from, to], report);
}

/// A key, audience or algorithm more means that other tokens are believed.
fn issuers(from: &Side<'_>, to: &Side<'_>, report: &mut Report) {
    for new in &to.index.issuers {
        let Some(old) = from.index.issuers.iter().find(|old| old.name == new.name) else {
            continue;
        };
        let mut differs = Vec::new();
        let mut note = |what: &'static str, changed: bool| {
            if changed {
                differs.push(what);
            }
        };
        note("URL", old.url != new.url);
        note("audiences", more(&old.audiences, &new.audiences));
        note("algorithms", more(&old.algorithms, &new.algorithms));
        note("keys", old.keys != new.keys);
        note("groups claim", old.groups_claim != new.groups_claim);
        note("clock skew", new.clock_skew > old.clock_skew);
        note("longest token life", longer(old, new));
        note("settings", old.settings != new.settings);
        // Whom it may speak for in a chain; each caller alone is compared.
        let organizations = |side: &Side<'_>, issuer: &Issuer| -> BTreeSet<String> {
            let all = issuer.organizations.iter();
            all.map(|it| side.index.scopes.path(*it)).collect()
        };
        let (was, is) = (organizations(from, old), organizations(to, new));
        note("organizations", was != is);
        if !differs.is_empty() {
            let why = format!(
                "issuer `{}` has other {}: which tokens are believed changes, for all its callers",
                new.name,
                differs.join(", ")
            );
            report.undecided("*", &why, None);
        }
    }
}

/// Whom a token may name in a chain is asked of its issuer, not of who is named: somebody who moved
/// to another organization may be named by other issuers than before.
fn chains(sides: [&Side<'_>; 2], classes: &[Class], report: &mut Report) {
    let moved = classes
        .iter()
        .filter(|it| !same::callers(sides, it.known()));
    for class in moved {
        let own: BTreeMap<&str, &str> = { class.identities.iter().chain(&class.strangers) }
            .map(|(issuer, subject)| (issuer.as_str(), subject.as_str()))
            .collect();
        for token in &sides[0].index.issuers {
            let differs = own.iter().any(|(issuer, subject)| {
                let [old, new] = sides.map(|side| side.vouches(&token.name, issuer, subject));
                token.name != **issuer && old.zip(new).is_some_and(|(old, new)| old != new)
            });
            if differs {
                let subjects = class.subjects.iter().map(String::as_str);
                let why = format!(
                    "{} moved between organizations: in which chains tokens of issuer `{}` may \
                     name them changes",
                    render::list(subjects, 3, str::to_owned),
                    token.name,
                );
                report.undecided("*", &why, None);
            }
        }
    }
}

/// What differs in the settings of a surface: where it is the pin alone, in which parts.
fn settings(old: &str, new: &str) -> String {
    let bare = |settings: &SurfaceSettings| {
        let mut settings = settings.clone();
        settings.pin = None;
        settings
    };
    let read = |text: &str| SurfaceSettings::from_text(text).ok();
    let pins = match (read(old), read(new)) {
        (Some(old), Some(new)) if bare(&old) == bare(&new) => (old.pin, new.pin),
        _ => (None, None),
    };
    match pins {
        (Some(old), Some(new)) => {
            let parts = old.difference(&new);
            format!("another definition was reviewed: {}", parts.as_str())
        }
        (None, Some(_)) => "its definition is pinned now: calls of another are refused".to_owned(),
        (Some(_), None) => "its definition is pinned no more: the server may change it".to_owned(),
        (None, None) => "the settings of this surface differ".to_owned(),
    }
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    render::list(names.iter().map(String::as_str), usize::MAX, quoted)
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn more<T: PartialEq>(old: &[T], new: &[T]) -> bool {
    new.iter().any(|it| !old.contains(it))
}

fn longer(old: &Issuer, new: &Issuer) -> bool {
    old.max_lifetime != 0 && (new.max_lifetime == 0 || new.max_lifetime > old.max_lifetime)
}

/// Schemas and folds decide what a call may carry; keyword by keyword they are not compared.
fn surfaces(from: &Side<'_>, to: &Side<'_>, report: &mut Report) {
    for new in &to.index.surfaces {
        let server = to
            .policy
            .server_entry(new.server)
            .map_or("", |server| server.name.as_str());
        let name = format!("{server}/{}", new.name);
        let Some((_, old)) = from.surface(&name) else {
            continue;
        };
        if from.schema(old) != to.schema(new) {
            let why = "the argument schema differs: calls that it refused may be accepted now";
            report.undecided(&name, why, None);
        }
        if old.kind != new.kind {
            let why = "other requests match this surface now";
            report.undecided(&name, why, None);
        }
        if old.settings != new.settings {
            report.undecided(&name, &settings(&old.settings, &new.settings), None);
        }
        if old.audit != new.audit {
            let why = format!(
                "other arguments are logged: it was {} and is {}",
                names(&old.audit),
                names(&new.audit)
            );
            report.undecided(&name, &why, None);
        }
        let facts = |side: &latchkey_engine::index::Surface| -> BTreeSet<_> {
            let facts = side.arguments.iter();
            facts
                .map(|it| (it.argument.clone(), it.fold, it.force.clone()))
                .collect()
        };
        if facts(old) != facts(new) {
            let why =
                "an argument's `fold` or `force` differs: conditions and scopes read other values";
            report.undecided(&name, why, None);
        }
        let old_argument = old.operations.as_ref().map(|it| &it.argument);
        if old_argument != new.operations.as_ref().map(|it| &it.argument) {
            report.undecided(&name, "another argument chooses the operation", None);
        }
    }
}

#[cfg(test)]
mod tests {
    use latchkey_gate::pin::{ListKind, Pin};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pin_that_differs_says_in_which_parts() {
        let text = |description: &str| {
            let definition = json!({"name": "t", "description": description});
            let pin = Pin::of(ListKind::Tools, &definition);
            SurfaceSettings {
                pin,
                ..SurfaceSettings::default()
            }
            .to_text()
            .unwrap()
        };
        let said = settings(&text("Reads."), &text("Writes."));
        assert_eq!(said, "another definition was reviewed: description changed");
        assert!(settings("", &text("Reads.")).contains("pinned now"));
        assert!(settings(&text("Reads."), "").contains("no more"));
        assert_eq!(settings("{", ""), "the settings of this surface differ");
    }
}
