//! The random worlds and calls themselves.

use super::{
    ADDRESSES, Argument, BindingEntry, Condition, GroupEntry, IssuerEntry, PermissionName,
    PrincipalEntry, RuleEntry, ScheduleEntry, SurfaceEntry, Where, Who, World, WorldCall, schedule,
};
use crate::{
    index::{Access, Obligation, Pool, PrincipalType, Reach, Risk, Unlock},
    overlay::{Activation, Overlay},
    time::{Dates, Time},
};

/// The middle of the times that random policies speak of: 2026-12-01T10:00:00Z.
const NOON: i64 = 1_796_119_200;
const DAY: i64 = 86_400;

const TYPES: [PrincipalType; 3] = [
    PrincipalType::Human,
    PrincipalType::Service,
    PrincipalType::Agent,
];
const TEXTS: [&str; 5] = ["main", "prod", "acme", "docs/a", "docs/b"];

/// A small deterministic source of randomness (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound that is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).unwrap()
    }

    /// True this many times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Each of a list with a chance.
    pub fn some<T: Clone>(&mut self, list: &[T], percent: usize) -> Vec<T> {
        let chosen = list.iter().filter(|_| self.chance(percent));
        chosen.cloned().collect()
    }

    /// A list in another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

impl World {
    /// A small world with a bit of everything.
    pub fn random(rng: &mut Rng) -> Self {
        let mut world = Self::default();
        for organization in ["acme", "globex", "initech"].iter().take(1 + rng.below(3)) {
            let teams = rng.some(&["blue", "green", "red"].map(str::to_owned), 60);
            world
                .organizations
                .push(((*organization).to_owned(), teams));
        }
        let schedules = schedule::NAMES.map(|name| ScheduleEntry::random(rng, name));
        world.schedules = schedules.into();
        world.add_callers(rng);
        world.add_surfaces(rng);
        world.add_access(rng);
        for _ in 0..rng.below(6) {
            world.add_rule(rng);
        }
        world
    }

    /// All scopes, as paths.
    pub fn scopes(&self) -> Vec<String> {
        let mut paths = vec!["platform".to_owned()];
        for (organization, teams) in &self.organizations {
            paths.push(organization.clone());
            paths.extend(teams.iter().map(|team| format!("{organization}/{team}")));
        }
        paths
    }

    /// All permissions.
    pub fn permissions(&self) -> Vec<PermissionName> {
        let surfaces = self.surfaces.iter();
        surfaces
            .flat_map(|surface| {
                let name = surface.full_name();
                if surface.operations.is_empty() {
                    return vec![(name, None)];
                }
                let operations = surface.operations.iter();
                operations
                    .map(|(operation, _)| (name.clone(), Some(operation.clone())))
                    .collect()
            })
            .collect()
    }

    /// The same world with every table in another order.
    pub fn shuffled(&self, rng: &mut Rng) -> Self {
        let mut world = self.clone();
        rng.shuffle(&mut world.organizations);
        rng.shuffle(&mut world.issuers);
        rng.shuffle(&mut world.groups);
        rng.shuffle(&mut world.principals);
        rng.shuffle(&mut world.schedules);
        rng.shuffle(&mut world.servers);
        rng.shuffle(&mut world.surfaces);
        rng.shuffle(&mut world.roles);
        rng.shuffle(&mut world.bindings);
        rng.shuffle(&mut world.rules);
        for binding in &mut world.bindings {
            rng.shuffle(&mut binding.who);
            rng.shuffle(&mut binding.roles);
        }
        for rule in &mut world.rules {
            rng.shuffle(&mut rule.who);
            rng.shuffle(&mut rule.except);
            rng.shuffle(&mut rule.permissions);
        }
        world
    }

