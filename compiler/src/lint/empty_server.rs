//! A server of which nothing can be called.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, server) in &facts.model.servers {
        if server.surfaces.is_empty() {
            let message = format!("the server `{name}` has nothing that can be called");
            found.push(
                Diagnostic::new(&codes::EMPTY_SERVER, server.span, message)
                    .help("declare its tools, prompts, resources or routes, or remove it"),
            );
        }
    }
}
