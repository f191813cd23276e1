//! The projects that an editor has open, each with its latest reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use super::{Due, names::Names, wire};
use crate::{
    Checked,
    command::now,
    diag::{Report, Sink},
    model::Model,
    project,
    source::{FileId, Folder, Overlay, SourceMap, Span, Spanned},
    syntax::{
        node::{Node, Value},
        yaml,
    },
};

/// Every project, by its folder.
#[derive(Debug, Default)]
pub(super) struct Worlds(BTreeMap<PathBuf, World>);

impl Worlds {
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut World> {
        self.0.values_mut()
    }

    /// Takes in the project of a folder, if it is one.
    pub(super) fn open_folder(&mut self, root: &Path) {
        if root.join(project::FILE).is_file() {
            self.world(root.to_owned());
        }
    }

    /// The most urgent thing to do.
    pub(super) fn due(&self) -> Option<Due> {
        self.0.values().filter_map(|it| it.due).min()
    }

    /// A buffer has this text now, or none any more.
    pub(super) fn edit(&mut self, uri: &Json, text: Option<&str>, version: Option<i64>) {
        let Some((root, file)) = place(uri) else {
            return;
        };
        let world = self.world(root);
        if let Some(text) = text {
            world.buffers.insert(file.clone(), text.as_bytes().to_vec());
            world.versions.insert(file, version);
        } else {
            world.buffers.remove(&file);
            world.versions.remove(&file);
        }
        world.due = Some(Due::Changed);
    }

    /// Files changed, and nobody knows which.
    pub(super) fn touch(&mut self) {
        for world in self.0.values_mut() {
            world.due = Some(Due::Changed);
        }
    }

    /// The project of a document, and its path in there.
    pub(super) fn find(&mut self, uri: &Json) -> Option<(&mut World, String)> {
        let (root, file) = place(uri)?;
        self.0.get_mut(&root).map(|world| (world, file))
    }

    fn world(&mut self, root: PathBuf) -> &mut World {
        self.0
            .entry(root.clone())
            .or_insert_with(|| World::new(root))
    }
}

/// The folder of the project that a document lies in, and its path there. The nearest folder with
/// a project file counts; a document in none has no project.
fn place(uri: &Json) -> Option<(PathBuf, String)> {
    let path = wire::path(uri)?;
    let mut above = path.ancestors().skip(1);
    let root = above.find(|it| it.join(project::FILE).is_file())?;
    let parts = path.strip_prefix(root).ok()?.iter();
    let parts: Option<Vec<&str>> = parts.map(|it| it.to_str()).collect();
    Some((root.to_owned(), parts?.join("/")))
}

/// One project.
#[derive(Debug)]
pub(super) struct World {
    pub(super) root: PathBuf,
    /// What the editor has not saved, or not closed.
    pub(super) buffers: BTreeMap<String, Vec<u8>>,
    /// The version of each buffer, as the editor counts.
    pub(super) versions: BTreeMap<String, Option<i64>>,
    due: Option<Due>,
    /// The latest reading.
    pub(super) sources: SourceMap,
    pub(super) report: Report,
    pub(super) trees: BTreeMap<FileId, Node>,
    pub(super) names: Names,
    /// What the project meant when it was last without errors.
    pub(super) meant: Option<Model>,
    /// Whether that is what it means now.
    pub(super) sound: bool,
    /// What was told of each file.
    pub(super) told: BTreeMap<String, Json>,
}

impl World {
    fn new(root: PathBuf) -> Self {
        Self {
            root,
            buffers: BTreeMap::new(),
            versions: BTreeMap::new(),
            due: Some(Due::Changed),
            sources: SourceMap::default(),
            report: Report::default(),
            trees: BTreeMap::new(),
            names: Names::default(),
            meant: None,
            sound: false,
            told: BTreeMap::new(),
        }
    }

