//! Section `organizations`.

use crate::source::Spanned;
use crate::syntax::collection::Names;
use crate::syntax::scalar::Uuid;
use crate::syntax::shape::record;

record! {
    /// A tenant: the owner of principals, teams and servers.
    pub struct Organization: "organization" {
        /// Its lasting identity, a lowercase UUID.
        id "id": Option<Spanned<Uuid>>;
        /// Its teams.
        teams "teams": Names<Team>;
    }
}

record! {
    /// A team of an organization.
    pub struct Team: "team" {
        /// Its lasting identity, a lowercase UUID.
        id "id": Option<Spanned<Uuid>>;
    }
}
