//! What an import writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use latchkey_gate::{check_resource, pin::ListKind, survey::Found};
use serde_json::Value as Json;

use super::{
    Failure, McpArgs, Source,
    change::{self, Change, What},
    entry::{self, Surface},
};
use crate::{
    diag::{Severity, Sink, codes},
    pack,
    project::{self, FILE},
    resolve,
    source::{Folder, SourceMap},
    syntax::{
        self, ScopePath, json,
        lock::{self, Definitions, Locked},
        scalar::{Label, Scalar as _, SurfaceName},
    },
};

/// The project that is imported into.
pub(super) struct Project {
    sources: SourceMap,
    head: project::Project,
    syntax: syntax::Project,
}

/// A server that the project has.
pub(super) struct Known<'p> {
    name: String,
    entry: &'p syntax::Server,
    file: String,
    lock: String,
    place: String,
}

/// What is written, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The server's name.
    pub(super) server: String,
    /// The revision of MCP that it spoke.
    pub(super) revision: String,
    /// How many entries each list has.
    pub(super) counts: BTreeMap<ListKind, usize>,
    /// Whether the project did not have the server.
    pub(super) is_new: bool,
    /// What differs from the lock.
    pub(super) changes: Vec<Change>,
    /// What gets no entry, and why.
    pub(super) left_out: Vec<LeftOut>,
    /// The files to write, by their path in the project.
    pub(super) files: BTreeMap<String, String>,
    /// Entries that a person has to add, since the file is written in a way that hides where.
    pub(super) by_hand: Option<String>,
    /// How many entries were added, to be reviewed.
    pub(super) added: usize,
    /// The policy file of the server.
    pub(super) policy: String,
}

/// A definition that gets no entry: it stays hidden and refused.
#[derive(Debug)]
pub(super) struct LeftOut {
    /// The list in which it is.
    pub(super) kind: ListKind,
    /// Its name or URI.
    pub(super) name: String,
    /// Why.
    pub(super) why: String,
}

impl Project {
    /// Reads a project. Locks may be missing or broken: they are written here.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        if !folder.join(FILE).is_file() {
            let what = format!("there is no `{FILE}` in `{}`", folder.display());
            return Err(Failure::usage(what)
                .help("make a project with `latchkey init`, or name its folder with `-C`"));
        }
        let mut sink = Sink::new();
        let (sources, project) = project::open(&Folder::new(folder.to_path_buf()), &mut sink);
        let syntax = syntax::parse(&sources, &project, &mut sink);
        let report = sink.finish(&project.levels);
        let broken = report.diagnostics.iter().any(|found| {
            let empty = *found.code == codes::NOTHING_INCLUDED;
            found.severity == Severity::Error && *found.code != codes::BAD_LOCK_FILE && !empty
        });
        if broken {
            return Err(Failure::usage("the project has errors")
                .help("run `latchkey check`, correct what it finds, and import then"));
        }
        Ok(Self {
            sources,
            head: project,
            syntax,
        })
    }

    /// The server that is meant: by its name, or else by its address.
    pub(super) fn named(
        &self,
        name: Option<&str>,
        address: Option<&str>,
    ) -> Result<Option<Known<'_>>, Failure> {
        let at = |entry: &syntax::Server| {
            let upstream = address.zip(entry.upstream.as_ref());
            upstream.is_some_and(|(url, upstream)| same_address(upstream, url))
        };
        let named =
            |it: &str, entry: &syntax::Server| name.map_or_else(|| at(entry), |name| it == name);
        let mut servers = self.syntax.servers.iter();
        let Some((name, entry)) = servers.find(|(name, entry)| named(name, entry)) else {
            return Ok(None);
        };
        let span = entry.name.span;
        let (file, place) = (self.sources.path(span.file), self.sources.place(span));
        let Some(written) = &entry.lock else {
            let what = format!("the server `{name}` at {place} names no lock");
            return Err(Failure::usage(what).help(format!(
                "add `lock: {name}.lock.json` to it and import again; then remove each `input` \
                 that the lock has"
            )));
        };
        let lock = json::beside(file, written).ok_or_else(|| {
            Failure::usage(format!(
                "the lock of `{name}` is not a path inside the project"
            ))
            .help("write it relative to the file that names it")
        })?;
        Ok(Some(Known {
            name: name.clone(),
            entry: &entry.value,
            file: file.to_owned(),
            lock,
            place,
        }))
    }

    fn scope(&self, written: &str) -> Result<(), Failure> {
        let known = match ScopePath::parse(written) {
            Err(_) => false,
            Ok(_) if written == "platform" => true,
            Ok(_) => {
                let (organization, team) = match written.split_once('/') {
                    Some((organization, team)) => (organization, Some(team)),
                    None => (written, None),
                };
                let found = self.syntax.organizations.get(organization);
                found.is_some_and(|it| team.is_none_or(|team| it.teams.get(team).is_some()))
            }
        };
        if known {
            return Ok(());
        }
        let names: Vec<_> = self
            .syntax
            .organizations
            .keys()
            .map(String::as_str)
            .collect();
        Err(Failure::usage(format!("there is no scope `{written}`")).help(format!(
            "write `platform`, an organization or `organization/team`; the organizations are: {}",
            names.join(", ")
        )))
    }
}

