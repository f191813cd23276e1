//! Random policies and calls over names, for property tests and benchmarks.
//!
//! A [`World`] says what a policy says, in names and nested lists; [`World::index`] lowers it. The
//! naive reference evaluator in `tests/` reads worlds directly and shares no code with the engine.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a panic is a failed test, and names are plain"
)]

mod call;
mod generate;
mod lower;
mod schedule;

pub use call::{Argument, Prepared, WorldCall};
pub use generate::Rng;
pub use schedule::{ScheduleEntry, WindowEntry};

use std::net::IpAddr;

use crate::{
    index::{Access, Obligation, PrincipalType, Risk, Unlock},
    time::Dates,
};

/// A policy in names.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Organizations and their teams.
    pub organizations: Vec<(String, Vec<String>)>,
    pub issuers: Vec<IssuerEntry>,
    pub groups: Vec<GroupEntry>,
    pub principals: Vec<PrincipalEntry>,
    pub schedules: Vec<ScheduleEntry>,
    /// Servers and their scopes.
    pub servers: Vec<(String, String)>,
    pub surfaces: Vec<SurfaceEntry>,
    /// Roles and what they give: a surface and, if it has them, one of its operations.
    pub roles: Vec<(String, Vec<PermissionName>)>,
    pub bindings: Vec<BindingEntry>,
    pub rules: Vec<RuleEntry>,
}

/// A surface as `server/name`, and one of its operations.
pub type PermissionName = (String, Option<String>);

#[derive(Debug, Clone)]
pub struct IssuerEntry {
    pub name: String,
    pub organizations: Vec<String>,
    pub undeclared: bool,
    pub undeclared_type: Option<PrincipalType>,
}

#[derive(Debug, Clone)]
pub struct GroupEntry {
    pub name: String,
    /// Issuer and claim value.
    pub claim: Option<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct PrincipalEntry {
    pub name: String,
    pub kind: PrincipalType,
    pub scope: String,
    /// Issuers and subjects.
    pub identities: Vec<(String, String)>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
    pub suspended: bool,
    pub dates: Dates,
}

#[derive(Debug, Clone)]
pub struct SurfaceEntry {
    pub server: String,
    pub name: String,
    pub access: Access,
    pub risk: Risk,
    pub unlock: Unlock,
    pub operations: Vec<(String, Risk)>,
    pub scope: Where,
    pub obligations: Vec<Obligation>,
}

impl SurfaceEntry {
    /// `server/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }
}

/// Where calls of a surface take place.
#[derive(Debug, Clone)]
pub enum Where {
    Server,
    Principal,
    Unscoped,
    Force {
        team: bool,
    },
    /// Values of the argument `repo`, and their scopes.
    Map(Vec<(String, String)>),
}

/// A subject by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    Principal(String),
    Group(String),
    Tag(String),
    Type(PrincipalType),
    Everyone,
}

#[derive(Debug, Clone)]
pub struct BindingEntry {
    pub name: String,
    pub who: Vec<Who>,
    pub roles: Vec<String>,
    pub scope: String,
    pub condition: Option<Condition>,
    pub dates: Dates,
    pub cross_organization: bool,
}

#[derive(Debug, Clone)]
pub struct RuleEntry {
    pub name: String,
    /// `None` is deny.
    pub require: Option<Vec<Obligation>>,
    pub who: Vec<Who>,
    pub except: Vec<Who>,
    pub permissions: Vec<PermissionName>,
    pub scope: String,
    pub condition: Option<Condition>,
    pub dates: Dates,
}

/// A condition as a tree over names. Its [`Display`](std::fmt::Display) is its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Has(&'static str),
    True(&'static str),
    Equal(&'static str, &'static str),
    NotEqual(&'static str, &'static str),
    Less(&'static str, i64),
    AtLeast(&'static str, i64),
    In(&'static str, Vec<&'static str>),
    Member(&'static str, &'static str),
    StartsWith(&'static str, &'static str),
    EndsWith(&'static str, &'static str),
    Contains(&'static str, &'static str),
    SizeAtMost(&'static str, u64),
    Same(&'static str, &'static str),
    /// The address lies in `10.0.0.0/8`.
    Inside,
    /// The time is before this many seconds of 2026.
    Before(&'static str, i64),
    /// The time is in a window of this schedule.
    During(&'static str),
    /// `args.files.all(f, f.path.startsWith(..))`, or `exists`.
    EachPath {
        every: bool,
        prefix: &'static str,
    },
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let joined = |parts: &[Self], with: &str| {
            let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
            parts.join(with)
        };
        match self {
            Self::Has(it) => write!(f, "has({it})"),
            Self::True(it) => write!(f, "{it}"),
            Self::Equal(it, text) => write!(f, "{it} == {text:?}"),
            Self::NotEqual(it, text) => write!(f, "{it} != {text:?}"),
            Self::Less(it, number) => write!(f, "{it} < {number}"),
            Self::AtLeast(it, number) => write!(f, "{it} >= {number}"),
            Self::In(it, texts) => write!(f, "{it} in {texts:?}"),
            Self::Member(it, text) => write!(f, "{text:?} in {it}"),
            Self::StartsWith(it, text) => write!(f, "{it}.startsWith({text:?})"),
            Self::EndsWith(it, text) => write!(f, "{it}.endsWith({text:?})"),
            Self::Contains(it, text) => write!(f, "{it}.contains({text:?})"),
            Self::SizeAtMost(it, size) => write!(f, "size({it}) <= {size}"),
            Self::Same(one, other) => write!(f, "{one} == {other}"),
            Self::Inside => write!(f, "cidr(\"10.0.0.0/8\").containsIP(request.ip)"),
            Self::Before(text, _) => write!(f, "request.time < timestamp({text:?})"),
            Self::During(name) => write!(f, "schedule[{name:?}]"),
            Self::EachPath { every, prefix } => {
                let word = if *every { "all" } else { "exists" };
                write!(f, "args.files.{word}(f, f.path.startsWith({prefix:?}))")
            }
            Self::Not(part) => write!(f, "!({part})"),
            Self::And(parts) => f.write_str(&joined(parts, " && ")),
            Self::Or(parts) => f.write_str(&joined(parts, " || ")),
        }
    }
}

/// The two addresses that random calls come from: one inside `10.0.0.0/8`.
pub const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3)),
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
];
