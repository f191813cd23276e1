//! Random worlds as opened bundles, and their calls as people state them.

use latchkey_engine::{
    bundle,
    testing::{Argument, Rng, Where, World, WorldCall},
};
use latchkey_gate::{
    call::{Stated, StatedCaller},
    gate::Gate,
    token::mint::Mint,
};
use serde_json::{Map, Value, json, value::RawValue};

/// The world's policy, as a sidecar would open it.
pub(crate) fn gate(world: &World) -> Gate {
    let mut index = vouched(world).index();
    for issuer in &mut index.issuers {
        issuer.keys = Mint::from_seed("test", [7; 32]).jwks();
    }
    let bytes = bundle::encode(&index).unwrap();
    Gate::open(&bytes, None).unwrap()
}

/// The world with every issuer allowed to speak for its principals, as the compiler demands.
fn vouched(world: &World) -> World {
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
    let mut callers = call
        .callers
        .iter()
        .map(|(issuer, subject, groups)| StatedCaller {
            principal: None,
            issuer: Some(issuer.clone()),
            subject: Some(subject.clone()),
            groups: groups.clone(),
        });
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
        token_permissions: call.token_permissions.clone(),
        token_id: call.token_id.clone(),
    })
}

/// Whether a scope lies in another, or is it.
pub(crate) fn reaches(outer: &str, inner: &str) -> bool {
    outer == "platform" || outer == inner || inner.starts_with(&format!("{outer}/"))
}

/// Whether a call states an operation.
pub(crate) fn operation_is(call: &Stated, operation: &str) -> bool {
    let arguments: Value = serde_json::from_str(call.arguments.as_ref().unwrap().get()).unwrap();
    match &arguments["action"] {
        Value::Array(all) => all.iter().any(|it| it == operation),
        one => one == operation,
    }
}
