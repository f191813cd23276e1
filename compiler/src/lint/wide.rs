//! Bindings and wildcards that reach further than the project's bounds.

use std::collections::BTreeSet;

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{Permission, SurfaceName},
    source::Spanned,
    syntax::{Selector, scalar::Count},
};

pub(super) fn bindings(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let bounds = facts.project.bounds.as_ref();
    let Some(most) = bounds.and_then(|it| it.binding.as_ref()) else {
        return;
    };
    for (name, binding) in &facts.model.bindings {
        let count = surfaces(facts.gives(binding).into_iter());
        if count <= most.value.0 as usize || facts.is_over(binding.dates.dates) {
            continue;
        }
        let message = format!(
            "`{name}` reaches {count} surfaces, and {} is the bound",
            most.value.0
        );
        let help = "bind narrower roles, or raise `[bounds] binding` for all to see";
        found.push(
            bounded(
                Diagnostic::new(&codes::WIDE_BINDING, binding.span, message),
                most,
            )
            .help(help),
        );
    }
}

pub(super) fn selectors(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let bounds = facts.project.bounds.as_ref();
    let Some(most) = bounds.and_then(|it| it.selector.as_ref()) else {
        return;
    };
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
            let server = &selector.name.value;
            let meant = role.own.iter();
            let meant =
                meant.filter(|(it, span)| it.surface.server == *server && spans.contains(span));
            let count = surfaces(meant.map(|(permission, _)| permission));
            let Some(span) = spans.first().filter(|_| count > most.value.0 as usize) else {
                continue;
            };
            let message = format!(
                "this means {count} surfaces of `{server}`, and {} is the bound",
                most.value.0
            );
            let help = "name the surfaces, or raise `[bounds] selector` for all to see";
            found.push(
                bounded(Diagnostic::new(&codes::WIDE_SELECTOR, *span, message), most).help(help),
            );
        }
    }
}

fn bounded(finding: Diagnostic, most: &Spanned<Count>) -> Diagnostic {
    finding.also(most.span, "the bound is stated here")
}

/// How many surfaces some permissions are for.
fn surfaces<'p>(permissions: impl Iterator<Item = &'p Permission>) -> usize {
    let names: BTreeSet<&SurfaceName> = permissions.map(|it| &it.surface).collect();
    names.len()
}
