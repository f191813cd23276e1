//! `[listen]`: where callers are served, and within which bounds.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::{ConfigError, Span, counts, spans};
use crate::listen::Address;

/// Where callers are served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// The addresses: `host:port`, where port 0 takes a free one, or `unix:PATH`; one or a list.
    #[serde(rename = "address", deserialize_with = "one_or_more")]
    pub addresses: Vec<Address>,
    /// The permissions of Unix sockets, in octal.
    #[serde(default = "owner_only", deserialize_with = "octal")]
    pub unix_mode: u32,
    /// Whether the listening sockets are taken over from the process that runs with the same state
    /// folder, and handed over to the next.
    #[serde(default)]
    pub handover: bool,
    /// The names that callers reach this listener by. Absent means loopback names on a loopback
    /// address, and any name elsewhere.
    pub hosts: Option<Vec<String>>,
    /// The certificate that callers see; absent means that connections are in clear text.
    pub tls: Option<TlsConfig>,
    /// HTTP/2.
    #[serde(default)]
    pub http2: Http2Config,
    /// How many threads serve requests.
    #[serde(default = "one")]
    pub workers: usize,
    /// The most connections at a time, over all workers.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// The most of them from one address (IPv6: from one /64). Absent means a quarter of all, and
    /// no bound on loopback addresses.
    pub max_connections_per_address: Option<usize>,
    /// The most requests under way at a time, over all workers; one more is refused at once.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// The most headers of a request.
    #[serde(default = "max_headers")]
    pub max_headers: usize,
    /// The largest request head, in bytes.
    #[serde(default = "max_head")]
    pub max_head: usize,
    /// How long a caller may take to send a request's head, or to shake hands.
    #[serde(default = "ten_seconds")]
    pub head_timeout: Span,
    /// How long a caller may take to send a request's body.
    #[serde(default = "ten_seconds")]
    pub body_timeout: Span,
    /// How long a caller may leave an answer unread.
    #[serde(default = "thirty_seconds")]
    pub write_timeout: Span,
    /// How long an idle connection is kept.
    #[serde(default = "two_minutes")]
    pub idle_timeout: Span,
    /// How long requests in flight may take to end when the sidecar stops.
    #[serde(default = "thirty_seconds")]
    pub drain_timeout: Span,
}

/// The certificate that callers see, and whether they must show one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain, leaf first, in PEM. Read again when it changes.
    pub certificate: PathBuf,
    /// Its private key, in PEM. Read again when it changes.
    pub key: PathBuf,
    /// The authorities that client certificates are verified by, in PEM. Read again when it
    /// changes. Absent means that callers are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether a caller without a certificate is served.
    pub client_certificate: Option<ClientAuth>,
}

/// Whether a caller without a certificate is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It is not: the handshake fails.
    Required,
    /// It is; a certificate that is shown must still be good.
    Optional,
}

/// HTTP/2.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Whether it is offered on TLS, by ALPN.
    pub tls: bool,
    /// Whether it is taken on connections in clear text, by prior knowledge.
    pub cleartext: bool,
    /// The most requests at a time on one connection.
    pub max_streams: usize,
}

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            tls: true,
            cleartext: false,
            max_streams: 100,
        }
    }
}

impl TlsConfig {
    pub(super) fn resolve(&mut self, join: &dyn Fn(&mut PathBuf)) {
        join(&mut self.certificate);
        join(&mut self.key);
        if let Some(authorities) = &mut self.client_ca {
            join(authorities);
        }
    }

    pub(super) fn check(&self, section: &str) -> Result<(), String> {
        if self.client_ca.is_some() != self.client_certificate.is_some() {
            return Err(format!(
                "{section} client_ca and client_certificate belong together: name the file of the \
                 authorities, and say `required` or `optional`"
            ));
        }
        Ok(())
    }

    /// Whether every caller has shown a certificate.
    #[must_use]
    pub fn asks_everybody(&self) -> bool {
        self.client_certificate == Some(ClientAuth::Required)
    }
}

impl ListenConfig {
    pub(super) fn resolve(&mut self, join: &dyn Fn(&mut PathBuf)) {
        for address in &mut self.addresses {
            if let Address::Unix(path) = address {
                join(path);
            }
        }
        if let Some(tls) = &mut self.tls {
            tls.resolve(join);
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let fault = |what: &str| Err(ConfigError(what.to_owned()));
        if self.addresses.len() > 8 {
            return fault("[listen] address names more than 8 addresses");
        }
        if self.addresses.is_empty() {
            return fault("[listen] address is empty: name at least one address");
        }
        if let Some(tls) = &self.tls {
            tls.check("[listen.tls]").map_err(ConfigError)?;
        }
        if self.tls.is_some() && self.http2.cleartext {
            return fault(
                "[listen.http2] cleartext has no use with [listen.tls]: no connection is in clear \
                 text",
            );
        }
        spans(&[
            ("[listen] head_timeout", self.head_timeout),
            ("[listen] body_timeout", self.body_timeout),
            ("[listen] write_timeout", self.write_timeout),
            ("[listen] idle_timeout", self.idle_timeout),
        ])?;
        let most = self.max_connections;
        let of_one = self.max_connections_per_address.unwrap_or(1);
        counts(&[
            ("[listen] workers", self.workers, 1, 256),
            ("[listen] max_connections", most, 1, 1 << 20),
            ("[listen] max_connections_per_address", of_one, 1, 1 << 20),
            ("[listen] max_in_flight", self.max_in_flight, 1, 1 << 24),
            ("[listen] max_headers", self.max_headers, 8, 1024),
            ("[listen] max_head", self.max_head, 8192, 1 << 20),
            (
                "[listen.http2] max_streams",
                self.http2.max_streams,
                1,
                1 << 16,
            ),
        ])
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "an address is `host:port` or `unix:PATH`, or a list of these"
    )]
    enum Written {
        One(String),
        More(Vec<String>),
    }
    let written = match Written::deserialize(deserializer)? {
        Written::One(text) => vec![text],
        Written::More(texts) => texts,
    };
    let parsed = written.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{text}` are no permissions: write them as in `0660`"
        ))
    })
}

const fn owner_only() -> u32 {
    0o600
}
const fn one() -> usize {
    1
}
const fn max_connections() -> usize {
    4096
}
const fn max_in_flight() -> usize {
    16_384
}
const fn max_headers() -> usize {
    100
}
const fn max_head() -> usize {
    32 * 1024
}
const fn ten_seconds() -> Span {
    Span::seconds(10)
}
const fn thirty_seconds() -> Span {
    Span::seconds(30)
}
const fn two_minutes() -> Span {
    Span::seconds(120)
}
