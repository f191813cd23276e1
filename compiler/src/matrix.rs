//! Golden matrices, decided on opened bundle bytes by the function that the sidecar runs.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::overlay::Overlay;
use latchkey_gate::{
    call::{self, Answer, Stated},
    gate::Gate,
};

use crate::{
    model::{Matrix, MatrixCall, MatrixCaller, Model, Others, Permission, SurfaceName},
    pack::{self, PackError},
    parallel,
    source::{SourceMap, Span},
};

mod bless;
mod discovery;
pub mod outcome;
mod report;

pub use bless::{Edits, bless};
pub use discovery::reachable;
pub use report::{counted, decided, digest, human, json, junit, rows};

/// What became of every matrix.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Every cell, in the order of matrices and rows.
    pub cells: Vec<CellRun>,
    /// What else each caller may reach.
    pub others: Vec<OthersRun>,
}

/// What became of one cell.
#[derive(Debug, Clone)]
pub struct CellRun {
    /// The matrix.
    pub matrix: String,
    /// The caller's name in it.
    pub caller: String,
    /// The call's name in it.
    pub call: String,
    /// What must happen.
    pub expected: String,
    /// The place of the expectation.
    pub span: Span,
    /// What happened.
    pub actual: Answer,
    /// The rules that matched.
    pub matched: Vec<String>,
    /// Bindings that nearly granted, and why not.
    pub missed: Vec<(String, &'static str)>,
    /// Whether that is as expected.
    pub passed: bool,
}

/// What a caller may reach besides the calls of a matrix, against what the matrix says.
#[derive(Debug, Clone)]
pub struct OthersRun {
    /// The matrix.
    pub matrix: String,
    /// The caller's name in it.
    pub caller: String,
    /// The place of the statement.
    pub span: Span,
    /// Reachable, and not listed.
    pub unlisted: Vec<String>,
    /// Listed, and never reachable.
    pub unreachable: Vec<String>,
}

impl OthersRun {
    /// Whether the statement holds.
    pub fn passed(&self) -> bool {
        self.unlisted.is_empty() && self.unreachable.is_empty()
    }
}

impl Run {
    /// How many cells and statements are as expected, and how many are not.
    pub fn counts(&self) -> (usize, usize) {
        let cells = self.cells.iter().map(|cell| cell.passed);
        let others = self.others.iter().map(OthersRun::passed);
        let (passed, failed): (Vec<_>, Vec<_>) = cells.chain(others).partition(|passed| *passed);
        (passed.len(), failed.len())
    }
}

/// Why matrices cannot be run.
#[derive(Debug)]
pub enum RunError {
    /// The project cannot be packed, or its bundle not be opened.
    Pack(PackError),
    /// A call cannot be asked: what is wrong with it, and its place.
    Stated(String, Span),
}

impl From<PackError> for RunError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

/// Runs every matrix.
pub fn run(model: &Model, sources: &SourceMap) -> Result<Run, RunError> {
    let places = pack::places(model, sources)?;
    run_slices(model, |server| open(&pack::slice(model, server)?, &places))
}

/// Runs every matrix on the very files of a release.
pub fn run_on(model: &Model, files: &pack::Files) -> Result<Run, RunError> {
    let file = |name: &str| {
        let missing = || PackError(format!("{name} was not packed"));
        files.get(name).ok_or_else(missing)
    };
    let places = file(pack::PLACES)?;
    run_slices(model, |server| {
        open(file(&pack::slice_name(server))?, places)
    })
}

fn run_slices(
    model: &Model,
    slice: impl Fn(&str) -> Result<Gate, PackError> + Sync,
) -> Result<Run, RunError> {
    let servers: BTreeSet<&str> = model
        .matrices
        .values()
        .map(|it| it.server.as_str())
        .collect();
    let servers: Vec<&str> = servers.into_iter().collect();
    let opened = parallel::map_quietly(&servers, |server| slice(server));
    let mut gates = BTreeMap::new();
    for (server, gate) in servers.iter().zip(opened) {
        gates.insert((*server).to_owned(), gate?);
    }
    run_gates(model, &gates)
}

/// Runs the matrices of all servers that are open, over all cores.
pub fn run_gates(model: &Model, gates: &BTreeMap<String, Gate>) -> Result<Run, RunError> {
    let matrices: Vec<(&String, &Matrix)> = model.matrices.iter().collect();
    let runs = parallel::map_quietly(&matrices, |(name, matrix)| {
        let gate = gates.get(&matrix.server);
        gate.map_or_else(|| Ok(Run::default()), |gate| run_matrix(name, matrix, gate))
    });
    let mut whole = Run::default();
    for run in runs {
        let run = run?;
        whole.cells.extend(run.cells);
        whole.others.extend(run.others);
    }
    Ok(whole)
}

/// Opens bundle bytes as the sidecar does.
pub fn open(slice: &[u8], places: &[u8]) -> Result<Gate, PackError> {
    Gate::open(slice, Some(places)).map_err(|error| PackError(error.to_string()))
}

/// Runs one matrix.
pub fn run_matrix(name: &str, matrix: &Matrix, gate: &Gate) -> Result<Run, RunError> {
    let overlay = Overlay::default();
    let mut run = Run::default();
    // Permissions that some row calls; the statement about others is about the rest.
    let mut tested: BTreeSet<Permission> = BTreeSet::new();
    let callers = matrix.callers.iter();
    let callers: Vec<_> = callers.map(|it| (it, asks(matrix, it))).collect();
    let calls: Vec<_> = { matrix.calls.iter() }
        .map(|it| (it, facts(&it.facts)))
        .collect();
    run.cells.reserve_exact(matrix.cells.len());
    for cell in &matrix.cells {
        let (caller, call) = (callers.get(cell.caller), calls.get(cell.call));
        let (Some((caller, asks)), Some((call, facts))) = (caller, call) else {
            continue;
        };
        let span = cell.expected.span;
        let stated = read(asks, facts, span)?;
        let verdict = call::verdict(gate, &overlay, &stated);
        let mut facts = verdict
            .map_err(|error| RunError::Stated(error.0, call.name.span))?
            .facts;
        let matched = std::mem::take(&mut facts.matched);
        let missed = std::mem::take(&mut facts.missed);
        let actual = Answer::of(None, facts);
        tested.extend(permission(matrix, &actual));
        run.cells.push(CellRun {
            matrix: name.to_owned(),
            caller: caller.name.value.clone(),
            call: call.name.value.clone(),
            expected: cell.expected.value.clone(),
            span,
            passed: outcome::agrees(&cell.expected.value, &actual),
            actual,
            matched,
            missed,
        });
    }
    for ((caller, asks), others) in callers.iter().zip(&matrix.others) {
        let stated = read(asks, "", caller.name.span)?;
        let reachable = reachable(gate, &overlay, &stated, matrix.at)
            .map_err(|error| RunError::Stated(error.0, caller.name.span))?;
        run.others
            .push(compare(name, caller, others, &reachable, &tested));
    }
    Ok(run)
}

/// A call of a matrix in the words of `eval`. Without a call it only says who asks.
pub(crate) fn stated(
    matrix: &Matrix,
    caller: &MatrixCaller,
    call: Option<&MatrixCall>,
    span: Span,
) -> Result<Stated, RunError> {
    let call = call.map(|call| facts(&call.facts)).unwrap_or_default();
    read(&asks(matrix, caller), &call, span)
}

/// Who asks whom and when, as members of an `eval` line.
fn asks(matrix: &Matrix, caller: &MatrixCaller) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let (server, at) = (text(&matrix.server), text(&matrix.at.to_string()));
    let facts = facts(&caller.facts);
    format!("\"server\":{server},\"at\":{at}{facts}")
}

