//! Which addresses an issuer's keys may be fetched from.
//!
//! A URL of the policy must not make the sidecar talk to what only it can reach: so only public
//! addresses are connected to, and those that the operator names.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What is not public, by the registries of special-purpose addresses.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

static SPECIAL_NETWORKS: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let networks = SPECIAL.iter().map(|network| network.parse());
    networks.filter_map(Result::ok).collect()
});

/// The addresses that may be connected to.
#[derive(Debug, Clone, Default)]
pub(super) struct Allowed {
    /// The networks that the operator names, besides all that is public.
    pub(super) networks: Vec<IpNet>,
    /// Whether this machine itself may be: in the development profile.
    pub(super) loopback: bool,
}

impl Allowed {
    /// Whether an address may be connected to.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let named = |network: &IpNet| network.contains(&address);
        if self.networks.iter().any(named) || self.loopback && address.is_loopback() {
            return true;
        }
        // What carries an IPv4 address leads there.
        let inner = match address {
            IpAddr::V6(address) => embedded(address),
            IpAddr::V4(_) => None,
        };
        let public = |it: IpAddr| !SPECIAL_NETWORKS.iter().any(|network| network.contains(&it));
        public(address) && inner.is_none_or(|inner| public(IpAddr::V4(inner)))
    }
}

/// Resolves names, and lets only those through of which every address is allowed.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Allowed);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if let Some(address) = found.iter().find(|it| !allowed.permits(it.ip())) {
                let what = refusal(name.as_str(), address.ip());
                return Err(io::Error::other(what).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What is said of an address that is not connected to.
pub(super) fn refusal(host: &str, address: IpAddr) -> String {
    format!(
        "{host} is {address}, which is no public address; if the issuer is meant to be there, name \
         its network in `[identity] private_networks`"
    )
}

/// The IPv4 address that an IPv6 address leads to: NAT64, 6to4 and ISATAP.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let low = |bits: u128| {
        u32::try_from(bits & u128::from(u32::MAX))
            .ok()
            .map(Ipv4Addr::from_bits)
    };
    // 64:ff9b::/96, 2002::/16, and the interface ids 0000:5efe and 0200:5efe.
    match (bits >> 32, bits >> 112, (bits >> 32) & 0xfdff_ffff) {
        (0x0064_ff9b_0000_0000_0000_0000, _, _) | (_, _, 0x5efe) => low(bits),
        (_, 0x2002, _) => low(bits >> 80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allowed: &Allowed, address: &str) -> bool {
        allowed.permits(address.parse().unwrap())
    }

    #[test]
    fn every_network_of_the_table_is_read() {
        assert_eq!(SPECIAL_NETWORKS.len(), SPECIAL.len());
    }

    #[test]
    fn only_public_addresses_are_connected_to() {
        let none = Allowed::default();
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(permits(&none, public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.1.2.3",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "2001:0:a00:1::1",
            "2606:4700::5efe:a01:203",
            "2001:db8::1",
        ] {
            assert!(!permits(&none, private), "{private}");
        }
    }

    #[test]
    fn the_operator_names_networks_and_nothing_beside_them() {
        let some = Allowed {
            networks: vec!["10.0.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()],
            loopback: false,
        };
        for address in ["10.0.1.2", "::ffff:10.0.1.2", "fd00::1"] {
            assert!(permits(&some, address), "{address}");
        }
        for address in ["10.1.0.1", "127.0.0.1", "fd00:0:0:1::1"] {
            assert!(!permits(&some, address), "{address}");
        }
        let development = Allowed {
            loopback: true,
            ..Allowed::default()
        };
        assert!(permits(&development, "127.0.0.1"));
        assert!(!permits(&development, "10.0.0.1"));
    }
}
