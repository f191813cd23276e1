//! `latchkey schema`: JSON Schemas of what is read and written.

use std::path::PathBuf;

use latchkey_gate::event::Event;
use serde_json::{Value as Json, json};

use super::{Exit, Failure, Terminal, formats};
use crate::{
    cli::{Format, Global},
    project, syntax,
};

mod diff;
mod supply;

/// The arguments of `latchkey schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The schema to print; all names are listed if absent
    #[arg(value_name = "NAME", conflicts_with = "out")]
    name: Option<String>,
    /// Write all of them into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints one schema, lists them, or writes all.
pub fn run(args: &Args, global: &Global, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    formats("schema", global.format, &[Format::Human, Format::Json])?;
    let all = schemas()?;
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
        for (name, text) in &all {
            let path = folder.join(format!("{name}.schema.json"));
            std::fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
            writeln!(terminal.out, "wrote {}", path.display())?;
        }
        return Ok(Exit::Clean);
    }
    let Some(wanted) = &args.name else {
        for (name, _) in &all {
            writeln!(terminal.out, "{name}")?;
        }
        return Ok(Exit::Clean);
    };
    let names = || all.iter().map(|(name, _)| name.as_str());
    let Some((_, text)) = all.iter().find(|(name, _)| name == wanted) else {
        let known: Vec<_> = names().collect();
        return Err(Failure::usage(format!("there is no schema `{wanted}`"))
            .help(format!("the schemas are {}", known.join(", "))));
    };
    write!(terminal.out, "{text}")?;
    Ok(Exit::Clean)
}

/// Every schema by name, as text.
///
/// # Errors
/// When a schema cannot be written as JSON, which is a defect.
pub fn schemas() -> Result<Vec<(String, String)>, Failure> {
    let event = serde_json::to_value(schemars::schema_for!(Event));
    let event = event.map_err(|error| Failure::internal(error.to_string()))?;
    let fixed = [
        ("audit-event", event),
        ("diagnostics", diagnostics()),
        ("diff-report", diff::report()),
        ("freshness-pointer", supply::pointer()),
        ("policy", syntax::schema()),
        ("project", project::schema()),
        ("release-statement", supply::statement()),
        ("trust-root", supply::trust()),
    ];
    let sections = syntax::SECTIONS.iter().map(|section| {
        let mut schema = (section.schema)();
        if let Some(map) = schema.as_object_mut() {
            let draft = json!("https://json-schema.org/draft/2020-12/schema");
            map.insert("$schema".to_owned(), draft);
            map.insert(
                "title".to_owned(),
                json!(format!("Latchkey section {}", section.name)),
            );
            map.insert("description".to_owned(), json!(section.doc.trim()));
        }
        (format!("section-{}", section.name), schema)
    });
    let fixed = fixed
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema));
    fixed
        .chain(sections)
        .map(|(name, schema)| Ok((name, pretty(&schema)?)))
        .collect()
}

fn pretty(schema: &Json) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(schema);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::internal(error.to_string()))
}

/// What `latchkey check --format json` prints.
fn diagnostics() -> Json {
    let place = json!({
        "type": "object",
        "required": ["line", "column", "offset"],
        "properties": {
            "line": {"type": "integer", "minimum": 1},
            "column": {"type": "integer", "minimum": 1, "description": "in characters"},
            "offset": {"type": "integer", "minimum": 0, "description": "in bytes"},
        },
        "additionalProperties": false,
    });
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let edit = json!({
        "type": "object",
        "required": ["file", "start", "end", "insert"],
        "properties": {"file": text, "start": count, "end": count, "insert": text},
        "additionalProperties": false,
    });
    let fix = json!({
        "type": "object",
        "required": ["title", "applicability", "edits"],
        "properties": {
            "title": text,
            "applicability": {"enum": ["always", "maybe"]},
            "edits": {"type": "array", "items": edit},
        },
        "additionalProperties": false,
    });
    let label = json!({
        "type": "object",
        "required": ["file", "start", "end", "text", "primary"],
        "properties": {
            "file": text, "start": place, "end": place, "text": text,
            "primary": {"type": "boolean"},
        },
        "additionalProperties": false,
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of latchkey check --format json",
        "type": "object",
        "required": ["version", "diagnostics", "summary"],
        "properties": {
            "version": {"const": 1},
            "diagnostics": {"type": "array", "items": {
                "type": "object",
                "required": ["code", "slug", "severity", "message", "labels", "fixes"],
                "properties": {
                    "code": {"type": "string", "pattern": "^LK[0-9]{4}$"},
                    "slug": text,
                    "severity": {"enum": ["error", "warning", "note"]},
                    "message": text,
                    "help": {"type": ["string", "null"]},
                    "notes": {"type": "array", "items": text},
                    "labels": {"type": "array", "items": label},
                    "fixes": {"type": "array", "items": fix},
                },
                "additionalProperties": false,
            }},
            "summary": {
                "type": "object",
                "required": ["errors", "warnings", "suppressed", "files"],
                "properties": {
                    "errors": count, "warnings": count, "suppressed": count, "files": count,
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}
