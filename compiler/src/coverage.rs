//! Coverage: what of a policy the rows of its matrices exercise.
//!
//! A point is one thing that a row can show: that a role grants a permission in a scope through a
//! binding, that a rule speaks of a permission, that a test of a condition decides a call by
//! holding, or by not holding. What no call at all could show, by the exact analysis, is no point.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::time::Time;

use crate::{
    matrix::{CellRun, Run},
    model::{Effect, Model, Permission, Scope, ScopeSource},
    mutate::{self, Bench, Mutant, MutateError},
    parallel::{self, Progress},
    source::{SourceMap, Span},
};

mod report;

pub use report::{human, json, lcov};

/// What a point is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// A role grants a permission in a scope through a binding.
    Grant,
    /// A deny rule refuses a call that needs a permission.
    Deny,
    /// A require rule binds on a call that needs a permission.
    Require,
    /// A test of a condition decides a call, by this outcome.
    Region,
}

impl Dimension {
    /// Every dimension, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Grant, Self::Deny, Self::Require, Self::Region];

    /// The words in reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Grant => "grants (role x permission x scope)",
            Self::Deny => "denials (rule x permission)",
            Self::Require => "requirements (rule x permission)",
            Self::Region => "condition regions",
        }
    }

    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Deny => "deny",
            Self::Require => "require",
            Self::Region => "region",
        }
    }
}

/// One thing that a row can show.
#[derive(Debug, Clone)]
pub struct Point {
    /// What it is about.
    pub dimension: Dimension,
    /// Where it is written.
    pub span: Span,
    /// What it is, in words.
    pub what: String,
    /// How many rows show it.
    pub hits: usize,
}

/// All points of a project.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Those that some call can show, in the order of the places.
    pub points: Vec<Point>,
    /// How many no call can show.
    pub unreachable: usize,
}

impl Coverage {
    /// How many points of a dimension, or of all, some row shows, and how many there are.
    pub fn count(&self, dimension: Option<Dimension>) -> (usize, usize) {
        let points = self.points.iter();
        let points = points.filter(|it| dimension.is_none_or(|only| it.dimension == only));
        points.fold((0, 0), |(hit, all), it| {
            (hit + usize::from(it.hits > 0), all + 1)
        })
    }

    /// The share that is covered, in tenths of a percent, rounded down; all if there is nothing.
    pub fn permille(&self) -> usize {
        let (hit, all) = self.count(None);
        (hit * 1000).checked_div(all).unwrap_or(1000)
    }
}

/// A point, with the mutant that tells whether a call can show it where no row is known to.
struct Candidate {
    point: Point,
    mutant: Option<Mutant>,
}

/// What the rows of a run exercise. `at` is a time for servers that have no matrix.
pub fn measure(
    model: &Model,
    sources: &SourceMap,
    run: &Run<'_>,
    at: Time,
    progress: Progress<'_>,
) -> Result<Coverage, MutateError> {
    let bench = Bench::new(model, at)?;
    let rows = Rows::new(run);
    let mut candidates = grants(model, &rows);
    candidates.extend(rules(model, &rows));
    candidates.extend(
        mutate::branches(model, sources)
            .into_iter()
            .map(|branch| Candidate {
                point: Point {
                    dimension: Dimension::Region,
                    span: branch.span,
                    what: branch.what,
                    hits: 0,
                },
                mutant: Some(branch.mutant),
            }),
    );
    let settled = parallel::map(&candidates, progress, |it| settle(&bench, it));
    let mut coverage = Coverage::default();
    for (candidate, hits) in candidates.into_iter().zip(settled) {
        match hits {
            None => coverage.unreachable += 1,
            Some(hits) => coverage.points.push(Point {
                hits,
                ..candidate.point
            }),
        }
    }
    coverage.points.sort_by(|a, b| {
        let key = |it: &Point| (it.span.file, it.span.start, it.dimension);
        key(a).cmp(&key(b)).then_with(|| a.what.cmp(&b.what))
    });
    Ok(coverage)
}

/// How many rows show a candidate; none where no call can.
fn settle(bench: &Bench<'_>, candidate: &Candidate) -> Option<usize> {
    let hits = candidate.point.hits;
    let Some(mutant) = candidate.mutant.as_ref().filter(|_| hits == 0) else {
        return Some(hits);
    };
    if candidate.point.dimension == Dimension::Region && bench.shows(mutant) {
        return Some(1);
    }
    bench.difference(mutant).map(|_| 0)
}

