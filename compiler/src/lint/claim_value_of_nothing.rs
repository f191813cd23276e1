//! Callers of matrices whose token carries a value that means nothing.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    syntax::matrix::Actor,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let claims = facts
        .model
        .groups
        .values()
        .filter_map(|it| it.claim.as_ref());
    let known: Vec<&str> = claims.map(|(_, value)| value.as_str()).collect();
    for matrix in facts.syntax.matrices.values() {
        for caller in matrix.callers.values() {
            let chain = caller.on_behalf_of.iter().flat_map(|list| list.iter());
            let actors: Vec<&Actor> = std::iter::once(&caller.actor).chain(chain).collect();
            for group in actors.iter().flat_map(|actor| actor.groups.iter()) {
                if known.contains(&group.value.as_str()) {
                    continue;
                }
                let message = format!("no group comes from the claim value `{}`", group.value);
                found.push(
                    Diagnostic::new(&codes::CLAIM_VALUE_OF_NOTHING, group.span, message)
                        .help("correct it: a caller that carries it is tested without any group")
                        .did_you_mean(group, group.span, known.iter().copied()),
                );
            }
        }
    }
}
