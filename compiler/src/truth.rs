//! The full current truth as matrices: what every caller gets for every kind of call.
//!
//! The calls are those by which the exact analysis tells the policy from one that grants nothing,
//! and those by which it tells every mutant of the policy from the policy. So the matrices notice
//! every change that any call can show, and a reviewer reads what the policy does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::{
    index::{Access, PrincipalType, SurfaceKind},
    time::Time,
};
use serde_json::{Value as Json, json};

use crate::{
    Checked,
    diag::{Levels, Severity},
    diff,
    matrix::{self, RunError, outcome},
    model::{
        Binding, Model, Period, Permission, Permissions, Role, Server, Surface, SurfaceName, Who,
    },
    mutate::{self, MutateError},
    pack,
    parallel::Progress,
    source::{Memory, SourceMap, Spanned},
    yaml,
};

/// The most callers of one matrix: a table that fits a page.
const COLUMNS: usize = 6;
/// How often rows are added for what nothing noticed; new rows bring no new mutants.
const ROUNDS: usize = 4;

/// What is to be written.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The servers.
    pub servers: BTreeSet<String>,
    /// The time of the calls.
    pub at: Time,
    /// The path of the new file in the project.
    pub path: &'a str,
}

/// Why no matrices can be written.
#[derive(Debug)]
pub enum TruthError {
    /// The compiler failed on its own work: what it says.
    Internal(String),
}

impl From<MutateError> for TruthError {
    fn from(error: MutateError) -> Self {
        Self::Internal(match error {
            MutateError::Pack(error) => error.to_string(),
            MutateError::Run(error) => told(error),
        })
    }
}

impl From<RunError> for TruthError {
    fn from(error: RunError) -> Self {
        Self::Internal(told(error))
    }
}

impl From<pack::PackError> for TruthError {
    fn from(error: pack::PackError) -> Self {
        Self::Internal(error.to_string())
    }
}

fn told(error: RunError) -> String {
    match error {
        RunError::Pack(error) => error.to_string(),
        RunError::Stated(what, _) => what,
    }
}

/// One matrix before it is written.
struct Draft {
    name: String,
    server: String,
    callers: Vec<(String, Json)>,
    calls: Vec<(String, Json)>,
    /// Words by call and caller; `allow` until they are known.
    words: BTreeMap<(String, String), String>,
    others: BTreeMap<String, Vec<String>>,
}

/// The text of the new file.
pub fn write(
    model: &Model,
    sources: &SourceMap,
    wish: &Wish<'_>,
    progress: Progress<'_>,
) -> Result<String, TruthError> {
    let mut drafts = Vec::new();
    let mut names: BTreeSet<String> = model.matrices.keys().map(ToString::to_string).collect();
    for server in &wish.servers {
        drafts.extend(drafted(model, server, wish.at, &mut names)?);
    }
    let mut text = rendered(&drafts, wish.at);
    // First what is reached besides, then what every cell says: both are asked of the bundle.
    for _ in 0..2 {
        let (model, sources) = checked(sources, wish, &text)?;
        let run = matrix::run(&model, &sources)?;
        for draft in &mut drafts {
            fill(draft, &run);
        }
        text = rendered(&drafts, wish.at);
    }
    for _ in 0..ROUNDS {
        let (model, sources) = checked(sources, wish, &text)?;
        let found = mutate::run(&model, &sources, wish.at, progress)?;
        let own: Vec<_> = found
            .rows
            .iter()
            .filter(|row| row.file() == Some(wish.path))
            .collect();
        let mut files = mutate::apply(own, &sources);
        match files.remove(wish.path) {
            Some(more) if more != text => text = more,
            _ => break,
        }
    }
    Ok(text)
}

/// The project with the new file.
fn checked(
    sources: &SourceMap,
    wish: &Wish<'_>,
    text: &str,
) -> Result<(Model, SourceMap), TruthError> {
    let files = sources
        .files()
        .map(|(_, file)| (file.path().to_owned(), Ok(file.text().as_bytes().to_vec())));
    let mut files: BTreeMap<String, Result<Vec<u8>, String>> = files.collect();
    files.insert(wish.path.to_owned(), Ok(text.as_bytes().to_vec()));
    let Checked {
        model,
        sources,
        sink,
        ..
    } = crate::check(&Memory(files), wish.at);
    let report = sink.finish(&Levels::new());
    let found = report.diagnostics.into_iter();
    let first = found
        .filter(|it| it.severity == Severity::Error)
        .map(|it| it.message)
        .next();
    let broken = || TruthError::Internal(first.unwrap_or_else(|| "no model".to_owned()));
    model.map(|model| (model, sources)).ok_or_else(broken)
}

