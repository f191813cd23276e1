//! Golden matrices, decided on opened bundle bytes by the function that the sidecar runs.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::overlay::Overlay;
use latchkey_gate::{
    call::{Answer, Asker, Request, Stated},
    gate::Gate,
};

use crate::{
    model::{Matrix, MatrixCall, MatrixCaller, Model, Others, Permission, SurfaceName},
    pack::{self, PackError},
    parallel,
    source::{SourceMap, Span},
    text::Text,
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
pub struct Run<'m> {
    /// Every cell, in the order of matrices and rows.
    pub cells: Vec<CellRun<'m>>,
    /// What else each caller may reach.
    pub others: Vec<OthersRun<'m>>,
}

/// What became of one cell.
#[derive(Debug, Clone)]
pub struct CellRun<'m> {
    /// The matrix.
    pub matrix: &'m str,
    /// The caller's name in it.
    pub caller: &'m str,
    /// The call's name in it.
    pub call: &'m str,
    /// What must happen.
    pub expected: &'m str,
    /// The place of the expectation.
    pub span: Span,
    /// What happened.
    pub actual: Box<Answer>,
    /// The rules that matched.
    pub matched: Vec<String>,
    /// Bindings that nearly granted, and why not.
    pub missed: Vec<(String, &'static str)>,
    /// Whether that is as expected.
    pub passed: bool,
}

/// What a caller may reach besides the calls of a matrix, against what the matrix says.
#[derive(Debug, Clone)]
pub struct OthersRun<'m> {
    /// The matrix.
    pub matrix: &'m str,
    /// The caller's name in it.
    pub caller: &'m str,
    /// The place of the statement.
    pub span: Span,
    /// Reachable, and not listed.
    pub unlisted: Vec<String>,
    /// Listed, and never reachable.
    pub unreachable: Vec<String>,
}

impl OthersRun<'_> {
    /// Whether the statement holds.
    pub fn passed(&self) -> bool {
        self.unlisted.is_empty() && self.unreachable.is_empty()
    }
}

impl Run<'_> {
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
pub fn run<'m>(model: &'m Model, sources: &SourceMap) -> Result<Run<'m>, RunError> {
    let places = pack::places(model, sources)?;
    run_slices(model, |server| open(&pack::slice(model, server)?, &places))
}

