//! Coverage for people, machines, and the tools that read LCOV.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value as Json, json as value};

use super::{Coverage, Dimension, Point};
use crate::{mutate::percent, source::SourceMap};

/// The version of the JSON form; raised on any breaking change.
const VERSION: u32 = 1;

/// What no row shows, each with its place, then the counts.
pub fn human(coverage: &Coverage, sources: &SourceMap) -> String {
    let mut out = String::new();
    for point in coverage.points.iter().filter(|it| it.hits == 0) {
        let _ = writeln!(
            out,
            "{}: no row shows: {}",
            sources.place(point.span),
            point.what
        );
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for dimension in Dimension::ALL {
        let (hit, all) = coverage.count(Some(dimension));
        let _ = writeln!(out, "{:36} {hit:5} of {all:5}", dimension.words());
    }
    let (hit, all) = coverage.count(None);
    let _ = writeln!(
        out,
        "coverage {}: {hit} of {all} shown by some row; {} more that no call can show",
        percent(coverage.permille()),
        coverage.unreachable,
    );
    out
}

/// One JSON value, `version` 1.
pub fn json(coverage: &Coverage, sources: &SourceMap) -> Json {
    let points = coverage.points.iter().map(|point| {
        value!({
            "dimension": point.dimension.word(),
            "place": sources.place(point.span),
            "what": point.what,
            "hits": point.hits,
        })
    });
    let dimensions = Dimension::ALL.iter().map(|dimension| {
        let (covered, all) = coverage.count(Some(*dimension));
        value!({"dimension": dimension.word(), "covered": covered, "points": all})
    });
    let (covered, all) = coverage.count(None);
    value!({
        "version": VERSION,
        "points": points.collect::<Vec<_>>(),
        "dimensions": dimensions.collect::<Vec<_>>(),
        "summary": {
            "covered": covered,
            "points": all,
            "unreachable": coverage.unreachable,
            "permille": coverage.permille(),
        },
    })
}

/// LCOV on the lines of the YAML files: each point is a branch of its line, and a line is hit as
/// often as the point of it that most rows show.
pub fn lcov(coverage: &Coverage, sources: &SourceMap) -> String {
    let mut files: BTreeMap<&str, BTreeMap<u32, Vec<&Point>>> = BTreeMap::new();
    for point in &coverage.points {
        let lines = files.entry(sources.path(point.span.file)).or_default();
        lines
            .entry(sources.position(point.span).line)
            .or_default()
            .push(point);
    }
    let mut out = String::new();
    for (path, lines) in files {
        let _ = writeln!(out, "TN:latchkey\nSF:{path}");
        let (mut branches, mut taken, mut hit) = (0, 0, 0);
        for (line, points) in &lines {
            for (number, point) in points.iter().enumerate() {
                let _ = writeln!(out, "BRDA:{line},0,{number},{}", point.hits);
                branches += 1;
                taken += usize::from(point.hits > 0);
            }
        }
        let _ = writeln!(out, "BRF:{branches}\nBRH:{taken}");
        for (line, points) in &lines {
            let most = points.iter().map(|it| it.hits).max().unwrap_or(0);
            hit += usize::from(most > 0);
            let _ = writeln!(out, "DA:{line},{most}");
        }
        let _ = writeln!(out, "LF:{}\nLH:{hit}\nend_of_record", lines.len());
    }
    out
}
