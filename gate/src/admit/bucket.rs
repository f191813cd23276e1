//! What a limit counts together, as a name: a limiter keeps one count for each.

use std::net::IpAddr;

use latchkey_engine::index::{Obligation, Pool, Reach};

use crate::identity::Identity;

/// The name of the bucket that a call of `surface` falls in: whose calls, of what, and by the limit
/// from where. Made of names, so that what is used up outlives a bundle.
pub(super) fn name(
    obligation: Obligation,
    surface: &str,
    source: &str,
    identity: Option<&Identity>,
    peer: Option<IpAddr>,
) -> String {
    let (Obligation::Rate { pool, reach, .. } | Obligation::Concurrency { pool, reach, .. }) =
        obligation;
    let what = match reach {
        Reach::Surface => surface,
        Reach::Server => surface.split('/').next().unwrap_or_default(),
    };
    [&whose(pool, identity, peer), " ", what, " ", source].concat()
}

/// Those whose calls count together. A caller's name begins with a label, the others have a colon
/// there, which no label has; nothing behind it has a space, so no two names can be mixed up.
fn whose(pool: Pool, identity: Option<&Identity>, peer: Option<IpAddr>) -> String {
    let who = identity.map(Identity::who);
    let organization = who.and_then(|it| it.organization.as_deref());
    let organization = organization.unwrap_or_default();
    match pool {
        Pool::Caller => identity.map_or("anonymous", Identity::name).to_owned(),
        Pool::Team => {
            let team = who.and_then(|it| it.team.as_deref()).unwrap_or_default();
            ["team:", organization, "/", team].concat()
        }
        Pool::Organization => ["organization:", organization].concat(),
        Pool::Source => format!("source:{}", network(peer)),
        Pool::Everyone => "everyone:".to_owned(),
    }
}

/// An address as far as one host or home has it for itself: all of IPv4, 64 bits of IPv6. Those
/// who come without an address, over a socket of this host, are one.
fn network(peer: Option<IpAddr>) -> String {
    match peer.map(|peer| peer.to_canonical()) {
        None => "local".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pool: Pool, reach: Reach, peer: &str) -> String {
        let obligation = Obligation::Concurrency {
            pool,
            reach,
            count: 1,
        };
        let peer = peer.parse().ok();
        name(obligation, "github/push", "surface", None, peer)
    }

    #[test]
    fn a_bucket_is_named_by_who_what_and_whence() {
        let surface = Reach::Surface;
        assert_eq!(
            at(Pool::Caller, surface, ""),
            "anonymous github/push surface"
        );
        assert_eq!(
            at(Pool::Everyone, Reach::Server, ""),
            "everyone: github surface"
        );
        assert_eq!(at(Pool::Team, surface, ""), "team:/ github/push surface");
        let source = |peer| at(Pool::Source, surface, peer);
        assert_eq!(source(""), "source:local github/push surface");
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    }
}
