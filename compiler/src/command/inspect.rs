//! `latchkey inspect`: what bundles hold.

use std::path::{Path, PathBuf};

use latchkey_engine::{
    bundle::places::Places,
    index::{Effect, Index},
    policy::Policy,
};
use latchkey_gate::supply::{Digest, Statement, dsse};
use serde_json::{Value as Json, json};

use super::{Exit, Failure, Terminal, formats, read};
use crate::{
    cli::{Format, Global},
    pack,
};

mod facts;

/// The arguments of `latchkey inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder that `latchkey build` wrote, or one of its `.lkb` files
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// Prints the facts of each slice. Nothing is verified: that is `latchkey verify`.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("inspect", global.format, &[Format::Human, Format::Json])?;
    let mut facts = Vec::new();
    for path in slices(&args.path)? {
        facts.push(slice(&path)?);
    }
    let places = args.path.join(pack::PLACES);
    let places = if places.is_file() {
        Some(places_count(&places)?)
    } else {
        None
    };
    if global.format == Format::Json {
        writeln!(
            terminal.out,
            "{}",
            json!({
                "version": 1,
                "slices": facts,
                "places": places,
                "statement": statement(&args.path)?,
            })
        )?;
        return Ok(Exit::Clean);
    }
    for slice in &facts {
        human(slice, terminal)?;
    }
    if let Some(places) = places {
        writeln!(terminal.out, "{}: {places} places", pack::PLACES)?;
    }
    Ok(Exit::Clean)
}

fn slices(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| Failure::file("read", path, &error))?;
    let mut slices = Vec::new();
    for entry in entries {
        let entry = entry
            .map_err(|error| Failure::file("read", path, &error))?
            .path();
        if entry
            .extension()
            .is_some_and(|extension| extension == "lkb")
        {
            slices.push(entry);
        }
    }
    slices.sort();
    if slices.is_empty() {
        return Err(
            Failure::usage(format!("`{}` holds no bundle", path.display()))
                .help("build one: `latchkey build --out DIR`"),
        );
    }
    Ok(slices)
}

fn places_count(path: &Path) -> Result<usize, Failure> {
    let places = Places::open(&read(path)?).map_err(|error| not_a_bundle(path, error.what))?;
    Ok(places.len())
}

fn not_a_bundle(path: &Path, what: &str) -> Failure {
    Failure::unverified(format!("`{}` is no bundle: {what}", path.display()))
        .help("build it again with this version of latchkey")
}

fn slice(path: &Path) -> Result<Json, Failure> {
    let bytes = read(path)?;
    let policy = Policy::open(&bytes).map_err(|error| not_a_bundle(path, error.what))?;
    let index = policy.index();
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    Ok(json!({
        "file": name,
        "bytes": bytes.len(),
        "sha256": Digest::of(&bytes).to_string(),
        "project": index.project,
        "servers": index.servers.iter().map(|server| &server.name).collect::<Vec<_>>(),
        "counts": counts(index, policy.permission_count()),
        "names": facts::names(&policy),
        "principals": facts::principals(&policy),
        "surfaces": facts::surfaces(&policy),
        "settings": facts::settings(&policy),
        "roles": facts::roles(&policy),
        "bindings": facts::bindings(&policy),
        "rules": facts::rules(&policy),
    }))
}

/// What the statement of a folder says; null where there is none. Its signatures are not looked at.
fn statement(folder: &Path) -> Result<Json, Failure> {
    let (signed, unsigned) = (folder.join(pack::SIGNED), folder.join(pack::UNSIGNED));
    let unusable = |path: &Path, what: &dyn std::fmt::Display| {
        Failure::unverified(format!("`{}`: {what}", path.display()))
            .help("build it again with this version of latchkey")
    };
    let (path, payload) = if signed.is_file() {
        let envelope = dsse::Envelope::read(dsse::Kind::Statement, &read(&signed)?)
            .map_err(|error| unusable(&signed, &error))?;
        (signed, envelope.payload)
    } else if unsigned.is_file() {
        let payload = read(&unsigned)?;
        (unsigned, payload)
    } else {
        return Ok(Json::Null);
    };
    let statement = Statement::parse(&payload).map_err(|error| unusable(&path, &error))?;
    let subject = |it: &latchkey_gate::supply::Subject| json!({"name": it.name, "sha256": it.sha256.to_string(), "bytes": it.size});
    let release = &statement.release;
    Ok(json!({
        "sha256": Digest::of(&payload).to_string(),
        "project": release.project,
        "channel": release.channel,
        "epoch": release.epoch,
        "version": release.version,
        "compiler": release.compiler,
        "format": release.engine.format,
        "subjects": statement.subjects.iter().map(subject).collect::<Vec<_>>(),
    }))
}

fn counts(index: &Index, permissions: u32) -> Json {
    let denies = index
        .rules
        .iter()
        .filter(|rule| rule.effect == Effect::Deny)
        .count();
    json!({
        "organizations_and_teams": index.scopes.nodes().len().saturating_sub(1),
        "issuers": index.issuers.len(),
        "principals": index.principals.names.len(),
        "groups": index.groups.len(),
        "surfaces": index.surfaces.len(),
        "permissions": permissions,
        "schemas": index.schemas.len(),
        "roles": index.roles.names.len(),
        "bindings": index.bindings.names.len(),
        "deny_rules": denies,
        "require_rules": index.rules.len() - denies,
        "formulas": index.formulas.len(),
    })
}

fn human(slice: &Json, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    let text = |key: &str| slice.get(key).and_then(Json::as_str).unwrap_or_default();
    let bytes = slice
        .get("bytes")
        .and_then(Json::as_u64)
        .unwrap_or_default();
    writeln!(terminal.out, "{} ({bytes} bytes)", text("file"))?;
    writeln!(terminal.out, "  sha256 {}", text("sha256"))?;
    let counts = slice.get("counts").and_then(Json::as_object);
    for (name, count) in counts.into_iter().flatten() {
        writeln!(terminal.out, "  {:<24}{count}", name.replace('_', " "))?;
    }
    Ok(())
}
