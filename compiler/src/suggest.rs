//! Least privilege from audit logs: grants that nobody used, as a patch of the project.
//!
//! Only what the log can show is judged: a grant on a server of which the log has requests over a
//! long enough time, in force all that time. A use by a caller who could have had it through
//! several bindings counts for each of them, so that what is taken away was needed by no recorded
//! call. Destructive grants are for emergencies, and are never judged by their use.

mod edit;
mod matrices;
mod narrow;
mod patch;
mod rows;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::time::Time;
use latchkey_gate::gate::Gate;
use serde::Serialize;

pub use self::usage::Usage;
use crate::{
    model::{Model, Permission},
    source::{SourceMap, Tree},
};

/// What could be taken away, and the patch that does it.
#[derive(Debug, Serialize)]
pub struct Suggestions {
    /// The version of this shape.
    pub version: u32,
    /// What the log shows of each server.
    pub servers: Vec<Seen>,
    /// What to take away.
    pub changes: Vec<Change>,
    /// What looks unused, and why it stays.
    pub kept: Vec<Kept>,
    /// Cells of matrices that say something else with the patch.
    pub cells: usize,
    /// Rows that the patch adds: what they deny was allowed, and no matrix showed it.
    pub rows: usize,
    /// A unified patch, for `git apply` in the project's folder; empty where nothing changes.
    pub patch: String,
}

/// What a log shows of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The server.
    pub server: String,
    /// The first request.
    pub first: Option<String>,
    /// The last request.
    pub last: Option<String>,
    /// How many requests.
    pub requests: usize,
    /// How many sidecars wrote them.
    pub sidecars: usize,
    /// Whether that is enough to judge its grants.
    pub enough: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Nobody used anything that a binding gives.
    RemoveBinding {
        /// The binding.
        binding: String,
        /// Where it is written.
        place: String,
    },
    /// Nobody used a role through a binding that gives others too.
    DropRole {
        /// The binding.
        binding: String,
        /// The role.
        role: String,
        /// Where the binding is written.
        place: String,
    },
    /// Nobody used some permissions of a role, through any binding.
    NarrowRole {
        /// The role.
        role: String,
        /// The server.
        server: String,
        /// What goes.
        unused: Vec<String>,
        /// Where the role is written.
        place: String,
    },
}

/// Something that looks unused, and stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kept {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A project that is to be narrowed.
#[derive(Debug, Clone, Copy)]
pub struct Project<'p> {
    /// Its files.
    pub tree: &'p dyn Tree,
    /// Its text.
    pub sources: &'p SourceMap,
    /// What it means.
    pub model: &'p Model,
    /// The same, opened.
    pub gate: &'p Gate,
}

impl std::fmt::Debug for dyn Tree + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree")
    }
}

/// Why nothing can be suggested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotNow(pub String);

impl std::fmt::Display for NotNow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotNow {}

/// Finds what to take away, edits the text, and lets the matrices say what happens then. `today`
/// is for lints alone.
pub fn suggest(
    project: Project<'_>,
    usage: &Usage<'_>,
    least_seconds: i64,
    today: Time,
) -> Result<Suggestions, NotNow> {
    let servers = usage.servers(project.model.servers.keys(), least_seconds);
    let mut plan = narrow::plan(project, usage, &servers, least_seconds);
    let files = edit::apply(project, &mut plan);
    let (files, cells, rows) = if files.is_empty() {
        (files, 0, 0)
    } else {
        let (files, cells) = matrices::follow(project.tree, files, today)?;
        let (files, rows) = rows::add(project, &plan, files, today)?;
        // Rows are written by hand's rules, so they are read as such once.
        let (files, _) = matrices::follow(project.tree, files, today)?;
        (files, cells, rows)
    };
    let patch = patch::unified(project.sources, &files);
    Ok(Suggestions {
        version: 1,
        servers,
        changes: plan.changes(project),
        kept: plan.kept,
        cells,
        rows,
        patch,
    })
}

/// What is to be taken away, in names.
#[derive(Debug, Default)]
struct Plan {
    /// Whole bindings.
    bindings: BTreeSet<String>,
    /// Roles of bindings that stay.
    roles: BTreeSet<(String, String)>,
    /// Permissions of roles, by role and server.
    permissions: BTreeMap<(String, String), BTreeSet<Permission>>,
    kept: Vec<Kept>,
}

impl Plan {
    fn changes(&self, project: Project<'_>) -> Vec<Change> {
        let binding_place = |name: &String| {
            let binding = project.model.bindings.get(name.as_str());
            binding.map_or_else(String::new, |it| project.sources.place(it.span))
        };
        let bindings = self.bindings.iter().map(|name| Change::RemoveBinding {
            binding: name.clone(),
            place: binding_place(name),
        });
        let roles = self.roles.iter().map(|(binding, role)| Change::DropRole {
            binding: binding.clone(),
            role: role.clone(),
            place: binding_place(binding),
        });
        let narrowed = self.permissions.iter().map(|((role, server), unused)| {
            let entry = project.model.roles.get(role.as_str());
            Change::NarrowRole {
                role: role.clone(),
                server: server.clone(),
                unused: unused.iter().map(ToString::to_string).collect(),
                place: entry.map_or_else(String::new, |it| project.sources.place(it.span)),
            }
        });
        bindings.chain(roles).chain(narrowed).collect()
    }

    fn keep(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.kept.push(Kept {
            what: what.into(),
            why: why.into(),
        });
    }
}
