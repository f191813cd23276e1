//! Whether the slices say what the whole says of their servers.

use latchkey_gate::{gate::Gate, supply::Statement};

use super::super::line::Line;
use crate::{
    diff::entries::{Difference, disagreements},
    pack,
};

pub(super) fn judge(statement: &Statement, gates: &[(String, Gate)]) -> Line {
    let Some((_, whole)) = gates.iter().find(|(name, _)| name == pack::ALL) else {
        let said = format!(
            "{} is not here whole, so the slices are held against nothing",
            pack::ALL
        );
        return Line::skipped("agreement", said);
    };
    let servers = &whole.policy().index().servers;
    for server in servers {
        let name = pack::slice_name(&server.name);
        let slice = gates.iter().find(|(other, _)| *other == name);
        let Some((_, slice)) = slice else {
            if statement.subject(&name).is_some() {
                let said = format!("{name} is not here whole, so it is held against nothing");
                return Line::skipped("agreement", said);
            }
            let said = format!("{} has {} and there is no {name}", pack::ALL, server.name);
            return Line::failed("agreement", said);
        };
        let wrong = disagreements(whole.policy(), slice.policy(), &server.name);
        if let Some(first) = wrong.first() {
            let said = format!("{name} is not what {} says: {}", pack::ALL, said(first));
            return Line::failed("agreement", said);
        }
    }
    let said = format!(
        "{} says of each of {} servers what its slice says",
        pack::ALL,
        servers.len()
    );
    Line::ok("agreement", said)
}

fn said(difference: &Difference) -> String {
    let Difference {
        section,
        added,
        removed,
        changed,
    } = difference;
    let lists = [("more", added), ("less", removed), ("other", changed)];
    let lists = lists.iter().filter_map(|(word, names)| {
        let first = names.first()?;
        Some(format!("{} {word} (as {first})", names.len()))
    });
    format!("{section}: {}", lists.collect::<Vec<_>>().join(", "))
}
