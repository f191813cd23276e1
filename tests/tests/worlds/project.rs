//! Random worlds as projects of YAML, compiled as any other, and calls that fit their schemas.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use latchkey::{Checked, check, source::Memory};
use latchkey_engine::{
    index::{Access, Obligation, PrincipalType, Risk, Unlock},
    testing::{PermissionName, Rng, SurfaceEntry, Where, Who, World},
    time::{Dates, Time},
};
use latchkey_gate::call::Stated;
use latchkey_tests::golden::Golden;
use serde_json::{Map, Value, json, value::RawValue};

use super::{scopes::reaches, stated::vouched};

/// The world as the compiler accepts it: what it refuses is put right.
pub(crate) fn accepted(mut world: World) -> World {
    let home = world.organizations.first().unwrap().0.clone();
    for issuer in &mut world.issuers {
        if issuer.organizations.is_empty() {
            issuer.organizations.push(home.clone());
        }
    }
    for schedule in &mut world.schedules {
        // One that is never on is no schedule.
        if schedule.worked_out().windows.is_empty() {
            schedule.except.clear();
            schedule.windows[0].days = (0..7).collect();
        }
    }
    let mut claims = BTreeSet::new();
    for group in &mut world.groups {
        let taken = group.claim.clone().is_some_and(|it| !claims.insert(it));
        let members = world
            .principals
            .iter()
            .any(|it| it.groups.contains(&group.name));
        if taken || (group.claim.is_none() && !members) {
            group.claim = Some(("idp".to_owned(), format!("c-{}", group.name)));
        }
    }
    let dates = |dates: &mut Dates| {
        if dates.not_before >= dates.expires && dates.not_before.is_some() {
            dates.expires = None;
        }
    };
    world
        .principals
        .iter_mut()
        .for_each(|it| dates(&mut it.dates));
    world.rules.iter_mut().for_each(|it| dates(&mut it.dates));
    let grave: BTreeSet<String> = world
        .roles
        .iter()
        .filter(|(_, given)| {
            given
                .iter()
                .any(|it| risk_of(&world, it) == Risk::Destructive)
        })
        .map(|(name, _)| name.clone())
        .collect();
    let homes: BTreeMap<String, String> = world
        .principals
        .iter()
        .map(|it| {
            let home = it
                .scope
                .split_once('/')
                .map_or(it.scope.as_str(), |it| it.0);
            (it.name.clone(), home.to_owned())
        })
        .collect();
    let somebody = Who::Principal(world.principals.first().unwrap().name.clone());
    for binding in &mut world.bindings {
        dates(&mut binding.dates);
        // What destroys is not for everybody of a type.
        if binding.roles.iter().any(|it| grave.contains(it)) {
            binding.who.retain(|it| !matches!(it, Who::Type(_)));
        }
        if binding.who.is_empty() {
            binding.who.push(somebody.clone());
        }
        let (here, _) = binding
            .scope
            .split_once('/')
            .unwrap_or((&binding.scope, ""));
        let from_here = |who: &Who| match who {
            Who::Principal(name) => homes.get(name).is_some_and(|it| it == here),
            Who::Group(_) | Who::Tag(_) => false,
            Who::Type(_) | Who::Everyone => true,
        };
        // Bindings for people of other organizations have to say so.
        binding.cross_organization |= here != "platform" && !binding.who.iter().all(from_here);
    }
    world
}

/// The world's project, compiled. What YAML has no word for is left out; none where the compiler
/// refuses what the world says.
pub(crate) fn project(world: &World, name: &str) -> Option<Golden> {
    let project = format!("[project]\nname = \"{name}\"\n");
    let text = written(&vouched(world)).to_string();
    let files = [("latchkey.toml", project), ("policy.yaml", text)];
    let today = Time::parse("2026-11-22T00:00:00Z").unwrap();
    let Checked { sources, model, .. } = check(&Memory::from_iter(files), today);
    Some(Golden {
        name: name.to_owned(),
        folder: PathBuf::new(),
        model: model?,
        sources,
    })
}

