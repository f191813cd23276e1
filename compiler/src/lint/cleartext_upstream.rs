//! Calls that travel to the upstream in clear text.

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for (name, server) in facts.syntax.servers.iter() {
        let Some(upstream) = &server.upstream else {
            continue;
        };
        let Some(rest) = upstream.strip_prefix("http://") else {
            continue;
        };
        if !is_local(rest) {
            let message = format!("the calls of `{name}` leave this machine in clear text");
            found.push(
                Diagnostic::new(&codes::CLEARTEXT_UPSTREAM, upstream.span, message)
                    .help("use `https://`, or run the sidecar beside the server"),
            );
        }
    }
}

fn is_local(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some(address) = authority.strip_prefix('[') {
        return address.starts_with("::1]");
    }
    let host = authority.split(':').next().unwrap_or_default();
    let loopback = host
        .parse::<std::net::Ipv4Addr>()
        .is_ok_and(|it| it.is_loopback());
    loopback || host == "localhost" || host.ends_with(".localhost")
}
