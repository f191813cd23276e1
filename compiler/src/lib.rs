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
#[cfg(test)]
mod testing;
pub mod text;
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

/// What is wrong with a project, and the text that it points into.
#[derive(Debug)]
pub struct Findings {
    /// Its text.
    pub sources: source::SourceMap,
    /// Its project file.
    pub project: project::Project,
    /// What was found.
    pub sink: diag::Sink,
}

/// From so many bytes on the texts of a project are not kept.
const LARGE: usize = 4 * 1024 * 1024;

/// Reads and checks a project. Lints about dates use `today`; nothing else depends on it.
pub fn check(tree: &dyn source::Tree, today: Time) -> Checked {
    let mut sink = diag::Sink::new();
    let (sources, project) = project::open(tree, &mut sink);
    let syntax = syntax::parse(&sources, &project, &mut sink);
    let model = resolve::resolve(project.title(), &syntax, &sources, &mut sink);
    let sound = model.and_then(|model| Some((prove::prove(&model, &mut sink)?, model)));
    let meant = sound.as_ref().map(|(gate, model)| (model, gate));
    let texts = lint::Texts::read(&project, &sources);
    let when = (today, lint::Depth::Quick);
    lint::run(
        (&project, &syntax),
        meant,
        (texts, &sources),
        &mut sink,
        when,
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

/// The same with every lint, also those that compare the policy with itself without an entry, and
/// nothing is kept but what was found: what a stage has made goes when no later one asks for it.
pub fn findings(tree: &source::Lasting, today: Time) -> Findings {
    findings_of(tree, today, LARGE)
}

/// The same, where projects of so many bytes are large.
fn findings_of(tree: &source::Lasting, today: Time, large: usize) -> Findings {
    let mut sink = diag::Sink::new();
    let (mut sources, project) = project::open(&**tree, &mut sink);
    let mut syntax = syntax::parse(&sources, &project, &mut sink);
    let texts = lint::Texts::read(&project, &sources);
    if sources.size() >= large {
        sources.set_aside(tree);
    }
    let model = resolve::resolve_and_let_go(project.title(), &mut syntax, &sources, &mut sink);
    let sound = model.and_then(|model| Some((prove::prove(&model, &mut sink)?, model)));
    let meant = sound.as_ref().map(|(gate, model)| (model, gate));
    let when = (today, lint::Depth::Thorough);
    lint::run(
        (&project, &syntax),
        meant,
        (texts, &sources),
        &mut sink,
        when,
    );
    // The process ends soon: to take all of it apart takes longer than it is worth.
    std::mem::forget((syntax, sound));
    project::changed(&sources, &mut sink);
    Findings {
        sources,
        project,
        sink,
    }
}

#[cfg(test)]
mod tests;
