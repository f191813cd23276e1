//! `diff` on random edits of random policies: every line replays, nothing that changes is missed,
//! and nothing is said of calls that do not change.
//!
//! `LATCHKEY_EDITS` sets how many edits are tried, 2,000 without it; `LATCHKEY_SEED` tries one alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its figures"
)]

#[path = "worlds/opened.rs"]
mod opened;
#[path = "worlds/operations.rs"]
mod operations;
#[path = "worlds/scopes.rs"]
mod scopes;
#[path = "worlds/stated.rs"]
mod stated;
#[path = "diff/written.rs"]
mod written;

use std::ops::Range;

use latchkey::diff::{self, Change, Finding, Report};
use latchkey_engine::{
    index::{Access, Obligation, Pool, PrincipalType, Reach, Risk, Unlock},
    overlay::Overlay,
    testing::{Condition, Rng, Where, World},
    time::Time,
};
use latchkey_gate::{
    call::{self, Answer, Stated, StatedCaller},
    gate::Gate,
};
use serde_json::{Map, Value, value::RawValue};

use self::{opened::gate, operations::operation_is, scopes::reaches, stated::stated};

const CALLS: usize = 40;

#[test]
fn report_and_brute_force_agree() {
    proves(0..edits() / 2, any_edit);
}

#[test]
fn report_and_brute_force_agree_in_the_other_half() {
    proves(edits() / 2..edits(), any_edit);
}

#[test]
fn report_and_brute_force_agree_on_schedules() {
    proves(0..edits() / 4, schedule_edit);
}

fn edits() -> u64 {
    let set = std::env::var("LATCHKEY_EDITS");
    set.map_or(2_000, |text| text.parse().unwrap())
}

/// A random policy, and the same after an edit.
type Edit = fn(&mut Rng) -> (World, World);

fn proves(mut seeds: Range<u64>, edit: Edit) {
    let alone = std::env::var("LATCHKEY_SEED").map(|text| text.parse().unwrap());
    if let Ok(seed) = alone {
        seeds = seed..seed + 1;
    }
    let at = Time::parse("2026-12-01T10:00:00Z").unwrap();
    let mut tally = Tally::default();
    let edits = seeds.end - seeds.start;
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let (old, new) = edit(&mut rng);
        let (from, to) = (gate(&old), gate(&new));
        let report = diff::compare(&from, &to, at);
        tally.findings += report.findings.len();
        tally.undecided += report.undecided.len();
        for finding in &report.findings {
            replays(&from, &to, finding, seed);
        }
        for _ in 0..CALLS {
            let world = if rng.chance(50) { &old } else { &new };
            let call = stated(world, &world.random_call(&mut rng), &mut rng);
            let Some(call) = call else { continue };
            check(&from, &to, &report, &call, seed, &mut tally);
            agrees(&from, &to, &report, &call, seed, &mut tally);
        }
        // Around each line: what it says, and what it does not say of the calls beside it.
        for finding in &report.findings {
            let mut call = finding.witness.clone();
            let world = if rng.chance(50) { &old } else { &new };
            let other = stated(world, &world.random_call(&mut rng), &mut rng);
            let Some(other) = other else { continue };
            call.arguments = mixed(&call, &other, &mut rng);
            if rng.chance(30) {
                call.at = other.at;
            }
            if rng.chance(30) {
                call.ip = other.ip;
            }
            agrees(&from, &to, &report, &call, seed, &mut tally);
        }
    }
    println!("{tally:?} over {edits} random edits: every line replays, report and calls agree");
    if alone.is_ok() {
        return;
    }
    assert!(
        (tally.changed + tally.exact_changed) as u64 > edits,
        "the edits change too little to prove anything: {tally:?}"
    );
    assert!(
        tally.found * 10 >= tally.changed * 8,
        "too much is undecided: {tally:?}"
    );
}

#[derive(Debug, Default)]
struct Tally {
    findings: usize,
    undecided: usize,
    calls: usize,
    changed: usize,
    /// Changed calls inside a finding; the others are listed as undecided.
    found: usize,
    /// Calls by one caller or none of which the report was held to say exactly what happens.
    exact: usize,
    /// Those of them that change.
    exact_changed: usize,
}

