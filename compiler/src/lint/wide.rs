//! Bindings and wildcards that reach further than the project's bounds.

use std::collections::BTreeSet;

use super::Facts;
use crate::{
    diag::{Code, Diagnostic, codes},
    model::{Permission, SurfaceName},
    source::{Span, Spanned},
    syntax::scalar::Count,
};

pub(super) fn bindings(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let bounds = facts.project.bounds.as_ref();
    let Some(most) = bounds.and_then(|it| it.binding.as_ref()) else {
        return;
    };
    for (name, binding) in &facts.model.bindings {
        let count = surfaces(facts.gives(binding));
        if count <= most.value.0 as usize || facts.is_over(binding.dates.dates) {
            continue;
        }
        let reach = format!("`{name}` reaches {count} surfaces");
        let help = "bind narrower roles, or raise `[bounds] binding` for all to see";
        found.push(wide(&codes::WIDE_BINDING, binding.span, &reach, most).help(help));
    }
}

pub(super) fn selectors(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    let bounds = facts.project.bounds.as_ref();
    let Some(most) = bounds.and_then(|it| it.selector.as_ref()) else {
        return;
    };
    for selector in facts.open_selectors() {
        let count = surfaces(selector.means.iter().map(|(permission, _)| *permission));
        let wider = count > most.value.0 as usize;
        let Some(span) = selector.spans.first().filter(|_| wider) else {
            continue;
        };
        let reach = format!("this means {count} surfaces of `{}`", selector.server);
        let help = "name the surfaces, or raise `[bounds] selector` for all to see";
        found.push(wide(&codes::WIDE_SELECTOR, *span, &reach, most).help(help));
    }
}

fn wide(code: &'static Code, span: Span, reach: &str, most: &Spanned<Count>) -> Diagnostic {
    let message = format!("{reach}, and {} is the bound", most.value.0);
    Diagnostic::new(code, span, message).also(most.span, "the bound is stated here")
}

/// How many surfaces some permissions are for.
fn surfaces<'p>(permissions: impl Iterator<Item = &'p Permission>) -> usize {
    let names: BTreeSet<&SurfaceName> = permissions.map(|it| &it.surface).collect();
    names.len()
}
