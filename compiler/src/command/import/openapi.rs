//! `latchkey import openapi`: an entry and a lock from an OpenAPI document.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use latchkey_gate::upstream::UpstreamUrl;
use serde_json::Value as Json;

use super::{
    bad, change,
    entry::{self, Surface},
    plan::{LeftOut, Plan, Target},
    project::{Known, Project},
    show,
};
use crate::{
    cli::Global,
    command::Failure,
    openapi::{self, Document},
    source::MAX_FILE_BYTES,
    syntax::{lock, server::Transport},
};

/// The arguments of `latchkey import openapi`.
#[derive(Debug, clap::Args)]
pub(super) struct OpenApiArgs {
    /// The document, YAML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The name of the server in the project; made of the document's title if absent
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Where a new server belongs: `platform`, an organization, or `organization/team`
    #[arg(long = "in", value_name = "SCOPE")]
    within: Option<String>,
    /// The address of the API; the first that the document names if absent
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The file of a new entry, inside the project; `servers/NAME.yaml` if absent
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Write nothing; end with 1 if anything differs from the lock
    #[arg(long)]
    pub(super) check: bool,
}

/// Reads a document, and says what is to be written.
pub(super) fn plan(args: &OpenApiArgs, global: &Global) -> Result<Plan, Failure> {
    let document = document(&args.file)?;
    let project = Project::open(&global.directory)?;
    let target = Target {
        server: args.server.as_deref(),
        within: args.within.as_deref(),
        output: args.output.as_deref(),
        check: args.check,
    };
    let own = entry::server_name(Some(&document.title.replace('/', " ")));
    let wanted = target.server.or(own.as_deref());
    let known = match wanted {
        Some(name) => project.named(Some(name), None)?,
        None => None,
    };
    speaks_http(known.as_ref())?;
    let server = target.name(known.as_ref(), own.as_deref())?;
    let old = project.syntax.locks.get(server.as_str());
    let old = old.map(|lock| lock.routes.clone()).unwrap_or_default();
    let surfaces = surfaces(known.as_ref(), &old, &document);
    let lock = lock::routes_text(&document.routes);
    let lock = lock.ok_or_else(|| bad("the document has a number that JSON cannot carry"))?;
    if lock.len() > MAX_FILE_BYTES {
        return Err(bad("the lock of the document would be larger than 4 MiB")
            .help("leave out of the document what nobody needs, or import it in parts"));
    }
    let left_out = document.left_out.iter().map(|(name, why)| LeftOut {
        noun: "route",
        name: name.clone(),
        why: why.clone(),
    });
    let notes = document.notes.iter();
    let notes = notes.map(|(note, routes)| (note.clone(), routes.iter().cloned().collect()));
    let head = match &known {
        Some(_) => None,
        None => Some(head(args, &document)?),
    };
    let mut plan = Plan {
        says: format!("is described by OpenAPI {}", document.version),
        revision: document.version.clone(),
        counts: vec![("routes", "route", document.routes.len())],
        is_new: known.is_none(),
        changes: change::of_routes(&old, &document.routes),
        left_out: left_out.collect(),
        notes: notes.collect(),
        files: BTreeMap::new(),
        by_hand: None,
        added: 0,
        policy: String::new(),
        server,
    };
    plan.lay_out(
        &project,
        known.as_ref(),
        target,
        head.as_ref(),
        (&surfaces, lock),
    )?;
    Ok(plan)
}

fn document(file: &Path) -> Result<Document, Failure> {
    let text = super::read(file)?;
    let name = file.display();
    openapi::read(&text).map_err(|error| {
        let help = match &error {
            openapi::OpenApiError::Unreadable(..) => "correct the document; it is YAML or JSON",
            openapi::OpenApiError::Other(what) if what.contains("Swagger") => {
                "convert it with a tool such as `swagger2openapi`, and import what comes out"
            }
            openapi::OpenApiError::Other(_) | openapi::OpenApiError::NoPaths => {
                "give an OpenAPI document of version 3.0 or 3.1 with `paths`"
            }
        };
        let what = show::visible(&error.to_string());
        bad(format!("`{name}` cannot be imported: {what}")).help(help)
    })
}

fn speaks_http(known: Option<&Known<'_>>) -> Result<(), Failure> {
    let Some(known) = known else { return Ok(()) };
    let transport = known.entry.transport.map(|it| it.value);
    if transport == Some(Transport::Http) {
        return Ok(());
    }
    let what = format!(
        "the server `{}` at {} has no routes",
        known.name, known.place
    );
    Err(Failure::usage(what).help("routes are for `transport: http`; name another with `--server`"))
}

fn head(args: &OpenApiArgs, document: &Document) -> Result<entry::Head, Failure> {
    let address = args.upstream.as_ref().or(document.upstream.as_ref());
    let address = address.ok_or_else(|| {
        Failure::usage("the document does not say where the API is")
            .help("give its address with `--upstream https://host/path`")
    })?;
    if let Err(fault) = UpstreamUrl::parse(address) {
        return Err(Failure::usage(format!("`{address}` {fault}"))
            .help("write `https://host:port/path`, without user, query or fragment"));
    }
    Ok(entry::Head {
        comment: "# Imported by `latchkey import openapi`. A method says little of what a call does: look at\n\
                  # each entry, set its risk, and remove `review`. An entry that is removed is refused. The\n\
                  # lock has the schemas of the arguments, and is written by the import alone.\n",
        lines: vec![
            "transport: http".to_owned(),
            format!("upstream: {}", entry::quoted(address)),
        ],
    })
}

/// The entries to add: of a server that is known, only those that are new to the lock as well. What
/// a person has left out stays out.
fn surfaces(known: Option<&Known<'_>>, old: &lock::Routes, document: &Document) -> Vec<Surface> {
    let mut taken = known.map(Known::names).unwrap_or_default();
    let written: BTreeSet<String> = known.into_iter().flat_map(Known::routes).collect();
    let mut surfaces = Vec::new();
    for (key, definition) in &document.routes {
        if old.contains_key(key) || written.contains(key) {
            continue;
        }
        let part = |name: &str| definition.get(name).and_then(Json::as_str);
        let route = part("method").zip(part("path")).unwrap_or_default();
        let surface = Surface::route(route, part("operationId"), &taken);
        taken.insert(surface.name.clone());
        surfaces.push(surface);
    }
    surfaces
}
