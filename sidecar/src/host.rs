//! Against DNS rebinding: which names this listener answers to.
//!
//! A page in a browser can point a name of its own at a loopback address. Its requests then carry
//! that name as `Host`, and its own origin; neither is ever one of ours.

use hyper::{HeaderMap, Uri, header};

use crate::config::ListenConfig;

/// The names of this machine to itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Whether a request names this listener: by the configured hosts, or, when there are none and the
/// listener is on loopback, by a loopback name. The name is the `Host` header's, or that of the
/// target (`:authority` on HTTP/2). A request without one, or with two that differ, names nobody.
pub fn is_served(
    config: &ListenConfig,
    on_loopback: bool,
    target: &Uri,
    headers: &HeaderMap,
) -> bool {
    let known = |name: &str| match &config.hosts {
        Some(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(name)),
        None => !on_loopback || LOOPBACK.contains(&name),
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let Ok(written) = first.map(|value| value.to_str()).transpose() else {
        return false;
    };
    let authority = target.authority().map(hyper::http::uri::Authority::as_str);
    let differ = |(one, other): (&str, &str)| !one.eq_ignore_ascii_case(other);
    if second.is_some() || written.zip(authority).is_some_and(differ) {
        return false;
    }
    if !written
        .or(authority)
        .is_some_and(|host| known(name_of(host)))
    {
        return false;
    }
    headers.get_all(header::ORIGIN).iter().all(|value| {
        let authority = value
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| known(name_of(authority)))
    })
}

/// The name in `name:port`, with the brackets of an IPv6 address.
fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn served(listen: &str, headers: &[(&'static str, &str)]) -> bool {
        let text = format!(
            "bundle = {{source = \"b\", server = \"s\"}}\ntrust = {{file = \"t\"}}\n\
             listen = {{{listen}}}\nadmin = {{address = \"127.0.0.1:0\"}}\n\
             state = {{directory = \"s\"}}\naudit = {{file = \"-\"}}"
        );
        let config = Config::parse(&text, Path::new("")).unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let on_loopback = listen.contains("127.0.0.1");
        is_served(
            &config.listen,
            on_loopback,
            &Uri::from_static("/mcp"),
            &headers,
        )
    }

    #[test]
    fn a_target_names_the_listener_too() {
        let text = "bundle = {source = \"b\", server = \"s\"}\ntrust = {file = \"t\"}\n\
             listen = {address = \"0.0.0.0:80\", hosts = [\"a\"]}\n\
             admin = {address = \"127.0.0.1:0\"}\nstate = {directory = \"s\"}\n\
             audit = {file = \"-\"}";
        let config = Config::parse(text, Path::new("")).unwrap().listen;
        let served = |target: &str, host: Option<&str>| {
            let host = host.map(|host| (header::HOST, host.parse().unwrap()));
            is_served(
                &config,
                false,
                &target.parse().unwrap(),
                &host.into_iter().collect(),
            )
        };
        assert!(served("http://a:1/mcp", None));
        assert!(served("http://a:1/mcp", Some("A:1")));
        assert!(!served("http://a:1/mcp", Some("a")));
        assert!(!served("http://b/mcp", Some("a")));
        assert!(!served("http://b/mcp", None));
        assert!(!served("/mcp", None));
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names() {
        let loopback = "address = \"127.0.0.1:80\"";
        for host in [
            "localhost",
            "localhost:80",
            "127.0.0.1:80",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(served(loopback, &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "",
            "::1",
        ] {
            assert!(!served(loopback, &[("host", host)]), "{host}");
        }
        assert!(!served(loopback, &[]));
        let host = ("host", "localhost");
        assert!(served(
            loopback,
            &[host, ("origin", "http://localhost:3000")]
        ));
        assert!(!served(
            loopback,
            &[host, ("origin", "http://evil.example")]
        ));
        assert!(!served(loopback, &[host, ("origin", "null")]));
    }

    #[test]
    fn configured_hosts_are_the_only_ones() {
        let listen = "address = \"0.0.0.0:80\", hosts = [\"tools.acme.example\"]";
        assert!(served(listen, &[("host", "Tools.acme.example:8080")]));
        assert!(!served(listen, &[("host", "localhost")]));
        assert!(served(
            "address = \"0.0.0.0:80\"",
            &[("host", "any.example")]
        ));
    }
}
