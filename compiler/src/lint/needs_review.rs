//! Imported surfaces that no person has looked at.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.syntax.servers.values() {
        let tools = server.tools.values().map(|it| (&it.name, &it.surface));
        let prompts = server.prompts.values().map(|it| (&it.name, &it.surface));
        let resources = server.resources.values().map(|it| (&it.name, &it.surface));
        let routes = server.routes.values().map(|it| (&it.name, &it.surface));
        for (name, surface) in tools.chain(prompts).chain(resources).chain(routes) {
            let Some(review) = &surface.review else {
                continue;
            };
            let message = format!("nobody has reviewed `{}`: {}", name.value, review.value);
            found.push(
                Diagnostic::new(&codes::NEEDS_REVIEW, name.span, message)
                    .also(review.span, "why it is to be looked at")
                    .help("see that its risk and scope are right, then remove `review`"),
            );
        }
    }
}
