//! Editors: the protocol library of Visual Studio Code drives `latchkey lsp`, and the YAML server
//! that most editors use accepts the policies with the project's schemas.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_tests::{golden::root, node::Packages, program::program};
use serde_json::Value;

fn packages() -> Packages {
    Packages::install(
        "editors",
        &[
            "vscode-languageserver-protocol@3.18.5",
            "yaml-language-server@2.0.0",
        ],
    )
}

/// A script that imports the packages, ready to run.
fn script(packages: &Packages, name: &str, text: &str) -> Command {
    let path = packages.folder().join(name);
    fs::write(&path, text).unwrap();
    let mut command = Command::new(packages.node());
    command.arg(path).env("HOME", packages.folder());
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Every YAML file below a folder.
fn yaml(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml(&path, found);
        } else if path.extension().is_some_and(|it| it == "yaml") {
            found.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_protocol_library_of_an_editor_drives_the_server() {
    let packages = packages();
    let latchkey = program("latchkey");
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("policies"), folder.path());
    let output = script(&packages, "lsp.mjs", include_str!("editors/lsp.mjs"))
        .arg(&latchkey)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("driven"), "{}", said(&output));
    // The name that the client wrote in every file is one that checks and tests.
    for verb in ["check", "test"] {
        let output = Command::new(&latchkey)
            .args(["--color", "never", "-C"])
            .arg(folder.path())
            .arg(verb)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn the_usual_yaml_server_accepts_every_policy_with_our_schema() {
    let packages = packages();
    let schema = root().join("schemas/policy.schema.json");
    let mut files = Vec::new();
    for folder in ["policies", "examples", "compiler/src/template"] {
        yaml(&root().join(folder), &mut files);
    }
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    // One that it must not accept shows that the schema is used.
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    fs::write(
        &wrong,
        "roles:\n  a: {inherit: [b]}\nrules:\n  b: {effect: allow}\n",
    )
    .unwrap();
    let server = packages.script("yaml-language-server/bin/yaml-language-server");
    let output = script(&packages, "yaml.mjs", include_str!("editors/yaml.mjs"))
        .arg(server)
        .arg(schema)
        .args(&files)
        .arg(&wrong)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |path: &Path| found[path.to_str().unwrap()].as_array().unwrap().len();
    assert!(count(&wrong) >= 2, "{found}");
    for file in &files {
        assert_eq!(
            count(file),
            0,
            "{}: {}",
            file.display(),
            found[file.to_str().unwrap()]
        );
    }
}
