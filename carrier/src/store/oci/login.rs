//! Credentials for a registry, given where it asks for them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;

use crate::carrier::Options;
use crate::error::{CarrierError, Kind};
use crate::location::{Reference, is_loopback};
use crate::store::lock;
use crate::store::transfer::{Transfer, unexpected};

/// Hold the credentials where there is no `config.json`.
const USERNAME: &str = "LATCHKEY_REGISTRY_USERNAME";
const PASSWORD: &str = "LATCHKEY_REGISTRY_PASSWORD";
/// Largest answer of a token server that is read, in bytes.
const LARGEST_TOKEN: u64 = 256 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// Credentials for one registry.
#[derive(Debug)]
pub(super) struct Login {
    registry: String,
    repository: String,
    base: Url,
    docker: Option<PathBuf>,
    /// What the registry has taken last; marked as sensitive, so that it is never shown.
    given: Mutex<BTreeMap<Access, HeaderValue>>,
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Login {
    /// Nothing is read before the registry asks.
    pub(super) fn new(reference: &Reference, base: &Url, options: &Options) -> Self {
        Self {
            registry: reference.registry.clone(),
            repository: reference.repository.clone(),
            base: base.clone(),
            docker: options.docker_config.clone().or_else(docker_config),
            given: Mutex::default(),
        }
    }

    /// Adds what the registry has taken before.
    pub(super) fn sign(&self, request: &mut Request, access: Access) {
        if let Some(value) = lock(&self.given).get(&access) {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
    }

    /// Answers a challenge; false when there is nothing to answer it with.
    pub(super) async fn answer(
        &self,
        transfer: &Transfer,
        challenges: impl Iterator<Item = &str>,
        access: Access,
    ) -> Result<bool, CarrierError> {
        let challenges: Vec<_> = challenges.filter_map(parse).collect();
        let bearer = challenges.iter().find(|it| **it != Challenge::Basic);
        let known = self.credentials()?;
        let value = match (bearer.or(challenges.first()), known) {
            (Some(Challenge::Bearer { realm, service }), known) => {
                let service = service.as_deref();
                self.token(transfer, realm, service, known, access).await?
            }
            (Some(Challenge::Basic), Some(basic)) => basic,
            (Some(Challenge::Basic), None) | (None, _) => return Ok(false),
        };
        lock(&self.given).insert(access, value);
        Ok(true)
    }

    /// Asks the token server that the registry names.
    async fn token(
        &self,
        transfer: &Transfer,
        realm: &str,
        service: Option<&str>,
        known: Option<HeaderValue>,
        access: Access,
    ) -> Result<HeaderValue, CarrierError> {
        let Ok(mut url) = Url::parse(realm) else {
            return Err(self.error(Kind::Answer, "names a token server that is no URL"));
        };
        if url.scheme() != "https" && !(self.base.scheme() == "http" && loopback(&url)) {
            let what = "names a token server without TLS; credentials are not sent there";
            return Err(self.error(Kind::Denied, what));
        }
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let mut request = Request::new(Method::GET, url.clone());
        if let Some(known) = known {
            request.headers_mut().insert(AUTHORIZATION, known);
        }
        let response = transfer.send(request, Duration::ZERO).await?;
        if response.status() != StatusCode::OK {
            return Err(unexpected(&url, &response));
        }
        let bytes = transfer.body(response, LARGEST_TOKEN).await?;
        let token = serde_json::from_slice::<Issued>(&bytes).ok();
        let token = token.and_then(|issued| issued.token.or(issued.access_token));
        let value = token.and_then(|token| sensitive(&format!("Bearer {token}")));
        value.ok_or_else(|| CarrierError::new(Kind::Answer, url, "answers without a token"))
    }

    /// The credentials, read again each time so that they may be rotated.
    fn credentials(&self) -> Result<Option<HeaderValue>, CarrierError> {
        let Some(pair) = self.pair()? else {
            return Ok(None);
        };
        if self.base.scheme() == "http" && !loopback(&self.base) {
            let what = "credentials are not sent without TLS; use oci:// or take them away";
            return Err(self.error(Kind::Unusable, what));
        }
        let value = sensitive(&format!("Basic {}", STANDARD.encode(pair)));
        Ok(value)
    }

    /// `user:password`, from the environment or docker's configuration.
    fn pair(&self) -> Result<Option<String>, CarrierError> {
        match (env::var(USERNAME), env::var(PASSWORD)) {
            (Ok(user), Ok(password)) => return Ok(Some(format!("{user}:{password}"))),
            (Err(_), Err(_)) => {}
            _ => {
                let what = format!("set both {USERNAME} and {PASSWORD}, or neither");
                return Err(self.error(Kind::Unusable, what));
            }
        }
        let Some(path) = &self.docker else {
            return Ok(None);
        };
        let unusable = |what: String| CarrierError::new(Kind::Unusable, path.display(), what);
        match fs::read(path) {
            Ok(bytes) => pair_of(&bytes, &self.registry).map_err(unusable),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(format!("cannot be read: {error}"))),
        }
    }

    fn error(&self, kind: Kind, what: impl std::fmt::Display) -> CarrierError {
        CarrierError::new(kind, &self.registry, what)
    }
}

#[derive(Deserialize)]
struct Issued {
    token: Option<String>,
    access_token: Option<String>,
}

/// Docker's `config.json`, as far as it is read.
#[derive(Deserialize)]
struct Docker {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct DockerAuth {
    auth: Option<String>,
}

fn docker_config() -> Option<PathBuf> {
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".docker"));
    Some(folder.or_else(home)?.join("config.json"))
}