/// The arguments of one call, some of them as another call has them.
fn mixed(call: &Stated, other: &Stated, rng: &mut Rng) -> Option<Box<RawValue>> {
    let read = |call: &Stated| -> Map<String, Value> {
        let raw = call.arguments.as_ref();
        raw.map_or_else(Map::new, |raw| serde_json::from_str(raw.get()).unwrap())
    };
    let (mut arguments, others) = (read(call), read(other));
    for (name, value) in others {
        if name != "action" && rng.chance(40) {
            arguments.insert(name, value);
        }
    }
    RawValue::from_string(Value::Object(arguments).to_string()).ok()
}

/// The changes that the report says of a call by one caller are the change that happens.
fn agrees(from: &Gate, to: &Gate, report: &Report, call: &Stated, seed: u64, tally: &mut Tally) {
    let many = matches!(operation_of(call), Some(Value::Array(_)));
    if many || !call.on_behalf_of.is_empty() || call.token_permissions.is_some() {
        return;
    }
    let mut call = call.clone();
    name_subject(&mut call);
    let (Some(before), Some(after)) = (answer(from, &call), answer(to, &call)) else {
        return;
    };
    let allowed = if after.decision == "allow" {
        &after
    } else {
        &before
    };
    let happens = Change::between(&before, &after).filter(|it| *it != Change::Reason);
    let surface = format!(
        "{}/{}",
        call.server,
        call.tool.as_deref().unwrap_or_default()
    );
    if report
        .undecided
        .iter()
        .any(|gap| gap.surface == "*" || gap.surface == surface)
    {
        return;
    }
    let mut said = Vec::new();
    for finding in report.findings.iter().filter(|it| it.surface == surface) {
        if finding.change == Change::Reason || finding.operation != allowed.operation {
            continue;
        }
        match report.speaks_of(finding, &call) {
            Some(true) => said.push(finding.change),
            Some(false) => {}
            None => return,
        }
    }
    said.sort_unstable();
    said.dedup();
    tally.exact += 1;
    tally.exact_changed += usize::from(happens.is_some());
    assert_eq!(
        said,
        Vec::from_iter(happens),
        "seed {seed}: the report says this, that happens: {}\n{}",
        serde_json::to_string(&call).unwrap(),
        diff::human(report, false)
    );
}

fn operation_of(call: &Stated) -> Option<Value> {
    let raw = call.arguments.as_ref()?;
    let arguments: Value = serde_json::from_str(raw.get()).ok()?;
    arguments.get("action").cloned()
}

/// A witness names principals; worlds give them subjects by one rule.
fn name_subject(call: &mut Stated) {
    let Some(caller) = &mut call.caller else {
        return;
    };
    if let Some(name) = caller.principal.take() {
        let start = if caller.issuer.as_deref() == Some("partner") {
            "p"
        } else {
            "u"
        };
        caller.subject = Some(format!("{start}-{name}"));
    }
}

fn answer(gate: &Gate, call: &Stated) -> Option<Answer> {
    call::answer(gate, &Overlay::default(), call).ok()
}

fn replays(from: &Gate, to: &Gate, finding: &Finding, seed: u64) {
    let (Some(before), Some(after)) =
        (answer(from, &finding.witness), answer(to, &finding.witness))
    else {
        panic!("seed {seed}: a witness cannot be asked: {finding:#?}");
    };
    assert_eq!(
        (before.decision, before.reason),
        (finding.before.decision, finding.before.reason)
    );
    assert_eq!(
        (after.decision, after.reason),
        (finding.after.decision, finding.after.reason)
    );
    let allowed = (before.decision == "allow", after.decision == "allow");
    match finding.change {
        Change::Widened => assert_eq!(allowed, (false, true), "seed {seed}: {finding:#?}"),
        Change::Narrowed => assert_eq!(allowed, (true, false), "seed {seed}: {finding:#?}"),
        Change::Loosened | Change::Tightened => {
            assert_eq!(allowed, (true, true), "seed {seed}: {finding:#?}");
            assert_ne!(before.obligations, after.obligations, "seed {seed}");
        }
        Change::Reason => assert_eq!(allowed, (false, false), "seed {seed}: {finding:#?}"),
    }
}

