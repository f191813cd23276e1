//! How the names of resources are compared: audiences (RFC 8707) and request targets (RFC 9449).
//!
//! Two names are the same if their canonical forms are the same bytes. For `http` and `https` URLs
//! that form has scheme and host in lower case, no default port, and no single slash at its end;
//! everything else, percent-encoding too, counts as written. Any other name is its own form.

use std::borrow::Cow;

/// The canonical form of a resource's name.
#[must_use]
pub fn canonical(name: &str) -> Cow<'_, str> {
    match Parts::read(name) {
        Some(parts) => Cow::Owned(parts.join()),
        None => Cow::Borrowed(name),
    }
}

/// Whether a name is written in its canonical form.
#[must_use]
pub fn is_canonical(name: &str) -> bool {
    canonical(name) == name
}

/// The origin of a canonical `http` or `https` URL, and its path without a slash at the end.
#[must_use]
pub fn split(url: &str) -> Option<(&str, &str)> {
    let start = url.find("://")?.checked_add(3)?;
    let rest = url.get(start..)?;
    let end = start.checked_add(rest.find('/').unwrap_or(rest.len()))?;
    url.split_at_checked(end)
}

/// The resource that the tokens of a server are for: its own audience, or else the only one of
/// its issuers, or the one whose path ends with the server's name. `None` when that leaves a
/// choice.
#[must_use]
pub fn of_server<'a>(
    own: Option<&str>,
    audiences: impl Iterator<Item = &'a str>,
    server: &str,
) -> Option<String> {
    if let Some(own) = own {
        return Some(own.to_owned());
    }
    let mut audiences: Vec<&str> = audiences.collect();
    audiences.sort_unstable();
    audiences.dedup();
    if audiences.len() > 1 {
        audiences.retain(|audience| audience.rsplit('/').next() == Some(server));
    }
    match audiences.as_slice() {
        [only] => Some(canonical(only).into_owned()),
        _ => None,
    }
}

struct Parts<'u> {
    scheme: &'static str,
    host: &'u str,
    port: Option<&'u str>,
    rest: &'u str,
}

impl<'u> Parts<'u> {
    fn read(name: &'u str) -> Option<Self> {
        let (scheme, rest) = name.split_once("://")?;
        let (scheme, default_port) = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => ("https", "443"),
            _ if scheme.eq_ignore_ascii_case("http") => ("http", "80"),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.filter(|port| !port.is_empty() && *port != default_port);
        Some(Self {
            scheme,
            host,
            port,
            rest: rest.strip_suffix('/').unwrap_or(rest),
        })
    }

    fn join(&self) -> String {
        let host = self.host.to_ascii_lowercase();
        match self.port {
            Some(port) => format!("{}://{host}:{port}{}", self.scheme, self.rest),
            None => format!("{}://{host}{}", self.scheme, self.rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_has_one_form() {
        for same in [
            "https://tools.acme.example/github",
            "HTTPS://Tools.Acme.Example/github",
            "https://tools.acme.example:443/github",
            "https://tools.acme.example/github/",
            "https://tools.acme.example:/github",
        ] {
            assert_eq!(
                canonical(same),
                "https://tools.acme.example/github",
                "{same}"
            );
        }
        for same in ["http://H", "http://h:80", "http://h/"] {
            assert_eq!(canonical(same), "http://h", "{same}");
        }
    }

    #[test]
    fn what_may_be_another_resource_stays_another() {
        let this = "https://tools.acme.example/github";
        for other in [
            "http://tools.acme.example/github",
            "https://tools.acme.example:8443/github",
            "https://tools.acme.example/GitHub",
            "https://tools.acme.example/github//",
            "https://tools.acme.example/githu%62",
            "https://tools.acme.example/github?a=1",
            "https://tools.acme.example/github#a",
            "https://tools.acme.example/x/../github",
            "https://tools.acme.example.evil.example/github",
            "https://tools.acme.example@evil.example/github",
            " https://tools.acme.example/github",
        ] {
            assert_ne!(canonical(other), this, "{other}");
        }
        for opaque in ["urn:Tools:GitHub/", "Client-ID", "", "spiffe://Acme/x/"] {
            assert_eq!(canonical(opaque), opaque);
        }
    }

    #[test]
    fn a_server_has_one_resource_or_none() {
        let of = |own, audiences: &[&str]| of_server(own, audiences.iter().copied(), "git");
        let (git, pay) = ("https://h/git", "https://h/pay");
        assert_eq!(of(None, &["https://H/any/"]).unwrap(), "https://h/any");
        assert_eq!(of(None, &[git, pay, git]).unwrap(), git);
        assert_eq!(of(Some(pay), &[git, pay]).unwrap(), pay);
        for unclear in [&[][..], &[pay, "https://h"], &[git, "https://g/git"]] {
            assert_eq!(of(None, unclear), None, "{unclear:?}");
        }
    }

    #[test]
    fn a_url_has_an_origin_and_a_path() {
        assert_eq!(split("https://h/a/b"), Some(("https://h", "/a/b")));
        assert_eq!(split("https://h:1"), Some(("https://h:1", "")));
        assert_eq!(split("urn:x"), None);
    }
}