impl Known<'_> {
    /// The address in its entry, where it has one.
    pub(super) fn upstream(&self) -> Option<&str> {
        self.entry.upstream.as_ref().map(|it| it.value.as_str())
    }

    /// The command in its entry.
    pub(super) fn command(&self) -> Option<&[String]> {
        self.entry.command.as_ref().map(|it| it.0.as_slice())
    }

    /// Whether the entry has a surface for a definition.
    fn has(&self, kind: ListKind, name: &str) -> bool {
        match kind {
            ListKind::Tools => self.entry.tools.get(name).is_some(),
            ListKind::Prompts => self.entry.prompts.get(name).is_some(),
            ListKind::Resources | ListKind::Templates => {
                self.entry.resources.values().any(|it| it.uri.value == name)
            }
        }
    }

    fn names(&self) -> BTreeSet<String> {
        let tools = self.entry.tools.keys();
        let prompts = self.entry.prompts.keys();
        let resources = self.entry.resources.keys();
        tools.chain(prompts).chain(resources).cloned().collect()
    }
}

impl Plan {
    /// Compares what was found with what the project has.
    pub(super) fn new(
        project: &Project,
        known: Option<Known<'_>>,
        args: &McpArgs,
        source: &Source,
        found: &Found,
    ) -> Result<Self, Failure> {
        let known = match known {
            None if args.server.is_none() => {
                let name = entry::server_name(found.name.as_deref());
                project.named(name.as_deref(), None)?
            }
            known => known,
        };
        let server = name(known.as_ref(), args, found)?;
        let old = project
            .syntax
            .locks
            .get(&server)
            .map(|lock| &lock.definitions);
        let old = old.cloned().unwrap_or_default();
        let mut left_out = Vec::new();
        let new = definitions(found, &mut left_out);
        let surfaces = surfaces(known.as_ref(), &old, &new, &mut left_out);
        let mut plan = Self {
            revision: found.revision.clone(),
            counts: found
                .lists
                .iter()
                .map(|(kind, list)| (*kind, list.len()))
                .collect(),
            is_new: known.is_none(),
            changes: change::changes(&old, &new),
            left_out,
            files: BTreeMap::new(),
            by_hand: None,
            added: surfaces.len(),
            policy: String::new(),
            server,
        };
        let lock = match &known {
            Some(known) => plan.extend(project, known, &surfaces),
            None => plan.begin(project, args, source, &surfaces)?,
        };
        let text = lock::text(&new);
        let written = project
            .sources
            .find(&lock)
            .and_then(|id| project.sources.file(id));
        if written.is_none_or(|file| file.text() != text) {
            plan.files.insert(lock, text);
        }
        Ok(plan)
    }

    /// A new file for a new server; answers the path of its lock.
    fn begin(
        &mut self,
        project: &Project,
        args: &McpArgs,
        source: &Source,
        surfaces: &[Surface],
    ) -> Result<String, Failure> {
        let within = args.within.as_deref().ok_or_else(|| {
            Failure::usage(format!(
                "it is not said where the new server `{}` belongs",
                self.server
            ))
            .help("name the scope: `--in platform`, `--in ORGANIZATION/TEAM`")
        })?;
        project.scope(within)?;
        let default = format!("servers/{}.yaml", self.server);
        let path = args.output.clone().unwrap_or(default);
        if project.sources.find(&path).is_some() {
            return Err(Failure::usage(format!("`{path}` is there already"))
                .help("choose another file with `--output`; nothing was written"));
        }
        let inside = !path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if !inside || !project.head.includes(&path) {
            return Err(
                Failure::usage(format!("`{path}` would be no file of the project")).help(format!(
                    "choose one that `include` in {FILE} names, inside the project"
                )),
            );
        }
        let file = format!("{}.lock.json", self.server);
        let lock = match path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{file}"),
            None => file.clone(),
        };
        let text = entry::file(
            &self.server,
            within,
            (source, &args.environment),
            &file,
            surfaces,
        );
        self.files.insert(path.clone(), text);
        self.policy = path;
        Ok(lock)
    }

    /// New entries in the file that has the server; answers the path of its lock.
    fn extend(&mut self, project: &Project, known: &Known<'_>, surfaces: &[Surface]) -> String {
        self.policy.clone_from(&known.file);
        let file = project.sources.find(&known.file);
        let file = file.and_then(|id| project.sources.file(id));
        if let Some(file) = file.filter(|_| !surfaces.is_empty()) {
            match entry::append(file.text(), &known.name, surfaces) {
                Some(text) => {
                    self.files.insert(known.file.clone(), text);
                }
                None => self.by_hand = Some(entry::fragment(surfaces)),
            }
        }
        known.lock.clone()
    }

    /// Writes the files.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        for (name, text) in &self.files {
            let path = folder.join(name);
            let above = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(above).map_err(|error| Failure::file("make", above, &error))?;
            pack::put(&path, text.as_bytes())
                .map_err(|error| Failure::file("write", &path, &error))?;
        }
        Ok(())
    }
}

