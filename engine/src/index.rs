//! The compiled policy of one slice: flat sorted tables.
//!
//! This is what the compiler lowers into, what [`bundle`](crate::bundle) encodes, and what a
//! [`Policy`](crate::policy::Policy) holds. Tables are sorted by name and ids are positions.
//! Large tables are columns.

use crate::{
    condition::{Attribute, Formula},
    id::{
        FormulaId, GroupId, IssuerId, PermissionId, PrincipalId, RoleId, RoleSetId, SchemaId,
        ScopeId, ServerId, SurfaceId, TagId,
    },
    lists::Lists,
    scope::ScopeTree,
    sparse::Periods,
    strings::Strings,
    time::Dates,
};

pub mod bindings;

pub use bindings::{BindingColumns, Bindings, Bounds};

/// All that one slice holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The project's name.
    pub project: String,
    /// The scope tree.
    pub scopes: ScopeTree,
    /// Issuers by name.
    pub issuers: Vec<Issuer>,
    /// Groups by name.
    pub groups: Vec<Group>,
    /// Tags by name.
    pub tags: Strings,
    /// Principals by name.
    pub principals: Principals,
    /// Servers by name.
    pub servers: Vec<Server>,
    /// Surfaces by server, then name.
    pub surfaces: Vec<Surface>,
    /// Argument schemas as RFC 8785 text, sorted, distinct.
    pub schemas: Vec<String>,
    /// Attributes that conditions read, sorted, distinct.
    pub attributes: Vec<Attribute>,
    /// The arena of conditions, in the order that [`crate::condition`] defines.
    pub formulas: Vec<Formula>,
    /// Roles by name, flattened.
    pub roles: Roles,
    /// Sets of several roles that bindings give: each sorted and distinct; sorted, distinct.
    /// [`RoleSetId`] says how they are numbered.
    pub role_sets: Lists<RoleId>,
    /// Bindings by first subject, scope and name.
    pub bindings: Bindings,
    /// Rules by name.
    pub rules: Vec<Rule>,
}

/// What kind of caller a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalType {
    /// A person.
    Human,
    /// A program that acts by itself, without a model.
    Service,
    /// A model that acts.
    Agent,
}

/// Whom a binding or rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One principal.
    Principal(PrincipalId),
    /// All members of a group.
    Group(GroupId),
    /// All principals with a tag.
    Tag(TagId),
    /// All callers of a type.
    Type(PrincipalType),
    /// Every caller, also an anonymous one; rules only.
    Everyone,
}

/// A signature algorithm for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSA PSS with SHA-256.
    Ps256,
}

/// Who may say who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name in the policy.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub url: String,
    /// The audiences, one of which a token must name; sorted.
    pub audiences: Vec<String>,
    /// The algorithms that its tokens may use; sorted.
    pub algorithms: Vec<Algorithm>,
    /// Its keys: a JWKS as RFC 8785 text.
    pub keys: String,
    /// The organizations that it may speak for; sorted.
    pub organizations: Vec<ScopeId>,
    /// Whether subjects that no principal declares may call.
    pub undeclared: bool,
    /// The type of undeclared subjects.
    pub undeclared_type: Option<PrincipalType>,
    /// The claim that lists groups.
    pub groups_claim: Option<String>,
    /// Tolerated difference of clocks, in seconds.
    pub clock_skew: u32,
    /// The longest accepted life of a token, in seconds; 0 is no limit.
    pub max_lifetime: u32,
    /// What else enforcing it needs: JSON as RFC 8785 text, empty where all is as usual.
    pub settings: String,
}

/// A declared group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name in the policy.
    pub name: String,
    /// The issuer and claim value that make a caller a member.
    pub claim: Option<(IssuerId, String)>,
}

/// Principals, as columns of equal length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principals {
    /// Names, sorted.
    pub names: Strings,
    /// Types.
    pub types: Vec<PrincipalType>,
    /// Where each belongs: platform, organization or team.
    pub scopes: Vec<ScopeId>,
    /// When each may call.
    pub dates: Periods,
    /// Suspended in Git; sorted.
    pub suspended: Vec<PrincipalId>,
    /// `(issuer, principal)` for each identity, whose subject is in `identity_subjects`; sorted by
    /// issuer and then subject text, distinct.
    pub identities: Vec<(IssuerId, PrincipalId)>,
    /// The subject of each identity, in the same order.
    pub identity_subjects: Strings,
    /// `(principal, tag)`, sorted.
    pub tags: Vec<(PrincipalId, TagId)>,
    /// `(principal, group)` by Git, sorted.
    pub groups: Vec<(PrincipalId, GroupId)>,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// MCP over streamable HTTP.
    Mcp,
    /// Plain HTTP.
    Http,
}

