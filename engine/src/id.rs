//! Dense ids: each is the position of an entry in one table of one slice.
//!
//! Ids are assigned in name order, mean nothing outside their slice, and are proved in range when a
//! bundle is opened.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The id as a position in its table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A node of the scope tree; 0 is the platform.
    ScopeId;
    /// A declared issuer.
    IssuerId;
    /// A declared group.
    GroupId;
    /// A tag that some principal carries.
    TagId;
    /// A declared principal.
    PrincipalId;
    /// A tool server.
    ServerId;
    /// A surface: tool, prompt, resource or route.
    SurfaceId;
    /// One surface, or one operation of it: what a grant grants.
    PermissionId;
    /// A role, flattened.
    RoleId;
    /// The roles that a binding gives: below the number of roles that one role alone, from there on
    /// the set of several at that position.
    RoleSetId;
    /// A binding.
    BindingId;
    /// A deny or require rule.
    RuleId;
    /// An attribute that some condition reads.
    AttributeId;
    /// A node of the arena of conditions.
    FormulaId;
    /// An argument schema.
    SchemaId;
}
