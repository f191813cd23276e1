//! A tool without a pin beside others that have one.

use latchkey_engine::index::SurfaceKind;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, server) in &facts.model.servers {
        let Some(lock) = facts
            .syntax
            .servers
            .get(name)
            .and_then(|it| it.lock.as_ref())
        else {
            continue;
        };
        for (name, surface) in &server.surfaces {
            let tool = matches!(surface.kind, SurfaceKind::Tool);
            if !tool || surface.settings.pin.is_some() {
                continue;
            }
            let message =
                format!("the lock does not have `{name}`, so nothing pins its definition");
            found.push(
                Diagnostic::new(&codes::NOT_PINNED, surface.span, message)
                    .also(lock.span, "the lock is named here")
                    .help("import the server again, so that a change of the tool is noticed"),
            );
        }
    }
}
