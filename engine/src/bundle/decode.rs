//! Bytes to a proved index.

use super::{
    OpenError, Section, bindings,
    check::check,
    format::{BUNDLE, MAX_BYTES, Reader, Wire},
};
use crate::index::{Bindings, Index};

/// Decodes and proves an index.
pub(crate) fn decode(bytes: &[u8]) -> Result<Index, OpenError> {
    let mut sections = Sections::read(bytes)?;
    let mut index = Index {
        project: sections.next(Section::Project)?,
        scopes: sections.next(Section::Scopes)?,
        issuers: sections.next(Section::Issuers)?,
        groups: sections.next(Section::Groups)?,
        tags: sections.next(Section::Tags)?,
        principals: sections.next(Section::Principals)?,
        servers: sections.next(Section::Servers)?,
        surfaces: sections.next(Section::Surfaces)?,
        schemas: sections.next(Section::Schemas)?,
        attributes: sections.next(Section::Attributes)?,
        formulas: sections.next(Section::Formulas)?,
        roles: sections.next(Section::Roles)?,
        role_sets: sections.next(Section::RoleSets)?,
        bindings: Bindings::default(),
        rules: Vec::new(),
    };
    index.bindings = sections.next_with(Section::Bindings, |reader| {
        bindings::read(index.bounds(), reader)
    })?;
    index.rules = sections.next(Section::Rules)?;
    sections.bodies.end()?;
    check(&index).map_err(|flaw| OpenError {
        offset: sections.start(flaw.section),
        what: flaw.what,
    })?;
    Ok(index)
}

/// The section table, and the bodies that it describes.
struct Sections<'a> {
    lengths: Vec<u32>,
    /// Where the first body starts.
    base: usize,
    bodies: Reader<'a>,
}

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, OpenError> {
        let mut reader = Reader::new(bytes, 0);
        if bytes.len() > MAX_BYTES {
            return Err(reader.wrong("larger than any bundle"));
        }
        if reader.take(BUNDLE.len())? != BUNDLE {
            return Err(OpenError {
                offset: 0,
                what: "not a bundle of format version 1",
            });
        }
        let mut lengths = Vec::with_capacity(Section::ALL.len());
        for section in Section::ALL {
            let wrong = reader.wrong("another section was expected");
            if u8::read(&mut reader)? != section.tag() {
                return Err(wrong);
            }
            lengths.push(u32::read(&mut reader)?);
        }
        Ok(Self {
            lengths,
            base: reader.offset(),
            bodies: reader,
        })
    }

    /// Reads the next section, which must fill its length exactly.
    fn next<T: Wire>(&mut self, section: Section) -> Result<T, OpenError> {
        self.next_with(section, T::read)
    }

    fn next_with<T>(
        &mut self,
        section: Section,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let length = self.lengths.get(usize::from(section.tag()));
        let offset = self.bodies.offset();
        let bytes = self.bodies.take(length.map_or(0, |it| *it as usize))?;
        let mut reader = Reader::new(bytes, offset);
        let value = read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn start(&self, section: Section) -> usize {
        let before = self.lengths.iter().take(usize::from(section.tag()));
        before.fold(self.base, |at, length| at.saturating_add(*length as usize))
    }
}
