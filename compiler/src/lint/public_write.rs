//! Anybody may change something.

use latchkey_engine::index::{Access, Risk};

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.model.servers.values() {
        for (name, surface) in &server.surfaces {
            if surface.access == Access::Public && surface.risk > Risk::Read {
                let message = format!("anybody may call `{name}`, and it changes something");
                found.push(
                    Diagnostic::new(&codes::PUBLIC_WRITE, surface.span, message)
                        .help("use `access: authenticated`, or ask for a permission"),
                );
            }
        }
    }
}
