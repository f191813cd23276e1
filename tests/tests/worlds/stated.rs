//! The calls of random worlds, as people state them.

use latchkey_engine::testing::{Argument, Rng, Where, World, WorldCall};
use latchkey_gate::call::{Stated, StatedCaller};
use serde_json::{Map, Value, json, value::RawValue};

/// The world with every issuer allowed to speak for its principals, as the compiler demands.
pub(crate) fn vouched(world: &World) -> World {
    let mut world = world.clone();
    for issuer in &mut world.issuers {
        for principal in &world.principals {
            let (organization, _) = principal
                .scope
                .split_once('/')
                .unwrap_or((&principal.scope, ""));
            let from = principal
                .identities
                .iter()
                .any(|(from, _)| *from == issuer.name);
            let known = issuer.organizations.iter().any(|it| it == organization);
            if from && !known && organization != "platform" {
                issuer.organizations.push(organization.to_owned());
            }
        }
    }
    world
}

/// The call as `eval` would take it; `None` where the world's call states what raw calls cannot.
pub(crate) fn stated(world: &World, call: &WorldCall, rng: &mut Rng) -> Option<Stated> {
    let surface = call.surface.as_ref()?;
    let entry = world
        .surfaces
        .iter()
        .find(|it| it.full_name() == *surface)?;
    let mut arguments = Map::new();
    for (name, value) in call.arguments.as_ref()? {
        let value = match value {
            Argument::Opaque => json!({"an": "object"}),
            Argument::Bool(value) => json!(value),
            Argument::Number(value) => json!(value),
            Argument::Text(value) => json!(value),
            Argument::Texts(values) => json!(values),
            Argument::Files(paths) => paths
                .iter()
                .map(|path| path.map_or_else(|| json!({}), |path| json!({"path": path})))
                .collect(),
        };
        arguments.insert((*name).to_owned(), value);
    }
    if let Some(operations) = &call.operations {
        let value = match operations.as_slice() {
            [] => return None,
            [one] => json!(one),
            many => json!(many),
        };
        arguments.insert("action".to_owned(), value);
    }
    if let Where::Map(map) = &entry.scope
        && rng.chance(80)
    {
        arguments.insert("repo".to_owned(), json!(rng.pick(map).0));
    }
    let last = call.callers.len().saturating_sub(1);
    let numbered = call.callers.iter().enumerate();
    // A token says the groups of the last of the chain.
    let mut callers = numbered.map(|(at, (issuer, subject, groups))| StatedCaller {
        principal: None,
        issuer: Some(issuer.clone()),
        subject: Some(subject.clone()),
        groups: groups.iter().filter(|_| at == last).cloned().collect(),
    });
    let named = !call.callers.is_empty();
    Some(Stated {
        id: None,
        caller: callers.next(),
        on_behalf_of: callers.collect(),
        server: entry.server.clone(),
        tool: Some(entry.name.clone()),
        prompt: None,
        resource: None,
        arguments: RawValue::from_string(Value::Object(arguments).to_string()).ok(),
        method: None,
        path: None,
        body: None,
        at: call.now.to_string(),
        ip: call.address.map(|it| it.to_string()),
        // Who sends no token restricts none.
        token_permissions: call.token_permissions.clone().filter(|_| named),
        token_id: call.token_id.clone().filter(|_| named),
    })
}
