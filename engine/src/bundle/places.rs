//! `places.lkm`: where in the source each rule, binding and role is written.
//!
//! It is a file of its own, so that a comment or a blank line changes no slice.

use std::{collections::BTreeMap, fmt};

use super::{
    EncodeError, OpenError,
    format::{MAX_BYTES, PLACES, Reader, Wire, Writer, wire_choices},
};
use crate::{name::is_label, strings::Strings};

/// The places of one release, as columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    kinds: Vec<PlaceKind>,
    names: Strings,
    /// The position in `files`, the line and the column.
    spots: Vec<[u32; 3]>,
    /// The files, each once, in the order in which entries first name them.
    files: Strings,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<'a> {
    /// What it is.
    pub kind: PlaceKind,
    /// Its name.
    pub name: &'a str,
    /// The file, relative to the project, with `/`.
    pub file: &'a str,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Places {
    /// The places of these entries, in any order; of two with one kind and name the first stands.
    #[must_use]
    pub fn new(mut entries: Vec<Place<'_>>) -> Self {
        entries.sort_by_key(|it| (it.kind, it.name));
        entries.dedup_by_key(|it| (it.kind, it.name));
        let mut columns = Columns::default();
        for entry in entries {
            columns.push(entry);
        }
        columns.places
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// All entries, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = Place<'_>> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Where an entry is written.
    #[must_use]
    pub fn find(&self, kind: PlaceKind, name: &str) -> Option<Place<'_>> {
        let begin = self.kinds.partition_point(|it| *it < kind);
        let end = self.kinds.partition_point(|it| *it <= kind);
        let (mut low, mut high) = (begin, end);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.names.get(middle) < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.get(low)
            .filter(|it| (it.kind, it.name) == (kind, name))
    }

    /// Encodes the places.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let wrong = |what| EncodeError {
            section: "places",
            what,
        };
        self.check().map_err(wrong)?;
        let mut file = Writer::default();
        file.bytes.extend_from_slice(&PLACES);
        file.count(self.len());
        for place in self.iter() {
            place.kind.write(&mut file);
            for text in [place.name, place.file] {
                file.count(text.len());
                file.bytes.extend_from_slice(text.as_bytes());
            }
            place.line.write(&mut file);
            place.column.write(&mut file);
        }
        if file.overflow || file.bytes.len() > MAX_BYTES {
            return Err(wrong("too large"));
        }
        Ok(file.bytes)
    }

    /// Opens the bytes of a places file, and refuses any deviation.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        Self::open_of(bytes, &PlaceKind::ALL)
    }

    /// The same, and keeps the places of these kinds only. All are checked.
    pub fn open_of(bytes: &[u8], kinds: &[PlaceKind]) -> Result<Self, OpenError> {
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
        let mut columns = Columns::default();
        let mut before = None;
        for _ in 0..reader.count(1)? {
            let place = Place {
                kind: PlaceKind::read(&mut reader)?,
                name: text(&mut reader)?,
                file: text(&mut reader)?,
                line: u32::read(&mut reader)?,
                column: u32::read(&mut reader)?,
            };
            place.check(before).map_err(wrong)?;
            before = Some(place);
            if kinds.contains(&place.kind) {
                columns.push(place);
            }
        }
        reader.end()?;
        let mut places = columns.places;
        places.kinds.shrink_to_fit();
        places.names.shrink_to_fit();
        places.spots.shrink_to_fit();
        Ok(places)
    }

    fn get(&self, at: usize) -> Option<Place<'_>> {
        let [file, line, column] = *self.spots.get(at)?;
        Some(Place {
            kind: *self.kinds.get(at)?,
            name: self.names.get(at),
            file: self.files.get(file as usize),
            line,
            column,
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        let mut before = None;
        self.iter().try_for_each(|it| it.check(before.replace(it)))
    }
}

impl PlaceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Rule, Self::Binding, Self::Role];
}

impl Place<'_> {
    /// Whether it may follow the one before it.
    fn check(&self, before: Option<Place<'_>>) -> Result<(), &'static str> {
        if before.is_some_and(|it| (it.kind, it.name) >= (self.kind, self.name)) {
            return Err("places must be sorted and distinct");
        }
        if !is_label(self.name) {
            return Err("an illegal name");
        }
        if self.line == 0 || self.column == 0 {
            return Err("lines and columns count from 1");
        }
        Ok(())
    }
}

/// Places in the making.
#[derive(Default)]
struct Columns<'a> {
    places: Places,
    /// The position of each file.
    files: BTreeMap<&'a str, u32>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, place: Place<'a>) {
        let Self { places, files } = self;
        let next = u32::try_from(files.len()).unwrap_or(u32::MAX);
        let file = *files.entry(place.file).or_insert_with(|| {
            // No file of 256 MiB holds texts of 4 GiB.
            places.files.push(place.file);
            next
        });
        places.kinds.push(place.kind);
        places.names.push(place.name);
        places.spots.push([file, place.line, place.column]);
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, OpenError> {
    let count = reader.count(1)?;
    let wrong = reader.wrong("a text that is not UTF-8");
    std::str::from_utf8(reader.take(count)?).map_err(|_| wrong)
}

wire_choices! {
    PlaceKind { Rule = 0, Binding = 1, Role = 2 }
}

impl fmt::Display for Place<'_> {
    /// `file:line:column`, as people and editors write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
