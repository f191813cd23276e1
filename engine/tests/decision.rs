//! The decisions that the design spells out, one by one.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use latchkey_engine::{
    bundle,
    decide::{decide, discover},
    decision::{Collect, Missed, NoTrace, Visibility},
    index::{Access, PrincipalType, Risk, Unlock},
    overlay::{Activation, Overlay},
    policy::Policy,
    testing::{
        BindingEntry, IssuerEntry, Prepared, PrincipalEntry, RuleEntry, SurfaceEntry, Where, Who,
        World, WorldCall,
    },
    time::{Dates, Time},
};

/// Two organizations; alice, a human, and bot, an agent, of acme/blue; one tool of the platform
/// that both may call in acme.
fn world() -> World {
    let principal = |name: &str, kind| PrincipalEntry {
        name: name.to_owned(),
        kind,
        scope: "acme/blue".to_owned(),
        identities: vec![("idp".to_owned(), name.to_owned())],
        groups: Vec::new(),
        tags: Vec::new(),
        suspended: false,
        dates: Dates::default(),
    };
    World {
        organizations: vec![
            ("acme".to_owned(), vec!["blue".to_owned()]),
            ("globex".to_owned(), Vec::new()),
        ],
        issuers: vec![IssuerEntry {
            name: "idp".to_owned(),
            organizations: vec!["acme".to_owned()],
            undeclared: false,
            undeclared_type: None,
        }],
        groups: Vec::new(),
        schedules: Vec::new(),
        principals: vec![
            principal("alice", PrincipalType::Human),
            principal("bot", PrincipalType::Agent),
        ],
        servers: vec![("github".to_owned(), "platform".to_owned())],
        surfaces: vec![SurfaceEntry {
            server: "github".to_owned(),
            name: "push".to_owned(),
            access: Access::Permission,
            risk: Risk::Write,
            unlock: Unlock::BreakGlass,
            operations: Vec::new(),
            scope: Where::Map(vec![
                ("ledger".to_owned(), "acme/blue".to_owned()),
                ("other".to_owned(), "globex".to_owned()),
            ]),
            obligations: Vec::new(),
        }],
        roles: vec![("pusher".to_owned(), vec![("github/push".to_owned(), None)])],
        bindings: vec![binding("home", "acme", false)],
        rules: Vec::new(),
    }
}

fn binding(name: &str, scope: &str, cross_organization: bool) -> BindingEntry {
    BindingEntry {
        name: name.to_owned(),
        who: ["alice", "bot"]
            .map(|it| Who::Principal(it.to_owned()))
            .to_vec(),
        roles: vec!["pusher".to_owned()],
        scope: scope.to_owned(),
        condition: None,
        dates: Dates::default(),
        cross_organization,
    }
}

fn deny(name: &str, who: Vec<Who>, except: Vec<Who>) -> RuleEntry {
    RuleEntry {
        name: name.to_owned(),
        require: None,
        who,
        except,
        permissions: vec![("github/push".to_owned(), None)],
        scope: "platform".to_owned(),
        condition: None,
        dates: Dates::default(),
    }
}

fn call(callers: &[&str], scopes: &[&str]) -> WorldCall {
    let caller = |name: &&str| ("idp".to_owned(), (*name).to_owned(), Vec::new());
    WorldCall {
        callers: callers.iter().map(caller).collect(),
        surface: Some("github/push".to_owned()),
        operations: None,
        scopes: Some(scopes.iter().map(|it| (*it).to_owned()).collect()),
        arguments: Some(Vec::new()),
        address: None,
        token_permissions: None,
        token_id: None,
        now: Time(100),
    }
}

fn open(world: &World) -> Policy {
    Policy::open(&bundle::encode(&world.index()).unwrap()).unwrap()
}

fn reason(world: &World, overlay: &Overlay, call: &WorldCall) -> &'static str {
    let policy = open(world);
    let prepared = Prepared::new(&policy, call);
    let slots = prepared.slots();
    let decision = decide(&policy, overlay, &prepared.call(&slots), &mut NoTrace);
    decision.reason.as_str()
}

