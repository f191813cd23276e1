//! The bundle format: one value, one legal encoding.
//!
//! A bundle is a magic word with the format's major version, a table of sections in fixed order
//! (one byte of kind, four of length), and the sections, one after the other, without gaps. Inside
//! are counts and columns, no absolute offset, so that a small change makes a small patch. `format`
//! has the alphabet, `columns` what is read at once, `principals`, `bindings` and `tables` the
//! spelling of each type, and `check` what the tables must say to each other, proved before encoding
//! and after decoding alike. `docs/reference/bundle-format.md` describes all of it.

mod bindings;
mod check;
mod columns;
mod decode;
mod encode;
mod format;
pub mod places;
mod principals;
mod tables;

pub(crate) use decode::decode;
pub use encode::encode;

/// Why bytes are not a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenError {
    /// The offset of the first wrong byte, or of the section that does not hold together.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why an index cannot be a bundle. A compiler that keeps the rules of [`Index`](crate::index::Index) never sees one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    /// The section of the bundle.
    pub section: &'static str,
    /// What is wrong there.
    pub what: &'static str,
}

/// The sections of a bundle, in the order in which they lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Project,
    Scopes,
    Issuers,
    Groups,
    Tags,
    Principals,
    Servers,
    Surfaces,
    Schemas,
    Attributes,
    Formulas,
    Roles,
    RoleSets,
    Bindings,
    Rules,
}

impl Section {
    const ALL: &'static [Self] = &[
        Self::Project,
        Self::Scopes,
        Self::Issuers,
        Self::Groups,
        Self::Tags,
        Self::Principals,
        Self::Servers,
        Self::Surfaces,
        Self::Schemas,
        Self::Attributes,
        Self::Formulas,
        Self::Roles,
        Self::RoleSets,
        Self::Bindings,
        Self::Rules,
    ];

    const fn tag(self) -> u8 {
        self as u8
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Scopes => "scopes",
            Self::Issuers => "issuers",
            Self::Groups => "groups",
            Self::Tags => "tags",
            Self::Principals => "principals",
            Self::Servers => "servers",
            Self::Surfaces => "surfaces",
            Self::Schemas => "schemas",
            Self::Attributes => "attributes",
            Self::Formulas => "formulas",
            Self::Roles => "roles",
            Self::RoleSets => "role sets",
            Self::Bindings => "bindings",
            Self::Rules => "rules",
        }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.offset)
    }
}

impl std::error::Error for OpenError {}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "section {}: {}", self.section, self.what)
    }
}

impl std::error::Error for EncodeError {}
