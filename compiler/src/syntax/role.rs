//! Section `roles`.

use crate::source::Spanned;
use crate::syntax::collection::{List, Names};
use crate::syntax::reference::{Selector, SurfaceRef};
use crate::syntax::scalar::Label;
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// A set of surfaces that bindings give to callers.
    pub struct Role: "role" {
        /// What it allows, by server; never a destructive surface.
        allow "allow": Names<Selector>;
        /// The destructive surfaces that it allows, by server, each by its name.
        destructive "destructive": Names<List<Spanned<SurfaceRef>>>;
        /// Roles whose surfaces it has as well.
        inherits "inherits": Option<List<Spanned<Label>>>;
        /// What it is for.
        description "description": Option<Spanned<Text>>;
    }
    check check_role;
}

fn check_role(role: &Role, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    if role.allow.is_empty() && role.destructive.is_empty() && role.inherits.is_none() {
        return map.must_have("allow", "a role that allows nothing has no use", cx)
            && map.must_have("inherits", "a role that allows nothing has no use", cx);
    }
    true
}
