//! Where each name is declared and mentioned, read from the trees: it needs no sound project.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{
    matrix::outcome::RULE,
    source::{FileId, SourceMap, Span},
    syntax::{
        Prose,
        node::{Node, Value},
        table,
    },
};

mod condition;
mod grammar;

pub(super) use grammar::{Expect, expected_key, expected_value};

/// A kind of named thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Binding,
    Group,
    Issuer,
    Matrix,
    Operation,
    Organization,
    Principal,
    Role,
    Rule,
    Server,
    Surface,
    Tag,
    Team,
}

impl Kind {
    /// The noun for people.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Group => "group",
            Self::Issuer => "issuer",
            Self::Matrix => "matrix",
            Self::Operation => "operation",
            Self::Organization => "organization",
            Self::Principal => "principal",
            Self::Role => "role",
            Self::Rule => "rule",
            Self::Server => "server",
            Self::Surface => "surface",
            Self::Tag => "tag",
            Self::Team => "team",
        }
    }
}

/// A name with all that makes it one: `acme/payments`, `github/get_issue`,
/// `github/repo_admin:rename`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) full: String,
}

/// A place where a name stands, its last part exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) name: Name,
    pub(super) span: Span,
    pub(super) declares: bool,
}

/// All names of a project.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// In the order of the files.
    pub(super) mentions: Vec<Mention>,
    /// The server of each matrix.
    matrices: BTreeMap<String, String>,
}

impl Names {
    /// Reads the names of all trees.
    pub(super) fn of(trees: &BTreeMap<FileId, Node>, sources: &SourceMap) -> Self {
        let mut names = Self::default();
        for tree in trees.values() {
            names.servers_of_matrices(tree);
        }
        for tree in trees.values() {
            let mut path = Vec::new();
            names.node(tree, &mut path, sources);
        }
        names.bare_teams();
        names
    }

    /// Puts the names of one file that changed in place of those that it had.
    pub(super) fn replace(
        &mut self,
        file: FileId,
        (before, now): (Option<&Node>, Option<&Node>),
        sources: &SourceMap,
    ) {
        let matrices = before.and_then(|it| it.get("matrices")?.as_map());
        for pair in matrices.into_iter().flatten() {
            self.matrices.remove(pair.key.value.as_str());
        }
        let places = self.places_in(file);
        let mut own = Self {
            matrices: std::mem::take(&mut self.matrices),
            mentions: Vec::new(),
        };
        if let Some(tree) = now {
            own.servers_of_matrices(tree);
            own.node(tree, &mut Vec::new(), sources);
        }
        self.matrices = own.matrices;
        let bare = |it: &Mention| it.name.kind == Kind::Team && !it.name.full.contains('/');
        let any = own.mentions.iter().any(bare);
        self.mentions.splice(places, own.mentions);
        if any {
            self.bare_teams();
        }
    }

    /// Where the mentions of a file are among all.
    fn places_in(&self, file: FileId) -> Range<usize> {
        let start = self.mentions.partition_point(|it| it.span.file < file);
        start..self.mentions.partition_point(|it| it.span.file <= file)
    }

    fn of_file(&self, file: FileId) -> impl Iterator<Item = &Mention> {
        let own = self.mentions.get(self.places_in(file));
        own.unwrap_or_default().iter()
    }

    /// The name at a byte of a file.
    pub(super) fn at(&self, file: FileId, offset: u32) -> Option<&Mention> {
        let here = |it: &&Mention| {
            it.span.file == file && it.span.start <= offset && offset <= it.span.end
        };
        self.mentions.iter().find(here)
    }

    /// Every place of a name.
    pub(super) fn places<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Mention> {
        self.mentions.iter().filter(move |it| it.name == *name)
    }

    /// The names that a file declares.
    pub(super) fn declared(&self, file: FileId) -> BTreeSet<Name> {
        let own = self.of_file(file).filter(|it| it.declares);
        own.map(|it| it.name.clone()).collect()
    }

    /// The files that mention one of these names.
    pub(super) fn files_with(&self, names: &BTreeSet<Name>) -> BTreeSet<FileId> {
        let places = self.mentions.iter().filter(|it| names.contains(&it.name));
        places.map(|it| it.span.file).collect()
    }