/// A call with what its schema asks for: most of what is missing or of another type is put right,
/// now and then by a value that policy cannot determine.
pub(crate) fn fitted(mut call: Stated, operations_are_a_list: bool, rng: &mut Rng) -> Stated {
    let raw = call.arguments.as_ref().map_or("{}", |raw| raw.get());
    let mut arguments: Map<String, Value> = serde_json::from_str(raw).unwrap();
    for name in ["env", "owner", "repo"] {
        let wrong = match arguments.get(name) {
            None => name != "env",
            Some(value) => !value.is_string(),
        };
        if wrong && rng.chance(97) {
            let texts = ["main", "prod", "Main", "docs/a", "\u{e9}t\u{e9}", ""];
            arguments.insert(name.to_owned(), (*rng.pick(&texts)).into());
        }
    }
    let amount = arguments.get("amount").is_some_and(Value::is_number);
    if (!amount && rng.chance(97)) || rng.chance(5) {
        let amounts = [json!(3), json!(2.5), json!(1e16), json!(0.000_000_000_1)];
        arguments.insert("amount".to_owned(), rng.pick(&amounts).clone());
    }
    for name in ["labels", "files"] {
        if !arguments.contains_key(name) && rng.chance(97) {
            arguments.insert(name.to_owned(), json!([]));
        }
    }
    if let Some(Value::Array(files)) = arguments.get_mut("files")
        && rng.chance(97)
    {
        files.retain(|file| file.get("path").is_some());
    }
    if let Some(action) = arguments.get_mut("action")
        && rng.chance(97)
    {
        *action = match (operations_are_a_list, action.take()) {
            (true, Value::String(one)) => json!([one]),
            (false, Value::Array(many)) => many.first().cloned().unwrap_or_default(),
            (_, other) => other,
        };
    }
    call.arguments = RawValue::from_string(Value::Object(arguments).to_string()).ok();
    call
}

/// Whether a surface takes a list of operations: every other one that has any.
pub(crate) fn takes_a_list(surface: &SurfaceEntry) -> bool {
    surface.name.ends_with(['1', '3'])
}

fn written(world: &World) -> Value {
    json!({
        "organizations": organizations(world),
        "issuers": issuers(world),
        "groups": groups(world),
        "principals": principals(world),
        "schedules": schedules(world),
        "servers": servers(world),
        "roles": roles(world),
        "bindings": bindings(world),
        "rules": rules(world),
    })
}

fn organizations(world: &World) -> Value {
    let each = world.organizations.iter().zip(1..);
    let each = each.map(|((name, teams), at)| {
        let teams: Map<String, Value> = teams.iter().map(|it| (it.clone(), json!({}))).collect();
        let id = format!("0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e{at:02x}");
        (name.clone(), json!({"id": id, "teams": teams}))
    });
    each.collect::<Map<_, _>>().into()
}

fn issuers(world: &World) -> Value {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "random",
        "x": "_QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0"});
    let each = world.issuers.iter().map(|it| {
        let mut issuer = json!({
            "issuer": format!("https://{}.example", it.name),
            "audiences": ["https://tools.example"],
            "jwks": {"inline": {"keys": [key]}},
            "organizations": it.organizations,
            "claims": {"groups": "groups"},
        });
        if it.undeclared {
            issuer["subjects"] = "any".into();
            issuer["type"] = type_word(it.undeclared_type.unwrap_or(PrincipalType::Human)).into();
        }
        (it.name.clone(), issuer)
    });
    each.collect::<Map<_, _>>().into()
}

fn groups(world: &World) -> Value {
    let each = world.groups.iter().map(|it| {
        let members = world.principals.iter();
        let members = members.filter(|principal| principal.groups.contains(&it.name));
        let members: Vec<&String> = members.map(|principal| &principal.name).collect();
        let mut group = json!({});
        if !members.is_empty() {
            group["members"] = json!(members);
        }
        if let Some((issuer, value)) = &it.claim {
            group["from"] = json!({"issuer": issuer, "value": value});
        }
        (it.name.clone(), group)
    });
    each.collect::<Map<_, _>>().into()
}

fn principals(world: &World) -> Value {
    let each = world.principals.iter().map(|it| {
        let identities = it.identities.iter();
        let identities = identities
            .map(|(issuer, subject)| json!({"issuer": issuer, "subject": subject}))
            .collect::<Vec<_>>();
        let mut principal = json!({
            "type": type_word(it.kind),
            "identities": identities,
            "in": it.scope,
            "suspended": it.suspended,
        });
        if !it.tags.is_empty() {
            principal["tags"] = json!(it.tags);
        }
        put_dates(&mut principal, it.dates);
        (it.name.clone(), principal)
    });
    each.collect::<Map<_, _>>().into()
}

