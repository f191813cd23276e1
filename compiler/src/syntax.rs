//! The language as written: typed entries with exact places, before names are resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::diag::{Diagnostic, Sink, codes, suggest};
use crate::parallel;
use crate::project;
use crate::source::{FileId, SourceMap, Span};
use crate::text::Text;

pub mod binding;
pub mod collection;
pub mod command;
pub mod group;
pub mod issuer;
pub mod json;
pub mod limit;
pub mod lock;
pub mod matrix;
pub(crate) mod mend;
pub mod node;
pub mod organization;
pub(crate) mod plain;
pub mod principal;
pub mod reference;
pub mod reserved;
pub mod role;
pub mod rule;
pub mod scalar;
pub mod schedule;
pub mod scope_source;
pub mod server;
pub mod server_requests;
pub mod shape;
pub mod surface;
pub mod table;
pub mod yaml;

pub use binding::Binding;
pub use collection::{Entry, List, Listing, Names};
pub use group::Group;
pub use issuer::Issuer;
pub use lock::{Lock, Locked};
pub use matrix::Matrix;
pub use node::Node;
pub use organization::{Organization, Team};
pub use principal::Principal;
pub use reference::{PrincipalType, Risk, ScopePath, Selector, SurfaceRef, Who};
pub use role::Role;
pub use rule::Rule;
pub use scalar::Prose;
pub use schedule::Schedule;
pub use scope_source::ScopeSource;
pub use server::Server;
pub use surface::Surface;

use collection::read_entry;
use mend::{Hole, Named};
use scalar::Label;
use shape::{Reader, Shape, expect_map, listed, not_enforced};

/// Reads every included file. Findings go to the sink; what could be read is in the result.
///
/// One broken file never hides the findings of others, and one broken entry never those of its
/// neighbours.
pub fn parse(sources: &SourceMap, project: &project::Project, sink: &mut Sink) -> Project {
    let mut read = Project::default();
    let mut files = Vec::new();
    for part in parts(sources, project, false) {
        sink.append(part.sink);
        files.push((part.file, part.written));
    }
    read.take_all(files, &mut Reader::new(sources, sink));
    // Only what is read again file by file asks for them.
    read.names_of = BTreeMap::new();
    read.finish(project, &mut Reader::new(sources, sink));
    read
}

/// What one file says by itself, and what was found in it.
pub(crate) struct Part {
    pub(crate) file: FileId,
    pub(crate) written: Project,
    pub(crate) sink: Sink,
    /// The whole tree, if it was asked for.
    pub(crate) root: Option<Node>,
}

/// Reads every included file by itself, over all cores.
pub(crate) fn parts(sources: &SourceMap, project: &project::Project, trees: bool) -> Vec<Part> {
    let files = sources.files();
    let files: Vec<_> = files
        .filter(|(_, file)| project.includes(file.path()))
        .map(|(id, _)| id)
        .collect();
    parallel::map_quietly(&files, |id| {
        let part = part(*id, sources);
        Part {
            root: part.root.filter(|_| trees),
            ..part
        }
    })
}

/// Reads one file by itself.
pub(crate) fn part(id: FileId, sources: &SourceMap) -> Part {
    let mut part = Part {
        file: id,
        written: Project::default(),
        sink: Sink::new(),
        root: None,
    };
    let Some(file) = sources.file(id) else {
        return part;
    };
    if file.invalid_at().is_some() || file.text().len() > crate::source::MAX_FILE_BYTES {
        // Reported when the project was opened.
        part.written.unread(file.text());
        return part;
    }
    let document = yaml::parse(id, file.text(), &mut part.sink);
    for hole in document.holes {
        let text = file.text().get(hole).unwrap_or_default();
        part.written.unread(text);
    }
    part.root = document.root;
    if let Some(root) = &part.root {
        let mut cx = Reader::new(sources, &mut part.sink);
        for pair in expect_map(root, "of sections", &mut cx).unwrap_or_default() {
            part.written.section(pair, &mut cx);
        }
    }
    part
}

