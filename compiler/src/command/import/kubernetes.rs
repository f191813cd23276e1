//! `latchkey import kubernetes`: entries from the resources of a cluster.

use std::{collections::BTreeMap, io::Write, path::PathBuf};

use serde_json::{Map, Value as Json, json};

use super::{bad, entry, project::Project, show};
use crate::{
    cli::{Format, Global},
    command::{Exit, Failure},
    diag::{Severity, Sink, codes},
    kubernetes::{self, Resources},
    pack,
    project::{self, FILE},
    source::{FileId, Folder, Overlay},
    syntax::{self, yaml},
};

/// The arguments of `latchkey import kubernetes`.
#[derive(Debug, clap::Args)]
pub(super) struct KubernetesArgs {
    /// What `kubectl get -o yaml` or `-o json` printed; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of the files, inside the project: one file for each section
    #[arg(long, value_name = "DIR", default_value = "cluster")]
    output: String,
    /// Write nothing; end with 1 if the project lacks anything
    #[arg(long)]
    check: bool,
}

/// What is written, and what is to be said about it.
struct Plan {
    /// The names of each section that are new, and of those that are there as they are.
    sections: BTreeMap<&'static str, (Vec<String>, Vec<String>)>,
    notes: Vec<(String, Vec<String>)>,
    files: BTreeMap<String, String>,
}

/// Reads an export, and writes what the project does not have.
pub(super) fn run(
    args: &KubernetesArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let text = super::read(&args.file)?;
    let resources = kubernetes::read(&text).map_err(|problems| {
        let name = args.file.display();
        let what = format!("`{name}` cannot be imported:{}", listed(&problems));
        bad(what)
            .help("export the resources of Latchkey alone: `kubectl get latchkeyroles -o yaml`")
    })?;
    let project = Project::open(&global.directory)?;
    let plan = plan(args, &project, resources)?;
    sound(&plan, global)?;
    if !args.check {
        for (name, text) in &plan.files {
            let path = global.directory.join(name);
            let above = path.parent().unwrap_or(&global.directory);
            std::fs::create_dir_all(above).map_err(|error| Failure::file("make", above, &error))?;
            pack::put(&path, text.as_bytes())
                .map_err(|error| Failure::file("write", &path, &error))?;
        }
    }
    tell(&plan, args.check, global.format, out)?;
    Ok(if args.check && !plan.files.is_empty() {
        Exit::Findings
    } else {
        Exit::Clean
    })
}

fn plan(args: &KubernetesArgs, project: &Project, resources: Resources) -> Result<Plan, Failure> {
    let here = written(project);
    let mut plan = Plan {
        sections: BTreeMap::new(),
        notes: Vec::new(),
        files: BTreeMap::new(),
    };
    let mut clashes = Vec::new();
    for (section, entries) in resources.entries {
        let (mut new, mut same) = (Map::new(), Vec::new());
        for (name, spec) in entries {
            match here.get(&(section.to_owned(), name.clone())) {
                None => {
                    new.insert(name, spec);
                }
                Some((own, _)) if *own == spec => same.push(name),
                Some((_, place)) => {
                    clashes.push(format!("`{section}.{name}` says something else at {place}"));
                }
            }
        }
        if !new.is_empty() {
            let path = format!("{}/{section}.yaml", args.output.trim_end_matches('/'));
            let text = section_file(project, &path, section, &new)?;
            plan.files.insert(path, text);
        }
        let new = new.into_iter().map(|(name, _)| name).collect();
        plan.sections.insert(section, (new, same));
    }
    if !clashes.is_empty() {
        let what = format!(
            "the project has entries of the same names:{}",
            listed(&clashes)
        );
        return Err(Failure::usage(what)
            .code(&codes::IMPORT_CLASH)
            .help("decide which one holds, and remove or rename the other; nothing was written"));
    }
    let notes = resources.notes.into_iter();
    plan.notes = notes
        .map(|(note, about)| (note, about.into_iter().collect()))
        .collect();
    Ok(plan)
}

