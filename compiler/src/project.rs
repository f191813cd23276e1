//! `latchkey.toml`, and opening a project from a tree of files.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use crate::diag::{Applicability, Diagnostic, Level, Levels, Severity, Sink, codes, suggest};
use crate::parallel;
use crate::source::{FileId, Glob, MAX_FILE_BYTES, SourceMap, Span, Spanned, Tree};
use crate::syntax::collection::{List, Names};
use crate::syntax::node::{Node, Pair, Style, Value};
use crate::syntax::scalar::{ArgumentName, Count, Label, choice};
use crate::syntax::shape::{Reader, Shape, record};
use crate::text::Text;

mod unread;

/// The name of the project file.
pub const FILE: &str = "latchkey.toml";

/// What `latchkey.toml` says.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The name of the project.
    pub name: Option<Spanned<Text>>,
    /// Which files are read.
    pub include: Vec<Glob>,
    /// Levels of lints, by slug.
    pub levels: Levels,
    /// Trusted keys by name, as given.
    pub trust: BTreeMap<Text, Spanned<Text>>,
    /// How much one entry may reach.
    pub bounds: Option<Bounds>,
    /// Whether a file or folder could not be read, so that names may be declared out of sight.
    pub unreadable: bool,
}

impl Project {
    /// The name, or nothing where there is none.
    pub(crate) fn title(&self) -> &str {
        self.name.as_ref().map_or("", |name| name.value.as_str())
    }

    /// Whether a path is one of the policy files.
    pub fn includes(&self, path: &str) -> bool {
        self.include.iter().any(|glob| glob.matches(path))
    }

    /// Whether a file below the folder can be one of them.
    fn reaches(&self, folder: &str) -> bool {
        self.include.iter().any(|glob| glob.reaches(folder))
    }
}

/// The JSON Schema of the project file, for editors.
pub fn schema() -> serde_json::Value {
    ProjectFile::schema()
}

/// Reads the project file and all files that belong to the project.
///
/// Lock files (`*.lock.json`) and key files (`*.jwks.json`) are read wherever they are.
pub fn open(tree: &dyn Tree, sink: &mut Sink) -> (SourceMap, Project) {
    let paths = match tree.paths() {
        Ok(paths) => paths,
        Err(error) => {
            let message = format!("the project cannot be listed: {error}");
            sink.push(Diagnostic::global(&codes::UNREADABLE_FILE, message));
            return Default::default();
        }
    };
    // The project file is read first: it says what else is read. Then it gets its final id.
    let head = paths.iter().filter(|path| *path == FILE);
    let (head, _) = load(tree, head, &mut Sink::new());
    let wanted = project(&head, &mut Sink::new());
    let named = |path: &&String| {
        **path == FILE
            || path
                .strip_suffix('/')
                .is_some_and(|folder| wanted.reaches(folder))
            || !unread::is_hidden(path)
                && (path.ends_with(".lock.json")
                    || path.ends_with(".jwks.json")
                    || path.rsplit('/').next() == Some("jwks.json")
                    || wanted.includes(path))
    };
    let (sources, missing) = load(tree, paths.iter().filter(named), sink);
    unread::check(tree, paths.iter().filter(|it| !named(it)), &wanted, sink);
    let project = Project {
        unreadable: missing,
        ..project(&sources, sink)
    };
    (sources, project)
}

