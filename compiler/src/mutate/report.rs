//! The score and the survivors, for people and for machines.

use std::fmt::Write as _;

use serde_json::{Value as Json, json as value};

use super::{Operator, Proposals, Row, Survivor, paste::Paste, percent};
use crate::{matrix::counted, source::SourceMap};

/// The version of the JSON form; raised on any breaking change.
const VERSION: u32 = 1;

/// Each survivor with its place and the row that kills it, then the score.
pub fn human(proposals: &Proposals, sources: &SourceMap) -> String {
    let mut out = String::new();
    let score = &proposals.score;
    let mut told: Vec<usize> = Vec::new();
    for survivor in &score.survivors {
        let _ = writeln!(
            out,
            "{}: {}\n  {}",
            sources.place(survivor.span),
            survivor.what,
            survivor.effect
        );
        match survivor
            .row
            .and_then(|at| Some((at, proposals.rows.get(at)?)))
        {
            None => out.push_str("  no row can be proposed: look at it yourself\n"),
            Some((at, row)) if told.contains(&at) => {
                let _ = writeln!(out, "  killed by the row above for `{}`", row.matrix);
            }
            Some((at, row)) => {
                told.push(at);
                paste(row, &mut out);
            }
        }
        out.push('\n');
    }
    for operator in Operator::ALL {
        if let Some((killed, survived)) = score.counts.get(&operator) {
            let all = killed + survived;
            let _ = writeln!(out, "{:12} {killed:5} of {all:5} killed", operator.word());
        }
    }
    let (killed, all) = score.total();
    let _ = writeln!(
        out,
        "mutation score {}: {killed} of {} killed, {} survived; {} no call can tell apart",
        percent(score.permille()),
        counted(all, "mutant", "mutants"),
        score.survivors.len(),
        score.equivalent,
    );
    out
}

/// A row as it is pasted.
fn paste(row: &Row, out: &mut String) {
    match &row.paste {
        Paste::Row {
            file,
            call,
            row: line,
        } => {
            let _ = writeln!(
                out,
                "  this row of `{}` in {file} kills it; under `calls`:\n{}\n  and under `expect`:\n{}",
                row.matrix,
                call.text.trim_end(),
                line.text.trim_matches('\n'),
            );
        }
        Paste::Matrix { lines, place } => {
            let place = place
                .as_ref()
                .map(|(file, _)| format!(" of {file}"))
                .unwrap_or_default();
            let _ = writeln!(out, "  this matrix kills it; under `matrices`{place}:");
            for line in lines {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
}

/// One JSON value, `version` 1.
pub fn json(proposals: &Proposals, sources: &SourceMap) -> Json {
    let score = &proposals.score;
    let survivors = score.survivors.iter().map(|survivor| {
        let Survivor {
            operator,
            span,
            what,
            effect,
            row,
        } = survivor;
        value!({
            "operator": operator.word(),
            "place": sources.place(*span),
            "change": what,
            "effect": effect,
            "row": row,
        })
    });
    let rows = proposals.rows.iter().map(|row| match &row.paste {
        Paste::Row {
            file,
            call,
            row: line,
        } => value!({
            "matrix": row.matrix,
            "file": file,
            "calls": call.text.trim(),
            "expect": line.text.trim(),
        }),
        Paste::Matrix { lines, place } => value!({
            "matrix": row.matrix,
            "file": place.as_ref().map(|(file, _)| file),
            "matrices": lines.join("\n") + "\n",
        }),
    });
    let counts = score.counts.iter().map(|(operator, (killed, survived))| {
        value!({"operator": operator.word(), "killed": killed, "survived": survived})
    });
    let (killed, all) = score.total();
    value!({
        "version": VERSION,
        "survivors": survivors.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
        "operators": counts.collect::<Vec<_>>(),
        "summary": {
            "mutants": all,
            "killed": killed,
            "survived": score.survivors.len(),
            "equivalent": score.equivalent,
            "permille": score.permille(),
        },
    })
}