/// Runs every matrix on the very files of a release.
pub fn run_on<'m>(model: &'m Model, files: &pack::Files) -> Result<Run<'m>, RunError> {
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
) -> Result<Run<'_>, RunError> {
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
pub fn run_gates<'m>(
    model: &'m Model,
    gates: &BTreeMap<String, Gate>,
) -> Result<Run<'m>, RunError> {
    let matrices: Vec<(&Text, &Matrix)> = model.matrices.iter().collect();
    let runs = parallel::map_quietly(&matrices, |(name, matrix)| {
        let gate = gates.get(matrix.server.as_str());
        gate.map_or_else(|| Ok(Run::default()), |gate| run_matrix(name, matrix, gate))
    });
    let runs = runs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut whole = Run::default();
    whole
        .cells
        .reserve_exact(runs.iter().map(|run| run.cells.len()).sum());
    for run in runs {
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
pub fn run_matrix<'m>(name: &'m str, matrix: &'m Matrix, gate: &Gate) -> Result<Run<'m>, RunError> {
    let overlay = Overlay::default();
    let mut run = Run::default();
    // Permissions that some row calls; the statement about others is about the rest.
    let mut tested: BTreeSet<Permission> = BTreeSet::new();
    let askers: Vec<Asker> = askers(matrix, gate)?;
    let calls: Vec<Stated> = calls(matrix)?;
    let requests: Vec<Request<'_>> = requests(matrix, &calls)?;
    run.cells.reserve_exact(matrix.cells.len());
    for cell in &matrix.cells {
        let (caller, asker) = (matrix.callers.get(cell.caller), askers.get(cell.caller));
        let (call, request) = (matrix.calls.get(cell.call), requests.get(cell.call));
        let (Some(caller), Some(asker), Some(call), Some(request)) = (caller, asker, call, request)
        else {
            continue;
        };
        let mut facts = asker.verdict(gate, &overlay, request).facts;
        let matched = std::mem::take(&mut facts.matched);
        let missed = std::mem::take(&mut facts.missed);
        let actual = Answer::of(None, facts);
        tested.extend(permission(matrix, &actual));
        run.cells.push(CellRun {
            matrix: name,
            caller: &caller.name.value,
            call: &call.name.value,
            expected: &cell.expected.value,
            span: cell.expected.span,
            passed: outcome::agrees(&cell.expected.value, &actual),
            actual: Box::new(actual),
            matched,
            missed,
        });
    }
    let callers = matrix.callers.iter().zip(&askers);
    for ((caller, asker), others) in callers.zip(&matrix.others) {
        let reachable = reachable(gate, &overlay, asker);
        run.others
            .push(compare(name, caller, others, &reachable, &tested));
    }
    Ok(run)
}

fn askers(matrix: &Matrix, gate: &Gate) -> Result<Vec<Asker>, RunError> {
    let asker = |caller: &MatrixCaller| {
        let span = caller.name.span;
        let stated = read(&asks(matrix, caller), "", span)?;
        Asker::of(gate, &stated).map_err(|error| RunError::Stated(error.0, span))
    };
    matrix.callers.iter().map(asker).collect()
}

/// The calls of a matrix, by nobody.
fn calls(matrix: &Matrix) -> Result<Vec<Stated>, RunError> {
    let server = asked(matrix);
    let call = |call: &MatrixCall| read(&server, &facts(&call.facts), call.name.span);
    matrix.calls.iter().map(call).collect()
}

fn requests<'c>(matrix: &Matrix, calls: &'c [Stated]) -> Result<Vec<Request<'c>>, RunError> {
    let request = |(call, stated): (&MatrixCall, &'c Stated)| {
        Request::of(stated).map_err(|error| RunError::Stated(error.0, call.name.span))
    };
    matrix.calls.iter().zip(calls).map(request).collect()
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
    [asked(matrix), facts(&caller.facts)].concat()
}

/// Who is asked and when, as members of an `eval` line.
fn asked(matrix: &Matrix) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let (server, at) = (text(&matrix.server), text(&matrix.at.to_string()));
    format!("\"server\":{server},\"at\":{at}")
}

/// More members of an `eval` line, each after a comma.
fn facts(facts: &[(&'static str, String)]) -> String {
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
    let name = surface
        .strip_prefix(matrix.server.as_str())?
        .strip_prefix('/')?;
    Some(Permission {
        surface: SurfaceName {
            server: matrix.server.clone(),
            name: name.into(),
        },
        operation: actual.operation.as_deref().map(Text::from),
    })
}

fn compare<'m>(
    matrix: &'m str,
    caller: &'m MatrixCaller,
    others: &Others,
    reachable: &BTreeSet<Permission>,
    tested: &BTreeSet<Permission>,
) -> OthersRun<'m> {
    let listed: BTreeSet<&Permission> = others.permissions.keys().collect();
    let name = |permission: &Permission| match &permission.operation {
        None => permission.surface.name.to_string(),
        Some(operation) => format!("{}:{operation}", permission.surface.name),
    };
    let unlisted = reachable
        .iter()
        .filter(|it| !tested.contains(it) && !listed.contains(it));
    let unreachable = listed.iter().filter(|it| !reachable.contains(**it));
    OthersRun {
        matrix,
        caller: &caller.name.value,
        span: others.span,
        unlisted: unlisted.map(name).collect(),
        unreachable: unreachable.map(|it| name(it)).collect(),
    }
}

#[cfg(test)]
mod tests;