/// Empty matrices of one server.
fn drafted(
    model: &Model,
    server: &str,
    at: Time,
    names: &mut BTreeSet<String>,
) -> Result<Vec<Draft>, TruthError> {
    let calls = calls(model, server, at)?;
    let all = callers(model, server);
    let mut drafts = Vec::new();
    for callers in all.chunks(COLUMNS) {
        let mut name = server.to_owned();
        let mut number = 2;
        while !names.insert(name.clone()) {
            name = format!("{server}-{number}");
            number += 1;
        }
        drafts.push(Draft {
            name,
            server: server.to_owned(),
            callers: callers.to_vec(),
            calls: calls.clone(),
            words: BTreeMap::new(),
            others: BTreeMap::new(),
        });
    }
    Ok(drafts)
}

/// Every declared principal, one of each token group, and those whom nobody knows.
fn callers(model: &Model, server: &str) -> Vec<(String, Json)> {
    let mut callers: Vec<(String, Json)> = Vec::new();
    for (name, principal) in &model.principals {
        let mut caller = json!({ "principal": name });
        if principal.identities.len() > 1 {
            let issuer = principal.identities.first().map(|(issuer, _)| issuer);
            caller = json!({ "principal": name, "issuer": issuer });
        }
        callers.push((name.to_string(), caller));
    }
    for (group, facts) in &model.groups {
        let Some((issuer, value)) = &facts.claim else {
            continue;
        };
        let fits = |organization: Option<&str>| {
            let within = facts.within.as_ref().and_then(|it| it.organization());
            within.is_none_or(|within| organization == Some(within))
        };
        let member = model.principals.iter().find(|(_, it)| {
            it.identities.iter().any(|(from, _)| from == issuer)
                && !it.suspended
                && fits(it.scope.organization())
        });
        if let Some((name, _)) = member {
            let caller = json!({ "principal": name, "issuer": issuer, "groups": [value] });
            callers.push((format!("{name}-{group}"), caller));
        }
    }
    if let Some(issuer) = model.issuers.keys().next() {
        let caller = json!({ "issuer": issuer, "subject": "nobody-in-particular" });
        callers.push(("stranger".to_owned(), caller));
    }
    let server = model.servers.get(server);
    let surfaces = server.into_iter().flat_map(|it| it.surfaces.values());
    if surfaces.into_iter().any(|it| it.access == Access::Public) {
        callers.push(("anonymous".to_owned(), json!({ "anonymous": true })));
    }
    callers
}