/// What rows showed, counted.
#[derive(Default)]
struct Rows<'r> {
    granted: BTreeMap<(&'r str, String, &'r str), usize>,
    matched: BTreeMap<(&'r str, String, bool), usize>,
}

impl<'r> Rows<'r> {
    fn new(run: &'r Run<'_>) -> Self {
        let mut rows = Self::default();
        for cell in &run.cells {
            for permission in called(cell) {
                rows.add(cell, &permission);
            }
        }
        rows
    }

    fn add(&mut self, cell: &'r CellRun<'_>, permission: &str) {
        let actual = &cell.actual;
        let denied = actual.reason == "denied_by_policy";
        let allowed = actual.decision == "allow";
        if allowed || actual.reason == "break_glass_required" {
            for binding in &actual.granted_by {
                for scope in &actual.scopes {
                    let key = (binding.as_str(), permission.to_owned(), scope.as_str());
                    *self.granted.entry(key).or_default() += 1;
                }
            }
        }
        if allowed || denied {
            for rule in &cell.matched {
                let key = (rule.as_str(), permission.to_owned(), denied);
                *self.matched.entry(key).or_default() += 1;
            }
        }
    }
}

/// The permissions that a cell was about, as the model spells them.
fn called(cell: &CellRun<'_>) -> Vec<String> {
    let Some(surface) = &cell.actual.surface else {
        return Vec::new();
    };
    match &cell.actual.operation {
        None => vec![surface.clone()],
        Some(operations) => {
            let each = operations.split(',');
            each.map(|operation| format!("{surface}:{operation}"))
                .collect()
        }
    }
}

fn grants(model: &Model, rows: &Rows<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (binding_name, binding) in &model.bindings {
        for role_name in &binding.roles {
            let Some(role) = model.roles.get(&role_name.value) else {
                continue;
            };
            for (permission, span) in role.permissions.iter() {
                for scope in scopes(model, permission) {
                    if !binding.scope.value.covers(&scope) {
                        continue;
                    }
                    let path = scope.to_string();
                    let key = (binding_name.as_str(), permission.to_string(), path.as_str());
                    let hits = rows.granted.get(&key).copied().unwrap_or(0);
                    let what = format!(
                        "role `{}` grants `{permission}` in `{path}` by binding `{binding_name}`",
                        role_name.value
                    );
                    let dimension = Dimension::Grant;
                    let point = Point {
                        dimension,
                        span: *span,
                        what,
                        hits,
                    };
                    found.push(Candidate {
                        point,
                        mutant: None,
                    });
                }
            }
        }
    }
    found
}

/// The scopes that a call of a permission can take place in, where the policy says so itself.
fn scopes(model: &Model, permission: &Permission) -> BTreeSet<Arc<Scope>> {
    let server = model.servers.get(&permission.surface.server);
    let (Some(server), Some(surface)) = (server, model.surface(&permission.surface)) else {
        return BTreeSet::new();
    };
    match &surface.scope {
        ScopeSource::Map {
            exact, prefixes, ..
        } => exact.values().chain(prefixes.values()).cloned().collect(),
        ScopeSource::Server | ScopeSource::Unscoped => {
            BTreeSet::from([Arc::clone(&server.scope.value)])
        }
        // The caller's own scope: whoever calls, it is another.
        ScopeSource::Principal | ScopeSource::Force { .. } => {
            let principals = model.principals.values().map(|it| it.scope.clone());
            principals
                .filter(|it| server.scope.value.covers(it))
                .collect()
        }
    }
}

fn rules(model: &Model, rows: &Rows<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (name, rule) in &model.rules {
        let denies = matches!(rule.effect, Effect::Deny(_));
        let dimension = if denies {
            Dimension::Deny
        } else {
            Dimension::Require
        };
        for (permission, span) in &rule.permissions {
            let key = (name.as_str(), permission.to_string(), denies);
            let hits = rows.matched.get(&key).copied().unwrap_or(0);
            let verb = if denies { "denies" } else { "binds on" };
            let what = format!("rule `{name}` {verb} `{permission}`");
            let mutant = mutate::narrower(name, rule, permission, *span);
            let point = Point {
                dimension,
                span: *span,
                what,
                hits,
            };
            found.push(Candidate {
                point,
                mutant: Some(mutant),
            });
        }
    }
    found
}
