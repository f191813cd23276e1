//! What the documents claim: tests that they name exist, links lead somewhere, and settings and
//! metrics are those that there are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use latchkey_engine::reason::Reason;
use latchkey_sidecar::{config::Config, metrics::Metrics};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All Markdown files at the root and under `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut folders = vec![root(), root().join("docs")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder != root() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut named = 0;
    for line in text
        .lines()
        .filter(|line| line.starts_with("- `") && line.contains(".rs`: "))
    {
        let mut quoted = line.split('`').skip(1).step_by(2);
        let file = quoted.next().unwrap();
        let source =
            fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        for test in quoted {
            assert!(
                source.contains(&format!("fn {test}(")),
                "{file} has no test `{test}`"
            );
            named += 1;
        }
    }
    assert!(named > 10, "the threat model names {named} tests");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut dead = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = link.contains("://") || link.starts_with('#') || path.is_empty();
            if !elsewhere && !document.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_settings_of_the_quickstart_are_settings() {
    let text = read("docs/quickstart.md");
    let (_, block) = text.split_once("```toml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    Config::parse(block, Path::new("")).unwrap();
}

#[test]
fn operating_lists_every_setting_and_no_other() {
    let text = read("docs/operating.md");
    let mut sections: Vec<(&str, BTreeSet<String>)> = Vec::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `[")) {
        // A section with a table of its own is named without keys.
        let Some((section, rest)) = row.split_once("] ") else {
            continue;
        };
        let (keys, _) = rest.split_once(" |").unwrap();
        let keys = keys.replace('`', "");
        let keys = keys.split(", ").map(str::to_owned);
        match sections.iter_mut().find(|(name, _)| *name == section) {
            Some((_, known)) => known.extend(keys),
            None => sections.push((section, keys.collect())),
        }
    }
    assert_eq!(sections.len(), 18, "sections of the settings");
    let nested: Vec<String> = sections
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    for (section, listed) in sections {
        // The error about an unknown key names those that there are.
        let error = Config::parse(&format!("[{section}]\nunheard-of = 1"), Path::new(""));
        let error = error.unwrap_err().to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        let expected = expected.split('`').skip(1).step_by(2).map(str::to_owned);
        let has_section = |key: &String| nested.contains(&format!("{section}.{key}"));
        let expected: BTreeSet<_> = expected.filter(|key| !has_section(key)).collect();
        assert_eq!(listed, expected, "[{section}]");
    }
}

#[test]
fn operating_lists_every_metric_and_no_other() {
    let metrics = Metrics::new();
    // A metric with labels is there once it has a value.
    metrics.deny("github/get_issue", Reason::NoPermission);
    metrics.set_bundle("digest", 1, 0);
    metrics.supply.polled("unchanged");
    metrics.supply.refused("rollback");
    metrics.supply.fetched("whole", 1);
    metrics.telemetry.exported(1);
    metrics.issuers.fetched("acme", "ok");
    metrics.issuers.usable("acme", 1);
    metrics.issuers.vouched("acme", 1);
    metrics.observe_stage(
        latchkey_sidecar::telemetry::Stage::Admit,
        std::time::Duration::ZERO,
    );
    let metrics = metrics.text(None).unwrap();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for line in metrics.lines().filter_map(|it| it.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let total = if kind == "counter" { "_total" } else { "" };
        known.insert(format!("{name}{total}"));
    }
    let text = read("docs/operating.md");
    let listed = text
        .lines()
        .filter(|line| line.starts_with("| `latchkey_"))
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned);
    assert_eq!(listed.collect::<BTreeSet<_>>(), known);
}