    fn add_callers(&mut self, rng: &mut Rng) {
        let organizations: Vec<String> = self.organizations.iter().map(|it| it.0.clone()).collect();
        for name in ["idp", "partner"] {
            self.issuers.push(IssuerEntry {
                name: name.to_owned(),
                organizations: rng.some(&organizations, 60),
                undeclared: rng.chance(60),
                undeclared_type: rng.chance(60).then(|| *rng.pick(&TYPES)),
            });
        }
        for name in ["admins", "devs", "ops", "staff", "guests"] {
            let issuer = rng.pick(&["idp", "partner"]).to_string();
            let claim = (issuer, format!("c-{}", rng.below(4)));
            self.groups.push(GroupEntry {
                name: name.to_owned(),
                claim: rng.chance(70).then_some(claim),
            });
        }
        let scopes = self.scopes();
        let groups: Vec<String> = self.groups.iter().map(|it| it.name.clone()).collect();
        for name in ["alice", "bob", "bot", "ci", "eve", "zoe"] {
            let mut identities = vec![("idp".to_owned(), format!("u-{name}"))];
            if rng.chance(30) {
                identities.push(("partner".to_owned(), format!("p-{name}")));
            }
            self.principals.push(PrincipalEntry {
                name: name.to_owned(),
                kind: *rng.pick(&TYPES),
                scope: rng.pick(&scopes).clone(),
                identities,
                groups: rng.some(&groups, 30),
                tags: rng.some(&["batch", "night", "vip"].map(str::to_owned), 30),
                suspended: rng.chance(4),
                dates: random_dates(rng, 8),
            });
        }
    }

    fn add_surfaces(&mut self, rng: &mut Rng) {
        let scopes = self.scopes();
        for server in ["files", "github"] {
            let scope = if rng.chance(50) {
                &scopes[0]
            } else {
                rng.pick(&scopes)
            };
            self.servers.push((server.to_owned(), scope.clone()));
            for at in 0..=rng.below(3) {
                let mut surface = SurfaceEntry {
                    server: server.to_owned(),
                    name: format!("Tool_{at}"),
                    access: Access::Permission,
                    risk: *rng.pick(&[Risk::Read, Risk::Write, Risk::Destructive]),
                    unlock: *rng.pick(&[Unlock::BreakGlass, Unlock::BreakGlass, Unlock::Grant]),
                    operations: Vec::new(),
                    scope: random_source(rng, &scopes),
                    obligations: Vec::new(),
                };
                if rng.chance(30) {
                    let risks = [Risk::Read, Risk::Write, Risk::Destructive];
                    let names = ["archive", "create", "rename"];
                    let names = names.iter().take(1 + rng.below(3));
                    let operation = |name: &&str| ((*name).to_owned(), *rng.pick(&risks));
                    surface.operations = names.map(operation).collect();
                    let operations = surface.operations.iter();
                    surface.risk = operations.map(|it| it.1).max().unwrap();
                }
                surface.access = match rng.below(10) {
                    0 if surface.risk != Risk::Destructive => Access::Public,
                    1 => Access::Authenticated,
                    _ => Access::Permission,
                };
                if rng.chance(30) {
                    surface.obligations = vec![random_rate(rng)];
                }
                self.surfaces.push(surface);
            }
        }
    }

    fn add_access(&mut self, rng: &mut Rng) {
        let permissions = self.permissions();
        for name in ["editor", "owner", "reader", "runner"] {
            let mut given = rng.some(&permissions, 50);
            if given.is_empty() {
                given.push(rng.pick(&permissions).clone());
            }
            self.roles.push((name.to_owned(), given));
        }
        for _ in 0..2 + rng.below(14) {
            self.add_binding(rng);
        }
    }

    /// Adds one more random binding.
    pub fn add_binding(&mut self, rng: &mut Rng) {
        let roles: Vec<String> = self.roles.iter().map(|it| it.0.clone()).collect();
        let count = 1 + rng.below(3);
        let who = (0..count).map(|_| self.random_who(rng, false)).collect();
        let mut given = rng.some(&roles, 40);
        if given.is_empty() {
            given.push(rng.pick(&roles).clone());
        }
        self.bindings.push(BindingEntry {
            name: format!("b-{}-{}", rng.below(100), self.bindings.len()),
            who,
            roles: given,
            scope: rng.pick(&self.scopes()).clone(),
            condition: rng.chance(35).then(|| random_condition(rng, 3)),
            dates: random_dates(rng, 15),
            cross_organization: rng.chance(35),
        });
    }

