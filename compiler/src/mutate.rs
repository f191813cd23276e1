//! Mutation: small changes of the policy that its matrices should notice.
//!
//! A mutant is a model with one change. It is killed when some row or statement of the matrices no
//! longer holds. One that survives is compared with the original by the exact analysis: if no call
//! tells the two apart, it is no mutant at all; otherwise the call that does becomes the row which
//! kills it.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_engine::time::Time;
use latchkey_gate::gate::Gate;

use crate::{
    matrix::RunError,
    model::{Model, Permission},
    pack::PackError,
    parallel::{self, Progress},
    source::{SourceMap, Span},
    text::Text,
};

mod conditions;
mod dates;
mod grants;
mod judge;
mod limits;
mod paste;
mod report;
mod row;
mod rules;
mod schedules;
mod scopes;
mod servers;

pub(crate) use conditions::branches;
pub(crate) use judge::Bench;
pub use paste::apply;
pub use report::{human, json};
pub use row::Row;
pub(crate) use row::{call_json, key};
pub(crate) use rules::narrower;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// Somebody is granted less.
    DropGrant,
    /// Somebody is granted more.
    WidenGrant,
    /// A condition no longer asks something, or asks the opposite, or a little more or less.
    Condition,
    /// A rule is gone, or speaks of less.
    DropRule,
    /// A date is another.
    Date,
    /// A schedule is on at other times.
    Schedule,
    /// A limit is higher.
    Limit,
    /// Something counts elsewhere.
    Scope,
    /// A check of a server lets more through.
    Check,
}

impl Operator {
    /// Every operator, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::DropGrant,
        Self::WidenGrant,
        Self::Condition,
        Self::DropRule,
        Self::Date,
        Self::Schedule,
        Self::Limit,
        Self::Scope,
        Self::Check,
    ];

    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::DropGrant => "drop-grant",
            Self::WidenGrant => "widen-grant",
            Self::Condition => "condition",
            Self::DropRule => "drop-rule",
            Self::Date => "date",
            Self::Schedule => "schedule",
            Self::Limit => "limit",
            Self::Scope => "scope",
            Self::Check => "check",
        }
    }
}

/// What a change does to a model.
pub(crate) type Edit = Box<dyn Fn(&mut Model) + Send + Sync>;

/// One change.
pub(crate) struct Mutant {
    operator: Operator,
    /// Where what is changed is written.
    span: Span,
    /// What is changed, as a sentence without its full stop.
    what: String,
    /// The servers on which it can matter; all if absent.
    servers: Option<BTreeSet<Text>>,
    edit: Edit,
}

impl std::fmt::Debug for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutant")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// Gathers changes.
#[derive(Debug, Default)]
struct Plan {
    mutants: Vec<Mutant>,
}

impl Plan {
    fn add(
        &mut self,
        operator: Operator,
        span: Span,
        what: String,
        servers: Option<&BTreeSet<Text>>,
        edit: impl Fn(&mut Model) + Send + Sync + 'static,
    ) {
        self.mutants.push(Mutant {
            operator,
            span,
            what,
            servers: servers.cloned(),
            edit: Box::new(edit),
        });
    }
}

/// Every change of a model that is tried, in the order of the places.
fn plan(model: &Model, sources: &SourceMap) -> Vec<Mutant> {
    let mut plan = Plan::default();
    grants::plan(model, &mut plan);
    scopes::plan(model, &mut plan);
    rules::plan(model, &mut plan);
    conditions::plan(model, sources, &mut plan);
    dates::plan(model, &mut plan);
    schedules::plan(model, &mut plan);
    limits::plan(model, &mut plan);
    servers::plan(model, &mut plan);
    plan.mutants
        .sort_by_key(|it| (it.span.file, it.span.start, it.operator));
    plan.mutants
}

/// What became of all mutants.
#[derive(Debug, Default)]
pub struct Score {
    /// How many were killed and how many survived, by operator.
    pub counts: BTreeMap<Operator, (usize, usize)>,
    /// How many changed nothing that any call could show.
    pub equivalent: usize,
    /// Those that nothing noticed.
    pub survivors: Vec<Survivor>,
}

/// A change that no row noticed.
#[derive(Debug, Clone)]
pub struct Survivor {
    /// The kind of change.
    pub operator: Operator,
    /// Where what was changed is written.
    pub span: Span,
    /// What was changed.
    pub what: String,
    /// What the change does, in the words of `diff`; why nothing is known, if so.
    pub effect: String,
    /// The position in [`Proposals::rows`] of the row that kills it.
    pub row: Option<usize>,
}

