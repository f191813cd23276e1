//! What passes without being read: bodies of media types that a route streams, and a connection that
//! becomes a WebSocket.
//!
//! A body may pass unread only where nothing of the policy reads it: a slice in which something does
//! is refused when it is opened.

use latchkey_engine::{
    condition::Segment,
    index::{ScopeSource, Surface, SurfaceKind, Transport},
    policy::Policy,
};

use crate::{
    gate::{Gate, GateError},
    inbound::Inbound,
    route,
    settings::SurfaceSettings,
};

/// The member of a route's arguments that the body becomes.
const BODY: &str = "body";

/// The most bytes of a request's body that passes as it comes; `None` where it must be read. Only the
/// head of the request is looked at.
#[must_use]
pub fn streamed(gate: &Gate, inbound: &Inbound<'_>) -> Option<u64> {
    if !gate.streams() {
        return None;
    }
    let server = gate.policy().server_entry(inbound.server)?;
    if server.transport != Transport::Http {
        return None;
    }
    let segments = route::segments(inbound.path()).ok()?;
    let routes = gate.routes();
    let (surface, _) = routes.http(inbound.server, inbound.method, &segments)?;
    let body = gate.surface_settings(surface)?.body.as_ref()?;
    let content_type = inbound.header("content-type").ok()??;
    body.takes(content_type).then_some(body.limit)
}

/// Whether a request asks to become a WebSocket. Other upgrades are no question: a server may go on
/// in HTTP, so nobody is told of them.
pub(crate) fn asks_for_web_socket(inbound: &Inbound<'_>) -> bool {
    inbound.headers.iter().any(|(name, value)| {
        let mut words = value.split(|byte| *byte == b',' || *byte == b'/');
        *name == "upgrade" && words.any(|it| it.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    })
}

/// Checks that what passes unread is read by nothing, and that only what can does.
pub(crate) fn check(policy: &Policy, settings: &[SurfaceSettings]) -> Result<(), GateError> {
    let index = policy.index();
    for (at, (surface, settings)) in index.surfaces.iter().zip(settings).enumerate() {
        let fault = |what| Err(GateError::Surface(surface.name.clone(), what));
        let method = match &surface.kind {
            SurfaceKind::Route { method, .. } => method.as_str(),
            _ => "",
        };
        if settings.web_socket && method != "GET" {
            return fault("only a route of GET becomes a WebSocket");
        }
        if settings.body.is_none() {
            continue;
        }
        if matches!(method, "" | "GET" | "HEAD") {
            return fault("only a route with a body streams it");
        }
        let slots = u32::try_from(at).map(|at| policy.slots(latchkey_engine::id::SurfaceId(at)));
        let mut slots = slots.unwrap_or_default().iter();
        let in_conditions = slots.any(|id| {
            let attribute = index.attributes.get(id.index());
            let first = attribute.and_then(|it| it.path.first());
            first.is_none_or(|it| matches!(it, Segment::Field(name) if name == BODY))
        });
        let schema = surface.schema.and_then(|it| index.schemas.get(it.index()));
        let in_schema = schema.is_some_and(|text| text.contains("\"body\""));
        if in_conditions || in_schema || reads_body(surface) {
            return fault("it streams bodies, and something of the policy reads them");
        }
    }
    Ok(())
}

/// Whether the registry reads or writes something of the body.
fn reads_body(surface: &Surface) -> bool {
    let facts = surface.arguments.iter().map(|fact| &fact.argument);
    let operation = surface.operations.iter().map(|it| &it.argument);
    let scope = match &surface.scope {
        ScopeSource::Map { argument, .. } | ScopeSource::Force { argument, .. } => Some(argument),
        ScopeSource::Server | ScopeSource::Principal | ScopeSource::Unscoped => None,
    };
    let mut read = facts.chain(operation).chain(scope);
    read.any(|path| path.first().is_none_or(|it| it == BODY))
}

#[cfg(test)]
mod tests {
    use latchkey_engine::id::ServerId;

    use super::*;
    use crate::{
        settings::{Settings as _, Streamed},
        testing::changed,
    };

    fn streaming(name: &str, change: impl Fn(&mut Surface)) -> Result<Gate, GateError> {
        let mut index = changed(|_| {}).policy().index().clone();
        for surface in index.surfaces.iter_mut().filter(|it| it.name == name) {
            let settings = SurfaceSettings {
                body: Some(Streamed {
                    limit: 7,
                    stream: vec!["image/*".to_owned()],
                }),
                ..SurfaceSettings::default()
            };
            surface.settings = settings.to_text().unwrap();
            surface.schema = None;
            surface.arguments.clear();
            surface.scope = ScopeSource::Server;
            change(surface);
        }
        let slice = latchkey_engine::bundle::encode(&index).unwrap();
        Gate::open(&slice, None)
    }

    fn asked(gate: &Gate, method: &str, target: &str, content_type: &str) -> Option<u64> {
        let headers = [("content-type", content_type.as_bytes())];
        streamed(
            gate,
            &Inbound {
                server: gate.server("desk").unwrap_or(ServerId(0)),
                method,
                target,
                headers: &headers,
                body: &[],
                peer: None,
            },
        )
    }

    #[test]
    fn only_the_listed_media_types_of_the_route_pass() {
        let gate = streaming("reply", |_| {}).unwrap();
        let target = "/v1/tickets/7/replies";
        assert_eq!(asked(&gate, "POST", target, "image/png"), Some(7));
        assert_eq!(asked(&gate, "POST", target, "application/json"), None);
        assert_eq!(asked(&gate, "DELETE", target, "image/png"), None);
        assert_eq!(asked(&gate, "POST", "/v1/tickets/7", "image/png"), None);
        assert_eq!(
            asked(&gate, "POST", "/v1//tickets/7/replies", "image/png"),
            None
        );
        assert_eq!(asked(&changed(|_| {}), "POST", target, "image/png"), None);
    }

    #[test]
    fn a_body_that_something_reads_does_not_pass_unread() {
        let fact = |path: &[&str]| latchkey_engine::index::ArgumentFact {
            argument: path.iter().map(|it| (*it).to_owned()).collect(),
            fold: None,
            only: vec!["a".to_owned()],
            force: None,
            forbid: false,
        };
        assert!(streaming("reply", |it| it.arguments = vec![fact(&["query", "a"])]).is_ok());
        for refused in [
            streaming("reply", |it| it.arguments = vec![fact(&["body", "a"])]),
            streaming("read-ticket", |_| {}),
        ] {
            assert!(
                matches!(refused, Err(GateError::Surface(..))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_web_socket_is_asked_for_by_its_name() {
        let asks = |value: &str| {
            let headers = [("upgrade", value.as_bytes())];
            asks_for_web_socket(&Inbound {
                server: ServerId(0),
                method: "GET",
                target: "/",
                headers: &headers,
                body: &[],
                peer: None,
            })
        };
        for yes in ["websocket", "WebSocket", "h2c, websocket", "websocket/13"] {
            assert!(asks(yes), "{yes}");
        }
        for no in ["h2c", "", "websocketx"] {
            assert!(!asks(no), "{no}");
        }
    }
}
