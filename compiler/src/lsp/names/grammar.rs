//! Which names belong where in the language: one table for the index and for completion.

use super::Kind;

/// What a scalar or key names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lsp) enum Expect {
    /// It declares such a thing.
    Declare(Kind),
    /// It declares such a thing within another.
    DeclareIn(Kind, String),
    /// One such thing.
    One(Kind),
    /// A scope.
    Scope,
    /// A subject.
    Who,
    /// A surface of this server, or an operation of one.
    Surface(String),
    /// A surface of the server of this matrix.
    MatrixSurface(String),
    /// A permission as tokens spell it.
    Permission,
    /// A condition.
    Condition,
    /// The table of a matrix.
    Outcomes,
    /// An argument of this server's surfaces, or of this one.
    Argument(String, Option<String>),
}

/// What the value at a path names; items of lists are `[]`.
pub(in crate::lsp) fn expected_value(path: &[&str]) -> Option<Expect> {
    use Expect::{Argument, Condition, One, Outcomes, Permission, Scope, Surface, Who};
    Some(match path {
        ["roles", _, "inherits", "[]"] | ["bindings", _, "roles", "[]"] => One(Kind::Role),
        ["roles", _, "allow" | "destructive", server, "[]"]
        | ["rules", _, "surfaces", server, "[]"] => Surface((*server).to_owned()),
        ["bindings" | "rules", _, "who", "[]"] | ["rules", _, "except", "[]"] => Who,
        ["bindings" | "rules" | "servers" | "principals", _, "in"]
        | ["groups", _, "within"]
        | ["servers", _, "scopes", "map", _]
        | ["servers", _, _, _, "scope", "map", _] => Scope,
        ["principals", _, "identity", "issuer"]
        | ["principals", _, "identities", "[]", "issuer"]
        | ["groups", _, "from", "issuer"]
        | ["matrices", _, "callers", _, "issuer"]
        | ["matrices", _, "callers", _, "on_behalf_of", "[]", "issuer"] => One(Kind::Issuer),
        ["principals", _, "owner"]
        | ["groups", _, "members", "[]"]
        | ["matrices", _, "callers", _, "principal"]
        | [
            "matrices",
            _,
            "callers",
            _,
            "on_behalf_of",
            "[]",
            "principal",
        ] => One(Kind::Principal),
        ["matrices", _, "callers", _, "token_permissions", "[]"] => Permission,
        ["principals", _, "tags", "[]"] => One(Kind::Tag),
        ["issuers", _, "organizations", "[]"] => One(Kind::Organization),
        ["matrices", _, "server"] => One(Kind::Server),
        ["matrices", matrix, "others", _, "[]"] => Expect::MatrixSurface((*matrix).to_owned()),
        ["bindings" | "rules", _, "when"] => Condition,
        ["matrices", _, "expect"] => Outcomes,
        ["servers", server, "scopes", "from" | "force", "argument"] => {
            Argument((*server).to_owned(), None)
        }
        ["servers", server, _, surface, "operations", "argument"]
        | [
            "servers",
            server,
            _,
            surface,
            "scope",
            "from" | "force",
            "argument",
        ]
        | ["servers", server, _, surface, "audit", "[]"] => {
            Argument((*server).to_owned(), Some((*surface).to_owned()))
        }
        _ => return None,
    })
}

/// What the keys of the map at a path name.
pub(in crate::lsp) fn expected_key(path: &[&str]) -> Option<Expect> {
    use Expect::{Declare, DeclareIn, One};
    Some(match path {
        ["organizations"] => Declare(Kind::Organization),
        ["issuers"] => Declare(Kind::Issuer),
        ["groups"] => Declare(Kind::Group),
        ["principals"] => Declare(Kind::Principal),
        ["roles"] => Declare(Kind::Role),
        ["bindings"] => Declare(Kind::Binding),
        ["rules"] => Declare(Kind::Rule),
        ["servers"] => Declare(Kind::Server),
        ["matrices"] => Declare(Kind::Matrix),
        ["organizations", organization, "teams"] => {
            DeclareIn(Kind::Team, (*organization).to_owned())
        }
        [
            "servers",
            server,
            "tools" | "prompts" | "resources" | "routes",
        ] => DeclareIn(Kind::Surface, (*server).to_owned()),
        [
            "servers",
            server,
            "tools" | "prompts" | "resources" | "routes",
            surface,
            "operations",
            "values",
        ] => DeclareIn(Kind::Operation, format!("{server}/{surface}")),
        ["roles", _, "allow" | "destructive"] | ["rules", _, "surfaces"] => One(Kind::Server),
        ["matrices", matrix, "calls", _] => Expect::MatrixSurface((*matrix).to_owned()),
        ["servers", server, "arguments"] => Expect::Argument((*server).to_owned(), None),
        _ => return None,
    })
}
