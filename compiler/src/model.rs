//! The resolved project: every name refers to something that exists, every item keeps its place.
//!
//! [`resolve`](crate::resolve) makes it from syntax; lints read it; [`lower`](crate::lower) turns it
//! into the engine's index. Maps are by name and ordered, so nothing depends on the order of files.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::{
    condition::{self, Environment, shape::Schedules},
    index::{Algorithm, Disclose, Obligation, PrincipalType, Risk, Transport},
    time::{Dates, Time},
};

use latchkey_gate::settings::{IssuerSettings, ServerSettings};

use crate::{
    calendar::Recurring,
    source::{Span, Spanned},
    text::Text,
};

mod by_name;
mod few;
mod permissions;
mod scope;
mod surface;

pub use by_name::ByName;
pub use few::Few;
pub use permissions::Permissions;
pub use scope::Scope;
pub use surface::{
    Fact, Operation, Operations, Permission, Schema, ScopeSource, Surface, SurfaceName,
};

/// A whole project.
#[derive(Debug, Clone)]
pub struct Model {
    /// The project's name.
    pub project: String,
    /// Organizations.
    pub organizations: ByName<Organization>,
    /// Issuers.
    pub issuers: ByName<Issuer>,
    /// Groups.
    pub groups: ByName<Group>,
    /// Principals.
    pub principals: ByName<Principal>,
    /// Schedules.
    pub schedules: ByName<Schedule>,
    /// What conditions know of the schedules.
    pub worked_out: Arc<Schedules>,
    /// Servers.
    pub servers: ByName<Server>,
    /// Roles.
    pub roles: ByName<Role>,
    /// Bindings.
    pub bindings: ByName<Box<Binding>>,
    /// Rules.
    pub rules: ByName<Rule>,
    /// Golden matrices.
    pub matrices: ByName<Matrix>,
}

impl Model {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        let who = self.organizations.is_empty()
            && self.issuers.is_empty()
            && self.groups.is_empty()
            && self.principals.is_empty();
        let what = self.servers.is_empty() && self.roles.is_empty() && self.bindings.is_empty();
        let rest = self.rules.is_empty() && self.schedules.is_empty() && self.matrices.is_empty();
        who && what && rest
    }

    /// The surface with this name.
    pub fn surface(&self, name: &SurfaceName) -> Option<&Surface> {
        self.servers.get(&name.server)?.surfaces.get(&name.name)
    }

    /// What a condition may read on a surface.
    pub fn environment(&self, surface: &Surface) -> Environment {
        let arguments = surface.schema.as_ref().map(|it| it.shape.clone());
        Environment::new(arguments).with_schedules(self.worked_out.clone())
    }

    /// The risk of a permission; the highest for one that does not exist.
    pub fn risk(&self, permission: &Permission) -> Risk {
        let Some(surface) = self.surface(&permission.surface) else {
            return Risk::Destructive;
        };
        match (&permission.operation, &surface.operations) {
            (Some(operation), Some(operations)) => operations
                .values
                .get(operation)
                .map_or(Risk::Destructive, |it| it.risk),
            _ => surface.risk,
        }
    }
}

/// An organization.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Its name where it is declared.
    pub span: Span,
    /// Its UUID.
    pub id: Option<String>,
    /// Its teams and their places.
    pub teams: BTreeMap<Text, Span>,
}

/// Who may say who calls.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name where it is declared.
    pub span: Span,
    /// The exact `iss` of its tokens.
    pub url: Spanned<Text>,
    /// The audiences that a token may name.
    pub audiences: BTreeSet<String>,
    /// The algorithms that its tokens may use.
    pub algorithms: BTreeSet<Algorithm>,
    /// Its keys: a JWKS as RFC 8785 text.
    pub keys: String,
    /// The organizations that it may speak for.
    pub organizations: BTreeSet<Text>,
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
    /// What else holds for its tokens.
    pub settings: IssuerSettings,
}

/// A declared group.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name where it is declared.
    pub span: Span,
    /// Its members by Git.
    pub members: Few<Text>,
    /// The issuer and claim value that make a caller a member.
    pub claim: Option<(Text, Text)>,
    /// Only bindings inside this scope may name it.
    pub within: Option<Arc<Scope>>,
}

/// A declared principal.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Its name where it is declared.
    pub span: Span,
    /// Its type.
    pub kind: PrincipalType,
    /// Where it belongs.
    pub scope: Arc<Scope>,
    /// Issuer and subject of each identity.
    pub identities: Few<(Text, Text)>,
    /// Its tags.
    pub tags: Few<Text>,
    /// Who answers for it.
    pub owner: Option<Spanned<Text>>,
    /// Suspended in Git.
    pub suspended: bool,
    /// When it may call.
    pub dates: Period,
}

/// A period and where it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// The dates; both absent is always.
    pub dates: Dates,
    /// The place of `notBefore`.
    pub not_before: Option<Span>,
    /// The place of `expires`.
    pub expires: Option<Span>,
}

/// What recurs by the clock of a place.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name where it is declared.
    pub span: Span,
    /// Its time zone.
    pub zone: String,
    /// Its local days and hours.
    pub recurring: Vec<Recurring>,
    /// Local dates on which it is not on, as days since 1970.
    pub except: BTreeSet<i64>,
    /// Where its local days and hours are written.
    pub places: Vec<WindowPlace>,
    /// Where the dates on which it is not on are written.
    pub dates_off: BTreeMap<i64, Span>,
    /// The period that it is worked out for.
    pub dates: Period,
    /// Its windows in that period.
    pub worked_out: condition::Schedule,
}

/// Where a time of day on some days of the week is written.
#[derive(Debug, Clone)]
pub struct WindowPlace {
    /// When it begins.
    pub from: Span,
    /// When it ends.
    pub to: Span,
    /// The days that are named, Monday is 0.
    pub days: BTreeMap<u8, Span>,
}