/// Every entry of the project, and where it stands.
fn written(project: &Project) -> BTreeMap<(String, String), (Json, String)> {
    let mut all = BTreeMap::new();
    for (id, file) in project.sources.files() {
        if !project.head.includes(file.path()) {
            continue;
        }
        let root = yaml::parse(id, file.text(), &mut Sink::new()).root;
        for section in root.iter().filter_map(|root| root.as_map()).flatten() {
            for entry in section.value.as_map().into_iter().flatten() {
                let value = entry.value.to_json();
                let value = value.and_then(|text| serde_json::from_str(&text).ok());
                let key = (section.key.value.to_string(), entry.key.value.to_string());
                let place = project.sources.place(entry.key.span);
                all.insert(key, (value.unwrap_or(Json::Null), place));
            }
        }
    }
    all
}

/// The text of a section's file with these entries.
fn section_file(
    project: &Project,
    path: &str,
    section: &'static str,
    new: &Map<String, Json>,
) -> Result<String, Failure> {
    let inside = !path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if !inside || !project.head.includes(path) {
        return Err(
            Failure::usage(format!("`{path}` would be no file of the project")).help(format!(
                "choose a folder that `include` in {FILE} names, inside the project"
            )),
        );
    }
    let block = crate::yaml::write(&json!({section: new}));
    let file = project.sources.find(path);
    let Some(file) = file.and_then(|id| project.sources.file(id)) else {
        return Ok(format!(
            "# Imported by `latchkey import kubernetes`. From now on this file is the source.\n\n{block}"
        ));
    };
    entry::extend(file.text(), section, &block).ok_or_else(|| {
        Failure::usage(format!(
            "`{path}` is written in a way that hides where entries belong"
        ))
        .help("write it in block style, or choose another folder with `--output`")
    })
}

/// Whether every file would be read without an error; says of which resource it is.
fn sound(plan: &Plan, global: &Global) -> Result<(), Failure> {
    let over = plan.files.iter();
    let over = over.map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    let over: BTreeMap<_, _> = over.collect();
    let base = Folder::new(global.directory.clone());
    let mut sink = Sink::new();
    let (sources, head) = project::open(&Overlay::new(&base, &over), &mut sink);
    syntax::parse(&sources, &head, &mut sink);
    let report = sink.finish(&head.levels);
    let mut problems = Vec::new();
    for found in &report.diagnostics {
        let Some(span) = found
            .primary()
            .filter(|_| found.severity == Severity::Error)
        else {
            continue;
        };
        // A lock or a key file is no part of an export; `check` asks for it.
        if !over.contains_key(sources.path(span.file)) || *found.code == codes::BAD_LOCK_FILE {
            continue;
        }
        let text = sources.file(span.file).map_or("", |file| file.text());
        let root = yaml::parse(FileId(span.file.0), text, &mut Sink::new()).root;
        let place = root
            .map(|root| root.path_at(span.start))
            .unwrap_or_default();
        problems.push(format!("{place}: {} ({})", found.message, found.code.id));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the resources say what entries may not:{}",
        listed(&problems)
    );
    Err(bad(what).help("correct the resources; nothing was written"))
}

fn tell(plan: &Plan, check: bool, format: Format, out: &mut dyn Write) -> Result<(), Failure> {
    let wrote: Vec<&String> = plan.files.keys().filter(|_| !check).collect();
    if format == Format::Json {
        let sections = plan.sections.iter();
        let sections = sections.map(|(section, (new, same))| {
            ((*section).to_owned(), json!({"new": new, "same": same}))
        });
        let notes = plan.notes.iter();
        let notes = notes.map(|(what, about)| json!({"what": what, "about": about}));
        let report = json!({
            "version": 1,
            "sections": sections.collect::<Map<_, _>>(),
            "notes": notes.collect::<Vec<_>>(),
            "wrote": wrote,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    for (section, (new, same)) in &plan.sections {
        let (new, same) = (new.len(), same.len());
        writeln!(out, "{section}: {new} new, {same} as they are here")?;
    }
    for (note, about) in &plan.notes {
        let note = show::visible(note);
        writeln!(out, "note: {note}{}", show::examples(about))?;
    }
    for name in wrote {
        writeln!(out, "wrote {name}")?;
    }
    Ok(())
}

fn listed(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| {
        text + "\n  " + &show::visible(line)
    })
}