    /// Adds one more random rule.
    pub fn add_rule(&mut self, rng: &mut Rng) {
        let permissions = self.permissions();
        let mut named = rng.some(&permissions, 40);
        if named.is_empty() {
            named.push(rng.pick(&permissions).clone());
        }
        let (named_count, except_count) = (rng.below(3), rng.below(2));
        let who = (0..named_count)
            .map(|_| self.random_who(rng, true))
            .collect();
        let except = (0..except_count)
            .map(|_| self.random_who(rng, false))
            .collect();
        self.rules.push(RuleEntry {
            name: format!("r-{}-{}", rng.below(100), self.rules.len()),
            require: rng.chance(50).then(|| vec![random_rate(rng)]),
            except,
            who,
            permissions: named,
            scope: rng.pick(&self.scopes()).clone(),
            condition: rng.chance(60).then(|| random_condition(rng, 3)),
            dates: random_dates(rng, 15),
        });
    }

    fn random_who(&self, rng: &mut Rng, everyone: bool) -> Who {
        match rng.below(if everyone { 9 } else { 8 }) {
            0..3 => Who::Principal(rng.pick(&self.principals).name.clone()),
            3..5 => Who::Group(rng.pick(&self.groups).name.clone()),
            5 => Who::Tag((*rng.pick(&["batch", "night", "vip"])).to_owned()),
            6..8 => Who::Type(*rng.pick(&TYPES)),
            _ => Who::Everyone,
        }
    }

    /// A random call: mostly one that has a chance.
    pub fn random_call(&self, rng: &mut Rng) -> WorldCall {
        let surface = rng.pick(&self.surfaces);
        let operations: Vec<String> = surface.operations.iter().map(|it| it.0.clone()).collect();
        let chosen = if operations.is_empty() || rng.chance(3) {
            None
        } else if rng.chance(70) {
            Some(vec![rng.pick(&operations).clone()])
        } else {
            Some(rng.some(&operations, 60))
        };
        let permissions = self.permissions();
        let token = |(name, operation): PermissionName| match operation {
            None => format!("tools:{name}:call"),
            Some(operation) => format!("tools:{name}:call:{operation}"),
        };
        let token_permissions = rng.chance(10).then(|| {
            let some = rng.some(&permissions, 70).into_iter();
            some.map(token).collect()
        });
        WorldCall {
            callers: self.random_callers(rng),
            surface: (!rng.chance(1)).then(|| surface.full_name()),
            operations: chosen,
            scopes: self.random_scopes(rng, surface),
            arguments: (!rng.chance(2)).then(|| random_arguments(rng)),
            address: rng.chance(80).then(|| *rng.pick(&ADDRESSES)),
            token_permissions,
            token_id: rng.chance(30).then(|| format!("t-{}", rng.below(20))),
            now: self.random_instant(rng),
        }
    }

    /// A time that periods or schedules may make a difference at.
    fn random_instant(&self, rng: &mut Rng) -> Time {
        if self.schedules.is_empty() || rng.chance(60) {
            return Time(NOON + (i64::try_from(rng.below(5)).unwrap() - 2) * DAY);
        }
        rng.pick(&self.schedules).random_border(rng)
    }

    fn random_callers(&self, rng: &mut Rng) -> Vec<(String, String, Vec<String>)> {
        let count = match rng.below(100) {
            0..4 => 0,
            4..80 => 1,
            80..95 => 2,
            95..98 => 3,
            98 => 4,
            _ => 5,
        };
        (0..count)
            .map(|_| {
                let claims = ["c-0", "c-1", "c-2", "c-3", "c-9"].map(str::to_owned);
                let groups = rng.some(&claims, 25);
                if rng.chance(15) {
                    let issuer = rng.pick(&["idp", "partner"]).to_string();
                    return (issuer, "u-nobody".to_owned(), groups);
                }
                let principal = rng.pick(&self.principals);
                let (issuer, subject) = rng.pick(&principal.identities).clone();
                (issuer, subject, groups)
            })
            .collect()
    }

