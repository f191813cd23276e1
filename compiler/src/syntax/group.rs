//! Section `groups`.

use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::reference::ScopePath;
use crate::syntax::scalar::Label;
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// A set of callers: declared principals, or those whose token says so.
    pub struct Group: "group" {
        /// Principals that belong to it.
        members "members": Option<List<Spanned<Label>>>;
        /// The token claim value that makes a caller a member.
        from "from": Option<GroupSource>;
        /// Only bindings inside this scope may name the group.
        within "within": Option<Spanned<ScopePath>>;
    }
    check check_group;
}

record! {
    /// A value of the group claim of one issuer.
    pub struct GroupSource: "group source" {
        /// The issuer.
        issuer "issuer": Spanned<Label>;
        /// The value of its group claim.
        value "value": Spanned<Text>;
    }
}

fn check_group(_: &Group, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    map.either("members", "from", cx)
}
