//! A group that has no members and can have none.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, group) in &facts.model.groups {
        let members = group.members.iter();
        let mut members = members.filter_map(|it| facts.model.principals.get(it));
        if !facts.has_carriers(group) && !members.any(|it| facts.is_live(it)) {
            let message = format!("nobody can be in the group `{name}`");
            let finding = Diagnostic::new(&codes::GROUP_OF_NOBODY, group.span, message);
            found.push(match &group.claim {
                Some((issuer, _)) => finding.note(format!(
                    "`{issuer}` speaks for declared principals only, and none is declared"
                )),
                None => finding.note("its members are suspended or expired"),
            });
        }
    }
}