fn name(known: Option<&Known<'_>>, args: &McpArgs, found: &Found) -> Result<String, Failure> {
    if let Some(known) = known {
        if args.within.is_some() || args.output.is_some() {
            let what = format!(
                "the project has `{}` already, at {}",
                known.name, known.place
            );
            return Err(Failure::usage(what)
                .help("leave out `--in` and `--output`: its entry is brought up to date"));
        }
        return Ok(known.name.clone());
    }
    let given = args.server.clone();
    let name = given.or_else(|| entry::server_name(found.name.as_deref()));
    let name = name.ok_or_else(|| {
        Failure::usage("the server has no name that the project could use")
            .help("give it one with `--server NAME`")
    })?;
    Label::parse(&name).map_err(|_| {
        Failure::usage(format!("`{name}` is no name of a server"))
            .help("use lowercase letters, digits and `-`, at most 63 characters")
    })?;
    if args.check {
        return Err(
            Failure::usage(format!("there is no server `{name}` to check"))
                .help("leave out `--check` to write its entry, or name another with `--server`"),
        );
    }
    Ok(name)
}

fn same_address(entry: &str, given: &str) -> bool {
    let parse = |text: &str| reqwest::Url::parse(text).ok();
    entry == given || parse(entry).is_some_and(|url| Some(url) == parse(given))
}

fn definitions(found: &Found, left_out: &mut Vec<LeftOut>) -> Definitions {
    let mut all = Definitions::new();
    for (kind, list) in &found.lists {
        let entries = all.entry(*kind).or_default();
        for (name, definition) in list {
            match Locked::new(*kind, definition.clone()) {
                Some(locked) => {
                    entries.insert(name.clone(), locked);
                }
                None => left_out.push(LeftOut {
                    kind: *kind,
                    name: name.clone(),
                    why: "it has a number that JSON cannot carry".to_owned(),
                }),
            }
        }
    }
    all
}

/// The entries to add: of a server that is known, only those that are new to the lock as well.
/// What a person has left out stays out.
fn surfaces(
    known: Option<&Known<'_>>,
    old: &Definitions,
    new: &Definitions,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Surface> {
    let mut taken = known.map(Known::names).unwrap_or_default();
    let mut surfaces = Vec::new();
    for (kind, list) in new {
        for (name, locked) in list {
            let reviewed = old.get(kind).is_some_and(|list| list.contains_key(name));
            if reviewed || known.is_some_and(|known| known.has(*kind, name)) {
                continue;
            }
            match surface(*kind, name, locked, &taken) {
                Ok(surface) => {
                    taken.insert(surface.name.clone());
                    surfaces.push(surface);
                }
                Err(why) => left_out.push(LeftOut {
                    kind: *kind,
                    name: name.clone(),
                    why,
                }),
            }
        }
    }
    surfaces
}

fn surface(
    kind: ListKind,
    name: &str,
    locked: &Locked,
    taken: &BTreeSet<String>,
) -> Result<Surface, String> {
    match kind {
        ListKind::Tools | ListKind::Prompts => {
            if SurfaceName::parse(name).is_err() {
                return Err("its name has other characters than A-Z a-z 0-9 _ . -".to_owned());
            }
            if taken.contains(name) {
                return Err("the server has another surface of this name".to_owned());
            }
            if let Some(schema) = locked.input().filter(|_| kind == ListKind::Tools) {
                resolve::locked_is_enforceable(schema).map_err(|why| {
                    format!("its schema cannot be enforced ({why}); give it an `input` to use it")
                })?;
            }
            Ok(Surface::named(kind, name, locked))
        }
        ListKind::Resources | ListKind::Templates => {
            if name.chars().any(char::is_control) {
                return Err("its URI has control characters".to_owned());
            }
            check_resource(name).map_err(|why| format!("its URI cannot be matched: {why}"))?;
            let title = locked.definition.get("name").and_then(Json::as_str);
            Ok(Surface::resource(name, title.unwrap_or_default(), taken))
        }
    }
}

impl Plan {
    /// How many differences are of this kind.
    pub(super) fn count(&self, wanted: &What) -> usize {
        self.changes.iter().filter(|it| it.what == *wanted).count()
    }
}
