//! Policies of a chosen size, and requests for them.

use latchkey_engine::{
    index::{Access, PrincipalType, Risk, Unlock},
    testing::{
        BindingEntry, Condition, GroupEntry, IssuerEntry, PrincipalEntry, Rng, SurfaceEntry, Where,
        Who, World,
    },
    time::{Dates, Time},
};

/// 2026-12-01T10:00:00Z.
pub const NOW: Time = Time(1_796_119_200);
/// Surfaces of the one server, and so permissions.
pub const SURFACES: usize = 256;
/// How many permissions each role has.
const ROLE_SIZE: usize = 20;
/// How many principals hold a tenth of all bindings.
pub const HEAVY: usize = 10;

/// A policy of one server, in numbers: what the peers are given, too.
#[derive(Debug)]
pub struct Plan {
    /// How many teams each organization has.
    pub teams: usize,
    /// How many organizations there are.
    pub organizations: usize,
    /// The organization and team of each principal; the first ten have none.
    pub homes: Vec<(usize, usize)>,
    /// How many groups there are.
    pub groups: usize,
    /// The surfaces of each role, sorted.
    pub roles: Vec<Vec<usize>>,
    /// Who holds which role where.
    pub bindings: Vec<Binding>,
}

/// One binding.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Who holds it.
    pub holder: Holder,
    /// The role.
    pub role: usize,
    /// Where.
    pub place: Place,
}

/// Who holds a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A principal.
    Principal(usize),
    /// A group, of whom a token says so.
    Group(usize),
}

/// An organization, and a team of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The organization.
    pub organization: usize,
    /// The team; none is the whole organization.
    pub team: Option<usize>,
}

/// A request: a principal, a surface and a team.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Who calls.
    pub principal: u32,
    /// What is called.
    pub surface: u16,
    /// The team's organization.
    pub organization: u16,
    /// The team.
    pub team: u16,
}

impl Place {
    /// Its path.
    pub fn path(self) -> String {
        match self.team {
            None => format!("org-{:03}", self.organization),
            Some(team) => format!("org-{:03}/team-{team:03}", self.organization),
        }
    }
}

impl Plan {
    /// A policy with this many bindings: 10 to a principal, of which a fifth is held in the
    /// organization and the others in teams; a tenth of all by ten services without an
    /// organization, a tenth by groups.
    pub fn new(size: usize, rng: &mut Rng) -> Self {
        let (organizations, teams) = match size {
            0..1000 => (2, 3),
            1000..50_000 => (10, 20),
            50_000..500_000 => (40, 50),
            _ => (200, 100),
        };
        let principals = (size / 10).max(HEAVY + 10);
        let place = |rng: &mut Rng| (rng.below(organizations), rng.below(teams));
        let homes: Vec<_> = (0..principals).map(|_| place(rng)).collect();
        let groups = (size / 100).max(8);
        let roles: Vec<Vec<usize>> = (0..(size / 500).clamp(5, 2000))
            .map(|_| {
                let mut given: Vec<usize> = (0..ROLE_SIZE).map(|_| rng.below(SURFACES)).collect();
                given.sort_unstable();
                given.dedup();
                given
            })
            .collect();
        let bindings = (0..size)
            .map(|at| {
                let holder = match at % 10 {
                    0 => Holder::Principal(rng.below(HEAVY)),
                    1 => Holder::Group(rng.below(groups)),
                    _ => Holder::Principal(HEAVY + rng.below(principals - HEAVY)),
                };
                let (organization, own) = match holder {
                    Holder::Principal(it) if it >= HEAVY => homes[it],
                    _ => place(rng),
                };
                let team = match rng.below(10) {
                    0 | 1 => None,
                    2..6 => Some(own),
                    _ => Some(rng.below(teams)),
                };
                Binding {
                    holder,
                    role: rng.below(roles.len()),
                    place: Place { organization, team },
                }
            })
            .collect();
        Self {
            teams,
            organizations,
            homes,
            groups,
            roles,
            bindings,
        }
    }

