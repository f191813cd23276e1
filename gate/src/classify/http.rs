//! Plain HTTP: a method and a path.

use latchkey_engine::index::SurfaceKind;

use super::{
    Asked, Fault, Message, Source, What, asks_for_tools, check_media_type, check_overrides, tools,
};
use crate::{
    gate::Gate,
    inbound::Inbound,
    json::{self, Value},
    route,
    wire::Reply,
};

/// Reads the body, if there is one.
pub(super) fn parse<'a>(inbound: &Inbound<'a>, limit: usize) -> Result<Message<'a>, Fault> {
    check_overrides(inbound)?;
    if inbound.body.len() > limit {
        return Err(Fault::TooLarge);
    }
    if inbound.body.is_empty() {
        return Ok(Message::Http(None));
    }
    check_media_type(inbound)?;
    let document = json::parse(inbound.body).map_err(Fault::Json)?;
    let named = |name: &str| name.eq_ignore_ascii_case("_method");
    let members = document.root().as_object();
    if members.is_some_and(|it| it.members().any(|member| named(member.key))) {
        return Err(Fault::Target(
            "a member of the body that overrides the method",
        ));
    }
    Ok(Message::Http(Some(document)))
}

/// Finds the route.
pub(super) fn classify<'d>(
    gate: &Gate,
    inbound: &Inbound<'_>,
    body: Option<Value<'d>>,
) -> Result<Asked<'d>, Fault> {
    let token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if inbound.method.is_empty() || !inbound.method.bytes().all(token) {
        return Err(Fault::Target("the method is not in upper case"));
    }
    if !inbound
        .target
        .bytes()
        .all(|byte| (b'!'..=b'~').contains(&byte))
    {
        return Err(Fault::Target("a character that a URL writes escaped"));
    }
    let segments = route::segments(inbound.path()).map_err(|it| Fault::Target(it.0))?;
    let query =
        route::query(inbound.query().unwrap_or_default()).map_err(|it| Fault::Target(it.0))?;
    let found = gate
        .routes()
        .http(inbound.server, inbound.method, &segments);
    let Some((surface, variables)) = found else {
        if asks_for_tools(inbound) {
            return Ok(tools());
        }
        return Ok(Asked {
            what: What::Unmatched { surface: true },
            reply: Reply::Http,
            method: inbound.method.to_owned(),
            path: "/__unmatched__".to_owned(),
            protocol: None,
        });
    };
    let entry = gate.policy().surface_entry(surface).map(|it| &it.kind);
    let template = match entry {
        Some(SurfaceKind::Route { path, .. }) => path.clone(),
        _ => String::new(),
    };
    let path = members(
        variables
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let query = members(
        query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    let parts = format!("\"path\":{{{path}}},\"query\":{{{query}}}");
    Ok(Asked {
        what: What::Surface(surface, Source::Parts(parts, body)),
        reply: Reply::Http,
        method: inbound.method.to_owned(),
        path: template,
        protocol: None,
    })
}

/// Text members of an object, as JSON without its braces.
pub(crate) fn members<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{}:{}", text(name), text(value)))
        .collect();
    pairs.join(",")
}
