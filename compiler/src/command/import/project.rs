//! The project that is imported into, and the servers that it has.

use std::{collections::BTreeSet, path::Path};

use latchkey_gate::pin::ListKind;

use super::Failure;
use crate::{
    diag::{Severity, Sink, codes},
    project::{self, FILE},
    source::{Folder, SourceMap},
    syntax::{self, ScopePath, json, lock::route_key, scalar::Scalar as _},
    text::Text,
};

/// The project that is imported into.
pub(super) struct Project {
    /// Its text.
    pub(super) sources: SourceMap,
    /// Its project file.
    pub(super) head: project::Project,
    /// What was written.
    pub(super) syntax: syntax::Project,
}

/// A server that the project has.
pub(super) struct Known<'p> {
    /// Its name.
    pub(super) name: String,
    /// What it says.
    pub(super) entry: &'p syntax::Server,
    /// The file that has it.
    pub(super) file: String,
    /// Its lock, by the path in the project.
    pub(super) lock: String,
    /// Where it stands, for people.
    pub(super) place: String,
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
            name: name.to_string(),
            entry: &entry.value,
            file: file.to_owned(),
            lock,
            place,
        }))
    }

    /// Whether a scope exists.
    pub(super) fn scope(&self, written: &str) -> Result<(), Failure> {
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
        let names: Vec<_> = self.syntax.organizations.keys().map(Text::as_str).collect();
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
    pub(super) fn has(&self, kind: ListKind, name: &str) -> bool {
        match kind {
            ListKind::Tools => self.entry.tools.get(name).is_some(),
            ListKind::Prompts => self.entry.prompts.get(name).is_some(),
            ListKind::Resources | ListKind::Templates => {
                self.entry.resources.values().any(|it| it.uri.value == name)
            }
        }
    }

    /// Its routes, as a lock names them.
    pub(super) fn routes(&self) -> impl Iterator<Item = String> {
        let routes = self.entry.routes.values();
        routes.map(|it| route_key(it.method.value.text(), &it.path.value))
    }

    /// The names of its surfaces.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let tools = self.entry.tools.keys();
        let prompts = self.entry.prompts.keys();
        let resources = self.entry.resources.keys();
        let routes = self.entry.routes.keys();
        tools
            .chain(prompts)
            .chain(resources)
            .chain(routes)
            .map(ToString::to_string)
            .collect()
    }
}

fn same_address(entry: &str, given: &str) -> bool {
    let parse = |text: &str| reqwest::Url::parse(text).ok();
    entry == given || parse(entry).is_some_and(|url| Some(url) == parse(given))
}
