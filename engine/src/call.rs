//! A call as facts: what `decide` is asked about.

use std::net::IpAddr;

use crate::{
    id::{GroupId, IssuerId, PermissionId, PrincipalId, ScopeId, SurfaceId},
    index::PrincipalType,
    policy::Grants,
    slot::Slot,
    time::Time,
};

/// The longest chain of callers that act for one another.
pub const MAX_CALLERS: usize = 4;
/// The most scopes that one call may touch.
pub const MAX_SCOPES: usize = 16;

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The actor chain: the current actor first, the one it acts for last. Empty without identity.
    pub callers: &'a [Caller],
    /// The surface; `None` when nothing in the registry matches.
    pub surface: Option<SurfaceId>,
    /// The operation of the surface.
    pub operation: Operation<'a>,
    /// Where the call takes place.
    pub scopes: Scopes<'a>,
    /// What is known of the arguments.
    pub arguments: Arguments<'a>,
    /// The address that the call came from.
    pub address: Option<IpAddr>,
    /// The permissions that the token is restricted to, sorted; `None` is no restriction.
    pub token_permissions: Option<&'a [PermissionId]>,
    /// The token's id, for revocation.
    pub token_id: Option<&'a str>,
    /// The time of the decision.
    pub now: Time,
}

/// Which operation of the surface is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Not known yet, in discovery: any.
    Any,
    /// The surface has none.
    None,
    /// The argument is absent or has an undeclared value.
    Undeclared,
    /// Positions in the surface's operations; every one must be allowed. Not empty.
    These(&'a [usize]),
}

/// Where a call takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scopes<'a> {
    /// Not known yet, in discovery: any that a call of the surface could have.
    Any,
    /// Absent, unmapped, too many, or outside the server's.
    Invalid,
    /// Sorted, distinct, not empty; the call must be allowed in every one.
    These(&'a [ScopeId]),
}

/// What is known of the arguments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arguments<'a> {
    /// Nothing yet: discovery.
    Unknown,
    /// They fail the schema or an argument fact.
    Invalid,
    /// One slot for each of [`Policy::slots`](crate::policy::Policy::slots) of the surface.
    Slots(&'a [Slot<'a>]),
}

/// Who calls, resolved against one policy. Build with
/// [`Policy::caller`](crate::policy::Policy::caller); keep with the verified token, as long as the
/// bundle stands.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The issuer that vouches.
    pub issuer: IssuerId,
    /// The declared principal; `None` for an undeclared subject.
    pub principal: Option<PrincipalId>,
    /// The type, declared or the issuer's constant.
    pub kind: Option<PrincipalType>,
    /// Where it belongs; `None` for an undeclared subject of an issuer with several organizations.
    pub scope: Option<ScopeId>,
    /// All groups, by Git and by token; sorted.
    pub groups: Vec<GroupId>,
    /// Its grants, resolved once.
    pub grants: Grants,
}
