//! An issuer that nobody comes from.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, issuer) in &facts.model.issuers {
        let mut principals = facts.model.principals.values();
        let declared = principals.any(|it| it.identities.iter().any(|id| id.0 == *name));
        if !issuer.undeclared && !declared {
            let message = format!("no principal comes from the issuer `{name}`");
            found.push(
                Diagnostic::new(&codes::UNUSED_ISSUER, issuer.span, message)
                    .help("declare its principals, or remove it: every trusted key is a risk"),
            );
        }
    }
}
