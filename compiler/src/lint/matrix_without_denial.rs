//! Matrices that would pass if everything were allowed.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for name in facts.model.servers.keys() {
        let matrices = facts.model.matrices.values();
        let own: Vec<_> = matrices.filter(|it| it.server == *name).collect();
        let mut cells = own.iter().flat_map(|it| &it.cells);
        let denial = cells.any(|cell| !cell.expected.value.starts_with("allow"));
        if let Some(first) = own.first().filter(|_| !denial) {
            let message = format!("no matrix of `{name}` expects a denial");
            found.push(
                Diagnostic::new(&codes::MATRIX_WITHOUT_DENIAL, first.span, message)
                    .help("add a caller or a call that must be refused"),
            );
        }
    }
}
