//! `[decision]`: where other enforcement points ask.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::TlsConfig;
use crate::listen::Address;

/// Where other enforcement points ask for decisions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionConfig {
    /// The listener for `AuthZEN` and Envoy: `host:port`, or `unix:` and a path.
    #[serde(default, deserialize_with = "address")]
    pub address: Option<Address>,
    /// The Unix socket that answers JSON lines.
    pub lines: Option<PathBuf>,
    /// The file with the bearer token that enforcement points present. Without one, only a
    /// loopback address or a Unix socket is served.
    pub token_file: Option<PathBuf>,
    /// The certificate that enforcement points see; absent means that connections are in clear text.
    pub tls: Option<TlsConfig>,
    /// The `https` URL that enforcement points know this decision point by.
    pub url: Option<String>,
    /// The largest request, in bytes.
    #[serde(default = "one_mebibyte")]
    pub max_body: usize,
    /// The most decisions that one request may ask for.
    #[serde(default = "two_hundred")]
    pub max_evaluations: usize,
    /// The most results on one page of a search.
    #[serde(default = "two_hundred")]
    pub max_page: usize,
}

impl DecisionConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        let paths = [&mut self.lines, &mut self.token_file];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
        if let Some(Address::Unix(path)) = &mut self.address {
            *path = base.join(&*path);
        }
        if let Some(tls) = &mut self.tls {
            tls.resolve(&|path| *path = base.join(&*path));
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let fault = |what: &str| Err(what.to_owned());
        match &self.address {
            None if self.lines.is_none() => {
                return fault("[decision] has neither `address` nor `lines`: set one of them");
            }
            Some(Address::Tcp(address))
                if !address.ip().is_loopback()
                    && self.token_file.is_none()
                    && !self.tls.as_ref().is_some_and(TlsConfig::asks_everybody) =>
            {
                return fault(
                    "[decision] address is not a loopback address: name the file with the \
                     enforcement points' token in `token_file`, ask for their certificates under \
                     [decision.tls], or use a Unix socket",
                );
            }
            None if self.token_file.is_some() || self.url.is_some() || self.tls.is_some() => {
                return fault(
                    "[decision] token_file, tls and url belong to `address`, which is not set: \
                     set it, or remove them",
                );
            }
            _ => {}
        }
        if let Some(tls) = &self.tls {
            tls.check("[decision.tls]")?;
        }
        if let Some(url) = &self.url {
            let rest = url.strip_prefix("https://");
            if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', '@'])) {
                return fault(
                    "[decision] url is the https URL of this decision point, without query, \
                     fragment and user name",
                );
            }
        }
        for (key, value, most) in [
            ("max_body", self.max_body, 16 << 20),
            ("max_evaluations", self.max_evaluations, 10_000),
            ("max_page", self.max_page, 10_000),
        ] {
            if value == 0 || value > most {
                return Err(format!(
                    "[decision] {key} is {value}: it must be between 1 and {most}"
                ));
            }
        }
        Ok(())
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

const fn one_mebibyte() -> usize {
    1 << 20
}
const fn two_hundred() -> usize {
    200
}
