//! RFC 9728: where a caller without a token finds who gives one.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{self, HeaderValue},
};
use latchkey_engine::{
    id::{PermissionId, ServerId},
    index::{Disclose, Transport},
    policy::Policy,
};
use latchkey_gate::token::{ProofRule, dpop, resource};

use crate::{answer::Answer, run::Shared};

/// The well-known path, to which a resource's own path is appended.
pub const PATH: &str = "/.well-known/oauth-protected-resource";

/// The answer to a request for the metadata, when it is one and there is metadata.
pub fn document(shared: &Arc<Shared>, request: &Request<Incoming>) -> Option<Response<Answer>> {
    let rest = request.uri().path().strip_prefix(PATH)?;
    if request.method() != Method::GET || !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let active = shared.active()?;
    let (_, own) = resource::split(active.resource.as_deref()?)?;
    if !rest.is_empty() && rest.trim_end_matches('/') != own {
        return None;
    }
    let text = active.metadata.clone()?;
    let mut response = Response::new(Answer::whole(Bytes::from(text)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Some(response)
}

/// The URLs that a request with this path may have been sent to: the path below the resource, the
/// path at the resource's origin where that is below it, and for an MCP server, which has one URL,
/// the resource itself. What stands before the sidecar may take a part of the path away; the names
/// are the policy's all the same.
pub fn urls(resource: Option<&str>, transport: Transport, path: &str) -> Vec<String> {
    let Some((origin, own)) = resource.and_then(resource::split) else {
        return Vec::new();
    };
    let path = path.trim_end_matches('/');
    let mut urls = vec![format!("{origin}{own}{path}")];
    let below = path.strip_prefix(own);
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        urls.push(format!("{origin}{path}"));
    }
    if transport == Transport::Mcp {
        urls.push(format!("{origin}{own}"));
    }
    urls
}

/// The metadata document of a resource.
///
/// The permissions of its surfaces are its scopes, unless the server hides what there is.
pub fn describe(
    policy: &Policy,
    server: ServerId,
    resource: &str,
    proof: Option<ProofRule>,
) -> String {
    let index = policy.index();
    let named = |audience: &String| resource::canonical(audience) == resource;
    let servers: Vec<&str> = index
        .issuers
        .iter()
        .filter(|issuer| issuer.audiences.iter().any(named))
        .map(|issuer| issuer.url.as_str())
        .collect();
    let mut document = serde_json::Map::new();
    let mut say = |key: &str, value: serde_json::Value| document.insert(key.to_owned(), value);
    say("resource", resource.into());
    say("authorization_servers", servers.into());
    say("bearer_methods_supported", vec!["header"].into());
    say(
        "dpop_signing_alg_values_supported",
        dpop::algorithms().into(),
    );
    if proof == Some(ProofRule::Dpop) {
        say("dpop_bound_access_tokens_required", true.into());
    }
    let entry = index.servers.get(server.index());
    if entry.is_some_and(|entry| entry.disclose == Disclose::Full) {
        say("scopes_supported", scopes(policy, server).into());
    }
    serde_json::Value::Object(document).to_string()
}

/// The permissions of a server's surfaces, as challenges name them.
fn scopes(policy: &Policy, server: ServerId) -> Vec<String> {
    let surfaces = &policy.index().surfaces;
    let own = |permission: &PermissionId| {
        let surface = policy.permission_surface(*permission);
        let surface = surface.and_then(|(surface, _)| surfaces.get(surface.index()));
        surface.is_some_and(|surface| surface.server == server)
    };
    let all = (0..policy.permission_count()).map(PermissionId);
    all.filter(own)
        .map(|it| policy.permission_name(it))
        .collect()
}

/// Where the metadata of a resource is: its origin, the well-known path, its own path.
pub fn location(resource: &str) -> Option<String> {
    let (scheme, rest) = resource.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    Some(format!("{scheme}://{authority}{PATH}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_resource_follows_the_well_known_one() {
        for (resource, expected) in [
            (
                "https://tools.acme.example/github",
                "https://tools.acme.example/.well-known/oauth-protected-resource/github",
            ),
            (
                "https://tools.acme.example/",
                "https://tools.acme.example/.well-known/oauth-protected-resource",
            ),
            (
                "http://h:1",
                "http://h:1/.well-known/oauth-protected-resource",
            ),
        ] {
            assert_eq!(location(resource).as_deref(), Some(expected));
        }
        assert_eq!(location("urn:tools"), None);
    }

    #[test]
    fn a_request_was_sent_to_the_urls_of_its_server_and_to_no_others() {
        let of = |transport, path| urls(Some("https://api.acme.example/v1"), transport, path);
        let http = |path| of(Transport::Http, path);
        assert_eq!(http("/"), ["https://api.acme.example/v1"]);
        assert_eq!(
            http("/v1/tickets/7"),
            [
                "https://api.acme.example/v1/v1/tickets/7",
                "https://api.acme.example/v1/tickets/7"
            ]
        );
        assert_eq!(
            http("/tickets"),
            ["https://api.acme.example/v1/tickets"],
            "what is before the sidecar has taken the rest away"
        );
        assert_eq!(http("/v10"), ["https://api.acme.example/v1/v10"]);
        assert_eq!(
            of(Transport::Mcp, "/mcp"),
            [
                "https://api.acme.example/v1/mcp",
                "https://api.acme.example/v1"
            ]
        );
        assert!(urls(None, Transport::Mcp, "/mcp").is_empty());
        assert!(urls(Some("urn:tools"), Transport::Http, "/a").is_empty());
    }
}
