//! Where a cause is written, and the lines of it that differ.

use std::collections::BTreeSet;

use crate::{
    model::{Model, Role},
    source::{SourceMap, Span},
};

use super::{
    cause::{Cause, How},
    report::{Finding, Place, Side},
};

/// The most lines of one cause that are shown.
const MOST_LINES: usize = 12;
/// The most lines of an entry that are compared line by line.
const MOST_COMPARED: usize = 400;

/// The text of one side, where it is a project and no bundle.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// What it means.
    pub model: &'a Model,
    /// What was written.
    pub sources: &'a SourceMap,
}

/// A cause, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// The entry.
    pub cause: Cause,
    /// Where it differs: `file:line:column` on the old and the new side.
    pub places: [Option<String>; 2],
    /// The lines that differ; none where only bundles were compared.
    pub lines: Vec<Line>,
    /// How many more lines differ.
    pub more: usize,
}

/// A line of the source that only one side has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Whose.
    pub side: Side,
    /// Its number, from 1.
    pub number: u32,
    /// Its text.
    pub text: String,
}

/// The causes of a finding with their places. Of entries that mean something else only because of
/// another entry, the other one is told.
pub(super) fn locate(finding: &Finding, written: [Option<Written<'_>>; 2]) -> Vec<Located> {
    let permission = permission(finding);
    let mut all: BTreeSet<Located> = BTreeSet::new();
    for cause in &finding.causes {
        let located = one(cause, written, &finding.places);
        if located.lines.is_empty() && cause.section == "roles" {
            all.extend(inherited(cause, &permission, written));
        }
        all.insert(located);
    }
    if all.iter().any(|it| !it.lines.is_empty()) {
        all.retain(|it| !it.lines.is_empty());
    }
    all.into_iter().collect()
}

fn permission(finding: &Finding) -> String {
    match &finding.operation {
        None => finding.surface.clone(),
        Some(operation) => format!("{}:{operation}", finding.surface),
    }
}

fn one(cause: &Cause, written: [Option<Written<'_>>; 2], known: &[Place]) -> Located {
    let blocks = written.map(|side| block_of(side?, cause));
    let mut located = Located {
        cause: cause.clone(),
        places: [None, None],
        lines: Vec::new(),
        more: 0,
    };
    let complete = match cause.how {
        How::Added => blocks[1].is_some(),
        How::Removed => blocks[0].is_some(),
        How::Changed => blocks.iter().all(Option::is_some),
    };
    if complete {
        let (lines, more) = differing(&blocks);
        for (at, side) in [Side::From, Side::To].into_iter().enumerate() {
            let block = blocks.get(at).and_then(Option::as_ref);
            let first = lines.iter().find(|it| it.side == side);
            if let (Some(block), Some(slot)) = (block, located.places.get_mut(at)) {
                *slot = Some(block.place(first));
            }
        }
        (located.lines, located.more) = (lines, more);
        return located;
    }
    for (at, side) in [Side::From, Side::To].into_iter().enumerate() {
        let place = known.iter().find(|it| it.side == side);
        if let Some(slot) = located.places.get_mut(at) {
            *slot = place.map(|it| it.place.clone());
        }
    }
    located
}

/// The roles below a role whose own words differ about a permission.
fn inherited(
    cause: &Cause,
    permission: &str,
    written: [Option<Written<'_>>; 2],
) -> BTreeSet<Located> {
    let gives = |role: &Role| role.own.keys().any(|it| it.to_string() == permission);
    let mut below = BTreeSet::new();
    for side in written.into_iter().flatten() {
        let mut open = vec![cause.name.clone()];
        while let Some(name) = open.pop() {
            let Some(role) = side.model.roles.get(name.as_str()) else {
                continue;
            };
            if gives(role) {
                below.insert(name);
            }
            // Roles do not inherit each other in a circle: that is an error (LK3001).
            open.extend(role.inherits.iter().map(|it| it.value.to_string()));
        }
    }
    let sides = below.into_iter().filter_map(|name| {
        let has =
            written.map(|side| side.is_some_and(|it| it.model.roles.contains_key(name.as_str())));
        let how = match has {
            [false, true] => How::Added,
            [true, false] => How::Removed,
            _ => How::Changed,
        };
        let cause = Cause {
            section: "roles",
            name,
            how,
        };
        let located = one(&cause, written, &[]);
        (!located.lines.is_empty()).then_some(located)
    });
    sides.collect()
}

/// The lines of an entry.
struct Block<'a> {
    path: &'a str,
    column: u32,
    lines: Vec<(u32, &'a str)>,
}

impl Block<'_> {
    /// The place of a line, or of the entry's name.
    fn place(&self, line: Option<&Line>) -> String {
        let (head, _) = self.lines.first().copied().unwrap_or((1, ""));
        match line {
            Some(line) if line.number != head => {
                let indent = line.text.chars().take_while(|it| *it == ' ').count();
                format!("{}:{}:{}", self.path, line.number, indent + 1)
            }
            _ => format!("{}:{head}:{}", self.path, self.column),
        }
    }
}

fn block_of<'a>(side: Written<'a>, cause: &Cause) -> Option<Block<'a>> {
    let span = span(side.model, cause)?;
    let file = side.sources.file(span.file)?;
    let start = side.sources.position(span);
    let text = |line: u32| file.line(line).and_then(|it| file.text().get(it));
    let head = text(start.line)?;
    let mut lines = vec![(start.line, head)];
    let indent = indent(head);
    for number in start.line.saturating_add(1).. {
        let Some(line) = text(number) else { break };
        let here = self::indent(line);
        // A list of a map may stand as far left as the key.
        let item = here == indent && line.trim_start().starts_with("- ");
        if here <= indent && !item && !line.trim().is_empty() {
            break;
        }
        lines.push((number, line));
    }
    if cause.section == "servers" {
        lines = without_surfaces(lines);
    }
    lines.retain(|(_, line)| !is_idle(line));
    Some(Block {
        path: file.path(),
        column: start.column,
        lines,
    })
}