fn visible(world: &World, overlay: &Overlay, call: &WorldCall) -> Visibility {
    let policy = open(world);
    let prepared = Prepared::new(&policy, call);
    discover(&policy, overlay, &prepared.discovery())
}

#[test]
fn abroad_only_bindings_that_reach_there_count() {
    let none = Overlay::default();
    let mut world = world();
    let abroad = call(&["alice"], &["globex"]);
    assert_eq!(
        reason(&world, &none, &call(&["alice"], &["acme/blue"])),
        "ok"
    );
    // Without any binding there, and with one that does not reach, at whatever scope.
    assert_eq!(reason(&world, &none, &abroad), "cross_organization");
    world.bindings.push(binding("platform", "platform", false));
    assert_eq!(reason(&world, &none, &abroad), "cross_organization");
    // Also where no grant is needed at home.
    if let Some(surface) = world.surfaces.first_mut() {
        surface.access = Access::Authenticated;
    }
    assert_eq!(reason(&world, &none, &abroad), "cross_organization");
    world.bindings.push(binding("reaching", "globex", true));
    assert_eq!(reason(&world, &none, &abroad), "ok");
    // Who has no organization is nowhere abroad.
    let mut homeless = self::world();
    homeless
        .bindings
        .push(binding("platform", "platform", false));
    for principal in &mut homeless.principals {
        principal.scope = "platform".to_owned();
    }
    assert_eq!(reason(&homeless, &none, &abroad), "ok");
}

#[test]
fn every_scope_and_every_caller_must_be_allowed() {
    let none = Overlay::default();
    let mut world = world();
    world.bindings.push(binding("reaching", "globex", true));
    let both = call(&["alice"], &["acme/blue", "globex"]);
    assert_eq!(reason(&world, &none, &both), "ok");
    if let Some(binding) = world.bindings.last_mut() {
        binding.who = vec![Who::Principal("bot".to_owned())];
    }
    assert_eq!(reason(&world, &none, &both), "cross_organization");
    let chain = call(&["bot", "alice"], &["globex"]);
    assert_eq!(reason(&world, &none, &chain), "cross_organization");
    assert_eq!(reason(&world, &none, &call(&["bot"], &["globex"])), "ok");
    assert_eq!(reason(&world, &none, &call(&["bot"], &[])), "scope_invalid");
}

#[test]
fn a_denial_of_any_caller_counts_and_an_exception_is_one_callers() {
    let none = Overlay::default();
    let mut world = world();
    let agents = vec![Who::Type(PrincipalType::Agent)];
    world.rules.push(deny("no-agents", agents, Vec::new()));
    let scope = &["acme/blue"];
    assert_eq!(reason(&world, &none, &call(&["alice"], scope)), "ok");
    for chain in [&["bot", "alice"], &["alice", "bot"]] {
        assert_eq!(
            reason(&world, &none, &call(chain, scope)),
            "denied_by_policy"
        );
    }
    let alice = vec![Who::Principal("alice".to_owned())];
    world.rules = vec![deny("only-alice", Vec::new(), alice)];
    assert_eq!(reason(&world, &none, &call(&["alice"], scope)), "ok");
    let chain = call(&["alice", "bot"], scope);
    assert_eq!(reason(&world, &none, &chain), "denied_by_policy");
}

#[test]
fn a_public_surface_asks_nobody_but_is_denied_like_any_other() {
    let mut world = world();
    if let Some(surface) = world.surfaces.first_mut() {
        surface.access = Access::Public;
    }
    let none = Overlay::default();
    let anonymous = call(&[], &["globex"]);
    assert_eq!(reason(&world, &none, &anonymous), "ok");
    assert_eq!(reason(&world, &none, &call(&["nobody"], &["globex"])), "ok");
    let denied = Overlay {
        denied: vec!["github/push".to_owned()],
        ..Overlay::default()
    };
    assert_eq!(reason(&world, &denied, &anonymous), "denied_by_overlay");
    let alice = vec![Who::Principal("alice".to_owned())];
    world.rules = vec![deny("not-alice", alice, Vec::new())];
    assert_eq!(reason(&world, &none, &anonymous), "ok");
    let known = call(&["alice"], &["globex"]);
    assert_eq!(reason(&world, &none, &known), "denied_by_policy");
    world.rules = vec![deny("nobody", Vec::new(), Vec::new())];
    assert_eq!(reason(&world, &none, &anonymous), "denied_by_policy");
}

