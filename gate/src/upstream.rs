//! The address of a tool server, as policy writes it: read in one way by compiler and sidecar.

use std::fmt;

/// The address of a tool server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// What to connect to.
    pub place: Place,
    /// The path of the URL; empty or with a slash first.
    pub path: String,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A host and a port.
    Tcp {
        /// The name, or the address; an IPv6 address in brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether under TLS.
        tls: bool,
    },
    /// The absolute path of a Unix socket.
    Unix(String),
}

/// Why an address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamFault {
    /// It is none of the forms.
    Form,
    /// It holds a user name.
    User,
    /// The host or the port cannot be one.
    Host,
    /// The path holds a query, a fragment, or characters that no path holds.
    Path,
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "is neither `http://host:port/path`, `https://host:port/path` nor \
                 `unix:/path/of.sock:/path`"
            }
            Self::User => "must not hold a user name",
            Self::Host => "names no host and port that can be",
            Self::Path => "has a path with a query, a fragment or a space",
        })
    }
}

impl std::error::Error for UpstreamFault {}

impl UpstreamUrl {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, UpstreamFault> {
        if let Some(rest) = text.strip_prefix("unix:") {
            return Self::unix(rest);
        }
        let (rest, tls) = match text.strip_prefix("http://") {
            Some(rest) => (rest, false),
            None => (
                text.strip_prefix("https://").ok_or(UpstreamFault::Form)?,
                true,
            ),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(UpstreamFault::Form)?;
        if authority.contains('@') {
            return Err(UpstreamFault::User);
        }
        let (host, port) = split(authority).ok_or(UpstreamFault::Host)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(UpstreamFault::Host)?,
        };
        Ok(Self {
            place: Place::Tcp {
                host: host.to_owned(),
                port,
                tls,
            },
            path: checked(path)?,
        })
    }

    fn unix(rest: &str) -> Result<Self, UpstreamFault> {
        let (socket, path) = rest.split_once(':').unwrap_or((rest, ""));
        if !socket.starts_with('/') || socket.ends_with('/') {
            return Err(UpstreamFault::Form);
        }
        Ok(Self {
            place: Place::Unix(checked(socket)?),
            path: checked(path)?,
        })
    }
}

/// The host and the port of an authority, if it is well-formed.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    if authority.starts_with('[') {
        host.get(1..end - 1)?.parse::<std::net::Ipv6Addr>().ok()?;
    } else {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if host.is_empty() || !host.bytes().all(good) {
            return None;
        }
    }
    match rest {
        "" => Some((host, None)),
        rest => rest.strip_prefix(':').map(|port| (host, Some(port))),
    }
}

fn checked(path: &str) -> Result<String, UpstreamFault> {
    let visible = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    let good = visible && (path.is_empty() || path.starts_with('/'));
    good.then(|| path.to_owned()).ok_or(UpstreamFault::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, tls: bool, path: &str) -> UpstreamUrl {
        UpstreamUrl {
            place: Place::Tcp {
                host: host.to_owned(),
                port,
                tls,
            },
            path: path.to_owned(),
        }
    }

    #[test]
    fn reads_every_form() {
        let parse = UpstreamUrl::parse;
        assert_eq!(
            parse("http://127.0.0.1:9000/mcp"),
            Ok(tcp("127.0.0.1", 9000, false, "/mcp"))
        );
        assert_eq!(parse("http://tools"), Ok(tcp("tools", 80, false, "")));
        assert_eq!(
            parse("https://tools.acme.example/a/"),
            Ok(tcp("tools.acme.example", 443, true, "/a/"))
        );
        assert_eq!(
            parse("https://[::1]:8443/"),
            Ok(tcp("[::1]", 8443, true, "/"))
        );
        let unix = |socket: &str, path: &str| {
            Ok(UpstreamUrl {
                place: Place::Unix(socket.to_owned()),
                path: path.to_owned(),
            })
        };
        assert_eq!(
            parse("unix:/run/tool.sock:/mcp"),
            unix("/run/tool.sock", "/mcp")
        );
        assert_eq!(parse("unix:/run/tool.sock"), unix("/run/tool.sock", ""));
    }

    #[test]
    fn refuses_every_other() {
        for (bad, fault) in [
            ("", UpstreamFault::Form),
            ("x", UpstreamFault::Form),
            ("/mcp", UpstreamFault::Form),
            ("ftp://x", UpstreamFault::Form),
            ("HTTP://x", UpstreamFault::Form),
            ("unix:run/x", UpstreamFault::Form),
            ("unix:", UpstreamFault::Form),
            ("unix:/run/:/x", UpstreamFault::Form),
            ("unix:/run/x:mcp", UpstreamFault::Path),
            ("unix:/run/x:/a?b", UpstreamFault::Path),
            ("http://u:p@x/", UpstreamFault::User),
            ("http:///a", UpstreamFault::Host),
            ("http://a:0/", UpstreamFault::Host),
            ("http://a:/", UpstreamFault::Host),
            ("http://a:70000/", UpstreamFault::Host),
            ("http://a b/", UpstreamFault::Host),
            ("http://[::1/", UpstreamFault::Host),
            ("http://[x]/", UpstreamFault::Host),
            ("http://[::1]x/", UpstreamFault::Host),
            ("http://a/b c", UpstreamFault::Path),
            ("http://a?b", UpstreamFault::Path),
            ("http://a/#b", UpstreamFault::Path),
        ] {
            assert_eq!(UpstreamUrl::parse(bad), Err(fault), "{bad}");
        }
    }
}
