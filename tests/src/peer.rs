//! Other people's programs, installed once and pinned.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{golden::root, node::Packages};

/// The DSSE library of the in-toto and TUF projects, a JOSE library, and what they build on.
const PACKAGES: [&str; 6] = [
    "securesystemslib==1.6.0",
    "jwcrypto==1.6.1",
    "typing_extensions==4.16.0",
    "cryptography==50.0.2",
    "cffi==2.1.1",
    "pycparser==3.12",
];

/// The Python that has them; a test that needs it fails where it cannot be had.
#[must_use]
pub fn python() -> PathBuf {
    python_with("signature-venv", &PACKAGES)
}

/// The Python that has the theorem prover Z3.
#[must_use]
pub fn z3() -> PathBuf {
    python_with("z3-venv", &["z3-solver==5.4.1.0"])
}

/// The Python that has GitHub's parser of Markdown.
#[must_use]
pub fn markdown() -> PathBuf {
    let packages = ["cmarkgfm==2025.10.22", "cffi==2.1.1", "pycparser==3.12"];
    python_with("markdown-venv", &packages)
}

fn python_with(name: &str, packages: &[&str]) -> PathBuf {
    let _held = held(name);
    let folder = root().join(".cache").join(name);
    let (python, done) = (folder.join("bin/python"), folder.join("installed"));
    if fs::read_to_string(&done).unwrap_or_default() != packages.join(" ") {
        finished(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        );
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        finished(
            Command::new(&python)
                .args(["-m", "pip"])
                .args(quiet)
                .args(packages),
        );
        fs::write(&done, packages.join(" ")).unwrap();
    }
    python
}

/// The Python that has the official MCP SDK, as `make demo` installs it.
#[must_use]
pub fn mcp_python() -> PathBuf {
    let venv = ".cache/demo-venv";
    let _held = held("demo-venv");
    finished(
        Command::new("make")
            .arg("--silent")
            .arg(format!("{venv}/installed"))
            .current_dir(root()),
    );
    root().join(venv).join("bin/python")
}

/// The official reference server of the older era, a program for node.
#[must_use]
pub fn server_everything() -> PathBuf {
    const PACKAGE: &str = "@modelcontextprotocol/server-everything@2026.8.31";
    let _held = held("server-everything");
    let folder = root().join(".cache/server-everything");
    let done = folder.join("installed");
    if fs::read_to_string(&done).unwrap_or_default() != PACKAGE {
        fs::create_dir_all(&folder).unwrap();
        finished(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .args([&folder, &PathBuf::from(PACKAGE)]),
        );
        fs::write(&done, PACKAGE).unwrap();
    }
    folder.join("node_modules/.bin/mcp-server-everything")
}

/// Published OpenAPI documents: GitHub's (3.0, 13 MB of JSON), Scalar's Galaxy (3.1, YAML), Train
/// Travel (3.1, YAML) and the Star Trek API (3.0, YAML).
#[must_use]
pub fn openapi_documents() -> [PathBuf; 4] {
    let packages = ["@scalar/galaxy@0.6.12", "@readme/oas-examples@8.2.2"];
    let packages = Packages::install("openapi", &packages);
    let readme = "@readme/oas-examples/3";
    [
        github_document(),
        packages.script("@scalar/galaxy/dist/3.1.yaml"),
        packages.script(&format!("{readme}.1/yaml/train-travel.yaml")),
        packages.script(&format!("{readme}.0/yaml/star-trek.yaml")),
    ]
}

/// One of the documents of a package that has 400 MB of them: the others are not unpacked.
fn github_document() -> PathBuf {
    const PACKAGE: &str = "@octokit/openapi@23.0.2";
    const FILE: &str = "package/generated/api.github.com.json";
    let _held = held("openapi-github");
    let folder = root().join(".cache/openapi-github");
    let done = folder.join("installed");
    if fs::read_to_string(&done).unwrap_or_default() != PACKAGE {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let archive = folder.join("octokit-openapi-23.0.2.tgz");
        finished(
            Command::new("npm")
                .args(["pack", "--silent", PACKAGE, "--pack-destination"])
                .arg(&folder),
        );
        finished(
            Command::new("tar")
                .arg("-xzf")
                .arg(&archive)
                .arg("-C")
                .arg(&folder)
                .arg(FILE),
        );
        fs::remove_file(archive).unwrap();
        fs::write(&done, PACKAGE).unwrap();
    }
    folder.join(FILE)
}

/// The folder of a crate in the cache of the registry, at the version of the lock file.
#[must_use]
pub fn package(name: &str) -> PathBuf {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let found = packages.iter().find(|it| it["name"] == name).unwrap();
    let manifest = Path::new(found["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

/// Tests are processes of their own, and one of them installs.
fn held(name: &str) -> File {
    let cache = root().join(".cache");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    lock
}

fn finished(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the peer cannot be installed: {said}"
    );
}