/// What a refused caller is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disclose {
    /// Nothing: every refusal looks like an unknown surface.
    Hidden,
    /// The reason's code, and the author's message, to callers that could be allowed at all.
    #[default]
    Code,
    /// Also the rule and its place in Git.
    Full,
}

/// A tool server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name in the policy.
    pub name: String,
    /// Where it belongs.
    pub scope: ScopeId,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its address, as an absolute `http://` URL.
    pub upstream: String,
    /// What refused callers are told.
    pub disclose: Disclose,
    /// Largest request body, in bytes.
    pub max_body: u32,
    /// How long a client may take to send its headers, in milliseconds.
    pub header_timeout: u32,
    /// How long the server may take until its answer begins, in milliseconds.
    pub timeout: u32,
    /// What else enforcing it needs: JSON as RFC 8785 text, empty where all is as usual.
    pub settings: String,
}

/// What a call can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Reads.
    Read,
    /// Changes what can be changed back.
    Write,
    /// Cannot be undone; no wildcard grants it.
    Destructive,
}

/// What a destructive call needs besides its grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unlock {
    /// A verified activation.
    #[default]
    BreakGlass,
    /// Nothing more.
    Grant,
}

/// Who may ask at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Callers with a grant.
    #[default]
    Permission,
    /// Every authenticated caller.
    Authenticated,
    /// Everybody.
    Public,
}

/// One thing of a server that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surface {
    /// Its server.
    pub server: ServerId,
    /// Its name; unique in the server.
    pub name: String,
    /// What it is, and how a request names it.
    pub kind: SurfaceKind,
    /// Its risk; with operations, the highest of theirs.
    pub risk: Risk,
    /// What it needs when destructive.
    pub unlock: Unlock,
    /// Who may ask.
    pub access: Access,
    /// Its operations, when an argument chooses one.
    pub operations: Option<Operations>,
    /// Where a call of it takes place.
    pub scope: ScopeSource,
    /// Facts about its arguments, by path; sorted.
    pub arguments: Vec<ArgumentFact>,
    /// The schema of its arguments. Without one, every argument is accepted and conditions can
    /// read none.
    pub schema: Option<SchemaId>,
    /// What every allowed call carries, from the surface and its server; sorted.
    pub obligations: Vec<Obligation>,
    /// The arguments whose values may be logged; sorted.
    pub audit: Vec<String>,
    /// What else enforcing it needs: JSON as RFC 8785 text, empty where all is as usual.
    pub settings: String,
}

/// What a surface is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SurfaceKind {
    /// An MCP tool, called by its name.
    Tool,
    /// An MCP prompt, fetched by its name.
    Prompt,
    /// MCP resources whose URI matches a template such as `file:///docs/{path}`.
    Resource {
        /// The template.
        uri: String,
    },
    /// HTTP requests of one method whose path matches a template such as `/v1/refunds/{id}`.
    Route {
        /// The method, in upper case.
        method: String,
        /// The template.
        path: String,
    },
}

/// Operations that one argument chooses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    /// The argument.
    pub argument: ArgumentPath,
    /// The values, sorted by name.
    pub values: Vec<(String, Risk)>,
}

/// The path of an argument: one name for a tool's, `["path", "id"]` for a route's.
pub type ArgumentPath = Vec<String>;

/// Where a call takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeSource {
    /// In the server's own scope.
    Server,
    /// In the current actor's own scope.
    Principal,
    /// An argument names it, through a closed map.
    Map {
        /// The argument.
        argument: ArgumentPath,
        /// Exact values, sorted.
        exact: ScopeNames,
        /// Prefixes, longest first, then sorted.
        prefixes: ScopeNames,
    },
    /// The sidecar writes the current actor's organization or team into an argument.
    Force {
        /// The argument.
        argument: ArgumentPath,
        /// The team rather than the organization.
        team: bool,
    },
    /// Anywhere: needs a grant at the server's scope.
    Unscoped,
}

