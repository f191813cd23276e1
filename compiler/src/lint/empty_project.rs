//! A project of which nothing follows but that everything is refused.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    if !facts.model.is_empty() {
        return;
    }
    let message = "no file of this project has an entry: everything is refused";
    let finding = match &facts.project.name {
        Some(name) => Diagnostic::new(&codes::EMPTY_PROJECT, name.span, message),
        None => Diagnostic::global(&codes::EMPTY_PROJECT, message),
    };
    let help = "declare organizations and servers, or correct `include`: `latchkey init` writes a \
                project to start from";
    found.push(finding.help(help));
}
