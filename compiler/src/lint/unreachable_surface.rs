//! A surface that no grant reaches.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Permission, Surface, SurfaceName},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (server_name, server) in &facts.model.servers {
        for (name, surface) in &server.surfaces {
            let own = SurfaceName {
                server: server_name.clone(),
                name: name.clone(),
            };
            for (permission, _) in surface.permissions(&own) {
                if !facts.granted.contains(&permission) && !facts.needs_no_grant(&permission) {
                    found.push(unreachable(surface, &permission));
                }
            }
        }
    }
}

fn unreachable(surface: &Surface, permission: &Permission) -> Diagnostic {
    let operation = permission
        .operation
        .as_ref()
        .zip(surface.operations.as_ref());
    let place = operation.and_then(|(name, all)| all.values.get(name));
    let message = format!("no binding in force gives `{permission}`");
    Diagnostic::new(
        &codes::UNREACHABLE_SURFACE,
        place.map_or(surface.span, |it| it.span),
        message,
    )
    .help("grant it, or remove it: what is not declared is refused as well")
}
