//! Section `bindings`.

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::reference::{ScopePath, Who};
use crate::syntax::scalar::{Label, Prose, Timestamp};
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// Gives roles to callers in a scope. Only a binding can allow.
    pub struct Binding: "binding" {
        /// Who gets the roles.
        who "who": List<Spanned<Who>>;
        /// The roles.
        roles "roles": List<Spanned<Label>>;
        /// Where they count: this scope and everything below.
        within "in": Spanned<ScopePath>;
        /// A condition that must hold on the call.
        when "when": Option<Prose>;
        /// It counts from this time on.
        not_before "notBefore": Option<Box<Spanned<Timestamp>>>;
        /// It no longer counts from this time on.
        expires "expires": Option<Box<Spanned<Timestamp>>>;
        /// Whether it counts for callers of other organizations; needs a reason.
        cross_organization "crossOrganization": Option<Spanned<bool>>;
        /// Why it is there.
        reason "reason": Option<Spanned<Text>>;
    }
    check check_binding;
}

fn check_binding(binding: &Binding, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let everyone = binding.who.iter().find(|who| who.value == Who::Everyone);
    if let Some(everyone) = everyone {
        cx.sink.push(
            Diagnostic::new(
                &codes::BAD_VALUE,
                everyone.span,
                "a binding cannot name `everyone`",
            )
            .help("name principals, a group, a type or a tag; `everyone` is for rules"),
        );
    }
    let why = "access across organizations is reviewed by its reason";
    let crossing = binding
        .cross_organization
        .is_some_and(|crossing| crossing.value);
    let explained = !crossing || map.needs("crossOrganization", "reason", why, cx);
    everyone.is_none() && explained
}