/// A call for each region in which anybody is allowed anything, and one for what nobody holds.
fn calls(model: &Model, name: &str, at: Time) -> Result<Vec<(String, Json)>, TruthError> {
    let Some(server) = model.servers.get(name) else {
        return Ok(Vec::new());
    };
    let open = |model: &Model| -> Result<_, TruthError> {
        let slice = pack::slice(model, name)?;
        latchkey_gate::gate::Gate::open(&slice, None)
            .map_err(|error| TruthError::Internal(error.to_string()))
    };
    let mut bare = model.clone();
    bare.bindings.clear();
    bare.rules.clear();
    let closed = open(&bare)?;
    let report = diff::compare(&closed, &open(model)?, at);
    let mut found: Vec<(String, Json)> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut called: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    for finding in report.findings {
        called.insert((finding.surface.clone(), finding.operation));
        let call = mutate::call_json(&finding.witness);
        if seen.insert(call.to_string()) {
            found.push((finding.surface, call));
        }
    }
    grant_everything(&mut bare, name, server);
    for finding in diff::compare(&closed, &open(&bare)?, at).findings {
        if called.insert((finding.surface.clone(), finding.operation)) {
            found.push((finding.surface, mutate::call_json(&finding.witness)));
        }
    }
    for permission in everything(name, server).keys() {
        let surface = permission.surface.to_string();
        if !called.contains(&(
            surface.clone(),
            permission.operation.as_deref().map(str::to_owned),
        )) {
            let facts = server.surfaces.get(&permission.surface.name);
            found.extend(facts.map(|facts| (surface, plain(permission, facts))));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let calls = found.into_iter().map(|(surface, call)| {
        let stem = surface
            .split_once('/')
            .map_or(surface.as_str(), |(_, name)| name);
        let count = counts.entry(stem.to_owned()).or_default();
        *count += 1;
        (format!("{stem} {count}"), call)
    });
    Ok(calls.collect())
}

/// The plainest call of a surface, where the analysis found none that is accepted: it may need
/// other arguments.
fn plain(permission: &Permission, surface: &Surface) -> Json {
    let schema = surface
        .schema
        .as_ref()
        .map_or(Json::Null, |it| it.json.clone());
    let mut arguments = diff::plainest(&schema);
    if let (Some(operations), Some(operation)) = (&surface.operations, &permission.operation)
        && let Some(name) = operations.argument.value.first()
        && let Some(members) = arguments.as_object_mut()
    {
        members.insert(name.clone(), json!(operation));
    }
    match &surface.kind {
        SurfaceKind::Tool | SurfaceKind::Prompt => {
            let arguments = if arguments.is_object() {
                arguments
            } else {
                json!({})
            };
            json!({ permission.surface.name.as_str(): arguments })
        }
        SurfaceKind::Resource { uri } => json!({ "uri": filled(uri) }),
        SurfaceKind::Route { method, path } => match arguments.get("body") {
            Some(body) => json!({ "method": method, "path": filled(path), "body": body }),
            None => json!({ "method": method, "path": filled(path) }),
        },
    }
}

/// A template with `1` for each parameter.
fn filled(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push('1');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// Every permission of a server.
fn everything(name: &str, server: &Server) -> Permissions {
    let permissions = server.surfaces.iter().flat_map(|(surface, facts)| {
        facts.permissions(&SurfaceName {
            server: name.into(),
            name: surface.clone(),
        })
    });
    permissions
        .map(|(permission, _)| (permission, server.span))
        .collect()
}

/// A binding that gives everything of a server to everybody who is declared.
fn grant_everything(model: &mut Model, name: &str, server: &Server) {
    let span = server.span;
    let all = Arc::new(everything(name, server));
    let role = Role {
        span,
        inherits: Vec::new(),
        own: Arc::clone(&all),
        permissions: all,
    };
    let kinds = [
        PrincipalType::Human,
        PrincipalType::Service,
        PrincipalType::Agent,
    ];
    let binding = Binding {
        span,
        who: kinds
            .map(|kind| Spanned::new(Who::Type(kind), span))
            .to_vec(),
        roles: vec![Spanned::new("everything".into(), span)],
        scope: server.scope.clone(),
        when: None,
        dates: Period::default(),
        cross_organization: true,
        reason: None,
    };
    model.roles.insert("everything".into(), role);
    model
        .bindings
        .insert("everything".into(), Box::new(binding));
}

/// Writes down what a run found.
fn fill(draft: &mut Draft, run: &matrix::Run<'_>) {
    for cell in run.cells.iter().filter(|it| it.matrix == draft.name) {
        let key = (cell.call.to_owned(), cell.caller.to_owned());
        draft.words.insert(key, outcome::full(&cell.actual));
    }
    for others in run.others.iter().filter(|it| it.matrix == draft.name) {
        let listed = draft.others.entry(others.caller.to_owned()).or_default();
        listed.extend(others.unlisted.iter().cloned());
    }
}

fn rendered(drafts: &[Draft], at: Time) -> String {
    let mut lines = vec![
        "# What the policy does. Every cell was asked of the compiled bundle: review what it says,"
            .to_owned(),
        "# then keep it, and a change of any of it shows up as a failure.".to_owned(),
        String::new(),
        "matrices:".to_owned(),
    ];
    for draft in drafts {
        draft.render(at, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

impl Draft {
    fn render(&self, at: Time, lines: &mut Vec<String>) {
        lines.push(format!("  {}:", self.name));
        lines.push(format!("    server: {}", yaml::text(&self.server)));
        lines.push(format!("    at: {}", json!(at.to_string())));
        lines.push("    callers:".to_owned());
        for (name, caller) in &self.callers {
            lines.push(format!("      {name}: {}", yaml::inline(caller)));
        }
        lines.push("    calls:".to_owned());
        for (name, call) in &self.calls {
            lines.push(format!(
                "      {}: {}",
                mutate::key(name),
                yaml::inline(call)
            ));
        }
        lines.push("    expect: |".to_owned());
        let callers = self.callers.iter().map(|(name, _)| name.as_str());
        let mut table = vec![std::iter::once(".").chain(callers).collect::<Vec<_>>()];
        for (call, _) in &self.calls {
            let word = |caller: &str| {
                let key = (call.clone(), caller.to_owned());
                self.words.get(&key).map_or("allow", String::as_str)
            };
            let words = self.callers.iter().map(|(caller, _)| word(caller));
            table.push(std::iter::once(call.as_str()).chain(words).collect());
        }
        lines.extend(
            aligned(&table)
                .into_iter()
                .map(|row| format!("      {row}")),
        );
        lines.push("    others:".to_owned());
        for (name, _) in &self.callers {
            let listed = self.others.get(name).cloned().unwrap_or_default();
            lines.push(format!("      {name}: {}", yaml::inline(&json!(listed))));
        }
    }
}

/// Rows with their columns under each other.
fn aligned(table: &[Vec<&str>]) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in table {
        for (at, word) in row.iter().enumerate() {
            let width = word.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<&str>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(word, width)| format!("{word:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}