    /// Reads the project if this is due.
    pub(super) fn look(&mut self, due: Due) {
        if self.due.is_none_or(|own| own > due) {
            return;
        }
        let folder = Folder::new(&self.root);
        let tree = Overlay::new(&folder, &self.buffers);
        let checked = match self.due {
            Some(Due::Rest) => crate::check_thoroughly(&tree, now()),
            _ => crate::check(&tree, now()),
        };
        // With errors there is nothing for the longer checks to look at.
        let rest = self.due == Some(Due::Changed) && checked.model.is_some();
        self.due = rest.then_some(Due::Rest);
        self.take(checked);
    }

    fn take(&mut self, checked: Checked) {
        let Checked {
            sources,
            project,
            model,
            sink,
            ..
        } = checked;
        self.report = sink.finish(&project.levels);
        self.trees.clear();
        for (id, file) in sources.files() {
            if project.includes(file.path()) && file.invalid_at().is_none() {
                let root = yaml::parse(id, file.text(), &mut Sink::new()).root;
                self.trees.extend(root.map(|root| (id, root)));
            }
        }
        self.names = Names::of(&self.trees, &sources);
        self.sound = model.is_some();
        self.meant = model.or(self.meant.take());
        self.sources = sources;
    }

    /// What the project means with other texts: how many errors there would be, each by its words.
    pub(super) fn errors_with(&self, texts: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let mut buffers = self.buffers.clone();
        buffers.extend(texts.clone());
        let folder = Folder::new(&self.root);
        let checked = crate::check(&Overlay::new(&folder, &buffers), now());
        errors(&checked.sink.finish(&checked.project.levels))
    }

    /// The errors that there are, each by its words.
    pub(super) fn errors(&self) -> Vec<String> {
        errors(&self.report)
    }

    /// The byte offset of a position in a file.
    pub(super) fn offset(&self, file: &str, position: &Json) -> u32 {
        let file = self.sources.find(file).and_then(|id| self.sources.file(id));
        file.map_or(0, |file| wire::offset(file, position))
    }

    /// The URI of a file of the project.
    pub(super) fn uri(&self, file: &str) -> String {
        wire::uri(&self.root.join(file))
    }

    /// A span as a location.
    pub(super) fn location(&self, span: Span) -> Json {
        serde_json::json!({
            "uri": self.uri(self.sources.path(span.file)),
            "range": wire::range(&self.sources, span),
        })
    }

    /// The key at a place, and the keys that lead to it and its map; items of lists are `[]`.
    pub(super) fn key_at(
        &self,
        file: FileId,
        offset: u32,
    ) -> Option<(Vec<String>, &Spanned<String>)> {
        let mut node = self.trees.get(&file)?;
        let mut path = Vec::new();
        loop {
            match &node.value {
                Value::Map(pairs) => {
                    let pair = pairs.iter().rfind(|it| it.key.span.start <= offset)?;
                    if offset <= pair.key.span.end {
                        return Some((path, &pair.key));
                    }
                    path.push(pair.key.value.clone());
                    node = &pair.value;
                }
                Value::List(items) => {
                    path.push("[]".to_owned());
                    node = items.iter().rfind(|it| it.span.start <= offset)?;
                }
                _ => return None,
            }
        }
    }

    /// The files of the project that are open, or have something told of them, or had.
    pub(super) fn spoken_of(&self) -> BTreeSet<String> {
        let now = self.report.diagnostics.iter();
        let now = now.map(|it| {
            it.primary()
                .map_or(project::FILE, |span| self.sources.path(span.file))
        });
        now.map(str::to_owned)
            .chain(self.told.keys().cloned())
            .chain(self.versions.keys().cloned())
            .collect()
    }
}

fn errors(report: &Report) -> Vec<String> {
    let found = report.diagnostics.iter();
    let found = found.filter(|it| it.severity == crate::diag::Severity::Error);
    found.map(|it| it.message.clone()).collect()
}
