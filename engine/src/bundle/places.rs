//! `places.lkm`: where in the source each rule, binding and role is written.
//!
//! It is a file of its own, so that a comment or a blank line changes no slice.

use super::{
    EncodeError, OpenError,
    format::{MAX_BYTES, PLACES, Reader, Wire, Writer, wire_choices, wire_structs},
};
use crate::name::is_label;

/// The places of one release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    entries: Vec<Place>,
}

/// What is written at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlaceKind {
    /// A rule.
    Rule,
    /// A binding.
    Binding,
    /// A role.
    Role,
}

/// One entry of the source and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// Its name.
    pub name: String,
    /// The file, relative to the project, with `/`.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Places {
    /// The places of these entries, in any order; of two with one kind and name the first stands.
    #[must_use]
    pub fn new(mut entries: Vec<Place>) -> Self {
        entries.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        entries.dedup_by(|later, first| (later.kind, &later.name) == (first.kind, &first.name));
        Self { entries }
    }

    /// All entries, by kind and name.
    #[must_use]
    pub fn entries(&self) -> &[Place] {
        &self.entries
    }

    /// Where an entry is written.
    #[must_use]
    pub fn find(&self, kind: PlaceKind, name: &str) -> Option<&Place> {
        let key = (kind, name);
        let at = self
            .entries
            .binary_search_by(|it| (it.kind, it.name.as_str()).cmp(&key));
        at.ok().and_then(|at| self.entries.get(at))
    }

    /// Encodes the places.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let wrong = |what| EncodeError {
            section: "places",
            what,
        };
        check(&self.entries).map_err(wrong)?;
        let mut file = Writer::default();
        file.bytes.extend_from_slice(&PLACES);
        self.entries.write(&mut file);
        if file.overflow || file.bytes.len() > MAX_BYTES {
            return Err(wrong("too large"));
        }
        Ok(file.bytes)
    }

    /// Opens the bytes of a places file, and refuses any deviation.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes, 0);
        if bytes.len() > MAX_BYTES {
            return Err(reader.wrong("larger than any places file"));
        }
        if reader.take(PLACES.len())? != PLACES {
            return Err(OpenError {
                offset: 0,
                what: "not a places file of format version 1",
            });
        }
        let wrong = |what| OpenError {
            offset: PLACES.len(),
            what,
        };
        let entries = Vec::read(&mut reader)?;
        reader.end()?;
        check(&entries).map_err(wrong)?;
        Ok(Self { entries })
    }
}

fn check(entries: &[Place]) -> Result<(), &'static str> {
    let keys = || entries.iter().map(|it| (it.kind, it.name.as_str()));
    if !keys().zip(keys().skip(1)).all(|(a, b)| a < b) {
        return Err("places must be sorted and distinct");
    }
    if !entries.iter().all(|it| is_label(&it.name)) {
        return Err("an illegal name");
    }
    if entries.iter().any(|it| it.line == 0 || it.column == 0) {
        return Err("lines and columns count from 1");
    }
    Ok(())
}

wire_choices! {
    PlaceKind { Rule = 0, Binding = 1, Role = 2 }
}

wire_structs! {
    Place { kind, name, file, line, column }
}

impl std::fmt::Display for Place {
    /// `file:line:column`, as people and editors write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
