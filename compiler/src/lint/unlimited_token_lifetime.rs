//! Tokens that may live for ever.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, issuer) in &facts.model.issuers {
        if issuer.max_lifetime == 0 {
            let message = format!("tokens of `{name}` are accepted however long they live");
            found.push(
                Diagnostic::new(&codes::UNLIMITED_TOKEN_LIFETIME, issuer.span, message)
                    .help("say the longest life that you accept, for example `maxLifetime: 1h`"),
            );
        }
    }
}
