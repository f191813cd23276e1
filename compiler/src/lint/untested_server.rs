//! A server without a golden matrix.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, server) in &facts.model.servers {
        let tested = facts.model.matrices.values().any(|it| it.server == *name);
        if !tested && !server.surfaces.is_empty() {
            let message = format!("no matrix tests the server `{name}`");
            found.push(
                Diagnostic::new(&codes::UNTESTED_SERVER, server.span, message)
                    .help("write one under `matrices`: who may call what, and who may not"),
            );
        }
    }
}