    fn random_scopes(&self, rng: &mut Rng, surface: &SurfaceEntry) -> Option<Vec<String>> {
        if rng.chance(2) {
            return None;
        }
        let home = self.servers.iter().find(|it| it.0 == surface.server);
        let home = home.map_or("platform", |it| it.1.as_str());
        let inside = |path: &String| {
            home == "platform" || path == home || path.starts_with(&format!("{home}/"))
        };
        let all = self.scopes();
        let near: Vec<String> = all.iter().filter(|path| inside(path)).cloned().collect();
        let from = if rng.chance(97) { &near } else { &all };
        let count = if rng.chance(85) { 1 } else { rng.below(4) };
        let mut scopes: Vec<String> = (0..count).map(|_| rng.pick(from).clone()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Some(scopes)
    }

    /// What a running system may have learnt.
    pub fn random_overlay(&self, rng: &mut Rng) -> Overlay {
        let names: Vec<String> = self.principals.iter().map(|it| it.name.clone()).collect();
        let surfaces: Vec<String> = self.surfaces.iter().map(SurfaceEntry::full_name).collect();
        let activation = |rng: &mut Rng| Activation {
            id: "a-1".to_owned(),
            principal: rng.pick(&names).clone(),
            surfaces: rng.some(&surfaces, 60),
            scope: rng.pick(&self.scopes()).clone(),
            expires: Time(NOON + (i64::try_from(rng.below(5)).unwrap() - 1) * DAY),
        };
        Overlay {
            revoked_tokens: (0..rng.below(3))
                .map(|_| format!("t-{}", rng.below(20)))
                .collect(),
            suspended: rng.some(&names, 4),
            denied: rng.some(&surfaces, 3),
            activations: (0..rng.below(8)).map(|_| activation(rng)).collect(),
        }
        .sorted()
    }
}

fn random_source(rng: &mut Rng, scopes: &[String]) -> Where {
    match rng.below(6) {
        0 => Where::Server,
        1 => Where::Principal,
        2 => Where::Unscoped,
        3 => Where::Force {
            team: rng.chance(50),
        },
        _ => Where::Map(
            (0..=rng.below(4))
                .map(|at| (format!("repo-{at}"), rng.pick(scopes).clone()))
                .collect(),
        ),
    }
}

fn random_rate(rng: &mut Rng) -> Obligation {
    let count = 1 + u32::try_from(rng.below(3)).unwrap();
    let pool = *rng.pick(&[Pool::Caller, Pool::Team, Pool::Everyone]);
    let reach = *rng.pick(&[Reach::Surface, Reach::Server]);
    if rng.chance(30) {
        return Obligation::Concurrency { pool, reach, count };
    }
    Obligation::Rate {
        pool,
        reach,
        count,
        seconds: 60,
    }
}

fn random_dates(rng: &mut Rng, percent: usize) -> Dates {
    let mut end = |days: i64| {
        rng.chance(percent)
            .then(|| Time(NOON + days * DAY + (i64::try_from(rng.below(5)).unwrap() - 2) * DAY))
    };
    Dates {
        not_before: end(-1),
        expires: end(1),
    }
}

fn random_arguments(rng: &mut Rng) -> Vec<(&'static str, Argument)> {
    let mut arguments = Vec::new();
    for name in ["env", "owner", "repo"] {
        match rng.below(20) {
            0..3 => {}
            3 => arguments.push((name, Argument::Opaque)),
            4 => arguments.push((name, Argument::Number(7))),
            _ => {
                let text: &&'static str = rng.pick(&TEXTS);
                arguments.push((name, Argument::Text(text)));
            }
        }
    }
    match rng.below(10) {
        0 => {}
        1 => arguments.push(("amount", Argument::Opaque)),
        _ => {
            let amount = i64::try_from(rng.below(6)).unwrap();
            arguments.push(("amount", Argument::Number(amount)));
        }
    }
    if rng.chance(60) {
        arguments.push(("dry", Argument::Bool(rng.chance(50))));
    }
    if rng.chance(90) {
        arguments.push(("labels", Argument::Texts(rng.some(&TEXTS, 30))));
    }
    if rng.chance(90) {
        let paths = [Some("docs/a"), Some("docs/b"), Some("src/c"), None];
        arguments.push(("files", Argument::Files(rng.some(&paths, 35))));
    }
    arguments
}

/// A random condition that checks: what may be absent is read under its presence.
pub(super) fn random_condition(rng: &mut Rng, depth: usize) -> Condition {
    if depth == 0 || rng.chance(35) {
        return random_test(rng);
    }
    match rng.below(5) {
        0 => Condition::Not(Box::new(random_condition(rng, depth - 1))),
        1 | 2 => Condition::And(random_parts(rng, depth)),
        _ => Condition::Or(random_parts(rng, depth)),
    }
}

fn random_parts(rng: &mut Rng, depth: usize) -> Vec<Condition> {
    (0..2 + rng.below(2))
        .map(|_| random_condition(rng, depth - 1))
        .collect()
}

fn random_test(rng: &mut Rng) -> Condition {
    let text = *rng.pick(&TEXTS);
    match rng.below(20) {
        0 => Condition::Equal("args.owner", text),
        1 => Condition::NotEqual("args.repo", text),
        2 => Condition::Less("args.amount", i64::try_from(rng.below(6)).unwrap()),
        3 => Condition::AtLeast("args.amount", i64::try_from(rng.below(6)).unwrap()),
        4 => Condition::In("args.repo", vec!["main", "prod"]),
        5 => Condition::Member("args.labels", text),
        6 => Condition::StartsWith("args.owner", "ma"),
        7 => Condition::EndsWith("args.owner", "/a"),
        8 => Condition::Contains("args.repo", "o"),
        9 => Condition::SizeAtMost("args.labels", 1),
        10 => Condition::Same("args.owner", "args.repo"),
        11 => guarded(rng, "request.ip", Condition::Inside),
        12 => Condition::Before("2026-12-01T10:00:00Z", NOON),
        13 => Condition::EachPath {
            every: rng.chance(50),
            prefix: "docs/",
        },
        14 => guarded(rng, "args.env", Condition::Equal("args.env", text)),
        15 => guarded(rng, "args.dry", Condition::True("args.dry")),
        16 | 17 => {
            let name: &&'static str = rng.pick(&schedule::NAMES);
            Condition::During(name)
        }
        _ => random_caller_test(rng),
    }
}

fn random_caller_test(rng: &mut Rng) -> Condition {
    let kind = *rng.pick(&["agent", "human", "service"]);
    let mut text = |name, value| guarded(rng, name, Condition::Equal(name, value));
    let simple = [
        text("principal.name", "alice"),
        text("subject.name", "bob"),
        text("principal.type", kind),
        text("subject.type", kind),
        text("principal.organization", "acme"),
        text("subject.team", "blue"),
        text("scope.organization", "acme"),
        text("scope.team", "red"),
        Condition::Member("principal.tags", "vip"),
        Condition::Member("subject.groups", "devs"),
        Condition::Member("principal.groups", "ops"),
        Condition::And(vec![
            Condition::Has("principal.team"),
            Condition::Has("scope.team"),
            Condition::Same("principal.team", "scope.team"),
        ]),
    ];
    rng.pick(&simple).clone()
}

/// `has(x) && t`, or `!has(x) || t`.
fn guarded(rng: &mut Rng, name: &'static str, test: Condition) -> Condition {
    let has = Condition::Has(name);
    if rng.chance(50) {
        Condition::And(vec![has, test])
    } else {
        Condition::Or(vec![Condition::Not(Box::new(has)), test])
    }
}
