//! The conformance suite of MCP, against a server in Rust: directly, and through the sidecar. What
//! passes directly passes through it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, path::Path};

use latchkey_tests::{
    front::{Fixture, Front},
    node::Packages,
};
use serde_json::Value;

/// The status of each check: by scenario, id, and how often the id came before.
type Checks = BTreeMap<(String, String, usize), String>;

/// What the sidecar answers otherwise, and why: its own rule comes first, or it is not built yet.
const OTHERWISE: &[(&str, &str)] = &[
    // Refused as well, with another code or less detail.
    (
        "request-meta-invalid-missing",
        "a header of a revision that the body does not name: -32020",
    ),
    (
        "http-server-header-mismatch-400",
        "an unknown revision counts first: -32022",
    ),
    (
        "http-server-error-jsonrpc-id",
        "an unknown revision is answered without an id",
    ),
    (
        "server-unsupported-version-error",
        "the revisions that are spoken are not listed",
    ),
    (
        "sep-2164-data-uri",
        "a URI that no pattern matches is not repeated",
    ),
];

fn stable() -> Packages {
    Packages::install("conformance", &["@modelcontextprotocol/conformance@0.1.16"])
}

fn alpha() -> Packages {
    Packages::install(
        "conformance-alpha",
        &["@modelcontextprotocol/conformance@0.2.0-alpha.12"],
    )
}

fn checked(packages: &Packages, which: &[&str], url: &str) -> Checks {
    let out = tempfile::tempdir().unwrap();
    let mut command = packages.run("@modelcontextprotocol/conformance/dist/index.js");
    command
        .args(["server", "--url", url])
        .args(which)
        .arg("-o")
        .arg(out.path());
    // It fails where one check does; which, is compared.
    let output = command.output().unwrap();
    let checks = read(out.path());
    assert!(checks.len() > 30, "{output:?}");
    checks
}

fn read(folder: &Path) -> Checks {
    let mut checks = Checks::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        // `server-<scenario>-<time>`
        let scenario = name.split("-20").next().unwrap().to_owned();
        let text = std::fs::read_to_string(folder.join("checks.json")).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        for check in found {
            let id = check["id"].as_str().unwrap().to_owned();
            let before = checks
                .keys()
                .filter(|it| it.0 == scenario && it.1 == id)
                .count();
            let status = check["status"].as_str().unwrap().to_owned();
            checks.insert((scenario.clone(), id, before), status);
        }
    }
    checks
}

fn nothing_is_lost(packages: &Packages, which: &[&str]) {
    let fixture = Fixture::start();
    let entry = [format!("upstream: http://{}/mcp", fixture.address)];
    let front = Front::start(&entry, &Fixture::surfaces(), "");
    let direct = checked(packages, which, &format!("http://{}/mcp", fixture.address));
    let through = checked(packages, which, &front.url_with_token("alice"));
    let passed = |checks: &Checks| checks.values().filter(|it| *it == "SUCCESS").count();
    println!(
        "{which:?}: {} pass directly, {} through the sidecar",
        passed(&direct),
        passed(&through)
    );
    let lost: Vec<_> = direct
        .iter()
        .filter(|(key, status)| {
            *status == "SUCCESS" && through.get(key).is_none_or(|it| it != "SUCCESS")
        })
        .map(|(key, _)| format!("{} {} ({})", key.0, key.1, key.2))
        .filter(|lost| !OTHERWISE.iter().any(|(known, _)| lost.contains(known)))
        .collect();
    assert!(lost.is_empty(), "lost through the sidecar: {lost:#?}");
}

#[test]
fn the_stable_suite_loses_nothing() {
    nothing_is_lost(&stable(), &["--suite", "all"]);
}

#[test]
fn the_requirements_of_2025_11_25_lose_nothing() {
    nothing_is_lost(&alpha(), &["--requirements", "2025-11-25"]);
}

#[test]
fn the_requirements_of_2026_07_28_lose_nothing() {
    nothing_is_lost(&alpha(), &["--requirements", "2026-07-28"]);
}
