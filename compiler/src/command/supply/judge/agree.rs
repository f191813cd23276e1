//! Whether the slices say what the whole says of their servers.

use latchkey_gate::gate::Gate;

use super::super::line::Line;
use crate::pack;

pub(super) fn judge(gates: &[(String, Gate)]) -> Line {
    let Some((_, whole)) = gates.iter().find(|(name, _)| name == pack::ALL) else {
        return Line::skipped(
            "agreement",
            format!("there is no {} to compare with", pack::ALL),
        );
    };
    let servers = whole.policy().index().servers.iter();
    let mut missing = servers.filter(|it| {
        !gates
            .iter()
            .any(|(name, _)| *name == pack::slice_name(&it.name))
    });
    if let Some(server) = missing.next() {
        return Line::failed(
            "agreement",
            format!(
                "{} has {} and there is no slice of it",
                pack::ALL,
                server.name
            ),
        );
    }
    Line::ok("agreement", "every server has its slice")
}
