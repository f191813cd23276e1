//! Index to bytes.

use super::{
    EncodeError, Section, bindings,
    check::check,
    format::{BUNDLE, MAX_BYTES, Wire, Writer},
};
use crate::index::Index;

/// Encodes an index, after the same proof that opening makes.
pub fn encode(index: &Index) -> Result<Vec<u8>, EncodeError> {
    check(index).map_err(|flaw| EncodeError {
        section: flaw.section.name(),
        what: flaw.what,
    })?;
    let mut file = Writer::default();
    file.bytes.extend_from_slice(&BUNDLE);
    let mut bodies = Writer::default();
    for section in Section::ALL {
        let start = bodies.bytes.len();
        write_section(*section, index, &mut bodies).map_err(|what| EncodeError {
            section: section.name(),
            what,
        })?;
        section.tag().write(&mut file);
        file.count(bodies.bytes.len() - start);
        if bodies.overflow || file.overflow || bodies.bytes.len() > MAX_BYTES - (1 << 16) {
            return Err(EncodeError {
                section: section.name(),
                what: "too large for a bundle",
            });
        }
    }
    file.bytes.reserve_exact(bodies.bytes.len());
    file.bytes.append(&mut bodies.bytes);
    Ok(file.bytes)
}

fn write_section(section: Section, index: &Index, to: &mut Writer) -> Result<(), &'static str> {
    match section {
        Section::Project => index.project.write(to),
        Section::Scopes => index.scopes.write(to),
        Section::Issuers => index.issuers.write(to),
        Section::Groups => index.groups.write(to),
        Section::Tags => index.tags.write(to),
        Section::Principals => index.principals.write(to),
        Section::Servers => index.servers.write(to),
        Section::Surfaces => index.surfaces.write(to),
        Section::Schemas => index.schemas.write(to),
        Section::Attributes => index.attributes.write(to),
        Section::Formulas => index.formulas.write(to),
        Section::Roles => index.roles.write(to),
        Section::RoleSets => index.role_sets.write(to),
        Section::Bindings => bindings::write(&index.bindings.columns(), index.bounds(), to)?,
        Section::Rules => index.rules.write(to),
    }
    Ok(())
}
