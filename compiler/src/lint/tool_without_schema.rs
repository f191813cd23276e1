//! A tool whose arguments are not checked.

use latchkey_engine::index::SurfaceKind;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.model.servers.values() {
        for (name, surface) in &server.surfaces {
            if matches!(surface.kind, SurfaceKind::Tool) && surface.schema.is_none() {
                let message = format!("the tool `{name}` has no schema: any arguments pass");
                found.push(
                    Diagnostic::new(&codes::TOOL_WITHOUT_SCHEMA, surface.span, message)
                        .help("write its JSON Schema under `input`"),
                );
            }
        }
    }
}
