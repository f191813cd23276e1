//! `latchkey who-can`: everybody who may call a surface, when, and through what.

use latchkey_gate::gate::Gate;

use super::{
    Exit, Failure, Terminal,
    access::{self, Asked},
};
use crate::{cli::Global, diff::access::Query};

/// The arguments of `latchkey who-can`.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "what is printed has no backticks")]
pub struct Args {
    /// A surface such as github/push_files, or a permission such as tools:github/push_files:call
    #[arg(value_name = "SURFACE")]
    surface: String,
    /// Only this operation of it
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Prints who may call a surface.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some(opened) = access::open("who-can", &args.asked, global, terminal)? else {
        return Ok(Exit::Findings);
    };
    let (surface, operation) = surface(&opened.gate, args)?;
    let query = Query {
        surface: Some(&surface),
        operation: operation.as_deref(),
        ..Query::default()
    };
    access::answer(&opened, &query, &args.asked, global, terminal)
}

/// The surface and the operation that are asked about, each of which exists.
fn surface(gate: &Gate, args: &Args) -> Result<(String, Option<String>), Failure> {
    let policy = gate.policy();
    let exact = policy.permission_by_name(&args.surface);
    let exact = exact.and_then(|it| policy.permission_surface(it));
    let (name, said) = match args.surface.split_once(':') {
        Some((name, operation)) if exact.is_none() => (name, Some(operation)),
        _ => (args.surface.as_str(), None),
    };
    let id = exact.map(|(id, _)| id);
    let Some(id) = id.or_else(|| policy.surface_by_name(name)) else {
        let ids = policy.index().surfaces.iter().filter_map(|it| {
            let server = policy.server_entry(it.server)?;
            Some(format!("{}/{}", server.name, it.name))
        });
        let known: Vec<String> = ids.collect();
        return Err(access::unknown(
            "surface",
            name,
            known.iter().map(String::as_str),
        ));
    };
    let entry = policy.surface_entry(id);
    let values = entry.and_then(|it| it.operations.as_ref());
    let values: Vec<&str> = values
        .into_iter()
        .flat_map(|it| it.values.iter().map(|(value, _)| value.as_str()))
        .collect();
    let at = exact.and_then(|(_, at)| at);
    let exact = at.and_then(|at| values.get(at).copied());
    let operation = args.operation.as_deref().or(said).or(exact);
    if let Some(operation) = operation
        && !values.contains(&operation)
    {
        let kind = format!("operation of {}", policy.surface_name(id));
        return Err(access::unknown(&kind, operation, values.into_iter()));
    }
    Ok((policy.surface_name(id), operation.map(str::to_owned)))
}