    /// Random requests, half of them aimed at a grant; `wanted` chooses whose bindings they aim at.
    pub fn requests(
        &self,
        count: usize,
        rng: &mut Rng,
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<Request> {
        let aims: Vec<&Binding> = self
            .bindings
            .iter()
            .filter(|it| matches!(it.holder, Holder::Principal(at) if wanted(at)))
            .collect();
        let one = |at: usize| {
            let aim = rng.pick(&aims);
            let Holder::Principal(principal) = aim.holder else {
                unreachable!("only principals were kept");
            };
            let (surface, team) = if at % 2 == 0 {
                let team = aim.place.team.unwrap_or_else(|| rng.below(self.teams));
                (*rng.pick(&self.roles[aim.role]), team)
            } else {
                (rng.below(SURFACES), rng.below(self.teams))
            };
            Request {
                principal: principal as u32,
                surface: surface as u16,
                organization: aim.place.organization as u16,
                team: team as u16,
            }
        };
        (0..count).map(one).collect()
    }

    /// The policy as the engine's tables, every binding under a condition of this many tests that
    /// all hold.
    pub fn world(&self, atoms: usize) -> World {
        let organization = |at: usize| {
            let teams = (0..self.teams).map(|team| format!("team-{team:03}"));
            (format!("org-{at:03}"), teams.collect())
        };
        let binding = |(at, it): (usize, &Binding)| BindingEntry {
            name: format!("binding-{at:07}"),
            who: vec![match it.holder {
                Holder::Principal(at) => Who::Principal(principal_name(at)),
                Holder::Group(at) => Who::Group(group_name(at)),
            }],
            roles: vec![role_name(it.role)],
            scope: it.place.path(),
            condition: condition(at, atoms),
            dates: Dates::default(),
            cross_organization: false,
        };
        World {
            organizations: (0..self.organizations).map(organization).collect(),
            issuers: vec![IssuerEntry {
                name: "idp".to_owned(),
                organizations: Vec::new(),
                undeclared: false,
                undeclared_type: None,
            }],
            groups: (0..self.groups).map(group).collect(),
            schedules: Vec::new(),
            principals: (0..self.homes.len()).map(|at| self.principal(at)).collect(),
            servers: vec![("tools".to_owned(), "platform".to_owned())],
            surfaces: (0..SURFACES).map(surface).collect(),
            roles: self.roles.iter().enumerate().map(role).collect(),
            bindings: self.bindings.iter().enumerate().map(binding).collect(),
            rules: Vec::new(),
        }
    }

    fn principal(&self, at: usize) -> PrincipalEntry {
        let (organization, team) = self.homes[at];
        let team = Some(team);
        PrincipalEntry {
            name: principal_name(at),
            kind: PrincipalType::Service,
            scope: if at < HEAVY {
                "platform".to_owned()
            } else {
                Place { organization, team }.path()
            },
            identities: vec![("idp".to_owned(), subject(at))],
            groups: Vec::new(),
            tags: Vec::new(),
            suspended: false,
            dates: Dates::default(),
        }
    }
}

/// Tests on three arguments; which numbers they compare with differs from binding to binding.
fn condition(binding: usize, atoms: usize) -> Option<Condition> {
    let bound = 1000 + i64::try_from(binding % 50).unwrap_or(0);
    let tests = (0..atoms).map(|at| {
        let step = i64::try_from(at).unwrap_or(0) * 100;
        match at % 3 {
            0 => Condition::Less("args.amount", bound + step),
            1 => Condition::In("args.repo", vec!["infra", "invoices", "ledger"]),
            _ => Condition::NotEqual("args.owner", ["evil", "mallory", "root"][at / 3 % 3]),
        }
    });
    // Equal tests would be folded into one.
    let mut tests: Vec<Condition> = tests.collect();
    for at in (1..tests.len()).step_by(3).skip(1) {
        tests[at] = Condition::AtLeast("args.amount", bound / 10 + i64::try_from(at).unwrap_or(0));
    }
    match tests.len() {
        0 => None,
        _ => Some(Condition::And(tests)),
    }
}

fn group(at: usize) -> GroupEntry {
    GroupEntry {
        name: group_name(at),
        claim: Some(("idp".to_owned(), claim(at))),
    }
}

fn surface(at: usize) -> SurfaceEntry {
    SurfaceEntry {
        server: "tools".to_owned(),
        name: surface_name(at),
        access: Access::Permission,
        risk: Risk::Read,
        unlock: Unlock::default(),
        operations: Vec::new(),
        scope: Where::Server,
        obligations: Vec::new(),
    }
}

fn role((at, given): (usize, &Vec<usize>)) -> (String, Vec<(String, Option<String>)>) {
    let given = given.iter();
    let given = given.map(|it| (format!("tools/{}", surface_name(*it)), None));
    (role_name(at), given.collect())
}

/// The name of a principal.
pub fn principal_name(at: usize) -> String {
    format!("principal-{at:06}")
}

/// The subject that tokens call a principal by.
pub fn subject(at: usize) -> String {
    format!("u-{at:06}")
}

/// The name of a surface.
pub fn surface_name(at: usize) -> String {
    format!("tool-{at:03}")
}

/// The name of a role.
pub fn role_name(at: usize) -> String {
    format!("role-{at:04}")
}

/// The value that tokens call a group by.
pub fn claim(at: usize) -> String {
    format!("g-{at:05}")
}

fn group_name(at: usize) -> String {
    format!("group-{at:05}")
}