fn schedules(world: &World) -> Value {
    let each = world.schedules.iter().map(|it| {
        let windows = it.windows.iter().map(|window| {
            let days = window.days.iter().map(|day| DAYS[usize::from(*day)]);
            json!({
                "days": days.collect::<Vec<_>>(),
                "from": clock(window.from),
                "to": clock(window.to),
            })
        });
        let mut schedule = json!({
            "zone": it.zone,
            "windows": windows.collect::<Vec<_>>(),
            "notBefore": it.not_before.to_string(),
            "expires": it.expires.to_string(),
        });
        if !it.except.is_empty() {
            let dates = it.except.iter().map(|day| Time(day * 86_400).to_string());
            let dates = dates.map(|it| it.split('T').next().unwrap().to_owned());
            schedule["except"] = dates.collect::<Vec<_>>().into();
        }
        (it.name.to_owned(), schedule)
    });
    each.collect::<Map<_, _>>().into()
}

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn servers(world: &World) -> Value {
    let each = world.servers.iter().map(|(name, scope)| {
        let own = world.surfaces.iter().filter(|it| it.server == *name);
        let tools = own.map(|it| (it.name.clone(), surface(it, scope)));
        let server = json!({
            "in": scope,
            "transport": "mcp",
            "upstream": "http://127.0.0.1:9000/mcp",
            // Some of what is compared is folded first.
            "arguments": {"repo": {"fold": "ascii-lower"}},
            "tools": tools.collect::<Map<_, _>>(),
        });
        (name.clone(), server)
    });
    each.collect::<Map<_, _>>().into()
}

fn surface(it: &SurfaceEntry, home: &str) -> Value {
    let mut surface = json!({"scope": scope(&it.scope, home), "input": schema(it)});
    if it.operations.is_empty() {
        surface["risk"] = risk_word(it.risk).into();
    } else {
        let values = it.operations.iter();
        let values: Map<String, Value> = values
            .map(|(name, risk)| (name.clone(), json!({"risk": risk_word(*risk)})))
            .collect();
        surface["operations"] = json!({"argument": "action", "values": values});
    }
    if it.risk == Risk::Destructive && it.unlock == Unlock::Grant {
        surface["unlock"] = "grant".into();
    }
    match it.access {
        Access::Permission => {}
        Access::Authenticated => surface["access"] = "authenticated".into(),
        Access::Public => {
            surface["access"] = "public".into();
            surface["reason"] = "anybody may".into();
        }
    }
    surface
}

fn scope(source: &Where, home: &str) -> Value {
    match source {
        Where::Principal => "principal".into(),
        Where::Unscoped => json!({"unscoped": "it may name anything"}),
        Where::Force { team } => {
            let value = if *team { "team" } else { "organization" };
            json!({"force": {"argument": "owner", "value": value}})
        }
        Where::Map(map) => {
            let inside = map.iter().filter(|(_, scope)| reaches(home, scope));
            let inside: BTreeMap<&String, &String> = inside.map(|it| (&it.0, &it.1)).collect();
            if inside.is_empty() {
                return "server".into();
            }
            json!({"from": {"argument": "repo"}, "map": inside})
        }
        Where::Server => "server".into(),
    }
}

fn schema(it: &SurfaceEntry) -> Value {
    let text = json!({"type": "string"});
    let file = json!({"type": "object", "required": ["path"], "properties": {"path": text},
        "additionalProperties": false});
    let mut schema = json!({
        "type": "object",
        "required": ["owner", "repo", "amount", "labels", "files"],
        "properties": {
            "env": text, "owner": text, "repo": text, "amount": {"type": "number"},
            "dry": {"type": "boolean"}, "labels": {"type": "array", "items": text},
            "files": {"type": "array", "items": file},
        },
        "additionalProperties": false,
    });
    if !it.operations.is_empty() {
        let list = takes_a_list(it);
        let action = if list {
            json!({"type": "array", "items": text})
        } else {
            text
        };
        schema["properties"]["action"] = action;
        schema["required"]
            .as_array_mut()
            .unwrap()
            .push("action".into());
    }
    schema
}