/// A tool server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name where it is declared.
    pub span: Span,
    /// Where it belongs.
    pub scope: Spanned<Arc<Scope>>,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its address.
    pub upstream: String,
    /// What refused callers are told.
    pub disclose: Disclose,
    /// Largest request body, in bytes.
    pub max_body: u32,
    /// How long a client may take to send its headers, in milliseconds.
    pub header_timeout: u32,
    /// How long the server may take until its answer begins, in milliseconds.
    pub timeout: u32,
    /// What else holds for it.
    pub settings: ServerSettings,
    /// What can be called.
    pub surfaces: ByName<Surface>,
}

/// A role with all that it inherits.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name where it is declared.
    pub span: Span,
    /// The roles that it inherits directly.
    pub inherits: Vec<Spanned<Text>>,
    /// What it grants by its own words, with the place of the selector.
    pub own: Arc<Permissions>,
    /// What it grants in all, with the place of one selector that says so.
    pub permissions: Arc<Permissions>,
}

impl Role {
    /// What it grants by its own words, to change that; what it grants in all does not follow.
    pub fn own_mut(&mut self) -> &mut Permissions {
        Arc::make_mut(&mut self.own)
    }
}

/// Whom a binding or rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// One principal.
    Principal(Text),
    /// All members of a group.
    Group(Text),
    /// All principals with a tag.
    Tag(Text),
    /// All callers of a type.
    Type(PrincipalType),
    /// Every caller, also an anonymous one.
    Everyone,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Principal(name) => f.write_str(name),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Tag(name) => write!(f, "tag:{name}"),
            Self::Type(kind) => write!(f, "type:{}", type_name(*kind)),
            Self::Everyone => f.write_str("everyone"),
        }
    }
}

/// The spelling of a principal's type.
pub fn type_name(kind: PrincipalType) -> &'static str {
    match kind {
        PrincipalType::Human => "human",
        PrincipalType::Service => "service",
        PrincipalType::Agent => "agent",
    }
}

/// The spelling of a risk.
pub fn risk_name(risk: Risk) -> &'static str {
    match risk {
        Risk::Read => "read",
        Risk::Write => "write",
        Risk::Destructive => "destructive",
    }
}

/// Gives roles to subjects in a scope.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Its name where it is declared.
    pub span: Span,
    /// Whom it speaks of.
    pub who: Vec<Spanned<Who>>,
    /// The roles that it gives.
    pub roles: Vec<Spanned<Text>>,
    /// Where it holds.
    pub scope: Spanned<Arc<Scope>>,
    /// Its condition.
    pub when: Option<Arc<Condition>>,
    /// When it holds.
    pub dates: Period,
    /// Whether it reaches into other organizations.
    pub cross_organization: bool,
    /// Why it exists.
    pub reason: Option<Text>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Refuses, and says this.
    Deny(Text),
    /// Adds obligations.
    Require(BTreeSet<Obligation>),
}

/// A deny or require rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name where it is declared.
    pub span: Span,
    /// What it does.
    pub effect: Effect,
    /// Whom it speaks of; empty is everyone.
    pub who: Vec<Spanned<Who>>,
    /// Whom it leaves out.
    pub except: Vec<Spanned<Who>>,
    /// What it speaks of, with the place of the selector; everything when it has none.
    pub permissions: Permissions,
    /// Where it holds.
    pub scope: Arc<Scope>,
    /// Its condition.
    pub when: Option<Arc<Condition>>,
    /// When it holds.
    pub dates: Period,
}

/// A condition that type-checks on everything it applies to.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The whole scalar.
    pub span: Span,
    /// The text as written.
    pub text: Text,
    /// What it means; those that say the same share it.
    pub typed: Arc<condition::Typed>,
}

impl Condition {
    /// What was written, read once more: few ask, and it is larger than what it means.
    pub fn expression(&self) -> Option<condition::Expr> {
        condition::parse(&self.text).ok()
    }
}

/// A table of callers and calls with the outcome that each must have.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Its name where it is declared.
    pub span: Span,
    /// The server that is called.
    pub server: Text,
    /// The time of all its calls.
    pub at: Time,
    /// The callers, in the order of the table's columns.
    pub callers: Vec<MatrixCaller>,
    /// The calls, in the order of the table's rows.
    pub calls: Vec<MatrixCall>,
    /// The cells, row by row.
    pub cells: Vec<Cell>,
    /// What else each caller may ever reach, by position of the caller.
    pub others: Vec<Others>,
}

/// A caller of a matrix.
#[derive(Debug, Clone)]
pub struct MatrixCaller {
    /// Its name in the matrix.
    pub name: Spanned<Text>,
    /// `caller`, `on_behalf_of`, `ip`, ... as members of an `eval` line, each as JSON text.
    pub facts: Vec<(&'static str, String)>,
}

/// A call of a matrix.
#[derive(Debug, Clone)]
pub struct MatrixCall {
    /// Its name in the matrix.
    pub name: Spanned<Text>,
    /// `tool` and `arguments`, or `method`, `path` and `body`, as members of an `eval` line, each
    /// as JSON text with numbers as they are written.
    pub facts: Vec<(&'static str, String)>,
}

/// One expected outcome.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The position of the caller.
    pub caller: usize,
    /// The position of the call.
    pub call: usize,
    /// `allow`, or the word of a reason.
    pub expected: Spanned<Text>,
}

/// What else a caller may ever reach.
#[derive(Debug, Clone)]
pub struct Others {
    /// The list.
    pub span: Span,
    /// Surfaces or operations of the matrix's server.
    pub permissions: Permissions,
}