/// A score, and the rows that would raise it.
#[derive(Debug, Default)]
pub struct Proposals {
    /// The score.
    pub score: Score,
    /// Rows, each of which kills at least one survivor.
    pub rows: Vec<Row>,
}

impl Score {
    /// How many mutants were killed, of how many.
    pub fn total(&self) -> (usize, usize) {
        let sum = |(killed, all): (usize, usize), (more, survived): &(usize, usize)| {
            (killed + more, all + more + survived)
        };
        self.counts.values().fold((0, 0), sum)
    }

    /// The share that was killed, in tenths of a percent, rounded down; all if there are none.
    pub fn permille(&self) -> usize {
        let (killed, all) = self.total();
        (killed * 1000).checked_div(all).unwrap_or(1000)
    }
}

/// Why mutants cannot be judged.
#[derive(Debug)]
pub enum MutateError {
    /// The project cannot be packed.
    Pack(PackError),
    /// A matrix cannot be run.
    Run(RunError),
}

impl From<PackError> for MutateError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl From<RunError> for MutateError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// Tries every change on matrices that hold. `at` is the time of rows for which any time will do,
/// on servers that no matrix tests.
pub fn run(
    model: &Model,
    sources: &SourceMap,
    at: Time,
    progress: Progress<'_>,
) -> Result<Proposals, MutateError> {
    let bench = Bench::new(model, at)?;
    let mutants = plan(model, sources);
    let verdicts = parallel::map(&mutants, progress, |mutant| bench.judge(mutant));
    let mut proposals = Proposals::default();
    let mut names = row::Names::new(model);
    for (mutant, verdict) in mutants.iter().zip(verdicts) {
        let counts = proposals.score.counts.entry(mutant.operator).or_default();
        match verdict? {
            judge::Verdict::Equivalent => proposals.score.equivalent += 1,
            judge::Verdict::Killed => counts.0 += 1,
            judge::Verdict::Survived(lives) => {
                counts.1 += 1;
                let row = propose(&bench, sources, &lives, &mut names, &mut proposals.rows)?;
                proposals.score.survivors.push(Survivor {
                    operator: mutant.operator,
                    span: mutant.span,
                    what: mutant.what.clone(),
                    effect: lives.effect.clone(),
                    row,
                });
            }
        }
    }
    Ok(proposals)
}

/// The rows that notice these changes, made at a place each: one for each change that no row of
/// the matrices notices yet. `at` is as for [`run`].
pub(crate) fn rows(
    (model, sources): (&Model, &SourceMap),
    at: Time,
    changes: Vec<(Span, Edit)>,
) -> Result<Vec<Row>, MutateError> {
    let bench = Bench::new(model, at)?;
    let mutants = changes.into_iter().map(|(span, edit)| Mutant {
        operator: Operator::WidenGrant,
        span,
        what: String::new(),
        servers: None,
        edit,
    });
    let mutants: Vec<Mutant> = mutants.collect();
    let verdicts = parallel::map_quietly(&mutants, |mutant| bench.judge(mutant));
    let mut names = row::Names::new(model);
    let mut rows = Vec::new();
    for verdict in verdicts {
        if let judge::Verdict::Survived(lives) = verdict? {
            propose(&bench, sources, &lives, &mut names, &mut rows)?;
        }
    }
    Ok(rows)
}

/// The row that kills a survivor: one that was proposed before, or a new one.
fn propose(
    bench: &Bench<'_>,
    sources: &SourceMap,
    lives: &judge::Lives,
    names: &mut row::Names,
    rows: &mut Vec<Row>,
) -> Result<Option<usize>, MutateError> {
    let Some((stated, slice)) = &lives.witness else {
        return Ok(None);
    };
    let mutant = judge::open(slice)?;
    let Some(original) = bench.gate(&stated.server) else {
        return Ok(None);
    };
    let known = rows.iter().position(|row| row.kills(&mutant));
    if known.is_some() {
        return Ok(known);
    }
    let pair: [&Gate; 2] = [original, &mutant];
    let row = row::build(bench.model(), sources, stated, pair, names);
    Ok(row.map(|row| {
        rows.push(row);
        rows.len() - 1
    }))
}

/// The servers of permissions.
fn servers_of<'m>(permissions: impl IntoIterator<Item = &'m Permission>) -> BTreeSet<Text> {
    let names = permissions.into_iter().map(|it| it.surface.server.clone());
    names.collect()
}

/// The share as people read it, such as `97.5 %`.
pub(crate) fn percent(permille: usize) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}