/// Texts that name scopes: a large project has one list of tens of thousands for each surface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeNames {
    texts: Strings,
    scopes: Vec<ScopeId>,
}

impl ScopeNames {
    /// Appends a text. Answers false, and changes nothing, once 4 GiB would be passed.
    pub fn push(&mut self, text: &str, scope: ScopeId) -> bool {
        let pushed = self.texts.push(text);
        if pushed {
            self.scopes.push(scope);
        }
        pushed
    }

    /// The scope that a text names, where the texts are sorted.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<ScopeId> {
        self.scopes.get(self.texts.position(text)?).copied()
    }

    /// The scope of the longest of these that a text begins with, where the longest come first.
    #[must_use]
    pub fn by_prefix(&self, text: &str) -> Option<ScopeId> {
        let mut fitting = self.iter().filter(|(prefix, _)| text.starts_with(prefix));
        fitting.next().map(|(_, scope)| scope)
    }

    /// The texts, in order.
    #[must_use]
    pub fn texts(&self) -> &Strings {
        &self.texts
    }

    /// The scopes, in the order of their texts.
    #[must_use]
    pub fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    /// Each text and the scope that it names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, ScopeId)> + Clone {
        self.texts.iter().zip(self.scopes.iter().copied())
    }

    /// Gives back what growth left over.
    pub fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit();
        self.scopes.shrink_to_fit();
    }
}

impl<S: AsRef<str>> FromIterator<(S, ScopeId)> for ScopeNames {
    fn from_iter<I: IntoIterator<Item = (S, ScopeId)>>(named: I) -> Self {
        let mut names = Self::default();
        for (text, scope) in named {
            names.push(text.as_ref(), scope);
        }
        names
    }
}

/// A fact about one argument of a surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentFact {
    /// The argument.
    pub argument: ArgumentPath,
    /// How the upstream folds it.
    pub fold: Option<Fold>,
    /// The only accepted values, after the fold; sorted. Empty is any.
    pub only: Vec<String>,
    /// The value that the sidecar writes: RFC 8785 text of a JSON scalar.
    pub force: Option<String>,
    /// Whether a call that has it is refused.
    pub forbid: bool,
}

/// How an upstream folds a text before it uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fold {
    /// ASCII upper case to lower; other characters are undetermined.
    AsciiLower,
    /// `.`, `..` and `//` are resolved; an escape above the root is undetermined.
    PosixPath,
}

/// What an allow carries with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obligation {
    /// At most this many calls in a window.
    Rate {
        /// Whose calls count together.
        pool: Pool,
        /// The calls of what count together.
        reach: Reach,
        /// How many.
        count: u32,
        /// The window, in seconds.
        seconds: u32,
    },
    /// At most this many calls at the same time.
    Concurrency {
        /// Whose calls count together.
        pool: Pool,
        /// The calls of what count together.
        reach: Reach,
        /// How many.
        count: u32,
    },
}

/// Whose calls a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// Those of one caller: the current actor.
    Caller,
    /// Those of the callers of one team; whoever has none counts with the others of that kind in
    /// the organization.
    Team,
    /// Those of the callers of one organization.
    Organization,
    /// Those from one network address.
    Source,
    /// Those of everyone.
    Everyone,
}

/// The calls of what a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Of one surface.
    Surface,
    /// Of all surfaces of the server.
    Server,
}

impl Obligation {
    /// At most `count` calls of the surface by one caller in this many seconds.
    #[must_use]
    pub const fn rate(count: u32, seconds: u32) -> Self {
        Self::Rate {
            pool: Pool::Caller,
            reach: Reach::Surface,
            count,
            seconds,
        }
    }

    /// Whether whoever keeps to this one keeps to the other: the same calls and more are counted,
    /// and no more are let through.
    #[must_use]
    pub fn implies(self, weaker: Self) -> bool {
        let counts =
            |pool: Pool, reach: Reach, its: (Pool, Reach)| pool.contains(its.0) && reach >= its.1;
        match (self, weaker) {
            (
                Self::Rate {
                    pool,
                    reach,
                    count,
                    seconds,
                },
                Self::Rate {
                    pool: its_pool,
                    reach: its_reach,
                    count: more,
                    seconds: window,
                },
            ) => counts(pool, reach, (its_pool, its_reach)) && count <= more && seconds >= window,
            (
                Self::Concurrency { pool, reach, count },
                Self::Concurrency {
                    pool: its_pool,
                    reach: its_reach,
                    count: more,
                },
            ) => counts(pool, reach, (its_pool, its_reach)) && count <= more,
            _ => false,
        }
    }
}

