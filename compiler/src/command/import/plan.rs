//! What an import writes.

use std::{collections::BTreeMap, path::Path};

use super::{
    Failure,
    change::{Change, What},
    entry::{self, Surface},
    project::{Known, Project},
};
use crate::{
    pack,
    project::FILE,
    syntax::scalar::{Label, Scalar as _},
};

/// What is written, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The server's name.
    pub(super) server: String,
    /// What was read, after the name: `speaks MCP 2026-07-28`.
    pub(super) says: String,
    /// The revision of MCP that it spoke, or the version of OpenAPI.
    pub(super) revision: String,
    /// How many entries each list has: its name, what one entry is called, the number.
    pub(super) counts: Vec<(&'static str, &'static str, usize)>,
    /// Whether the project did not have the server.
    pub(super) is_new: bool,
    /// What differs from the lock.
    pub(super) changes: Vec<Change>,
    /// What gets no entry, and why.
    pub(super) left_out: Vec<LeftOut>,
    /// What nobody checks, and the entries that it is said of.
    pub(super) notes: Vec<(String, Vec<String>)>,
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
    /// What it is.
    pub(super) noun: &'static str,
    /// Its name or URI.
    pub(super) name: String,
    /// Why.
    pub(super) why: String,
}

/// What the command line says of the server in the project.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// Its name.
    pub(super) server: Option<&'a str>,
    /// Where it belongs.
    pub(super) within: Option<&'a str>,
    /// The file of a new entry.
    pub(super) output: Option<&'a str>,
    /// Whether nothing is written.
    pub(super) check: bool,
}

impl Target<'_> {
    /// The name of the server in the project; `own` is what it calls itself.
    pub(super) fn name(
        self,
        known: Option<&Known<'_>>,
        own: Option<&str>,
    ) -> Result<String, Failure> {
        if let Some(known) = known {
            if self.within.is_some() || self.output.is_some() {
                let what = format!(
                    "the project has `{}` already, at {}",
                    known.name, known.place
                );
                return Err(Failure::usage(what)
                    .help("leave out `--in` and `--output`: its entry is brought up to date"));
            }
            return Ok(known.name.clone());
        }
        let given = self.server.map(str::to_owned);
        let name = given.or_else(|| entry::server_name(own));
        let name = name.ok_or_else(|| {
            Failure::usage("the server has no name that the project could use")
                .help("give it one with `--server NAME`")
        })?;
        Label::parse(&name).map_err(|_| {
            Failure::usage(format!("`{name}` is no name of a server"))
                .help("use lowercase letters, digits and `-`, at most 63 characters")
        })?;
        if self.check {
            return Err(Self::unknown(&name));
        }
        Ok(name)
    }

    /// There is nothing to compare with.
    pub(super) fn unknown(name: &str) -> Failure {
        Failure::usage(format!("there is no server `{name}` to check"))
            .help("leave out `--check` to write its entry, or name another with `--server`")
    }
}

impl Plan {
    /// Writes what the surfaces and the lock say into the server's entry, or into a new one; `head`
    /// is what a new one says besides.
    pub(super) fn lay_out(
        &mut self,
        project: &Project,
        known: Option<&Known<'_>>,
        target: Target<'_>,
        head: Option<&entry::Head>,
        (surfaces, lock): (&[Surface], String),
    ) -> Result<(), Failure> {
        self.added = surfaces.len();
        let path = match (known, head) {
            (Some(known), _) => self.extend(project, known, surfaces),
            (None, Some(head)) => self.begin(project, target, head, surfaces)?,
            (None, None) => return Err(Failure::internal("a new server has no address")),
        };
        let written = project.sources.find(&path);
        let written = written.and_then(|id| project.sources.file(id));
        if written.is_none_or(|file| file.text() != lock) {
            self.files.insert(path, lock);
        }
        Ok(())
    }

    /// A new file for a new server; answers the path of its lock.
    fn begin(
        &mut self,
        project: &Project,
        target: Target<'_>,
        head: &entry::Head,
        surfaces: &[Surface],
    ) -> Result<String, Failure> {
        let within = target.within.ok_or_else(|| {
            Failure::usage(format!(
                "it is not said where the new server `{}` belongs",
                self.server
            ))
            .help("name the scope: `--in platform`, `--in ORGANIZATION/TEAM`")
        })?;
        project.scope(within)?;
        let default = format!("servers/{}.yaml", self.server);
        let path = target.output.map_or(default, str::to_owned);
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
        let text = entry::file(&self.server, within, head, &file, surfaces);
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

    /// How many differences are of this kind.
    pub(super) fn count(&self, wanted: &What) -> usize {
        self.changes.iter().filter(|it| it.what == *wanted).count()
    }
}