    /// The full names of a kind, each once, in order.
    pub(super) fn known(&self, kind: Kind) -> Vec<&str> {
        let all = self.mentions.iter().filter(|it| it.name.kind == kind);
        // Nothing declares a tag: whoever has it makes it one.
        let all = all.filter(|it| it.declares || kind == Kind::Tag);
        let mut known: Vec<_> = all.map(|it| it.name.full.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    /// The server of a matrix.
    pub(super) fn server_of(&self, matrix: &str) -> Option<&str> {
        self.matrices.get(matrix).map(String::as_str)
    }

    fn servers_of_matrices(&mut self, tree: &Node) {
        let matrices = tree.get("matrices").and_then(Node::as_map);
        for pair in matrices.into_iter().flatten() {
            if let Some(server) = pair.value.get("server").and_then(Node::as_text) {
                self.matrices
                    .insert(pair.key.value.to_string(), server.to_owned());
            }
        }
    }

    fn node(&mut self, node: &Node, path: &mut Vec<String>, sources: &SourceMap) {
        match &node.value {
            Value::Map(pairs) => {
                let expected = self.expect(expected_key, path);
                // A call names a surface by its only key; a request has keys of its own.
                let call = matches!(path.as_slice(), [section, _, calls, _]
                    if section == "matrices" && calls == "calls");
                let named = match pairs.as_slice() {
                    [pair] => pair.value.as_map().is_some(),
                    _ => false,
                };
                let expected = expected.filter(|_| !call || named);
                for pair in pairs {
                    let key = &pair.key;
                    if let Some(expect) = &expected
                        && let Some(place) = plain(&key.value, key.span, sources)
                    {
                        self.mention(expect, &key.value, place, sources);
                    }
                    path.push(key.value.to_string());
                    self.node(&pair.value, path, sources);
                    path.pop();
                }
            }
            Value::List(items) => {
                path.push("[]".to_owned());
                for item in items {
                    self.node(item, path, sources);
                }
                path.pop();
            }
            Value::Text(text, style) => {
                let Some(expect) = self.expect(expected_value, path) else {
                    return;
                };
                if let Some(place) = plain(text, node.span, sources) {
                    return self.mention(&expect, text, place, sources);
                }
                let prose = Prose::of(text, *style, node.span, sources);
                self.mention(&expect, text, |part| prose.span_of(part), sources);
            }
            Value::Bool(_) | Value::Number(_) | Value::Broken => {}
        }
    }

    /// What belongs at a path, with the server of a matrix put in its place.
    pub(super) fn expect(
        &self,
        table: fn(&[&str]) -> Option<Expect>,
        path: &[String],
    ) -> Option<Expect> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match table(&path)? {
            Expect::MatrixSurface(matrix) => {
                let server = self.server_of(&matrix)?;
                Some(Expect::Surface(server.to_owned()))
            }
            expect => Some(expect),
        }
    }

    /// Takes in the names that a scalar holds, where they stand there as they are: without escapes.
    fn mention(
        &mut self,
        expect: &Expect,
        text: &str,
        place: impl Fn(Range<usize>) -> Span,
        sources: &SourceMap,
    ) {
        let declares = matches!(expect, Expect::Declare(_) | Expect::DeclareIn(..));
        for Part {
            kind,
            full,
            at,
            length,
        } in parts(expect, text)
        {
            let span = place(at..at + length);
            if text.get(at..at + length) != Some(sources.text(span)) {
                continue;
            }
            self.mentions.push(Mention {
                name: Name { kind, full },
                span,
                declares,
            });
        }
    }

    /// A condition names teams without their organization: it is the one that has such a team,
    /// where only one has.
    fn bare_teams(&mut self) {
        let teams: Vec<String> = self
            .known(Kind::Team)
            .into_iter()
            .map(str::to_owned)
            .collect();
        for mention in &mut self.mentions {
            if mention.name.kind != Kind::Team || mention.name.full.contains('/') {
                continue;
            }
            let end = format!("/{}", mention.name.full);
            let mut fitting = teams.iter().filter(|it| it.ends_with(&end));
            if let (Some(only), None) = (fitting.next(), fitting.next()) {
                mention.name.full.clone_from(only);
            }
        }
    }
}

/// A name within a scalar: where it starts, and how long it is there.
struct Part {
    kind: Kind,
    full: String,
    at: usize,
    length: usize,
}

/// The names that a text holds where such a thing belongs.
fn parts(expect: &Expect, text: &str) -> Vec<Part> {
    let part = |kind, full: &str, at, name: &str| Part {
        kind,
        full: full.to_owned(),
        at,
        length: name.len(),
    };
    match expect {
        Expect::Declare(kind) | Expect::One(kind) => vec![part(*kind, text, 0, text)],
        Expect::DeclareIn(kind, outer) => vec![part(*kind, &within(*kind, outer, text), 0, text)],
        Expect::Scope if text == "platform" => Vec::new(),
        Expect::Scope => match text.split_once('/') {
            None => vec![part(Kind::Organization, text, 0, text)],
            Some((outer, team)) => vec![
                part(Kind::Organization, outer, 0, outer),
                part(Kind::Team, text, outer.len() + 1, team),
            ],
        },
        Expect::Who => match text.split_once(':') {
            None if text == "everyone" => Vec::new(),
            None => vec![part(Kind::Principal, text, 0, text)],
            Some(("group", name)) => vec![part(Kind::Group, name, 6, name)],
            Some(("tag", name)) => vec![part(Kind::Tag, name, 4, name)],
            Some(_) => Vec::new(),
        },
        Expect::Surface(server) => {
            let (name, operation) = text.split_once(':').unwrap_or((text, ""));
            let mut parts = vec![part(Kind::Surface, &format!("{server}/{name}"), 0, name)];
            if !operation.is_empty() {
                let full = format!("{server}/{text}");
                parts.push(part(Kind::Operation, &full, name.len() + 1, operation));
            }
            parts
        }
        Expect::Permission => {
            let Some((at, server, name)) = permission(text) else {
                return Vec::new();
            };
            let full = format!("{server}/{name}");
            vec![
                part(Kind::Server, server, at, server),
                part(Kind::Surface, &full, at + server.len() + 1, name),
            ]
        }
        Expect::Condition => {
            let names = condition::names(text).into_iter();
            names
                .map(|(kind, name, at)| part(kind, name, at, name))
                .collect()
        }
        Expect::Outcomes => table::outcomes(text)
            .filter_map(|cell| {
                let name = text.get(cell.clone())?.strip_prefix(RULE)?;
                Some(part(Kind::Rule, name, cell.start + RULE.len(), name))
            })
            .collect(),
        Expect::Argument(..) | Expect::MatrixSurface(_) => Vec::new(),
    }
}

fn within(kind: Kind, outer: &str, name: &str) -> String {
    let mark = if kind == Kind::Operation { ':' } else { '/' };
    format!("{outer}{mark}{name}")
}

/// `tools:github/get_issue:call`: where the server starts, the server, the surface.
fn permission(text: &str) -> Option<(usize, &str, &str)> {
    let (kind, rest) = text.split_once(':')?;
    let (server, rest) = rest.split_once('/')?;
    let name = rest.split(':').next()?;
    Some((kind.len() + 1, server, name))
}

/// Where a part of the text of a scalar stands, if all of it stands there as it is: without escapes
/// or folds.
fn plain(
    text: &str,
    span: Span,
    sources: &SourceMap,
) -> Option<impl Fn(Range<usize>) -> Span + use<>> {
    let raw = sources.text(span);
    let inner = raw
        .strip_prefix(['"', '\''])
        .map_or(raw, |it| it.get(..it.len().saturating_sub(1)).unwrap_or(it));
    let quote = usize::from(inner.len() != raw.len());
    let start = span.start as usize + quote;
    let place =
        move |part: Range<usize>| Span::new(span.file, start + part.start..start + part.end);
    (inner == text).then_some(place)
}

#[cfg(test)]
mod tests;
