//! A selector that means one surface.

use super::Facts;
use crate::diag::{Applicability, Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for selector in facts.open_selectors() {
        let [(permission, span)] = selector.means.as_slice() else {
            continue;
        };
        let message = format!("this selector means `{permission}` alone");
        let mut finding = Diagnostic::new(&codes::WILDCARD_FOR_ONE, *span, message)
            .note("it will also mean every surface that is added later")
            .help("name the surface");
        if selector.all && permission.operation.is_none() {
            let named = format!("[{}]", permission.surface.name);
            finding = finding.fix("name the surface", Applicability::Maybe, *span, named);
        }
        found.push(finding);
    }
}