impl Pool {
    /// Whether every call that counts with another in the smaller pool does in this one, too.
    fn contains(self, smaller: Self) -> bool {
        self == smaller
            || self == Self::Everyone
            || self > smaller && self != Self::Source && smaller != Self::Source
    }
}

/// Roles with all that they inherit, as columns of equal length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    /// Names, sorted.
    pub names: Strings,
    /// What each grants; sorted, distinct, not empty.
    pub permissions: Lists<PermissionId>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Refuses.
    Deny,
    /// Adds obligations; sorted, not empty.
    Require(Vec<Obligation>),
}

/// A deny or require rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in the policy.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// Whom it speaks of; sorted. Empty is everyone.
    pub who: Vec<Subject>,
    /// Whom it leaves out; sorted.
    pub except: Vec<Subject>,
    /// What it speaks of; sorted, distinct, not empty.
    pub permissions: Vec<PermissionId>,
    /// Where it holds, with everything below.
    pub scope: ScopeId,
    /// Its condition.
    pub condition: Option<FormulaId>,
    /// Its period.
    pub dates: Dates,
    /// What the author tells a refused caller.
    pub message: Option<String>,
}

impl Surface {
    /// How many permissions it has: one for each operation, or one.
    #[must_use]
    pub fn permission_count(&self) -> usize {
        self.operations
            .as_ref()
            .map_or(1, |operations| operations.values.len())
    }
}

impl Index {
    /// Lets a grant unlock every surface, as if each break-glass were activated.
    pub fn unlock(&mut self) {
        for surface in &mut self.surfaces {
            surface.unlock = Unlock::Grant;
        }
    }

    /// How many there are of what bindings name.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Bounds {
            principals: count(self.principals.names.len()),
            groups: count(self.groups.len()),
            tags: count(self.tags.len()),
            scopes: count(self.scopes.nodes().len()),
            role_sets: count(self.role_set_count()),
        }
    }

    /// The roles of a role set, sorted.
    pub fn roles_of(&self, set: RoleSetId) -> impl Iterator<Item = RoleId> {
        let several = set.index().checked_sub(self.roles.names.len());
        let own = several.is_none().then_some(RoleId(set.0)).into_iter();
        let several = several.map(|at| self.role_sets.get(at)).unwrap_or_default();
        own.chain(several.iter().copied())
    }

    /// The permissions of a role set, role by role; of two roles that give one, both name it.
    pub fn permissions_of(&self, set: RoleSetId) -> impl Iterator<Item = PermissionId> {
        let roles = self.roles_of(set);
        roles.flat_map(|role| self.roles.permissions.get(role.index()).iter().copied())
    }

    /// How many role sets there are; their ids are dense.
    #[must_use]
    pub fn role_set_count(&self) -> usize {
        self.roles.names.len() + self.role_sets.len()
    }

    /// The first permission of each surface, and one past the last: permissions are numbered
    /// surface by surface, operation by operation.
    #[must_use]
    pub fn permission_starts(&self) -> Vec<PermissionId> {
        let mut next = 0;
        let mut starts = vec![PermissionId(0)];
        for surface in &self.surfaces {
            next += u32::try_from(surface.permission_count()).unwrap_or(0);
            starts.push(PermissionId(next));
        }
        starts
    }

    /// The surface that a permission belongs to, and the position of its operation.
    #[must_use]
    pub fn permission_surface(
        starts: &[PermissionId],
        permission: PermissionId,
    ) -> (SurfaceId, usize) {
        let after = starts.partition_point(|start| *start <= permission);
        let surface = after.saturating_sub(1);
        let start = starts.get(surface).copied().unwrap_or(PermissionId(0));
        (
            SurfaceId(u32::try_from(surface).unwrap_or(u32::MAX)),
            (permission.0 - start.0) as usize,
        )
    }
}
