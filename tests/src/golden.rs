//! The golden projects: `policies/` and `tests/golden/*`, with the calls of their matrices.

use std::{
    fs,
    path::{Path, PathBuf},
};

use latchkey::{
    Checked, check,
    model::{Matrix, Model},
    source::{Folder, SourceMap},
};
use latchkey_engine::{overlay::Overlay, time::Time};
use latchkey_gate::call::{OverlayFile, Stated};

/// A project that checks without errors.
#[derive(Debug)]
pub struct Golden {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// What it means.
    pub model: Model,
    /// Its text.
    pub sources: SourceMap,
}

/// One call by one caller.
#[derive(Debug)]
pub struct Cell {
    /// The matrix.
    pub matrix: String,
    /// The caller's name in it.
    pub caller: String,
    /// The call's name in it.
    pub call: String,
    /// What must happen without an overlay.
    pub expected: String,
    /// The whole, in the words of `eval`.
    pub stated: Stated,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} by {}", self.matrix, self.call, self.caller)
    }
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// The policies of the demo and every project under `tests/golden`.
#[must_use]
pub fn all() -> Vec<Golden> {
    let golden = root().join("tests/golden");
    let mut folders: Vec<PathBuf> = fs::read_dir(golden)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("latchkey.toml").is_file())
        .collect();
    folders.push(root().join("policies"));
    folders.sort();
    folders.iter().map(|folder| Golden::open(folder)).collect()
}

impl Golden {
    /// Reads a project; a test fails on one with findings, lints too.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
        let Checked {
            sources,
            model,
            sink,
            ..
        } = check(&Folder::new(folder), today);
        let Some(model) = model else {
            panic!("{name}: {sink:#?}");
        };
        Self {
            name,
            folder: folder.to_owned(),
            model,
            sources,
        }
    }

    /// Every cell of every matrix.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let matrices = self.model.matrices.iter();
        matrices
            .flat_map(|(name, matrix)| cells(name, matrix))
            .collect()
    }

    /// What `overlay.json` says, where the project has one.
    #[must_use]
    pub fn overlay_file(&self) -> Option<OverlayFile> {
        let text = fs::read_to_string(self.folder.join("overlay.json")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The overlay of the project's `overlay.json`.
    #[must_use]
    pub fn overlay(&self) -> Option<Overlay> {
        Some(self.overlay_file()?.overlay().unwrap())
    }

    /// What the overlay changes: lines `matrix: call by caller = outcome` of `with-overlay.txt`.
    #[must_use]
    pub fn changed_by_overlay(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.folder.join("with-overlay.txt")).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let (cell, outcome) = line.split_once(" = ").unwrap();
                (cell.to_owned(), outcome.to_owned())
            })
            .collect()
    }
}

fn cells(name: &str, matrix: &Matrix) -> Vec<Cell> {
    let cell = |it: &latchkey::model::Cell| {
        let (caller, call) = (&matrix.callers[it.caller], &matrix.calls[it.call]);
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let mut members = vec![
            format!("\"server\":{}", text(&matrix.server)),
            format!("\"at\":{}", text(&matrix.at.to_string())),
        ];
        let facts = caller.facts.iter().chain(&call.facts);
        members.extend(facts.map(|(key, value)| format!("\"{key}\":{value}")));
        Cell {
            matrix: name.to_owned(),
            caller: caller.name.value.to_string(),
            call: call.name.value.to_string(),
            expected: it.expected.value.to_string(),
            stated: serde_json::from_str(&format!("{{{}}}", members.join(","))).unwrap(),
        }
    };
    matrix.cells.iter().map(cell).collect()
}