/// More members of an `eval` line, each after a comma.
fn facts(facts: &BTreeMap<&'static str, String>) -> String {
    let members = facts.iter();
    members
        .flat_map(|(key, value)| [",\"", key, "\":", value])
        .collect()
}

fn read(asks: &str, facts: &str, span: Span) -> Result<Stated, RunError> {
    let line = ["{", asks, facts, "}"].concat();
    serde_json::from_str(&line).map_err(|error| RunError::Stated(error.to_string(), span))
}

/// The permission that a call was about.
pub(crate) fn permission(matrix: &Matrix, actual: &Answer) -> Option<Permission> {
    let surface = actual.surface.as_deref()?;
    let name = surface.strip_prefix(&matrix.server)?.strip_prefix('/')?;
    Some(Permission {
        surface: SurfaceName {
            server: matrix.server.clone(),
            name: name.to_owned(),
        },
        operation: actual.operation.clone(),
    })
}

fn compare(
    matrix: &str,
    caller: &MatrixCaller,
    others: &Others,
    reachable: &BTreeSet<Permission>,
    tested: &BTreeSet<Permission>,
) -> OthersRun {
    let listed: BTreeSet<&Permission> = others.permissions.keys().collect();
    let name = |permission: &Permission| match &permission.operation {
        None => permission.surface.name.clone(),
        Some(operation) => format!("{}:{operation}", permission.surface.name),
    };
    let unlisted = reachable
        .iter()
        .filter(|it| !tested.contains(it) && !listed.contains(it));
    let unreachable = listed.iter().filter(|it| !reachable.contains(**it));
    OthersRun {
        matrix: matrix.to_owned(),
        caller: caller.name.value.clone(),
        span: others.span,
        unlisted: unlisted.map(name).collect(),
        unreachable: unreachable.map(|it| name(it)).collect(),
    }
}

#[cfg(test)]
mod tests;
