//! A selector that means one surface.

use super::Facts;
use crate::{
    diag::{Applicability, Diagnostic, codes},
    syntax::Selector,
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, role) in &facts.model.roles {
        let Some(written) = facts.syntax.roles.get(name) else {
            continue;
        };
        for selector in written.allow.values() {
            let spans = match &selector.value {
                Selector::All(span) => vec![*span],
                Selector::Risk(by) => by.risk.iter().map(|it| it.span).collect(),
                Selector::Names(_) => continue,
            };
            let mut meant = role.own.iter().filter(|(_, span)| spans.contains(span));
            let (Some((permission, span)), None) = (meant.next(), meant.next()) else {
                continue;
            };
            let message = format!("this selector means `{permission}` alone");
            let finding = Diagnostic::new(&codes::WILDCARD_FOR_ONE, *span, message)
                .note("it will also mean every surface that is added later")
                .help("name the surface");
            found.push(match (&selector.value, &permission.operation) {
                (Selector::All(_), None) => finding.fix(
                    "name the surface",
                    Applicability::Maybe,
                    *span,
                    format!("[{}]", permission.surface.name),
                ),
                _ => finding,
            });
        }
    }
}