fn roles(world: &World) -> Value {
    let each = world.roles.iter().map(|(name, given)| {
        let (grave, plain): (Vec<_>, Vec<_>) = given
            .iter()
            .partition(|it| risk_of(world, it) == Risk::Destructive);
        let mut role = json!({});
        for (key, list) in [("allow", plain), ("destructive", grave)] {
            if !list.is_empty() {
                role[key] = selected(&list);
            }
        }
        (name.clone(), role)
    });
    each.collect::<Map<_, _>>().into()
}

fn risk_of(world: &World, (name, operation): &PermissionName) -> Risk {
    let surface = world.surface(name).unwrap();
    let mut operations = surface.operations.iter();
    let found = operations.find(|it| Some(&it.0) == operation.as_ref());
    found.map_or(surface.risk, |it| it.1)
}

/// Permissions by server.
fn selected(permissions: &[&PermissionName]) -> Value {
    let mut by_server: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, operation) in permissions {
        let (server, tool) = name.split_once('/').unwrap();
        let operation = operation.as_ref().map(|it| format!(":{it}"));
        let selector = format!("{tool}{}", operation.unwrap_or_default());
        by_server.entry(server).or_default().push(selector);
    }
    json!(by_server)
}

fn bindings(world: &World) -> Value {
    let each = world.bindings.iter().map(|it| {
        let mut binding = json!({"who": who(&it.who), "roles": it.roles, "in": it.scope});
        if let Some(condition) = &it.condition {
            binding["when"] = condition.to_string().into();
        }
        if it.cross_organization {
            binding["crossOrganization"] = true.into();
            binding["reason"] = "a contract".into();
        }
        put_dates(&mut binding, it.dates);
        (it.name.clone(), binding)
    });
    each.collect::<Map<_, _>>().into()
}

fn rules(world: &World) -> Value {
    let each = world.rules.iter().map(|it| {
        let permissions: Vec<&PermissionName> = it.permissions.iter().collect();
        let mut rule = json!({"surfaces": selected(&permissions), "in": it.scope});
        match &it.require {
            None => {
                rule["effect"] = "deny".into();
                rule["message"] = "no".into();
            }
            Some(obligations) => {
                rule["effect"] = "require".into();
                rule["require"] = json!({"rate": rate(obligations)});
            }
        }
        if !it.who.is_empty() {
            rule["who"] = who(&it.who);
        }
        if !it.except.is_empty() {
            rule["except"] = who(&it.except);
        }
        if let Some(condition) = &it.condition {
            rule["when"] = condition.to_string().into();
        }
        put_dates(&mut rule, it.dates);
        (it.name.clone(), rule)
    });
    each.collect::<Map<_, _>>().into()
}

/// Rates that a test on the wire does not use up.
fn rate(obligations: &[Obligation]) -> String {
    let count = obligations.first().map_or(1, |it| match it {
        Obligation::Rate { count, .. } | Obligation::Concurrency { count, .. } => *count,
    });
    format!("{}/m", count * 100_000)
}

fn who(all: &[Who]) -> Value {
    let mut names: Vec<String> = all
        .iter()
        .map(|who| match who {
            Who::Principal(name) => name.clone(),
            Who::Group(name) => format!("group:{name}"),
            Who::Tag(name) => format!("tag:{name}"),
            Who::Type(kind) => format!("type:{}", type_word(*kind)),
            Who::Everyone => "everyone".to_owned(),
        })
        .collect();
    names.sort();
    names.dedup();
    json!(names)
}

fn put_dates(entry: &mut Value, dates: Dates) {
    let ends = [("notBefore", dates.not_before), ("expires", dates.expires)];
    for (name, time) in ends {
        if let Some(time) = time {
            entry[name] = time.to_string().into();
        }
    }
}

fn type_word(kind: PrincipalType) -> &'static str {
    match kind {
        PrincipalType::Human => "human",
        PrincipalType::Service => "service",
        PrincipalType::Agent => "agent",
    }
}

fn risk_word(risk: Risk) -> &'static str {
    match risk {
        Risk::Read => "read",
        Risk::Write => "write",
        Risk::Destructive => "destructive",
    }
}
