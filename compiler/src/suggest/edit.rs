//! Byte edits of the project's text: entries and items go, all else stays as it is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use latchkey_engine::index::Risk;

use super::{Plan, Project};
use crate::{
    diag::Sink,
    model::Permission,
    syntax::{
        node::{Node, Pair, Value},
        yaml,
    },
};

/// Replacements of byte ranges of one text; none overlap.
pub(super) type Edits = Vec<(Range<usize>, String)>;

/// Carries out a plan: the whole new text of each changed file. What cannot be edited safely
/// leaves the plan, and is said to stay.
pub(super) fn apply(project: Project<'_>, plan: &mut Plan) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (id, file) in project.sources.files() {
        let document = yaml::parse(id, file.text(), &mut Sink::new());
        let Some(root) = document.root.filter(|_| document.holes.is_empty()) else {
            continue;
        };
        let writer = Writer {
            project,
            text: file.text(),
        };
        let mut edits = writer.bindings(&root, plan);
        edits.extend(writer.roles(&root, plan));
        if !edits.is_empty() {
            files.insert(file.path().to_owned(), replaced(file.text(), edits));
        }
    }
    files
}

/// A text with its edits made.
pub(super) fn replaced(text: &str, mut edits: Edits) -> String {
    // From the end, so that earlier places stay where they are.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for (range, insert) in edits {
        if text.get(range.clone()).is_some() {
            text.replace_range(range, &insert);
        }
    }
    text
}

struct Writer<'a> {
    project: Project<'a>,
    text: &'a str,
}