fn check(from: &Gate, to: &Gate, report: &Report, call: &Stated, seed: u64, tally: &mut Tally) {
    let (Some(before), Some(after)) = (answer(from, call), answer(to, call)) else {
        return;
    };
    tally.calls += 1;
    let change = Change::between(&before, &after).filter(|it| *it != Change::Reason);
    let Some(change) = change else { return };
    tally.changed += 1;
    let allowed = if after.decision == "allow" {
        &after
    } else {
        &before
    };
    let callers: Vec<&StatedCaller> = call.caller.iter().chain(&call.on_behalf_of).collect();
    let nobody = Stated {
        caller: None,
        on_behalf_of: Vec::new(),
        ..call.clone()
    };
    // Where no caller is asked for, nobody minds how many there are.
    let too_long = [&before, &after].map(|it| it.reason == "chain_too_long");
    let open = callers.is_empty() || too_long.contains(&true);
    let inside = report.findings.iter().any(|finding| {
        finding.change == change
            && Some(&finding.surface) == allowed.surface.as_ref()
            && finding
                .operation
                .as_ref()
                .is_none_or(|it| operation_is(call, it))
            && allowed
                .scopes
                .iter()
                .any(|scope| reaches(&finding.scope, scope))
            && ((open && finding.subjects.contains("anonymous") && finding.covers(&nobody))
                || callers.iter().any(|caller| {
                    let alone = Stated {
                        caller: Some((*caller).clone()),
                        ..call.clone()
                    };
                    is_subject(finding, caller) && finding.covers(&alone)
                }))
    });
    let told = report
        .undecided
        .iter()
        .any(|gap| gap.surface == "*" || Some(&gap.surface) == allowed.surface.as_ref());
    tally.found += usize::from(inside);
    assert!(
        inside || told,
        "seed {seed}: outside the report: {}\nbefore {before:#?}\nafter {after:#?}\n{}",
        serde_json::to_string(call).unwrap(),
        diff::human(report, false)
    );
}

/// Whether a finding speaks of a caller. The groups that a finding names are checked by its region.
fn is_subject(finding: &Finding, caller: &StatedCaller) -> bool {
    let name = caller.subject.as_ref().unwrap();
    let name = name
        .strip_prefix("u-")
        .or_else(|| name.strip_prefix("p-"))
        .unwrap()
        .trim_end_matches('2');
    let stranger = format!("undeclared:{}", caller.issuer.as_ref().unwrap());
    finding.subjects.contains(name)
        || finding.subjects.contains(&stranger)
        || finding.subjects.iter().any(|it| it.starts_with("group:"))
}

fn any_edit(rng: &mut Rng) -> (World, World) {
    let old = World::random(rng);
    let new = edited(&old, rng);
    (old, new)
}

/// Most of what there is asks for a schedule, and that alone changes.
fn schedule_edit(rng: &mut Rng) -> (World, World) {
    let mut old = World::random(rng);
    let names: Vec<&'static str> = old.schedules.iter().map(|it| it.name).collect();
    let bindings = old.bindings.iter_mut().map(|it| &mut it.condition);
    let rules = old.rules.iter_mut().map(|it| &mut it.condition);
    for condition in bindings.chain(rules) {
        if rng.chance(30) {
            continue;
        }
        let name: &&'static str = rng.pick(&names);
        let during = Condition::During(name);
        let test = if rng.chance(60) {
            during
        } else {
            Condition::Not(Box::new(during))
        };
        *condition = Some(match condition.take() {
            None => test,
            Some(other) if rng.chance(50) => Condition::And(vec![test, other]),
            Some(other) => Condition::Or(vec![other, test]),
        });
    }
    let mut new = old.clone();
    for _ in 0..=rng.below(2) {
        edit_schedule(&mut new, rng);
    }
    (old, new)
}

