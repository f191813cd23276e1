//! What the documents claim: tests that they name exist, and links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
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