/// Reads some files, and tells whether one of them could not be read whole.
fn load<'a>(
    tree: &dyn Tree,
    paths: impl Iterator<Item = &'a String>,
    sink: &mut Sink,
) -> (SourceMap, bool) {
    let mut files = BTreeMap::new();
    let mut missing = false;
    let paths: Vec<&String> = paths.collect();
    let read = parallel::map_quietly(&paths, |path| tree.read(path));
    for (path, read) in paths.into_iter().zip(read) {
        match read {
            Ok(bytes) => {
                files.insert(path.clone(), bytes);
            }
            Err(error) => {
                missing = true;
                sink.push(unreadable(path, error));
            }
        }
    }
    let sources = SourceMap::from_files(files);
    for (id, file) in sources.files() {
        if file.text().len() > MAX_FILE_BYTES {
            missing = true;
            let message = format!("`{}` is larger than 4 MiB", file.path());
            sink.push(
                Diagnostic::new(&codes::FILE_TOO_LARGE, Span::new(id, 0..0), message)
                    .help("split it; entries of one section may stand in any number of files"),
            );
        } else if let Some(at) = file.invalid_at() {
            let span = Span::new(id, at..at + char::REPLACEMENT_CHARACTER.len_utf8());
            sink.push(
                Diagnostic::new(&codes::NOT_UTF8, span, "this byte is not UTF-8")
                    .label("the file is not read")
                    .help("save the file as UTF-8"),
            );
        }
    }
    (sources, missing)
}

/// Reports each file that a finding points into and that is no longer what was checked.
pub(crate) fn changed(sources: &SourceMap, sink: &mut Sink) {
    let files: BTreeSet<FileId> = sink.places().map(|it| it.file).collect();
    for file in files.into_iter().filter_map(|id| sources.file(id)) {
        // It is asked for now, so that nothing changes any more while the findings are shown.
        let _ = file.text();
        if file.is_lost() {
            sink.push(unreadable(
                file.path(),
                "it changed while it was checked; try again",
            ));
        }
    }
}

fn unreadable(path: &str, why: impl std::fmt::Display) -> Diagnostic {
    let message = format!("`{path}` cannot be read: {why}");
    Diagnostic::global(&codes::UNREADABLE_FILE, message)
        .help("a policy is checked whole or not at all")
}

record! {
    /// The project file.
    pub struct ProjectFile: "project file" {
        /// What the project is.
        project "project": ProjectTable;
        /// Levels of lints: `allow`, `warn` or `deny` by slug.
        lints "lints": Names<Spanned<LintLevel>, ArgumentName>;
        /// Keys that releases of this project may be signed with, by name.
        trust "trust": Names<Spanned<Text>>;
        /// How much one entry may reach.
        bounds "bounds": Option<Bounds>;
    }
}

record! {
    /// How much one entry may reach before a warning says so; no bound where none is stated.
    pub struct Bounds: "bounds table" {
        /// The most surfaces that one binding may reach.
        binding "binding": Option<Spanned<Count>>;
        /// The most surfaces that one wildcard of a role may mean.
        selector "selector": Option<Spanned<Count>>;
    }
}

record! {
    /// What the project is.
    pub struct ProjectTable: "project table" {
        /// Its name.
        name "name": Spanned<Label>;
        /// Globs of the files that belong to it; `**/*.yaml` if absent.
        include "include": Option<List<Spanned<Text>>>;
    }
}

choice! {
    /// What is done with the findings of a lint.
    pub enum LintLevel: "lint level" {
        /// They are silenced.
        Allow = "allow",
        /// They are warnings.
        Warn = "warn",
        /// They are errors.
        Deny = "deny",
    }
}

fn project(sources: &SourceMap, sink: &mut Sink) -> Project {
    let fallback = || Project {
        include: everything(),
        ..Project::default()
    };
    let Some(id) = sources.find(FILE) else {
        sink.push(
            Diagnostic::global(&codes::BAD_PROJECT_FILE, format!("there is no `{FILE}`"))
                .help("run `latchkey init`, or give the folder that holds it"),
        );
        return fallback();
    };
    let text = sources.file(id).map_or("", crate::source::File::text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = error.span().unwrap_or(0..0);
        let message = error.message().replace('\n', "; ");
        sink.push(Diagnostic::new(
            &codes::BAD_PROJECT_FILE,
            Span::new(id, place),
            message,
        ));
    }
    if !errors.is_empty() {
        return fallback();
    }
    let span = Span::new(id, 0..text.find('\n').unwrap_or(text.len()));
    let root = Node::new(table_value(id, table.get_ref(), sink), span);
    let mut cx = Reader::new(sources, sink);
    match ProjectFile::read(&root, &mut cx) {
        Some(file) => settle(file, &mut cx),
        None => fallback(),
    }
}

