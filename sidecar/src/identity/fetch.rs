//! Getting the keys of an issuer: its key set, or first the metadata that names it.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use latchkey_gate::settings::RemoteKeys;
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH},
    redirect::Policy,
};
use serde::Deserialize;

use super::addresses::{Allowed, Resolver, refusal};
use crate::config::{Config, IdentityConfig};

/// The largest key set and the largest metadata, in bytes.
const LARGEST_KEYS: usize = 256 * 1024;
const LARGEST_METADATA: usize = 64 * 1024;
/// The longest `ETag` that is sent back, in bytes.
const LONGEST_TAG: usize = 256;
const USER_AGENT: &str = concat!("latchkey-sidecar/", env!("CARGO_PKG_VERSION"));

/// Gets keys within the limits: one answer at a time, no redirect, only allowed addresses.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    settings: IdentityConfig,
    allowed: Allowed,
    /// Made for the first issuer whose keys are with it: most sidecars have none, and the
    /// authorities of the system take memory.
    client: Arc<OnceLock<Client>>,
}

/// What an issuer answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// The key set, and its `ETag`; `None` when it is the one that the tag was of.
    pub(super) keys: Option<(String, Option<String>)>,
    /// How long the issuer says that its answer is good.
    pub(super) good_for: Option<Duration>,
}

/// Why there are no keys: says what, where, and what to do. It quotes no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchError(pub(super) String);

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of RFC 8414 and OpenID Connect metadata that is read.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// A client by these settings.
    pub(super) fn new(config: &Config) -> Result<Self, FetchError> {
        let fetcher = Self {
            settings: config.identity.clone(),
            allowed: Allowed {
                networks: config.identity.private_networks.clone(),
                loopback: config.profile.development,
            },
            client: Arc::default(),
        };
        if config.identity.ca_file.is_some() {
            fetcher.client()?;
        }
        Ok(fetcher)
    }

    fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.build()?;
        Ok(self.client.get_or_init(|| client))
    }

    fn build(&self) -> Result<Client, FetchError> {
        let identity = &self.settings;
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            // Through a proxy it would be for the proxy to say which addresses are reached.
            .no_proxy()
            .timeout(identity.timeout.0)
            .pool_max_idle_per_host(0)
            .dns_resolver(Resolver(self.allowed.clone()));
        if let Some(path) = &identity.ca_file {
            let fault = |what: &dyn fmt::Display| {
                FetchError(format!("[identity] ca_file {}: {what}", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| fault(&error))?;
            let roots = Certificate::from_pem_bundle(&pem).map_err(|error| fault(&error))?;
            if roots.is_empty() {
                return Err(fault(&"it holds no certificate in PEM form"));
            }
            client = client.tls_certs_merge(roots);
        }
        client.build().map_err(|error| FetchError(causes(&error)))
    }

    /// The keys of an issuer; `tag` is that of the keys at hand.
    pub(super) async fn keys(
        &self,
        issuer: &str,
        keys: &RemoteKeys,
        tag: Option<&str>,
    ) -> Result<Answered, FetchError> {
        let url = match &keys.uri {
            Some(url) => url.clone(),
            None => self.discover(issuer).await?,
        };
        let response = self.get(&url, tag).await?;
        let good_for = max_age(response.headers());
        if response.status() == StatusCode::NOT_MODIFIED && tag.is_some() {
            let keys = None;
            return Ok(Answered { keys, good_for });
        }
        if response.status() != StatusCode::OK {
            return Err(unexpected(&url, response.status()));
        }
        let tag = response
            .headers()
            .get(ETAG)
            .and_then(|tag| tag.to_str().ok());
        let tag = tag
            .filter(|tag| tag.len() <= LONGEST_TAG)
            .map(str::to_owned);
        let text = body(&url, response, LARGEST_KEYS).await?;
        let keys = Some((text, tag));
        Ok(Answered { keys, good_for })
    }

    /// The `jwks_uri` of an issuer's metadata, which must name this very issuer.
    async fn discover(&self, issuer: &str) -> Result<String, FetchError> {
        let mut last = None;
        for url in metadata_urls(issuer) {
            let response = self.get(&url, None).await?;
            if matches!(response.status().as_u16(), 404 | 405 | 410) {
                last = Some(unexpected(&url, response.status()));
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(unexpected(&url, response.status()));
            }
            let text = body(&url, response, LARGEST_METADATA).await?;
            let metadata: Metadata = serde_json::from_str(&text).map_err(|_| {
                FetchError(format!("{url} is no JSON with `issuer` and `jwks_uri`"))
            })?;
            if metadata.issuer != issuer {
                return Err(FetchError(format!(
                    "{url} is the metadata of another issuer: its `issuer` must be the very bytes \
                     of the policy's"
                )));
            }
            return Ok(metadata.jwks_uri);
        }
        let nowhere = || FetchError(format!("`{issuer}` is no URL that has metadata"));
        Err(last.unwrap_or_else(nowhere))
    }

    async fn get(&self, url: &str, tag: Option<&str>) -> Result<Response, FetchError> {
        let parsed = Url::parse(url).map_err(|_| FetchError(format!("`{url}` is no URL")))?;
        self.check(&parsed)?;
        let mut request = self.client()?.get(parsed);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let sent = request.send().await;
        sent.map_err(|error| FetchError(format!("{url}: {}", causes(&error.without_url()))))
    }

    /// Checks what the resolver does not see: the scheme, credentials, and addresses in the URL.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        let fault = |what: &str| Err(FetchError(format!("{url}: {what}")));
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError("a URL of keys holds credentials".to_owned()));
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let literal: Option<IpAddr> = literal.parse().ok();
        if let Some(address) = literal.filter(|it| !self.allowed.permits(*it)) {
            return Err(FetchError(refusal(host, address)));
        }
        let here = host == "localhost" || literal.is_some_and(|it| it.is_loopback());
        match url.scheme() {
            "https" => Ok(()),
            "http" if here && self.allowed.loopback => Ok(()),
            "http" if here => fault(
                "plain http is taken from this machine in the development \
                                     profile only",
            ),
            _ => fault("keys are fetched by https only"),
        }
    }
}

