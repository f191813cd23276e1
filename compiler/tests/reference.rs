//! Generated files are up to date: `schemas/` and `docs/reference/`.
//!
//! `LATCHKEY_BLESS=1 cargo test -p latchkey --test reference` rewrites them.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use latchkey::{
    cli::Cli,
    command::{Exit, schema::schemas},
    diag::codes,
    syntax::{SECTIONS, reserved::RESERVED},
};
use serde_json::Value as Json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file with what it should hold, or rewrites it.
fn fresh(path: &str, wanted: &str) {
    let file = root().join(path);
    if std::env::var_os("LATCHKEY_BLESS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        fs::write(&file, wanted).expect("the file");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is stale: LATCHKEY_BLESS=1 cargo test -p latchkey --test reference"
    );
}

#[test]
fn schemas_are_fresh_and_no_other_is_there() {
    let all = schemas().expect("every schema");
    let mut names = BTreeSet::new();
    for (name, text) in &all {
        fresh(&format!("schemas/{name}.schema.json"), text);
        names.insert(format!("{name}.schema.json"));
    }
    let there = fs::read_dir(root().join("schemas")).expect("the folder");
    let there = there.map(|it| {
        it.expect("an entry")
            .file_name()
            .into_string()
            .expect("a name")
    });
    let strays: Vec<_> = there.filter(|name| !names.contains(name)).collect();
    assert!(strays.is_empty(), "no command writes {strays:?}");
}

#[test]
fn every_policy_file_satisfies_the_schema_of_the_language() {
    let all = schemas().expect("every schema");
    let (_, text) = all
        .iter()
        .find(|(name, _)| name == "policy")
        .expect("the language");
    let schema = latchkey_gate::schema::compile(text).expect("a sound schema");
    let mut open = vec![
        root().join("policies"),
        root().join("compiler/src/template"),
    ];
    let mut seen = 0;
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                let text = fs::read_to_string(&path).expect("text");
                let value: Json = serde_yaml::from_str(&text).expect("YAML");
                assert!(schema.is_valid(&value), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 10, "{seen} files");
}

#[test]
fn the_reference_of_commands_is_fresh() {
    let mut out = String::from(
        "# Commands\n\nGenerated from the command line itself; do not edit.\n\nExit codes, the same for \
         every command and format:\n\n| code | meaning |\n| --- | --- |\n",
    );
    for exit in Exit::ALL {
        let meaning = match exit {
            Exit::Clean => "done, and clean; warnings alone are clean unless `--deny-warnings`",
            Exit::Findings => "done, and something was found",
            Exit::Usage => "not done: the command line, a file or a folder that it names is wrong",
            Exit::Mismatch => "the policy does not decide as a golden matrix says",
            Exit::Unverified => "a bundle, a statement or a signature is not acceptable",
            Exit::Internal => "a defect of latchkey itself",
        };
        let _ = writeln!(out, "| {} | {meaning} |", exit.code());
    }
    let mut cli = Cli::command().term_width(90);
    cli.build();
    let names: Vec<_> = cli
        .get_subcommands()
        .map(|it| it.get_name().to_owned())
        .collect();
    for name in names.iter().filter(|name| *name != "help") {
        let verb = cli.find_subcommand_mut(name).expect("the command");
        describe(verb, &format!("latchkey {name}"), &mut out);
    }
    fresh("docs/reference/commands.md", &out);
}

/// The help of a command, and of those below it.
fn describe(verb: &mut clap::Command, name: &str, out: &mut String) {
    let help = verb.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let help = help.join("\n");
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", help.trim());
    let below = verb.get_subcommands_mut();
    for verb in below.filter(|it| it.get_name() != "help") {
        let name = format!("{name} {}", verb.get_name());
        describe(verb, &name, out);
    }
}

