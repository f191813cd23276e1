//! Section `principals`.

use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::reference::{PrincipalType, ScopePath};
use crate::syntax::scalar::{Label, Timestamp};
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// Somebody or something that calls.
    pub struct Principal: "principal" {
        /// What it is.
        kind "type": Spanned<PrincipalType>;
        /// How tokens name it.
        identity "identity": Option<Identity>;
        /// How tokens name it, where several issuers do.
        identities "identities": Option<List<Identity>>;
        /// Where it belongs: `platform`, an organization or a team.
        within "in": Spanned<ScopePath>;
        /// Tags that bindings and rules may name.
        tags "tags": Option<List<Spanned<Label>>>;
        /// The principal that answers for it.
        owner "owner": Option<Spanned<Label>>;
        /// Whether every call of it is denied.
        suspended "suspended": Option<Spanned<bool>>;
        /// Calls before this time are denied.
        not_before "notBefore": Option<Spanned<Timestamp>>;
        /// Calls from this time on are denied.
        expires "expires": Option<Spanned<Timestamp>>;
    }
    check check_principal;
}

record! {
    /// The name of a principal in the tokens of one issuer.
    pub struct Identity: "identity" {
        /// The issuer.
        issuer "issuer": Spanned<Label>;
        /// The exact value of the claim `sub`.
        subject "subject": Spanned<Text>;
    }
}

impl Principal {
    /// All its identities, however they were written.
    pub fn all_identities(&self) -> impl Iterator<Item = &Identity> {
        self.identity
            .iter()
            .chain(self.identities.iter().flat_map(|list| list.iter()))
    }
}

fn check_principal(_: &Principal, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    map.either("identity", "identities", cx)
        && map.exclusive("identity", "identities", "keep one of them", cx)
}
