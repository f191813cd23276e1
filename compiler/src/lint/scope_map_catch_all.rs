//! A scope map that maps every value.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    syntax::{ScopeSource, scope_source::Mapped},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.syntax.servers.values() {
        let own = server.scopes.iter();
        let tools = server
            .tools
            .values()
            .filter_map(|it| it.value.surface.scope.as_ref());
        let prompts = server
            .prompts
            .values()
            .filter_map(|it| it.value.surface.scope.as_ref());
        let resources = server
            .resources
            .values()
            .filter_map(|it| it.value.surface.scope.as_ref());
        let routes = server
            .routes
            .values()
            .filter_map(|it| it.value.surface.scope.as_ref());
        for source in own
            .chain(tools)
            .chain(prompts)
            .chain(resources)
            .chain(routes)
        {
            if let ScopeSource::Mapped(mapped) = source {
                catch_all(mapped, found);
            }
        }
    }
}

fn catch_all(mapped: &Mapped, found: &mut Vec<Diagnostic>) {
    if let Some(entry) = mapped.map.get("*") {
        let message = format!(
            "every value that no other line names is `{}`",
            entry.value.value
        );
        found.push(
            Diagnostic::new(&codes::SCOPE_MAP_CATCH_ALL, entry.name.span, message)
                .help("name the values, so that a new one is refused until somebody places it"),
        );
    }
}
