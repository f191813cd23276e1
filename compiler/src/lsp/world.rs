//! The projects that an editor has open, each with its latest reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::SystemTime,
};

use crossbeam_channel::Sender;
use serde_json::Value as Json;

use super::{
    Due,
    aside::{Aside, Done, Read},
    names::{Name, Names},
    reading::{Outcome, Reading},
    wire,
};
use crate::{
    command::now,
    diag::{Diagnostic, Report, Severity},
    model::Model,
    project,
    source::{FileId, Folder, Overlay, SourceMap, Span, Spanned, Tree as _},
    syntax::node::{Node, Value},
    text::Text,
};

/// From so many bytes on a whole check is not made between two keys.
const LARGE: usize = 512 * 1024;

/// More files than this are not looked at again between two keys.
const MANY: usize = 100;

/// The size and the last change of a file.
type Stamp = (u64, Option<SystemTime>);

/// The files that stand on disk for what was read: not those that the editor shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps {
    all: Arc<BTreeMap<String, Stamp>>,
    /// What the editor shows.
    shown: BTreeSet<String>,
}

impl Stamps {
    fn of(folder: &Folder) -> Self {
        Self {
            all: Arc::new(folder.stamps()),
            shown: BTreeSet::new(),
        }
    }

    /// Whether a file on disk is another one than was read.
    pub(super) fn differ(&self, folder: &Folder) -> bool {
        let now = folder.stamps();
        let counts = |it: &(&String, &Stamp)| !self.shown.contains(it.0);
        let (now, then) = (now.iter().filter(counts), self.all.iter().filter(counts));
        !now.eq(then)
    }
}

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
        world.edit(file, text, version);
    }

    /// A file was written. What the editor shows of it counts more, while it does.
    pub(super) fn touch(&mut self, uri: &Json) {
        let Some((root, file)) = place(uri) else {
            // Perhaps it was the project file that is gone.
            self.touch_all();
            return;
        };
        if let Some(world) = self.0.get_mut(&root)
            && !world.buffers.contains_key(&file)
        {
            world.forget();
        }
    }

    /// Files changed, and nobody knows which.
    pub(super) fn touch_all(&mut self) {
        for world in self.0.values_mut() {
            world.forget();
        }
    }

    /// The project of a document, and its path in there.
    pub(super) fn find(&mut self, uri: &Json) -> Option<(&mut World, String)> {
        let (root, file) = place(uri)?;
        self.0.get_mut(&root).map(|world| (world, file))
    }

    /// The project of a folder.
    pub(super) fn at(&mut self, root: &Path) -> Option<&mut World> {
        self.0.get_mut(root)
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
    /// The files that were edited since.
    changed: BTreeSet<String>,
    /// What was read, as long as nothing but buffers can have changed.
    reading: Option<Arc<Reading>>,
    /// The check that goes on aside.
    aside: Option<Aside>,
    /// The files on disk when they were read.
    stamps: Stamps,
    /// From so many bytes on, a changed file is read by itself before everything is checked.
    pub(super) large: usize,
    /// The files of which something is to be told; all of them if there are none here.
    pub(super) news: BTreeSet<String>,
    /// The latest reading.
    pub(super) sources: Arc<SourceMap>,
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
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            buffers: BTreeMap::new(),
            versions: BTreeMap::new(),
            due: Some(Due::Changed),
            changed: BTreeSet::new(),
            reading: None,
            aside: None,
            stamps: Stamps::default(),
            large: LARGE,
            news: BTreeSet::new(),
            sources: Arc::default(),
            report: Report::default(),
            trees: BTreeMap::new(),
            names: Names::default(),
            meant: None,
            sound: false,
            told: BTreeMap::new(),
        }
    }

    /// A buffer has this text now, or none any more.
    pub(super) fn edit(&mut self, file: String, text: Option<&str>, version: Option<i64>) {
        if let Some(text) = text {
            self.buffers.insert(file.clone(), text.as_bytes().to_vec());
            self.versions.insert(file.clone(), version);
        } else {
            self.buffers.remove(&file);
            self.versions.remove(&file);
        }
        self.changed.insert(file);
        self.recall();
        self.due = Some(Due::Changed);
    }

    /// Everything has to be read.
    fn forget(&mut self) {
        self.recall();
        self.reading = None;
        self.due = Some(Due::Changed);
    }

    /// Stops what goes on aside; it stays due.
    pub(super) fn recall(&mut self) {
        if let Some(aside) = self.aside.take() {
            let due = aside.recall();
            self.due = Some(self.due.map_or(due, |own| own.min(due)));
        }
    }

    /// Begins to check all of a large project aside, if that is due. What it comes to is sent.
    pub(super) fn begin(&mut self, due: Due, sender: &Sender<Done>) -> bool {
        let own = self.due.filter(|own| *own <= due && *own != Due::Changed);
        let (Some(own), Some(reading)) = (own, &self.reading) else {
            return false;
        };
        if !self.is_large() || self.meant.is_none() {
            return false;
        }
        let read = Read {
            root: self.root.clone(),
            reading: Arc::clone(reading),
            sources: Arc::clone(&self.sources),
            stamps: self.stamps(),
        };
        self.due = None;
        self.aside = Some(Aside::begin(read, own, sender.clone()));
        true
    }

    /// Takes in what a check aside came to, unless it was recalled. Answers whether there may be
    /// something to tell.
    pub(super) fn end(&mut self, done: Done) -> bool {
        let Some(aside) = self.aside.take_if(|aside| aside.is(&done)) else {
            return false;
        };
        let Some(outcome) = done.outcome else {
            self.forget();
            return false;
        };
        self.news.clear();
        self.take(outcome, aside.due);
        true
    }

    /// Does what is due, if it is, and answers whether there may be something to tell. What takes
    /// long ends early, and stays due, when it is told to stop.
    pub(super) fn look(&mut self, due: Due, stop: &(dyn Fn() -> bool + Sync)) -> bool {
        self.news.clear();
        let Some(own) = self.due.filter(|own| *own <= due) else {
            return false;
        };
        if own == Due::Changed && self.take_changes() {
            self.due = Some(Due::Whole);
            return true;
        }
        let folder = Folder::new(&self.root);
        let kept = self.reading.take();
        let kept = kept.filter(|_| own != Due::Changed && !self.stamps().differ(&folder));
        let reading = kept.unwrap_or_else(|| Arc::new(self.read(&folder)));
        self.changed.clear();
        // Without any model no file can be looked at by itself.
        let patient = !self.is_large() || self.meant.is_none();
        let when = (now(), own.depth());
        let outcome = reading.check(&self.sources, when, &|| !patient && stop());
        self.reading = Some(reading);
        let Some(outcome) = outcome else {
            self.due = Some(own.max(Due::Whole));
            return false;
        };
        self.take(outcome, own);
        true
    }

    fn take(&mut self, outcome: Outcome, own: Due) {
        // With errors there is nothing for the longer checks to look at.
        let rest = own != Due::Rest && outcome.sound;
        self.due = rest.then_some(Due::Rest);
        let Outcome {
            model,
            sound,
            report,
        } = outcome;
        self.report = report;
        self.sound = sound;
        // What a large project means is kept up with its files, also where some of it is missing.
        if sound || self.is_large() {
            let before = self.meant.replace(model);
            // To take a large one apart takes a while.
            thread::spawn(move || drop(before));
        }
    }

    fn read(&mut self, folder: &Folder) -> Reading {
        let stamps = Stamps::of(folder);
        let (reading, sources, trees) = Reading::new(&Overlay::new(folder, &self.buffers));
        self.names = Names::of(&trees, &sources);
        (self.sources, self.trees, self.stamps) = (Arc::new(sources), trees, stamps);
        reading
    }

    /// The files that stand on disk for what was read.
    fn stamps(&self) -> Stamps {
        Stamps {
            shown: self.buffers.keys().cloned().collect(),
            ..self.stamps.clone()
        }
    }

    fn is_large(&self) -> bool {
        self.sources.size() >= self.large
    }

    /// Reads the files that were edited, each by itself, where this is possible, and looks again at
    /// those that mention a name that is given now, or no longer.
    fn take_changes(&mut self) -> bool {
        if !self.is_large() {
            return false;
        }
        let (Some(mut reading), Some(mut meant)) = (self.reading.take(), self.meant.take()) else {
            self.reading = None;
            return false;
        };
        let mut possible = true;
        for file in std::mem::take(&mut self.changed) {
            let reading = Arc::make_mut(&mut reading);
            possible = possible && self.take_change(&file, reading, &mut meant);
            self.news.insert(file);
        }
        self.meant = Some(meant);
        self.reading = possible.then_some(reading);
        if !possible {
            self.news.clear();
        }
        possible
    }

    fn take_change(&mut self, file: &str, reading: &mut Reading, meant: &mut Model) -> bool {
        let Some(id) = self.sources.find(file) else {
            return false;
        };
        let bytes = match self.buffers.get(file) {
            Some(bytes) => bytes.clone(),
            None => match Folder::new(&self.root).read(file) {
                Ok(bytes) => bytes,
                Err(_) => return false,
            },
        };
        let old = self.trees.get(&id).cloned();
        let sources = Arc::make_mut(&mut self.sources);
        let into = (&mut *meant, &mut self.report);
        if !reading.change(id, bytes, sources, &mut self.trees, into) {
            return false;
        }
        let before = self.names.declared(id);
        let trees = (old.as_ref(), self.trees.get(&id));
        self.names.replace(id, trees, &self.sources);
        let others = self.touched_by(&(&before ^ &self.names.declared(id)), id);
        if !others.is_empty() {
            reading.look_again(&others, &self.sources, (meant, &mut self.report));
            let paths = others.into_iter().map(|it| self.sources.path(it));
            self.news.extend(paths.map(str::to_owned));
        }
        self.sound = self.sound && self.report.count(Severity::Error) == 0;
        true
    }

    /// The files other than one that mention any of these names; of very many, those that the
    /// editor shows. The others wait for the check of the whole.
    fn touched_by(&self, names: &BTreeSet<Name>, but: FileId) -> BTreeSet<FileId> {
        if names.is_empty() {
            return BTreeSet::new();
        }
        let mut files = self.names.files_with(names);
        files.remove(&but);
        if files.len() > MANY {
            files.retain(|it| self.buffers.contains_key(self.sources.path(*it)));
        }
        files
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
    ) -> Option<(Vec<String>, &Spanned<Text>)> {
        let mut node = self.trees.get(&file)?;
        let mut path = Vec::new();
        loop {
            match &node.value {
                Value::Map(pairs) => {
                    let pair = pairs.iter().rfind(|it| it.key.span.start <= offset)?;
                    if offset <= pair.key.span.end {
                        return Some((path, &pair.key));
                    }
                    path.push(pair.key.value.to_string());
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

    /// What is found, by the file that it is told of: those that are open, or have something told
    /// of them, or had. Where no file is to blame, it is the project file.
    pub(super) fn spoken_of(&self) -> BTreeMap<String, Vec<&Diagnostic>> {
        let wanted = |file: &str| self.news.is_empty() || self.news.contains(file);
        let mut all: BTreeMap<String, Vec<&Diagnostic>> = BTreeMap::new();
        for found in &self.report.diagnostics {
            let home = found.primary();
            let home = home.map_or(project::FILE, |span| self.sources.path(span.file));
            if !wanted(home) {
                continue;
            }
            match all.get_mut(home) {
                Some(list) => list.push(found),
                None => {
                    all.insert(home.to_owned(), vec![found]);
                }
            }
        }
        let silent = self.told.keys().chain(self.versions.keys());
        for file in silent.filter(|it| wanted(it)) {
            all.entry(file.clone()).or_default();
        }
        all
    }
}

fn errors(report: &Report) -> Vec<String> {
    let found = report.diagnostics.iter();
    let found = found.filter(|it| it.severity == Severity::Error);
    found.map(|it| it.message.clone()).collect()
}
