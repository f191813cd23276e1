//! The kinds of named things, and the codes for unknown ones.

use super::Kind;
use crate::diag::codes;

pub(super) const ORGANIZATION: Kind = (&codes::UNKNOWN_SCOPE, "organizations", "organization");
pub(super) const ISSUER: Kind = (&codes::UNKNOWN_ISSUER, "issuers", "issuer");
pub(super) const ROLE: Kind = (&codes::UNKNOWN_ROLE, "roles", "role");
pub(super) const GROUP: Kind = (&codes::UNKNOWN_GROUP, "groups", "group");
pub(super) const PRINCIPAL: Kind = (&codes::UNKNOWN_PRINCIPAL, "principals", "principal");
pub(super) const SERVER: Kind = (&codes::UNKNOWN_SERVER, "servers", "server");