impl Writer<'_> {
    fn bindings(&self, root: &Node, plan: &mut Plan) -> Edits {
        let Some(section) = pair(root, "bindings") else {
            return Edits::new();
        };
        let entries = section.value.as_map().unwrap_or_default();
        let goes = |entry: &&Pair| plan.bindings.contains(entry.key.value.as_str());
        let gone: Vec<&Pair> = entries.iter().filter(goes).collect();
        if is_flow(self.text, &section.value) {
            for entry in entries {
                let name = &entry.key.value;
                let before = plan.roles.len();
                plan.roles.retain(|(binding, _)| binding != name);
                if plan.bindings.remove(name.as_str()) || plan.roles.len() < before {
                    plan.keep(format!("binding {name}"), BY_HAND);
                }
            }
            return Edits::new();
        }
        if !gone.is_empty() && gone.len() == entries.len() {
            return vec![(
                block(self.text, section.key.span.range().start),
                String::new(),
            )];
        }
        let mut edits: Edits = gone
            .into_iter()
            .map(|entry| {
                (
                    block(self.text, entry.key.span.range().start),
                    String::new(),
                )
            })
            .collect();
        for entry in entries {
            let name = &entry.key.value;
            let dropped = plan.roles.iter().filter(|(binding, _)| binding == name);
            let dropped: BTreeSet<String> = dropped.map(|(_, role)| role.clone()).collect();
            let list = entry.value.get("roles");
            if dropped.is_empty() {
                continue;
            }
            let done = list.and_then(|list| {
                let keep = |item: &Node| match item.as_text() {
                    Some(role) if dropped.contains(role) => Item::Drop,
                    _ => Item::Keep,
                };
                items(self.text, list, &keep)
            });
            if let Some(done) = done {
                edits.extend(done);
            } else {
                plan.roles.retain(|(binding, _)| binding != name);
                plan.keep(format!("roles of binding {name}"), BY_HAND);
            }
        }
        edits
    }

    fn roles(&self, root: &Node, plan: &mut Plan) -> Edits {
        let Some(section) = pair(root, "roles") else {
            return Edits::new();
        };
        let mut edits = Edits::new();
        for entry in section.value.as_map().unwrap_or_default() {
            let role = &entry.key.value;
            let mut narrowed = plan.permissions.keys().filter(|(it, _)| it == role);
            if narrowed.next().is_none() {
                continue;
            }
            if let Some(done) = self.role(entry, plan) {
                edits.extend(done);
            } else {
                plan.permissions.retain(|(it, _), _| it != role);
                plan.keep(format!("role {role}"), BY_HAND);
            }
        }
        edits
    }

    /// The edits that narrow one role; none where it cannot be done safely.
    fn role(&self, entry: &Pair, plan: &Plan) -> Option<Edits> {
        let allow = pair(&entry.value, "allow")?;
        let servers = allow.value.as_map()?;
        let own = &self.project.model.roles.get(&entry.key.value)?.own;
        let mut changes: Vec<(&Pair, Narrowed)> = Vec::new();
        for server in servers {
            let key = (entry.key.value.to_string(), server.key.value.to_string());
            let Some(unused) = plan.permissions.get(&key) else {
                continue;
            };
            let here = own.keys().filter(|it| {
                it.surface.server == server.key.value
                    && self.project.model.risk(it) != Risk::Destructive
            });
            let here: BTreeSet<&Permission> = here.collect();
            changes.push((server, self.server(&server.value, &here, unused)?));
        }
        let gone = |(_, how): &&(&Pair, Narrowed)| matches!(how, Narrowed::Gone);
        if changes.iter().filter(gone).count() == servers.len() {
            return self.without_allow(entry, allow);
        }
        if is_flow(self.text, &allow.value) {
            return self.flow_allow(&allow.value, &changes);
        }
        let mut edits = Edits::new();
        for (server, how) in changes {
            match how {
                Narrowed::Gone => {
                    let range = block(self.text, server.key.span.range().start);
                    edits.push((range, String::new()));
                }
                Narrowed::Items(done) => edits.extend(done),
                Narrowed::Whole(names) => {
                    let start = server.value.span.range().start;
                    edits.push((start..end(self.text, &server.value), names));
                }
            }
        }
        Some(edits)
    }

    /// A role that keeps what it inherits and its destructive surfaces, if it has any.
    fn without_allow(&self, entry: &Pair, allow: &Pair) -> Option<Edits> {
        if entry.value.get("inherits").is_none() && entry.value.get("destructive").is_none() {
            return None;
        }
        if !is_flow(self.text, &entry.value) {
            let range = block(self.text, allow.key.span.range().start);
            return Some(vec![(range, String::new())]);
        }
        let pairs = entry.value.as_map()?;
        let kept = pairs.iter().filter(|it| it.key.span != allow.key.span);
        let kept = kept
            .map(|it| self.written(it))
            .collect::<Option<Vec<_>>>()?;
        self.flow(&entry.value, '{', &kept, '}')
    }

    fn flow_allow(&self, allow: &Node, changes: &[(&Pair, Narrowed)]) -> Option<Edits> {
        let mut kept = Vec::new();
        for server in allow.as_map()? {
            let change = changes
                .iter()
                .find(|(it, _)| it.key.span == server.key.span);
            let key = self.text.get(server.key.span.range())?;
            match change.map(|(_, how)| how) {
                None => kept.push(self.written(server)?),
                Some(Narrowed::Gone) => {}
                Some(Narrowed::Whole(names)) => kept.push(format!("{key}: {names}")),
                Some(Narrowed::Items(edits)) => {
                    let [(_, list)] = edits.as_slice() else {
                        return None;
                    };
                    kept.push(format!("{key}: {list}"));
                }
            }
        }
        self.flow(allow, '{', &kept, '}')
    }

    /// A flow collection with other contents.
    fn flow(&self, node: &Node, open: char, parts: &[String], close: char) -> Option<Edits> {
        let range = node.span.range();
        let is_plain = !has_comment(self.text.get(range.clone())?);
        let text = format!("{open}{}{close}", parts.join(", "));
        is_plain.then(|| vec![(range, text)])
    }

    fn written(&self, pair: &Pair) -> Option<String> {
        let start = pair.key.span.range().start;
        let text = self.text.get(start..end(self.text, &pair.value))?;
        Some(text.to_owned())
    }

    /// What a role gives of one server, narrowed.
    fn server(
        &self,
        value: &Node,
        own: &BTreeSet<&Permission>,
        unused: &BTreeSet<Permission>,
    ) -> Option<Narrowed> {
        let used: BTreeSet<&Permission> = own
            .iter()
            .copied()
            .filter(|it| !unused.contains(*it))
            .collect();
        if used.is_empty() {
            return Some(Narrowed::Gone);
        }
        if !matches!(value.value, Value::List(_)) {
            return Some(Narrowed::Whole(format!(
                "[{}]",
                names(own, &used).join(", ")
            )));
        }
        let keep = |item: &Node| {
            let Some(text) = item.as_text() else {
                return Item::Keep;
            };
            let (tool, operation) = match text.split_once(':') {
                Some((tool, operation)) => (tool, Some(operation)),
                None => (text, None),
            };
            let meant = own.iter().copied().filter(|it| {
                it.surface.name == tool
                    && operation.is_none_or(|wanted| it.operation.as_deref() == Some(wanted))
            });
            let meant: BTreeSet<&Permission> = meant.collect();
            let left: BTreeSet<&Permission> = meant.intersection(&used).copied().collect();
            if left == meant {
                Item::Keep
            } else if left.is_empty() {
                Item::Drop
            } else {
                Item::Replace(names(&meant, &left))
            }
        };
        items(self.text, value, &keep).map(Narrowed::Items)
    }
}

/// Why something stays that could go.
const BY_HAND: &str = "it is written in a way that is safer to narrow by hand";

/// What becomes of a server's entry in a role.
enum Narrowed {
    Gone,
    Items(Edits),
    Whole(String),
}

/// What becomes of an item of a list.
pub(super) enum Item {
    Keep,
    Drop,
    Replace(Vec<String>),
}

/// References to permissions: a surface by its name where all that is meant of it is left.
fn names(all: &BTreeSet<&Permission>, left: &BTreeSet<&Permission>) -> Vec<String> {
    let mut names = Vec::new();
    let surfaces: BTreeSet<_> = left.iter().map(|it| &it.surface).collect();
    for surface in surfaces {
        let of =
            |set: &BTreeSet<&Permission>| set.iter().filter(|it| it.surface == *surface).count();
        if of(all) == of(left) {
            names.push(quoted(&surface.name));
        } else {
            let operations = left.iter().filter(|it| it.surface == *surface);
            let operations = operations.filter_map(|it| it.operation.as_ref());
            names.extend(operations.map(|it| format!("\"{}:{it}\"", surface.name)));
        }
    }
    names
}