#[test]
fn a_token_without_permissions_permits_nothing() {
    let (world, none) = (world(), Overlay::default());
    let mut restricted = call(&["alice"], &["acme/blue"]);
    restricted.token_permissions = Some(vec!["tools:github/push:call".to_owned()]);
    assert_eq!(reason(&world, &none, &restricted), "ok");
    restricted.token_permissions = Some(Vec::new());
    assert_eq!(reason(&world, &none, &restricted), "token_scope");
}

#[test]
fn break_glass_is_never_an_agents_alone() {
    let mut world = world();
    if let Some(surface) = world.surfaces.first_mut() {
        surface.risk = Risk::Destructive;
    }
    let active = |principal: &str, scope: &str, expires| Overlay {
        activations: vec![Activation {
            id: "a".to_owned(),
            principal: principal.to_owned(),
            surfaces: vec!["github/push".to_owned()],
            scope: scope.to_owned(),
            expires: Time(expires),
        }],
        ..Overlay::default()
    };
    let (required, alone) = ("break_glass_required", call(&["alice"], &["acme/blue"]));
    assert_eq!(reason(&world, &Overlay::default(), &alone), required);
    assert_eq!(reason(&world, &active("alice", "acme", 101), &alone), "ok");
    assert_eq!(
        reason(&world, &active("alice", "acme", 100), &alone),
        required
    );
    assert_eq!(
        reason(&world, &active("alice", "globex", 101), &alone),
        required
    );
    let bot = call(&["bot"], &["acme/blue"]);
    assert_eq!(reason(&world, &active("bot", "acme", 101), &bot), required);
    let acting = call(&["bot", "alice"], &["acme/blue"]);
    assert_eq!(reason(&world, &active("alice", "acme", 101), &acting), "ok");
    assert_eq!(
        reason(&world, &active("bot", "acme", 101), &acting),
        required
    );
    // An activation may still come, but for no agent.
    assert_eq!(
        visible(&world, &Overlay::default(), &alone),
        Visibility::Maybe
    );
    assert_eq!(
        visible(&world, &Overlay::default(), &bot),
        Visibility::Never
    );
}

#[test]
fn what_only_subtracts_refuses() {
    let world = world();
    let mut known = call(&["alice"], &["acme/blue"]);
    known.token_id = Some("t-1".to_owned());
    let revoked = Overlay {
        revoked_tokens: vec!["t-1".to_owned()],
        ..Overlay::default()
    };
    assert_eq!(reason(&world, &revoked, &known), "token_revoked");
    let suspended = Overlay {
        suspended: vec!["alice".to_owned()],
        ..Overlay::default()
    };
    assert_eq!(reason(&world, &suspended, &known), "principal_suspended");
    let chain = call(&["bot", "alice"], &["acme/blue"]);
    assert_eq!(reason(&world, &suspended, &chain), "principal_suspended");
}

#[test]
fn an_explanation_names_the_nearest_miss() {
    let policy = open(&world());
    let call = call(&["alice"], &["platform"]);
    let prepared = Prepared::new(&policy, &call);
    let slots = prepared.slots();
    let mut trace = Collect::default();
    let none = Overlay::default();
    let decision = decide(&policy, &none, &prepared.call(&slots), &mut trace);
    assert_eq!(decision.reason.as_str(), "no_permission");
    let home = policy.binding("home").unwrap();
    assert_eq!(trace.missed, [(0, home, Missed::Scope)]);
}