/// The JSON Schema of one file of the language, for editors.
pub fn schema() -> Json {
    let properties: serde_json::Map<_, _> = SECTIONS
        .iter()
        .map(|section| {
            let mut schema = (section.schema)();
            if let Some(map) = schema.as_object_mut() {
                map.insert("description".to_owned(), json!(section.doc));
            }
            (section.name.to_owned(), schema)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Latchkey policy file",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A section of the language.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub doc: &'static str,
    /// The JSON Schema of its value.
    pub schema: fn() -> Json,
    /// The keys of its entries.
    pub fields: fn() -> Vec<shape::Field>,
}

macro_rules! sections {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty;)+) => {
        /// Everything that was written, by section and name.
        #[derive(Clone, Debug, Default)]
        pub struct Project {
            $($(#[doc = $doc])+ pub $name: Names<$type>,)+
            /// The lock of each server that names one.
            pub locks: BTreeMap<Text, Lock>,
            /// The JSON Web Key Set of each issuer, inline or from its file, as JSON text.
            pub key_sets: BTreeMap<Text, Json>,
            gaps: Gaps,
            /// What could not be read of each file by itself; it is among the gaps.
            gaps_of: BTreeMap<FileId, Gaps>,
            /// The names of the entries of each file, of whatever section: sorted, none twice.
            names_of: BTreeMap<FileId, Vec<Text>>,
            /// How many entries were refused because their name was taken.
            repeated: usize,
        }

        /// Every section, in the order of the reference.
        pub const SECTIONS: &[Section] = &[$(Section {
            name: stringify!($name),
            doc: concat!($($doc),+),
            schema: <Names<$type> as Shape>::schema,
            fields: <$type as shape::Record>::fields,
        }),+];

        impl Project {
            /// Whether nothing was read.
            pub fn is_empty(&self) -> bool {
                $(self.$name.is_empty())&&+
            }

            fn section(&mut self, pair: &node::Pair, cx: &mut Reader<'_>) {
                match pair.key.value.as_str() {
                    $(stringify!($name) => {
                        merge(stringify!($name), &mut self.$name, &mut self.gaps, &pair.value, cx);
                    })+
                    _ => self.unknown_section(pair, cx),
                }
            }

            /// Adds what another file says.
            pub(crate) fn take(&mut self, file: FileId, other: Self, cx: &mut Reader<'_>) {
                self.note(file, &other);
                $(for entry in other.$name.into_entries() {
                    let repeated = self.$name.insert(entry);
                    self.repeated += usize::from(repeated.is_some());
                    repeated.map(|it| refuse(stringify!($name), &it, &mut self.gaps, cx));
                })+
            }

            /// Adds what all files say, by file.
            pub(crate) fn take_all(&mut self, files: Vec<(FileId, Self)>, cx: &mut Reader<'_>) {
                let mut all = Self::default();
                $(let mut $name = Vec::new();)+
                for (file, other) in files {
                    all.note(file, &other);
                    $($name.extend(other.$name.into_entries());)+
                }
                $(for repeated in all.$name.extend($name) {
                    all.repeated += 1;
                    refuse(stringify!($name), &repeated, &mut all.gaps, cx);
                })+
                *self = all;
            }

            /// Notes of a file which names it gives, and what could not be read of it.
            fn note(&mut self, file: FileId, written: &Self) {
                if !written.gaps.is_empty() {
                    self.gaps_of.insert(file, written.gaps.clone());
                }
                let mut names = Vec::with_capacity(0 $(+ written.$name.len())+);
                $(names.extend(written.$name.keys().cloned());)+
                names.sort_unstable();
                names.dedup();
                self.names_of.insert(file, names);
            }

            /// Whether an entry of this file has a name that another file gives as well.
            fn shares_a_name(&self, file: FileId, other: &Self) -> bool {
                false $(|| other.$name.keys().any(|name| {
                    self.$name.get(name).is_some_and(|it| it.name.span.file != file)
                }))+
            }

            /// Removes what a file says, and answers the names of its entries.
            fn forget(&mut self, file: FileId) -> BTreeSet<Text> {
                self.gaps_of.remove(&file);
                let names = self.names_of.remove(&file).unwrap_or_default();
                for name in &names {
                    $(if self.$name.get(name).is_some_and(|it| it.name.span.file == file) {
                        self.$name.remove(name);
                    })+
                }
                names.into_iter().collect()
            }
        }
    };
}

sections! {
    /// Tenants and their teams.
    organizations: Organization;
    /// Who signs the tokens that are accepted.
    issuers: Issuer;
    /// Sets of callers.
    groups: Group;
    /// Who calls.
    principals: Principal;
    /// Sets of surfaces.
    roles: Role;
    /// Who has which roles, and where.
    bindings: Binding;
    /// What is denied or required.
    rules: Rule;
    /// What recurs by the clock of a place.
    schedules: Schedule;
    /// What is called.
    servers: Server;
    /// Golden tables of expected outcomes.
    matrices: Matrix;
}

impl Project {
    /// Whether the section may hold this name after all: an entry of this name was refused, or
    /// it may stand in a part that could not be read. A later stage should then not say that the
    /// name is unknown.
    pub fn may_declare(&self, section: &str, name: &str) -> bool {
        let refused = self.gaps.broken.iter();
        let mut refused = refused.filter(|(at, broken)| *at == section && broken == name);
        refused.next().is_some() || self.may_hold(name)
    }

    /// Whether a name of any kind may stand in a part that could not be read.
    pub fn may_hold(&self, name: &str) -> bool {
        self.gaps.lost || self.gaps.unread.contains(name)
    }

    /// Whether what stands at `span` was read only in part, so that something may be missing from
    /// it which is written.
    pub fn holed(&self, span: Span) -> bool {
        self.gaps.holes.iter().any(|hole| hole.touches(span))
    }

    /// Whether the entry with this name was read only in part.
    pub fn is_holed(&self, name: Span) -> bool {
        self.gaps.holes.iter().any(|hole| hole.is_in(name))
    }

    /// Whether a value stands here in place of one that was refused, so that nothing is to be said
    /// of it.
    pub fn stands_in(&self, span: Span) -> bool {
        self.gaps.stand_ins.contains(&span)
    }

    /// Whether all entries of a section could be read.
    pub fn is_whole(&self, section: &str) -> bool {
        let mut broken = self.gaps.broken.iter();
        !self.gaps.lost && self.gaps.unread.is_empty() && !broken.any(|(at, _)| *at == section)
    }

    /// Whether everything could be read.
    pub fn is_complete(&self) -> bool {
        !self.gaps.lost && self.gaps.broken.is_empty() && self.gaps.unread.is_empty()
    }

    fn unread(&mut self, text: &str) {
        mend::words_of(text, &mut self.gaps.unread);
        // An unread part without a single word is still unread.
        self.gaps.unread.insert(String::new());
    }

    /// Reports a section that does not exist, and reads it as the one that is evidently meant.
    fn unknown_section(&mut self, pair: &node::Pair, cx: &mut Reader<'_>) {
        let key = &pair.key;
        self.unread("");
        if let Some(what) = reserved::reason("file", key) {
            cx.sink.push(not_enforced(key, what, key.span));
            return;
        }
        let known: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
        let message = format!("there is no section `{}`", key.value);
        let found = Diagnostic::new(&codes::UNKNOWN_SECTION, key.span, message);
        let Some(meant) = suggest::closest(key, known.iter().copied()) else {
            let help = format!("the sections are {}", listed(&known));
            cx.sink.push(found.help(help));
            self.unread(cx.sources.text(mend::whole(pair)));
            return;
        };
        cx.sink.push(found.did_you_mean(key, key.span, known));
        let mut read = pair.clone();
        read.key.value = Text::from(meant);
        self.section(&read, cx);
    }

    /// Takes in what only all files together tell.
    pub(crate) fn finish(&mut self, project: &project::Project, cx: &mut Reader<'_>) {
        self.gaps.lost = project.unreadable;
        self.locks_and_keys(cx);
        for gaps in self.gaps_of.values() {
            self.gaps.extend(gaps.clone());
        }
    }

    /// The names of the entries of a file, of whatever section.
    pub(crate) fn names_of(&self, file: FileId) -> impl Iterator<Item = &Text> {
        self.names_of.get(&file).into_iter().flatten()
    }

    /// Puts what a file says now in place of what it said, and answers which names it gave. `None`
    /// where this cannot be done: what very much depends on, and names that two files give, are
    /// read with everything else.
    pub(crate) fn replace(
        &mut self,
        file: FileId,
        written: Self,
        cx: &mut Reader<'_>,
    ) -> Option<BTreeSet<Text>> {
        let here = |project: &Self| {
            let organizations = project.organizations.values().map(|it| it.name.span);
            let issuers = project.issuers.values().map(|it| it.name.span);
            let schedules = project.schedules.values().map(|it| it.name.span);
            let servers = project.servers.values().map(|it| it.name.span);
            let mut all = organizations.chain(issuers).chain(schedules).chain(servers);
            all.any(|it| it.file == file)
        };
        let apart = self.repeated > 0 || here(self) || here(&written);
        if apart || self.shares_a_name(file, &written) {
            return None;
        }
        let before = self.forget(file);
        self.take(file, written, cx);
        let lost = self.gaps.lost;
        self.gaps = Gaps {
            lost,
            ..Gaps::default()
        };
        for gaps in self.gaps_of.values() {
            self.gaps.extend(gaps.clone());
        }
        Some(before)
    }

    fn locks_and_keys(&mut self, cx: &mut Reader<'_>) {
        for (name, server) in self.servers.iter() {
            let Some(path) = &server.lock else { continue };
            if let Some(lock) = lock::read(path, cx) {
                self.locks.insert(name.clone(), lock);
            } else {
                let gaps = self.gaps_of.entry(server.name.span.file).or_default();
                gaps.broken.insert(("servers", name.clone()));
                let entry = Named {
                    name: server.name.span,
                    whole: server.whole,
                };
                gaps.holes.push(Hole::beside(entry));
            }
        }
        for (name, issuer) in self.issuers.iter() {
            if let Some(keys) = key_set(issuer, cx) {
                self.key_sets.insert(name.clone(), keys);
            }
        }
    }
}

fn key_set(issuer: &Issuer, cx: &mut Reader<'_>) -> Option<Json> {
    let keys = issuer.jwks.as_ref()?;
    if let Some(file) = &keys.file {
        return json::read_keys(file, cx);
    }
    let text = keys.inline.as_ref()?.to_json()?;
    serde_json::from_str(&text).ok()
}

/// What could not be read.
#[derive(Clone, Debug, Default)]
struct Gaps {
    /// Entries with a mistake, by section and name; most are there in part.
    broken: BTreeSet<(&'static str, Text)>,
    /// Where in them the mistakes are.
    holes: Vec<Hole>,
    /// The words of what could not be read.
    unread: BTreeSet<String>,
    /// Where values stand in for others that were refused.
    stand_ins: BTreeSet<Span>,
    /// A file could not be read, so that nothing is known of what it holds.
    lost: bool,
}

impl Gaps {
    fn is_empty(&self) -> bool {
        self.broken.is_empty()
            && self.holes.is_empty()
            && self.unread.is_empty()
            && self.stand_ins.is_empty()
    }

    fn extend(&mut self, mut other: Self) {
        self.broken.append(&mut other.broken);
        self.holes.append(&mut other.holes);
        self.unread.append(&mut other.unread);
        self.stand_ins.append(&mut other.stand_ins);
        self.lost |= other.lost;
    }

    /// What is sound of an entry that was refused.
    fn mend<T: Shape>(
        &mut self,
        section: &'static str,
        pair: &node::Pair,
        cx: &mut Reader<'_>,
    ) -> Option<Entry<T>> {
        self.broken.insert((section, pair.key.value.clone()));
        let holes = std::mem::take(&mut cx.holes);
        let mut mended = mend::entry(pair, holes, cx);
        self.holes.append(&mut mended.holes);
        self.unread.append(&mut mended.words);
        self.stand_ins.extend(mended.stand_ins);
        mended.entry
    }
}

/// Adds the entries of one section of a file.
fn merge<T: Shape>(
    section: &'static str,
    names: &mut Names<T>,
    gaps: &mut Gaps,
    node: &Node,
    cx: &mut Reader<'_>,
) {
    let pairs = expect_map(node, "from name to entry", cx);
    if pairs.is_none() {
        gaps.unread.insert(String::new());
        mend::words_of(cx.sources.text(node.span), &mut gaps.unread);
    }
    let pairs = pairs.unwrap_or_default();
    let mut entries = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let entry = read_entry::<T, Label>(pair, cx);
        let entry = entry.or_else(|| gaps.mend(section, pair, cx));
        entries.extend(entry.map(Arc::new));
    }
    for repeated in names.extend(entries) {
        refuse(section, &repeated, gaps, cx);
    }
}

/// Reports an entry whose name another one has.
fn refuse<T>(
    section: &'static str,
    [first, entry]: &[Arc<Entry<T>>; 2],
    gaps: &mut Gaps,
    cx: &mut Reader<'_>,
) {
    let message = format!("`{section}` already has an entry `{}`", first.name.value);
    mend::words_of(cx.sources.text(entry.whole), &mut gaps.unread);
    cx.sink.push(
        Diagnostic::new(&codes::DUPLICATE_ENTRY, entry.name.span, message)
            .label("declared again here")
            .also(first.name.span, "first declared here")
            .help("rename one of them, or merge them"),
    );
}

#[cfg(test)]
mod tests;