/// The world after one or two small changes, as a pull request would make them.
fn edited(world: &World, rng: &mut Rng) -> World {
    let mut world = world.clone();
    for _ in 0..=rng.below(2) {
        match rng.below(14) {
            0 | 1 => world.add_binding(rng),
            2 => world.add_rule(rng),
            3 => remove(&mut world.bindings, rng),
            4 => remove(&mut world.rules, rng),
            5 | 6 => edit_binding(&mut world, rng),
            7 => edit_rule(&mut world, rng),
            8 | 9 => edit_principal(&mut world, rng),
            10 | 11 => edit_schedule(&mut world, rng),
            _ => edit_surface(&mut world, rng),
        }
    }
    world
}

fn remove<T>(list: &mut Vec<T>, rng: &mut Rng) {
    if !list.is_empty() {
        list.remove(rng.below(list.len()));
    }
}

fn edit_binding(world: &mut World, rng: &mut Rng) {
    let scopes = world.scopes();
    let at = rng.below(world.bindings.len());
    let mut other = world.clone();
    other.add_binding(rng);
    let other = other.bindings.pop().unwrap();
    let binding = &mut world.bindings[at];
    match rng.below(6) {
        0 => binding.who = other.who,
        1 => binding.roles = other.roles,
        2 => binding.scope.clone_from(rng.pick(&scopes)),
        3 => binding.condition = other.condition,
        4 => binding.dates = other.dates,
        _ => binding.cross_organization = !binding.cross_organization,
    }
}

fn edit_rule(world: &mut World, rng: &mut Rng) {
    let mut other = world.clone();
    other.add_rule(rng);
    let other = other.rules.pop().unwrap();
    if world.rules.is_empty() {
        world.rules.push(other);
        return;
    }
    let at = rng.below(world.rules.len());
    let rule = &mut world.rules[at];
    match rng.below(6) {
        0 => rule.who = other.who,
        1 => rule.except = other.except,
        2 => rule.permissions = other.permissions,
        3 => rule.scope = other.scope,
        4 => rule.condition = other.condition,
        _ => rule.require = other.require,
    }
}

fn edit_principal(world: &mut World, rng: &mut Rng) {
    let scopes = world.scopes();
    let groups: Vec<String> = world.groups.iter().map(|it| it.name.clone()).collect();
    let at = rng.below(world.principals.len());
    let principal = &mut world.principals[at];
    let types = [
        PrincipalType::Human,
        PrincipalType::Service,
        PrincipalType::Agent,
    ];
    match rng.below(6) {
        0 => principal.kind = *rng.pick(&types),
        1 => principal.scope.clone_from(rng.pick(&scopes)),
        2 => principal.tags = rng.some(&["batch", "night", "vip"].map(str::to_owned), 40),
        3 => principal.groups = rng.some(&groups, 40),
        4 => principal.suspended = !principal.suspended,
        _ => {
            // Moved to another subject: whoever calls by the old one is somebody else now.
            let at = rng.below(principal.identities.len());
            principal.identities[at].1.push('2');
        }
    }
}

fn edit_schedule(world: &mut World, rng: &mut Rng) {
    let at = rng.below(world.schedules.len());
    world.schedules[at].edit(rng);
}

fn edit_surface(world: &mut World, rng: &mut Rng) {
    let scopes = world.scopes();
    let at = rng.below(world.surfaces.len());
    let surface = &mut world.surfaces[at];
    match rng.below(5) {
        0 if surface.operations.is_empty() => surface.risk = Risk::Write,
        1 => {
            surface.unlock = match surface.unlock {
                Unlock::BreakGlass => Unlock::Grant,
                Unlock::Grant => Unlock::BreakGlass,
            };
        }
        2 if surface.risk != Risk::Destructive => {
            surface.access =
                *rng.pick(&[Access::Permission, Access::Authenticated, Access::Public]);
        }
        3 => {
            let count = 1 + u32::try_from(rng.below(5)).unwrap();
            surface.obligations = vec![Obligation::Rate {
                pool: *rng.pick(&[Pool::Caller, Pool::Team]),
                reach: *rng.pick(&[Reach::Surface, Reach::Server]),
                count,
                seconds: 60,
            }];
        }
        _ => match &mut surface.scope {
            Where::Map(map) => {
                let at = rng.below(map.len());
                map[at].1.clone_from(rng.pick(&scopes));
            }
            other => *other = Where::Server,
        },
    }
}
