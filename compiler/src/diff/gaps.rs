//! What the analysis does not compare: said, never dropped.

use std::collections::BTreeSet;

use latchkey_engine::index::Issuer;

use super::{report::Report, world::Side};

/// Lists every difference that the diagrams cannot see.
pub(super) fn find(from: &Side<'_>, to: &Side<'_>, report: &mut Report) {
    issuers(from, to, report);
    servers(from, to, report);
    surfaces(from, to, report);
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

/// What a server's settings open and close is not compared one by one.
fn servers(from: &Side<'_>, to: &Side<'_>, report: &mut Report) {
    for new in &to.index.servers {
        let old = from.index.servers.iter().find(|old| old.name == new.name);
        if old.is_some_and(|old| old.settings != new.settings) {
            let why = format!("the settings of server `{}` differ", new.name);
            report.undecided("*", &why, None);
        }
    }
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
            report.undecided(&name, "the settings of this surface differ", None);
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
