//! One side of a comparison: whatever it is written as, it ends as an opened bundle.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use latchkey_engine::{bundle::places::PlaceKind, time::Time};
use latchkey_gate::{gate::Gate, supply::Digest};

use super::{
    super::{Failure, Sound, Terminal, read, sound},
    revision,
};
use crate::{
    cli::Global,
    diff::Written,
    matrix, pack, project,
    replay::Slice,
    source::{Folder, Tree},
};

/// What a side is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The project in the folder of `-C`.
    Project,
    /// A path, or else a Git revision.
    Named(String),
    /// The last commit that two revisions have in common.
    MergeBase(String, String),
}

impl Origin {
    /// How reports call the side.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Project => "the project".to_owned(),
            Self::Named(name) => name.clone(),
            Self::MergeBase(old, new) => format!("the merge base of {old} and {new}"),
        }
    }
}

impl Origin {
    /// What stands before its places, for those who start at the root of the repository.
    pub(super) fn prefix(&self, folder: &Path) -> String {
        let named = match self {
            Self::Named(name) if Path::new(name).is_dir() => Path::new(name),
            _ => folder,
        };
        revision::prefix(named)
    }
}

/// An opened side.
pub(in crate::command) struct Opened {
    /// Its bundle.
    pub(in crate::command) gate: Rc<Gate>,
    /// Its text; none where it was a bundle already.
    pub(in crate::command) sound: Option<Sound>,
    /// The other bundles beside it, when they were built before.
    folder: Option<PathBuf>,
}

impl Opened {
    /// Every slice, and the whole: what events name as their bundle.
    pub(in crate::command) fn slices(&self) -> Result<Vec<Slice>, Failure> {
        let groups = self.gate.policy().index().groups.iter();
        let mut slices = vec![Slice {
            digest: self.gate.digest().to_owned(),
            groups: groups.map(|it| it.name.clone()).collect(),
        }];
        if let Some(project) = &self.sound {
            for server in project.model.servers.keys() {
                let slice = pack::slice(&project.model, server);
                let slice = slice.map_err(|error| Failure::internal(error.to_string()))?;
                slices.push(Slice::read(&slice).map_err(Failure::internal)?);
            }
        }
        for path in self.folder.iter().flat_map(|folder| slices_in(folder)) {
            let slice = Slice::read(&read(&path)?);
            slices.push(slice.map_err(|error| unopened(&path, &error))?);
        }
        Ok(slices)
    }

    /// `file:line:column` of a rule, binding or role.
    pub(in crate::command) fn place(&self, kind: PlaceKind, name: &str) -> Option<String> {
        self.gate.place(kind, name)
    }

    /// What was written.
    pub(super) fn written(&self) -> Option<Written<'_>> {
        self.sound.as_ref().map(|it| Written {
            model: &it.model,
            sources: &it.sources,
        })
    }
}

fn slices_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_slice = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| pack::is_slice(&name.to_string_lossy()))
    };
    entries.map(|entry| entry.path()).filter(is_slice).collect()
}

/// Opens what a name means, and the project of `-C` where there is none.
pub(in crate::command) fn opened(
    name: Option<&str>,
    at: Time,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Opened>, Failure> {
    let origin = name.map_or(Origin::Project, |name| Origin::Named(name.to_owned()));
    open(&origin, at, None, (global, terminal))
}

/// Opens a side; `None` when it is a project with errors, which were printed. A bundle that is
/// open already, as the other side, is not opened again.
pub(super) fn open(
    side: &Origin,
    at: Time,
    other: Option<&Opened>,
    (global, terminal): (&Global, &mut Terminal<'_>),
) -> Result<Option<Opened>, Failure> {
    let folder = &global.directory;
    let called = side.name();
    let name = match side {
        Origin::Project => {
            let tree = Folder::new(folder.clone());
            return compiled(&tree, &called, at, global, terminal);
        }
        Origin::MergeBase(old, new) => {
            let commit = revision::merge_base(folder, old, new)?;
            let tree = revision::read(folder, &commit)?;
            return compiled(&tree, &called, at, global, terminal);
        }
        Origin::Named(name) => name,
    };
    let path = Path::new(name);
    if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new("."));
        return bundle(path, folder, other).map(Some);
    }
    if path.join(project::FILE).is_file() {
        let tree = Folder::new(path.to_owned());
        return compiled(&tree, name, at, global, terminal);
    }
    if path.join(pack::ALL).is_file() {
        return bundle(&path.join(pack::ALL), path, other).map(Some);
    }
    if path.is_dir() {
        return Err(
            Failure::usage(format!("`{name}` holds no project and no bundles")).help(format!(
                "a project has `{}`, a folder of bundles `{}`",
                project::FILE,
                pack::ALL
            )),
        );
    }
    let tree = revision::read(folder, name)?;
    compiled(&tree, name, at, global, terminal)
}

fn bundle(file: &Path, folder: &Path, other: Option<&Opened>) -> Result<Opened, Failure> {
    let places = folder.join(pack::PLACES);
    let places = if places.is_file() {
        Some(read(&places)?)
    } else {
        None
    };
    let bytes = read(file)?;
    let digest = Digest::of(&bytes).to_string();
    let gate = if let Some(other) = other.filter(|it| it.gate.digest() == digest) {
        Rc::clone(&other.gate)
    } else {
        let opened = Gate::open(&bytes, places.as_deref());
        Rc::new(opened.map_err(|error| unopened(file, &error))?)
    };
    Ok(Opened {
        gate,
        sound: None,
        folder: (file.file_name() == Some(pack::ALL.as_ref())).then(|| folder.to_owned()),
    })
}

fn unopened(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::unverified(format!("`{}` cannot be opened: {error}", file.display()))
        .help("build it again with this version of latchkey")
}

fn compiled(
    tree: &dyn Tree,
    name: &str,
    at: Time,
    global: &Global,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Opened>, Failure> {
    let Ok(sound) = sound(crate::check(tree, at), global, terminal)? else {
        writeln!(
            terminal.err,
            "error: {name} has errors, so nothing can be said of it"
        )?;
        return Ok(None);
    };
    let internal = |error: pack::PackError| Failure::internal(error.to_string());
    let whole = pack::whole(&sound.model).map_err(internal)?;
    let places = pack::places(&sound.model, &sound.sources).map_err(internal)?;
    let gate = matrix::open(&whole, &places).map_err(internal)?;
    Ok(Some(Opened {
        gate: Rc::new(gate),
        sound: Some(sound),
        folder: None,
    }))
}