/// The `user:password` that a `config.json` has for a registry.
fn pair_of(config: &[u8], registry: &str) -> Result<Option<String>, String> {
    let docker: Docker = serde_json::from_slice(config)
        .map_err(|error| format!("is not docker's configuration: {error}"))?;
    let host = |key: &str| {
        let key = key
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        key.split('/').next() == Some(registry)
    };
    let auth = docker.auths.iter().find(|(key, _)| host(key));
    match auth.and_then(|(_, entry)| entry.auth.as_ref()) {
        Some(auth) => {
            let decoded = STANDARD.decode(auth).ok();
            let pair = decoded.and_then(|pair| String::from_utf8(pair).ok());
            let pair = pair.filter(|pair| pair.contains(':'));
            let pair = pair.ok_or_else(|| format!("its auth for {registry} is no user:password"));
            pair.map(Some)
        }
        None if docker.helpers.contains_key(registry) => Err(format!(
            "keeps the credentials for {registry} in a helper program, which is not run; set \
             {USERNAME} and {PASSWORD}"
        )),
        None => Ok(None),
    }
}

fn parse(challenge: &str) -> Option<Challenge> {
    let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest.trim();
    while let Some((name, value)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']);
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(',').unwrap_or((value, "")),
        };
        match name {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

fn loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text = r#"Bearer realm="https://auth.example/token",service="a, b",scope="x=1""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("a, b".to_owned()),
        };
        assert_eq!(parse(text), Some(bearer));
        assert_eq!(parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(parse("basic"), Some(Challenge::Basic));
        for text in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer realm=\"open",
            "Bearer service=x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn dockers_configuration() {
        let config = br#"{"auths":{"https://a.example/v2/":{"auth":"dTpwOnA="},"b.example:5000":
            {"auth":"eA=="},"c.example":{}},"credHelpers":{"d.example":"ecr"},"credsStore":"x"}"#;
        assert_eq!(pair_of(config, "a.example"), Ok(Some("u:p:p".to_owned())));
        assert!(pair_of(config, "b.example:5000").is_err());
        assert_eq!(pair_of(config, "c.example"), Ok(None));
        assert!(pair_of(config, "d.example").unwrap_err().contains("helper"));
        assert_eq!(pair_of(config, "e.example"), Ok(None));
        assert!(pair_of(b"[", "e.example").is_err());
    }
}