fn settle(file: ProjectFile, cx: &mut Reader<'_>) -> Project {
    let include = match &file.project.include {
        None => everything(),
        Some(globs) => globs
            .iter()
            .filter_map(|glob| self::glob(glob, cx))
            .collect(),
    };
    let lints = file.lints.values();
    let levels = lints
        .filter_map(|entry| level(&entry.name, entry.value, cx))
        .collect();
    let trust = file
        .trust
        .iter()
        .map(|(name, key)| (name.clone(), key.value.clone()))
        .collect();
    let name = file.project.name.map(|name| name.text().clone());
    Project {
        name: Some(name),
        include,
        levels,
        trust,
        bounds: file.bounds,
        unreadable: false,
    }
}

fn everything() -> Vec<Glob> {
    Glob::new("**/*.yaml").into_iter().collect()
}

fn glob(pattern: &Spanned<Text>, cx: &mut Reader<'_>) -> Option<Glob> {
    let glob = match Glob::new(pattern) {
        Ok(glob) => glob,
        Err(why) => {
            let message = format!("the glob `{}` {why}", pattern.value);
            cx.sink
                .push(Diagnostic::new(&codes::BAD_VALUE, pattern.span, message));
            return None;
        }
    };
    if !cx
        .sources
        .files()
        .any(|(_, file)| glob.matches(file.path()))
    {
        let message = format!("the glob `{}` matches no file", pattern.value);
        cx.sink.push(
            Diagnostic::new(&codes::NOTHING_INCLUDED, pattern.span, message)
                .help("correct it, or remove it: what is not included is not enforced"),
        );
    }
    Some(glob)
}

fn level(
    slug: &Spanned<Text>,
    level: Spanned<LintLevel>,
    cx: &mut Reader<'_>,
) -> Option<(String, Level)> {
    let Some(code) = codes::TABLE.iter().find(|code| code.slug == slug.value) else {
        let known = codes::TABLE
            .iter()
            .filter(|code| code.severity == Severity::Warning);
        let known: Vec<_> = known.map(|code| code.slug).collect();
        let message = format!("there is no lint `{}`", slug.value);
        let found = Diagnostic::new(&codes::UNKNOWN_KEY, slug.span, message);
        cx.sink.push(match suggest::closest(slug, known) {
            Some(best) => found.help(format!("did you mean `{best}`?")).fix(
                format!("replace it with `{best}`"),
                Applicability::Maybe,
                slug.span,
                best,
            ),
            None => found.help("a lint is named by the slug that its findings show"),
        });
        return None;
    };
    if code.severity == Severity::Error {
        let message = format!("`{}` is an error and has no level", slug.value);
        cx.sink.push(
            Diagnostic::new(&codes::BAD_VALUE, slug.span, message)
                .help("only warnings can be silenced or raised"),
        );
        return None;
    }
    let level = match level.value {
        LintLevel::Allow => Level::Allow,
        LintLevel::Warn => Level::Warn,
        LintLevel::Deny => Level::Deny,
    };
    Some((slug.value.to_string(), level))
}

/// TOML as a spanned tree, so that the same tables of keys serve both.
fn table_value(file: FileId, table: &DeTable<'_>, sink: &mut Sink) -> Value {
    let pairs = table.iter().map(|(key, value)| {
        let name = Spanned::new(Text::from(&**key.get_ref()), Span::new(file, key.span()));
        let mut node = node(file, value, sink);
        node.blame = name.span;
        Pair {
            key: name,
            value: node,
        }
    });
    Value::Map(pairs.collect())
}

fn node(file: FileId, value: &toml::Spanned<DeValue<'_>>, sink: &mut Sink) -> Node {
    let span = Span::new(file, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(Text::from(&**text), Style::Double),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(file, item, sink)).collect())
        }
        DeValue::Table(table) => table_value(file, table, sink),
        DeValue::Datetime(_) => {
            let message = "no key of the project file is a date or a time";
            sink.push(Diagnostic::new(&codes::WRONG_TYPE, span, message));
            Value::Broken
        }
    };
    Node::new(value, span)
}
