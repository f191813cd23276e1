//! The store that sidecars of one server share.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use tokio_rustls::rustls::ClientConfig;

use super::Span;
use crate::tls::{self, TlsError};

/// The store that sidecars of one server share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Where the Redis is: `redis://host:port`, `redis://host:port/database`, the same with
    /// `rediss://` for TLS, or `unix:/path/of/the.sock`.
    pub redis: String,
    /// The authorities that a `rediss://` store is verified by, in PEM; absent means the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to a `rediss://` store, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
    /// The user to log in as; absent means the usual one.
    pub user: Option<String>,
    /// The file with the password; absent means none.
    pub password_file: Option<PathBuf>,
    /// How long an answer may take until the store counts as lost.
    #[serde(default = "fifty_milliseconds")]
    pub timeout: Span,
    /// How long the places of a sidecar that is gone stay taken.
    #[serde(default = "thirty_seconds")]
    pub lease: Span,
}

/// An address that a store can be reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A host, its port, and the database.
    Tcp {
        /// The name, or the address; an IPv6 address in brackets.
        host: String,
        /// The port.
        port: u16,
        /// The database.
        database: u32,
        /// Whether under TLS.
        tls: bool,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

impl StoreConfig {
    /// The address; an error says what to write instead.
    pub fn address(&self) -> Result<StoreAddress, String> {
        let wrong = |what: &str| Err(format!("[store] redis = \"{}\": {what}", self.redis));
        if let Some(path) = self.redis.strip_prefix("unix:") {
            return Ok(StoreAddress::Unix(path.into()));
        }
        let (rest, tls) = match self.redis.strip_prefix("rediss://") {
            Some(rest) => (rest, true),
            None => match self.redis.strip_prefix("redis://") {
                Some(rest) => (rest, false),
                None => {
                    return wrong(
                        "write `redis://host:port`, `rediss://host:port` or \
                         `unix:/path/of/the.sock`",
                    );
                }
            },
        };
        if rest.contains('@') {
            return Err(
                "[store] redis has a user or password in it: write them as `user` and \
                 `password_file`"
                    .to_owned(),
            );
        }
        let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(database) = (if database.is_empty() { "0" } else { database }).parse() else {
            return wrong("the database is not a number");
        };
        let split = host.rsplit_once(':');
        match split.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port @ 1_u16..)) => Ok(StoreAddress::Tcp {
                host: host.to_owned(),
                port,
                database,
                tls,
            }),
            _ => wrong("it names no port, such as `:6379`"),
        }
    }

    /// How the store is verified and what is shown to it; `None` where it is not under TLS.
    pub fn client(&self) -> Result<Option<ClientConfig>, TlsError> {
        if !self.redis.starts_with("rediss://") {
            return Ok(None);
        }
        let shown = self.certificate.as_deref().zip(self.key.as_deref());
        tls::client(self.ca.as_deref(), shown).map(Some)
    }

    pub(super) fn resolve(&mut self, join: &dyn Fn(&mut PathBuf)) {
        if let Some(path) = self.redis.strip_prefix("unix:") {
            let mut path = PathBuf::from(path);
            join(&mut path);
            self.redis = format!("unix:{}", path.display());
        }
        let paths = [
            &mut self.password_file,
            &mut self.ca,
            &mut self.certificate,
            &mut self.key,
        ];
        paths.into_iter().flatten().for_each(join);
    }

    /// What is wrong with these settings, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        let tls = matches!(self.address()?, StoreAddress::Tcp { tls: true, .. });
        let named = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        if named && !tls {
            return Err(
                "[store] ca, certificate and key are for TLS: write `redis = \"rediss://...\"`, or \
                 remove them"
                    .to_owned(),
            );
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("[store] certificate and key belong together: name both".to_owned());
        }
        let within = |span: Span, least: u64, most: u64| {
            (Duration::from_millis(least)..=Duration::from_millis(most)).contains(&span.0)
        };
        if !within(self.timeout, 1, 5000) {
            return Err("[store] timeout must be between 1ms and 5s".to_owned());
        }
        if !within(self.lease, 1000, 3_600_000) {
            return Err("[store] lease must be between 1s and 1h".to_owned());
        }
        Ok(())
    }
}

fn fifty_milliseconds() -> Span {
    Span(Duration::from_millis(50))
}

fn thirty_seconds() -> Span {
    Span(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(redis: &str) -> Result<StoreAddress, String> {
        let config: StoreConfig = toml::from_str(&format!("redis = \"{redis}\"")).unwrap();
        config.check()?;
        config.address()
    }

    #[test]
    fn a_socket_is_relative_to_the_settings() {
        let resolved = |redis: &str| {
            let mut config: StoreConfig = toml::from_str(&format!("redis = \"{redis}\"")).unwrap();
            config.resolve(&|path| *path = PathBuf::from("/etc/latchkey").join(&*path));
            config.redis
        };
        assert_eq!(resolved("unix:redis.sock"), "unix:/etc/latchkey/redis.sock");
        assert_eq!(resolved("unix:/run/redis.sock"), "unix:/run/redis.sock");
        assert_eq!(resolved("redis://store:6379"), "redis://store:6379");
    }

    #[test]
    fn an_address_is_read_or_refused_with_what_to_write() {
        let tcp = |host: &str, port, database, tls| {
            Ok(StoreAddress::Tcp {
                host: host.to_owned(),
                port,
                database,
                tls,
            })
        };
        assert_eq!(
            at("redis://127.0.0.1:6379"),
            tcp("127.0.0.1", 6379, 0, false)
        );
        assert_eq!(at("redis://store:6380/3"), tcp("store", 6380, 3, false));
        assert_eq!(at("rediss://[::1]:6380/3"), tcp("[::1]", 6380, 3, true));
        assert_eq!(
            at("unix:/run/redis.sock"),
            Ok(StoreAddress::Unix("/run/redis.sock".into()))
        );
        for (bad, word) in [
            ("127.0.0.1:6379", "redis://"),
            ("redis://store", "port"),
            ("redis://store:0", "port"),
            ("redis://store:1/x", "number"),
            ("redis://u:secret@store:1", "password_file"),
        ] {
            let error = at(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