#[test]
fn the_reference_of_diagnostics_is_fresh() {
    let mut out = String::from(
        "# Diagnostics\n\nGenerated from the table of codes; do not edit. `latchkey explain CODE` \
         prints the page of a code, with a failing example and its fix.\n\nErrors cannot be \
         silenced. The level of a warning is set under `[lints]` in `latchkey.toml` (`allow`, \
         `warn`, `deny`); one finding is silenced at its place by a comment with a reason:\n\
         `# latchkey: allow(<slug>): <why>`, at the end of the line or on a line above it.\n\n\
         | code | name | severity | what it is about |\n| --- | --- | --- | --- |\n",
    );
    for code in codes::TABLE {
        let page = format!("[{}](../../compiler/src/codes/{}.md)", code.id, code.id);
        let (slug, severity) = (code.slug, code.severity.name());
        let _ = writeln!(out, "| {page} | `{slug}` | {severity} | {} |", code.title);
    }
    fresh("docs/reference/diagnostics.md", &out);
}

#[test]
fn the_reference_of_the_language_is_fresh() {
    let mut out = String::from(
        "# The language\n\nGenerated from the tables that the compiler reads with; do not edit. \
         Conditions have [a page of their own](conditions.md).\n\nA project is a folder with \
         `latchkey.toml`. Its YAML files hold sections, each a map from name to entry; any file may \
         hold any sections. `<name>` stands for a name that you choose, `[]` for each item of a \
         list. Keys in **bold** are mandatory.\n",
    );
    for section in SECTIONS {
        let _ = write!(out, "\n## {}\n\n{}\n\n", section.name, section.doc.trim());
        out.push_str("| key | value | meaning |\n| --- | --- | --- |\n");
        let schema = (section.schema)();
        let entry = schema.get("additionalProperties").expect("entries by name");
        rows(entry, "", &mut out);
    }
    out.push_str(
        "\n## Reserved keys\n\nThese belong to the language and nothing enforces them yet, so each is \
         an error (`LK0020`) rather than accepted and ignored.\n\n| where | key | reserved for |\n\
         | --- | --- | --- |\n",
    );
    for row in RESERVED {
        let _ = writeln!(out, "| {} | `{}` | {} |", row.noun, row.key, row.what);
    }
    fresh("docs/reference/language.md", &out);
}

/// A row for each key below a schema.
fn rows(schema: &Json, path: &str, out: &mut String) {
    let required: BTreeSet<_> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let shown = if required.contains(key.as_str()) {
            format!("**`{full}`**")
        } else {
            format!("`{full}`")
        };
        let doc = value["description"]
            .as_str()
            .unwrap_or_default()
            .replace('|', "\\|");
        let _ = writeln!(
            out,
            "| {shown} | {} | {} |",
            kind(value),
            doc.replace('\n', " ")
        );
        below(value, &full, out);
    }
}

fn below(schema: &Json, path: &str, out: &mut String) {
    rows(schema, path, out);
    if schema["additionalProperties"].is_object() {
        below(
            &schema["additionalProperties"],
            &format!("{path}.<name>"),
            out,
        );
    }
    if schema["items"].is_object() {
        below(&schema["items"], &format!("{path}[]"), out);
    }
    for form in ["anyOf", "oneOf"] {
        for each in schema[form].as_array().into_iter().flatten() {
            below(each, path, out);
        }
    }
}

/// What a value is, in a few words.
fn kind(schema: &Json) -> String {
    let list = |values: &[Json]| {
        let words: Vec<_> = values.iter().map(|it| format!("`{}`", word(it))).collect();
        words.join(", ")
    };
    if let Some(values) = schema["enum"].as_array() {
        return list(values);
    }
    if schema.get("const").is_some() {
        return format!("`{}`", word(&schema["const"]));
    }
    for form in ["anyOf", "oneOf"] {
        if let Some(all) = schema[form].as_array() {
            let mut kinds: Vec<_> = all.iter().map(kind).collect();
            kinds.dedup();
            return kinds.join(", or ");
        }
    }
    match &schema["type"] {
        Json::Array(types) => types
            .iter()
            .filter_map(Json::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        Json::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Json::String(name) if name == "object" && schema["additionalProperties"].is_object() => {
            format!("map from name to {}", kind(&schema["additionalProperties"]))
        }
        Json::String(name) if name == "object" => "map".to_owned(),
        Json::String(name) if name == "string" => "text".to_owned(),
        Json::String(name) => name.clone(),
        _ => "any".to_owned(),
    }
}

fn word(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
