//! The Latchkey policy compiler: YAML in Git to a checked, tested, signed bundle.
//!
//! The way of the data: `parse -> resolve -> lint -> lower -> encode -> seal`. Three representations
//! and no more: [`syntax`] (spans, texts), [`model`] (resolved names, spans) and the engine's index.

use latchkey_engine::time::Time;

pub mod calendar;
pub mod cli;
pub mod command;
pub mod coverage;
pub mod diag;
pub mod diff;
pub mod fix;
pub mod kubernetes;
pub mod lint;
pub mod lower;
pub mod lsp;
pub mod matrix;
pub mod mcp;
pub mod model;
pub mod mutate;
pub mod openapi;
pub mod pack;
pub mod parallel;
pub mod project;
pub mod prove;
pub mod replay;
pub mod resolve;
pub mod source;
pub mod suggest;
pub mod syntax;
pub mod truth;
mod yaml;

/// A project that was read and checked.
#[derive(Debug)]
pub struct Checked {
    /// Its text.
    pub sources: source::SourceMap,
    /// Its project file.
    pub project: project::Project,
    /// What was written.
    pub syntax: syntax::Project,
    /// What it means; `None` when there are errors.
    pub model: Option<model::Model>,
    /// What was found.
    pub sink: diag::Sink,
}

/// Reads and checks a project. Lints about dates use `today`; nothing else depends on it.
pub fn check(tree: &dyn source::Tree, today: Time) -> Checked {
    checked(tree, today, lint::Depth::Quick)
}

/// The same with every lint, also those that compare the policy with itself without an entry.
pub fn check_thoroughly(tree: &dyn source::Tree, today: Time) -> Checked {
    checked(tree, today, lint::Depth::Thorough)
}

fn checked(tree: &dyn source::Tree, today: Time, depth: lint::Depth) -> Checked {
    let mut sink = diag::Sink::new();
    let (sources, project) = project::open(tree, &mut sink);
    let syntax = syntax::parse(&sources, &project, &mut sink);
    let name = project.name.as_ref().map_or("", |name| name.value.as_str());
    let model = resolve::resolve(name, &syntax, &sources, &mut sink);
    let sound = model.and_then(|model| Some((prove::prove(&model, &mut sink)?, model)));
    let meant = sound.as_ref().map(|(gate, model)| (model, gate));
    lint::run(
        (&project, &syntax),
        meant,
        &sources,
        &mut sink,
        (today, depth),
    );
    let model = sound.map(|(_, model)| model);
    Checked {
        sources,
        project,
        syntax,
        model,
        sink,
    }
}