/// A server's own lines: what can be called has entries of its own.
fn without_surfaces(lines: Vec<(u32, &str)>) -> Vec<(u32, &str)> {
    const INSIDE: [&str; 4] = ["tools:", "prompts:", "resources:", "routes:"];
    let mut skipped: Option<usize> = None;
    let mut kept = Vec::new();
    for (number, line) in lines {
        if is_idle(line) {
            continue;
        }
        let here = indent(line);
        if skipped.is_some_and(|above| here > above) {
            continue;
        }
        skipped = INSIDE
            .iter()
            .any(|it| line.trim_start().starts_with(it))
            .then_some(here);
        if skipped.is_none() {
            kept.push((number, line));
        }
    }
    kept
}

fn is_idle(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn span(model: &Model, cause: &Cause) -> Option<Span> {
    let name = cause.name.as_str();
    match cause.section {
        "bindings" => model.bindings.get(name).map(|it| it.span),
        "rules" => model.rules.get(name).map(|it| it.span),
        "roles" => model.roles.get(name).map(|it| it.span),
        "groups" => model.groups.get(name).map(|it| it.span),
        "schedules" => model.schedules.get(name).map(|it| it.span),
        "principals" => model.principals.get(name).map(|it| it.span),
        "servers" => model.servers.get(name).map(|it| it.span),
        "surfaces" => {
            let (server, surface) = name.split_once('/')?;
            let server = model.servers.get(server)?;
            server.surfaces.get(surface).map(|it| it.span)
        }
        _ => None,
    }
}

/// The lines that only one of two blocks has, in reading order, and how many are left out.
fn differing(blocks: &[Option<Block<'_>>; 2]) -> (Vec<Line>, usize) {
    let [old, new] = blocks
        .each_ref()
        .map(|it| it.as_ref().map_or(&[][..], |it| it.lines.as_slice()));
    let line = |side: Side, (number, text): (u32, &str)| Line {
        side,
        number,
        text: text.trim_end().to_owned(),
    };
    let mut lines = Vec::new();
    if old.len().max(new.len()) > MOST_COMPARED {
        lines.extend(old.iter().map(|it| line(Side::From, *it)));
        lines.extend(new.iter().map(|it| line(Side::To, *it)));
    } else {
        let (mut a, mut b) = (0, 0);
        for (x, y) in common(old, new) {
            lines.extend(
                old.get(a..x)
                    .unwrap_or_default()
                    .iter()
                    .map(|it| line(Side::From, *it)),
            );
            lines.extend(
                new.get(b..y)
                    .unwrap_or_default()
                    .iter()
                    .map(|it| line(Side::To, *it)),
            );
            (a, b) = (x + 1, y + 1);
        }
        lines.extend(
            old.get(a..)
                .unwrap_or_default()
                .iter()
                .map(|it| line(Side::From, *it)),
        );
        lines.extend(
            new.get(b..)
                .unwrap_or_default()
                .iter()
                .map(|it| line(Side::To, *it)),
        );
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    (lines, more)
}

/// The positions of a longest common subsequence of lines.
fn common(old: &[(u32, &str)], new: &[(u32, &str)]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    let mut longest = vec![0u32; (old.len() + 1) * width];
    let at = |x: usize, y: usize| x * width + y;
    let same = |x: usize, y: usize| {
        let text = |lines: &[(u32, &str)], at: usize| {
            lines.get(at).map(|(_, text)| text.trim().to_owned())
        };
        text(old, x) == text(new, y)
    };
    let read = |longest: &[u32], x, y| longest.get(at(x, y)).copied().unwrap_or(0);
    for x in (0..old.len()).rev() {
        for y in (0..new.len()).rev() {
            let best = if same(x, y) {
                read(&longest, x + 1, y + 1) + 1
            } else {
                read(&longest, x + 1, y).max(read(&longest, x, y + 1))
            };
            if let Some(slot) = longest.get_mut(at(x, y)) {
                *slot = best;
            }
        }
    }
    let (mut x, mut y, mut pairs) = (0, 0, Vec::new());
    while x < old.len() && y < new.len() {
        if same(x, y) {
            pairs.push((x, y));
            (x, y) = (x + 1, y + 1);
        } else if read(&longest, x + 1, y) >= read(&longest, x, y + 1) {
            x += 1;
        } else {
            y += 1;
        }
    }
    pairs
}