/// Where the metadata of an issuer may be: OpenID Connect Discovery 4, RFC 8414 3.1 and 5.
fn metadata_urls(issuer: &str) -> Vec<String> {
    const OPENID: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    let Some(start) = issuer.find("://").map(|at| at + 3) else {
        return Vec::new();
    };
    if issuer.contains(['?', '#']) {
        return Vec::new();
    }
    let path = issuer.get(start..).and_then(|rest| rest.find('/'));
    let (origin, path) = issuer.split_at(path.map_or(issuer.len(), |at| start + at));
    let path = path.trim_end_matches('/');
    let mut urls = vec![
        format!("{origin}{path}{OPENID}"),
        format!("{origin}{OAUTH}{path}"),
        format!("{origin}{OPENID}{path}"),
    ];
    urls.dedup();
    if path.is_empty() {
        urls.truncate(2);
    }
    urls
}

/// The text of an answer of at most so many bytes.
async fn body(url: &str, mut response: Response, largest: usize) -> Result<String, FetchError> {
    let fault = |what: String| FetchError(format!("{url}: {what}"));
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| fault(causes(&error.without_url())))?;
        let Some(chunk) = chunk else { break };
        if bytes.len() + chunk.len() > largest {
            return Err(fault(format!(
                "has more than the {largest} bytes that it may"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| fault("is no text".to_owned()))
}

/// What `Cache-Control` says of an answer's life.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut directives = texts.flat_map(|text| text.split(',')).map(str::trim);
    let seconds = directives.find_map(|it| it.strip_prefix("max-age=")?.parse().ok())?;
    Some(Duration::from_secs(seconds))
}

fn unexpected(url: &str, status: StatusCode) -> FetchError {
    let what = if status.is_redirection() {
        "redirects; redirects are not followed, so name the place itself"
    } else {
        "has no keys for us"
    };
    FetchError(format!("{url} answers {}: {what}", status.as_u16()))
}

/// An error with what is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_say() {
        assert_eq!(
            metadata_urls("https://idp.example"),
            [
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            metadata_urls("https://idp.example:8443/tenant/"),
            [
                "https://idp.example:8443/tenant/.well-known/openid-configuration",
                "https://idp.example:8443/.well-known/oauth-authorization-server/tenant",
                "https://idp.example:8443/.well-known/openid-configuration/tenant",
            ]
        );
        assert!(metadata_urls("acme").is_empty());
        assert!(metadata_urls("https://idp.example/?a").is_empty());
    }

    #[test]
    fn the_longest_life_is_read_from_cache_control() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            max_age(&headers)
        };
        assert_eq!(read("public, max-age=60"), Some(Duration::from_mins(1)));
        for value in ["no-store", "max-age=-1", "s-maxage=5", "max-age=x"] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
