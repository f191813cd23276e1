//! Against DNS rebinding: which names this listener answers to.
//!
//! A page in a browser can point a name of its own at a loopback address. Its requests then carry
//! that name as `Host`, and its own origin; neither is ever one of ours.

use std::net::SocketAddr;

use hyper::{HeaderMap, header};

use crate::config::ListenConfig;

/// The names of this machine to itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Whether a request names this listener: by the configured hosts, or, when there are none and the
/// listener is on loopback, by a loopback name. A request without `Host` or with two names nobody.
pub fn is_served(config: &ListenConfig, headers: &HeaderMap) -> bool {
    let known = |name: &str| match &config.hosts {
        Some(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(name)),
        None => !is_loopback(config.address) || LOOPBACK.contains(&name),
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(|host| known(name_of(host))) {
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

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().is_loopback()
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
        is_served(&config.listen, &headers)
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
