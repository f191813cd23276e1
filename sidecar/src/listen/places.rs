//! How many connections there may be at a time: in all, and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{config::ListenConfig, run::Shared};

/// The places of connections.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_one: usize,
    /// Whether loopback addresses are bounded like others.
    loopback: bool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place among those that are allowed at a time.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    key: Option<IpAddr>,
}

impl Places {
    /// All places free.
    #[must_use]
    pub fn new(config: &ListenConfig) -> Self {
        let most = config.max_connections;
        let of_one = config.max_connections_per_address;
        Self {
            most,
            most_of_one: of_one.unwrap_or(most.div_ceil(4)),
            loopback: of_one.is_some(),
            taken: Mutex::default(),
        }
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    /// The key that connections of an address are counted under. Who has one IPv6 address has a
    /// /64 of them.
    fn key(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        let address = address?.to_canonical();
        let bounded = self.loopback || !address.is_loopback();
        bounded.then(|| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A place for one more connection, when there is one.
    #[must_use]
    pub fn take(shared: &Arc<Shared>, address: Option<IpAddr>) -> Option<Self> {
        let places = &shared.places;
        let key = places.key(address);
        let mut taken = places.lock();
        if taken.all >= places.most {
            return None;
        }
        if let Some(key) = key {
            let of_one = taken.by_address.entry(key).or_default();
            if *of_one >= places.most_of_one {
                return None;
            }
            *of_one += 1;
        }
        taken.all += 1;
        shared.metrics.connections.inc();
        Some(Self {
            shared: Arc::clone(shared),
            key,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.places.lock();
        taken.all -= 1;
        if let Some(key) = self.key
            && let Some(of_one) = taken.by_address.get_mut(&key)
        {
            *of_one -= 1;
            if *of_one == 0 {
                taken.by_address.remove(&key);
            }
        }
        self.shared.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_has_one_key() {
        let places = |loopback| Places {
            most: 8,
            most_of_one: 2,
            loopback,
            taken: Mutex::default(),
        };
        let key = |text: &str| places(false).key(Some(text.parse().unwrap()));
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("127.0.0.1"), None);
        let loopback = Some("127.0.0.1".parse().unwrap());
        assert_eq!(places(true).key(loopback), loopback);
        assert_eq!(places(true).key(None), None);
    }
}
