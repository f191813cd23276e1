//! A tool that says it does more than its risk admits.

use latchkey_engine::index::{Risk, SurfaceKind};

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{SurfaceName, risk_name},
    source::Span,
};

/// Words that open the name of a tool which destroys.
const DESTROYING: &[&str] = &[
    "delete",
    "destroy",
    "drop",
    "erase",
    "purge",
    "terminate",
    "truncate",
    "wipe",
];
/// Words that open the name of a tool which writes.
const WRITING: &[&str] = &[
    "add", "create", "edit", "insert", "merge", "post", "push", "put", "remove", "rename", "send",
    "set", "update", "upload", "write",
];

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (server_name, server) in &facts.model.servers {
        for (name, surface) in &server.surfaces {
            if !matches!(surface.kind, SurfaceKind::Tool) {
                continue;
            }
            let own = SurfaceName {
                server: server_name.clone(),
                name: name.clone(),
            };
            for (permission, risk) in surface.permissions(&own) {
                let word = permission.operation.as_deref().unwrap_or(name);
                let operations = surface.operations.as_ref();
                let operation = operations.and_then(|it| it.values.get(word));
                let place = operation.map_or(surface.span, |it| it.span);
                let says = format!("the name of `{permission}`");
                judge(&says, named(word), risk, place, found);
            }
            if surface.operations.is_none()
                && let Some(hint) = hinted(facts, server_name, name)
            {
                let says = format!("the server's own description of `{name}`");
                judge(&says, Some(hint), surface.risk, surface.span, found);
            }
        }
    }
}

fn judge(says: &str, hint: Option<Risk>, risk: Risk, span: Span, found: &mut Vec<Diagnostic>) {
    let Some(hint) = hint.filter(|hint| *hint > risk) else {
        return;
    };
    let message = format!(
        "{says} says `{}`, and its risk is `{}`",
        risk_name(hint),
        risk_name(risk)
    );
    found.push(
        Diagnostic::new(&codes::RISK_UNDERSTATED, span, message)
            .help("raise the risk, or say in a suppression why it is right"),
    );
}

/// What the first word of a name suggests.
fn named(name: &str) -> Option<Risk> {
    let end = name
        .find(|c: char| !c.is_ascii_lowercase())
        .unwrap_or(name.len());
    let first = name.get(..end)?;
    if DESTROYING.contains(&first) {
        Some(Risk::Destructive)
    } else {
        WRITING.contains(&first).then_some(Risk::Write)
    }
}

/// What the annotations in the lock say.
fn hinted(facts: &Facts<'_>, server: &str, tool: &str) -> Option<Risk> {
    let locked = facts.syntax.locks.get(server)?.tool(tool)?;
    let read_only = locked.hint("readOnlyHint");
    if locked.hint("destructiveHint") == Some(true) && read_only != Some(true) {
        return Some(Risk::Destructive);
    }
    (read_only == Some(false)).then_some(Risk::Write)
}
