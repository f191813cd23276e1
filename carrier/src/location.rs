//! Where a release is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::error::{CarrierError, Kind};

/// Where a release is: a folder, a web server or a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// A folder on a web server; its path ends with a slash.
    Http(Url),
    /// A tag or manifest in an OCI registry.
    Oci(Reference),
}

/// A tag or manifest in an OCI registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, with its port where that is not the scheme's.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag; `latest` where none is given.
    pub tag: String,
    /// The digest of the one manifest, `sha256:...`, in place of a tag.
    pub digest: Option<String>,
    /// Whether the registry is spoken to without TLS: on loopback, or as `oci+http://`.
    pub plain_http: bool,
}

impl Reference {
    /// What a manifest is asked for by: the digest where there is one, else the tag.
    pub fn version(&self) -> &str {
        self.digest.as_deref().unwrap_or(&self.tag)
    }
}

impl FromStr for Location {
    type Err = CarrierError;

    /// Reads a path, `http://` or `https://`, or `oci://host/repository[:tag|@sha256:digest]`.
    fn from_str(text: &str) -> Result<Self, CarrierError> {
        let fault = |what: &str| Err(unusable(text, what));
        if text.is_empty() {
            return fault("a location is a folder, an http(s) URL or oci://host/repository:tag");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        match scheme {
            "http" | "https" => http(text).map(Self::Http),
            "oci" => oci(text, rest, false).map(Self::Oci),
            "oci+http" => oci(text, rest, true).map(Self::Oci),
            _ => {
                fault("the scheme is not http, https, oci or oci+http; write a folder without one")
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Http(url) => write!(f, "{url}"),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => write!(f, ":{}", self.tag),
        }
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
        || host
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
}

fn unusable(text: &str, what: &str) -> CarrierError {
    // Whatever stands before the @ of an authority may be a password.
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split('/').next()?;
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://...@{host}"))
    };
    let shown = hidden().unwrap_or_else(|| text.to_owned());
    let shown = shown.split('?').next().unwrap_or_default();
    CarrierError::new(Kind::Unusable, format!("{shown:?}"), what)
}

fn http(text: &str) -> Result<Url, CarrierError> {
    let fault = |what: &str| Err(unusable(text, what));
    let Ok(mut url) = Url::parse(text) else {
        return fault("is not a URL");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return fault("a URL is logged, so it holds no credentials; give a token file instead");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return fault("names are appended to the URL, so it has no query and no fragment");
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn oci(text: &str, rest: &str, plain: bool) -> Result<Reference, CarrierError> {
    let fault = |what: &str| Err(unusable(text, what));
    let Some((registry, path)) = rest.split_once('/') else {
        return fault("a registry location is oci://host/repository[:tag|@sha256:digest]");
    };
    if registry.contains('@') {
        return fault("a location is logged, so it holds no credentials; use docker's config.json");
    }
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let (path, digest) = match path.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (path, None),
    };
    let (repository, tag) = path.split_once(':').unwrap_or((path, "latest"));
    let part = |part: &str| {
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && !part.starts_with(['.', '-', '_']) && part.bytes().all(legal)
    };
    let authority = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if registry.is_empty() || !registry.bytes().all(authority) {
        return fault("the registry is not a host or host:port");
    }
    if repository.len() > 255 || !repository.split('/').all(part) {
        return fault("a repository is lower-case letters, digits, '.', '_', '-' between slashes");
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if tag.is_empty() || tag.len() > 128 || tag.starts_with(['.', '-']) || !tag.bytes().all(word) {
        return fault("a tag is at most 128 letters, digits, '.', '_', '-'");
    }
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.parse::<latchkey_gate::supply::Digest>().is_err() {
            return fault("a manifest digest is sha256: and 64 lower-case hexadecimal digits");
        }
    }
    Ok(Reference {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.map(str::to_owned),
        plain_http: plain || is_loopback(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Location {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_three_kinds() {
        assert_eq!(read("out/bundle"), Location::Folder("out/bundle".into()));
        assert_eq!(read("https://host/a").to_string(), "https://host/a/");
        let Location::Oci(reference) = read("oci://127.0.0.1:5000/acme/policy:main") else {
            panic!("not a registry");
        };
        assert_eq!(reference.to_string(), "127.0.0.1:5000/acme/policy:main");
        assert!(reference.plain_http);
        let Location::Oci(reference) = read("oci://registry.example/acme/policy") else {
            panic!("not a registry");
        };
        assert!(!reference.plain_http);
        assert_eq!(reference.version(), "latest");
        let Location::Oci(reference) = read("oci+http://registry.example/acme/policy") else {
            panic!("not a registry");
        };
        assert!(reference.plain_http);
    }

    #[test]
    fn what_cannot_be_used_says_why_without_showing_a_password() {
        for text in [
            "",
            "ftp://host/a",
            "https://user:secret@host/a",
            "https://host/a?sig=secret",
            "oci://user:secret@host/repo",
            "oci://host",
            "oci://host/Repo",
            "oci://host/repo@sha256:12",
            "oci://host/../x",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), Kind::Unusable, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
