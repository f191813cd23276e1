//! An opened bundle: the index, proved sound, with the look-ups that decisions need.

use crate::{
    bundle::OpenError,
    call::Caller,
    id::{AttributeId, GroupId, IssuerId, PermissionId, PrincipalId, ScopeId, ServerId, SurfaceId},
    index::{Index, Obligation},
};

/// A policy in force. The only way to one is [`Policy::open`].
#[derive(Debug)]
pub struct Policy {
    index: Index,
}

/// The grants of one caller, resolved once for one policy: ranges of its rows, or merged rows.
#[derive(Debug, Clone, Default)]
pub struct Grants {}

impl Policy {
    /// Opens bundle bytes: proves everything once and refuses any deviation.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let index = crate::bundle::decode(bytes)?;
        Ok(Self { index })
    }

    /// The tables.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }
}
