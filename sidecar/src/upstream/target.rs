//! Where a server is, and what is asked of it there.

use std::{fmt, sync::Arc, time::Duration};

use hyper::Uri;
use latchkey_engine::index::Transport;
use latchkey_gate::upstream::{Place, UpstreamUrl};

/// Where a server is, as its bundle says.
#[derive(Debug, Clone)]
pub struct Target {
    /// What to connect to.
    pub(super) place: Arc<Place>,
    /// The same as text: what idle connections are kept under, and what is told.
    pub(super) label: Arc<str>,
    /// The `Host` header.
    pub(super) host: Box<str>,
    path: Path,
    /// How long the server may take until its answer begins.
    pub(super) timeout: Duration,
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    /// The path of the URL, for MCP.
    One(Box<str>),
    /// What stands before each route, for plain HTTP.
    Before(String),
}

/// Why an upstream URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetError(String);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// Reads the upstream URL of a server.
    pub fn new(url: &str, transport: Transport, timeout: Duration) -> Result<Self, TargetError> {
        let fault = |what: &dyn fmt::Display| TargetError(format!("upstream `{url}`: {what}"));
        let parsed = UpstreamUrl::parse(url).map_err(|error| fault(&error))?;
        let path = match transport {
            Transport::Mcp if parsed.path.is_empty() => Path::One("/".into()),
            Transport::Mcp => Path::One(parsed.path.into()),
            Transport::Http => Path::Before(parsed.path.trim_end_matches('/').to_owned()),
        };
        let (label, host) = match &parsed.place {
            Place::Tcp { host, port, tls } => {
                let (scheme, usual) = if *tls { ("https", 443) } else { ("http", 80) };
                let label = format!("{scheme}://{host}:{port}");
                let told = if *port == usual {
                    host.clone()
                } else {
                    format!("{host}:{port}")
                };
                (label, told)
            }
            Place::Unix(path) => (format!("unix:{path}"), "localhost".to_owned()),
        };
        Ok(Self {
            place: Arc::new(parsed.place),
            label: label.into(),
            host: host.into(),
            path,
            timeout,
        })
    }

    /// How long the server may take until its answer begins, and to go on with it.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether it is the same place.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.label == other.label && self.path == other.path
    }

    /// Writes what to ask for when a caller has asked for this; `None` when that has no path.
    pub(super) fn write_path(&self, asked: &Uri, out: &mut Vec<u8>) -> Option<()> {
        match &self.path {
            Path::One(path) => out.extend_from_slice(path.as_bytes()),
            Path::Before(before) => {
                let asked = asked.path_and_query()?;
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(asked.as_str().as_bytes());
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, TargetError> {
        Target::new(url, Transport::Mcp, Duration::from_secs(1))
    }

    #[test]
    fn reads_upstream_urls() {
        for (url, label, host) in [
            (
                "http://127.0.0.1:9000/mcp",
                "http://127.0.0.1:9000",
                "127.0.0.1:9000",
            ),
            ("http://tools/mcp", "http://tools:80", "tools"),
            ("https://tools", "https://tools:443", "tools"),
            ("https://tools:80/", "https://tools:80", "tools:80"),
            ("unix:/run/x.sock:/mcp", "unix:/run/x.sock", "localhost"),
        ] {
            let read = target(url).unwrap();
            assert_eq!(&*read.label, label);
            assert_eq!(&*read.host, host);
        }
        for bad in ["x", "/mcp", "http://u:p@x/", "", "ftp://x/"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
