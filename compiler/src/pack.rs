//! Packing: the files of a release, as a pure function of the project.

use std::collections::BTreeMap;

use latchkey_engine::bundle::{
    self,
    places::{Place, PlaceKind, Places},
};

use crate::{
    lower::{lower, lower_slice},
    model::Model,
    source::{SourceMap, Span},
};

mod folder;
mod git;
mod release;

pub(crate) use folder::put;
pub use folder::{NotWritten, write};
pub use git::{Git, Source, SourceError};
pub use release::{Facts, seal, tree_digest};

/// The name of the file with everything, for auditors.
pub const ALL: &str = "all.lkb";
/// The name of the file with the places.
pub const PLACES: &str = "places.lkm";
/// The name of the signed statement.
pub const SIGNED: &str = "release.dsse.json";
/// The name of the freshness pointer.
pub const POINTER: &str = "pointer.dsse.json";
/// The name of a statement without signatures.
pub const UNSIGNED: &str = "release.json";

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A project that cannot be packed: a limit of the format, or a defect of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackError(pub String);

impl std::fmt::Display for PackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PackError {}

/// Every file that says what the policy is: one slice for each server, the whole, the places.
pub fn pack(model: &Model, sources: &SourceMap) -> Result<Files, PackError> {
    let mut files = Files::new();
    for server in model.servers.keys() {
        files.insert(slice_name(server), slice(model, server)?);
    }
    files.insert(ALL.to_owned(), whole(model)?);
    files.insert(PLACES.to_owned(), places(model, sources)?);
    Ok(files)
}

/// The name of a server's slice.
pub fn slice_name(server: &str) -> String {
    format!("{server}.lkb")
}

/// Whether a file has the name of a slice, or of the whole.
pub fn is_slice(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "lkb")
}

/// The slice of one server.
pub fn slice(model: &Model, server: &str) -> Result<Vec<u8>, PackError> {
    let index = lower_slice(model, server).map_err(|error| PackError(error.to_string()))?;
    encode(&index, &slice_name(server))
}

/// Everything in one index.
pub fn whole(model: &Model) -> Result<Vec<u8>, PackError> {
    let index = lower(model).map_err(|error| PackError(error.to_string()))?;
    encode(&index, ALL)
}

fn encode(index: &latchkey_engine::index::Index, name: &str) -> Result<Vec<u8>, PackError> {
    bundle::encode(index)
        .map_err(|error| PackError(format!("{name}: {} in {}", error.what, error.section)))
}

/// Where each rule, binding and role is written.
pub fn places(model: &Model, sources: &SourceMap) -> Result<Vec<u8>, PackError> {
    let place = |kind, name, span: Span| {
        let position = sources.position(span);
        Place {
            kind,
            name,
            file: sources.path(span.file),
            line: position.line,
            column: position.column,
        }
    };
    let rules = model.rules.iter();
    let rules = rules.map(|(name, rule)| place(PlaceKind::Rule, name, rule.span));
    let bindings = model.bindings.iter();
    let bindings = bindings.map(|(name, it)| place(PlaceKind::Binding, name, it.span));
    let granting = model.roles.iter();
    let granting = granting.map(|(name, role)| place(PlaceKind::Role, name, role.span));
    Places::new(rules.chain(bindings).chain(granting).collect())
        .encode()
        .map_err(|error| PackError(format!("{PLACES}: {}", error.what)))
}