/// A name that YAML reads as text.
fn quoted(name: &str) -> String {
    let plain = name.len() > 5 && name.starts_with(|it: char| it.is_ascii_alphabetic());
    if plain {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// The edits of a list; none where it cannot be done safely.
pub(super) fn items(text: &str, list: &Node, keep: &dyn Fn(&Node) -> Item) -> Option<Edits> {
    let Value::List(all) = &list.value else {
        return None;
    };
    let written = |item: &Node| text.get(item.span.range().start..end(text, item));
    if is_flow(text, list) {
        if has_comment(text.get(list.span.range())?) {
            return None;
        }
        let mut parts = Vec::new();
        for item in all {
            match keep(item) {
                Item::Keep => parts.push(written(item)?.to_owned()),
                Item::Drop => {}
                Item::Replace(names) => parts.extend(names),
            }
        }
        return Some(vec![(list.span.range(), format!("[{}]", parts.join(", ")))]);
    }
    let mut edits = Edits::new();
    for item in all {
        let start = item.span.range().start;
        let dash = text.get(..start)?.rfind('-')?;
        match keep(item) {
            Item::Keep => {}
            Item::Drop => edits.push((block(text, dash), String::new())),
            Item::Replace(names) => {
                let line = text.get(..dash)?.rfind('\n').map_or(0, |at| at + 1);
                let indent = text.get(line..dash)?;
                edits.push((start..end(text, item), names.join(&format!("\n{indent}- "))));
            }
        }
    }
    Some(edits)
}

/// A pair of a map by its key.
pub(super) fn pair<'n>(node: &'n Node, key: &str) -> Option<&'n Pair> {
    node.as_map()?.iter().find(|pair| pair.key.value == key)
}

/// Whether a collection is written in brackets.
pub(super) fn is_flow(text: &str, node: &Node) -> bool {
    let start = text.get(node.span.range().start..).unwrap_or_default();
    match &node.value {
        Value::List(_) => start.starts_with('['),
        Value::Map(_) => start.starts_with('{'),
        _ => true,
    }
}

/// Where a value ends.
pub(super) fn end(text: &str, node: &Node) -> usize {
    let own = node.span.range().end;
    match &node.value {
        Value::List(items) if !is_flow(text, node) => {
            items.iter().map(|it| end(text, it)).max().unwrap_or(own)
        }
        Value::Map(pairs) if !is_flow(text, node) => {
            let ends = pairs.iter().map(|it| end(text, &it.value));
            ends.max().unwrap_or(own)
        }
        _ => own,
    }
}

fn has_comment(text: &str) -> bool {
    text.contains(" #") || text.contains("\t#") || text.contains("\n#")
}

/// The lines of a block entry that starts at an offset: the comments right above it, its own line,
/// and all that is indented below it. One blank line goes with it where two would be left.
pub(super) fn block(text: &str, start: usize) -> Range<usize> {
    let line_start = |at: usize| {
        text.get(..at)
            .and_then(|it| it.rfind('\n'))
            .map_or(0, |it| it + 1)
    };
    let line_end = |at: usize| {
        let rest = text.get(at..).and_then(|it| it.find('\n'));
        rest.map_or(text.len(), |it| at + it + 1)
    };
    let first = line_start(start);
    let indent = start - first;
    let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut from = first;
    while from > 0 {
        let above = line_start(from - 1);
        let line = text.get(above..from).unwrap_or_default();
        if depth(line) != indent || !line.trim_start().starts_with('#') {
            break;
        }
        from = above;
    }
    let mut to = line_end(first);
    let mut next = to;
    while next < text.len() {
        let stop = line_end(next);
        let line = text.get(next..stop).unwrap_or_default();
        if line.trim().is_empty() {
            next = stop;
            continue;
        }
        if depth(line) <= indent {
            break;
        }
        next = stop;
        to = stop;
    }
    let is_blank = |line: &str| line.trim().is_empty();
    let before = from == 0 || text.get(line_start(from - 1)..from).is_some_and(is_blank);
    let after = text
        .get(to..line_end(to.min(text.len())))
        .is_some_and(is_blank);
    if before && after && to < text.len() {
        to = line_end(to);
    }
    from..to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_with_its_comments_and_leaves_its_neighbours() {
        let text = "bindings:\n  # About a.\n  a: {x: 1}\n\n  # About b.\n  # More.\n  b:\n    who: [c]\n    # inside\n    in: d\n\n  # About c.\n  c: 1\n";
        let at = text.find("b:\n").unwrap();
        let gone = replaced(text, vec![(block(text, at), String::new())]);
        assert_eq!(
            gone,
            "bindings:\n  # About a.\n  a: {x: 1}\n\n  # About c.\n  c: 1\n"
        );
        let at = text.find("c: 1").unwrap();
        let gone = replaced(text, vec![(block(text, at), String::new())]);
        assert!(gone.ends_with("    in: d\n\n"), "{gone}");
    }
}
