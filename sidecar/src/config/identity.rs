//! Section `[identity]`: how the keys of issuers are reached, and the issuer of a workstation.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::{ConfigError, Span, spans};

/// How the keys of issuers are reached, and the issuer of a workstation.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// Networks that are not public and hold issuers, as `10.1.0.0/16`.
    #[serde(deserialize_with = "networks")]
    pub private_networks: Vec<IpNet>,
    /// Certificates, in PEM, that issuers are trusted by besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long one answer of an issuer may take.
    pub timeout: Span,
    /// Keys that stand in for those of one issuer: in the development profile only.
    pub development_issuer: Option<DevelopmentIssuer>,
}

/// Keys on this machine that stand in for those of one issuer of the policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevelopmentIssuer {
    /// The issuer, by its name in the policy.
    pub name: String,
    /// The file with its public keys, a JSON Web Key Set.
    pub jwks: PathBuf,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            private_networks: Vec::new(),
            ca_file: None,
            timeout: Span::seconds(5),
            development_issuer: None,
        }
    }
}

impl IdentityConfig {
    pub(super) fn resolve(&mut self, base: &Path) {
        if let Some(path) = &mut self.ca_file {
            *path = base.join(&*path);
        }
        if let Some(issuer) = &mut self.development_issuer {
            issuer.jwks = base.join(&issuer.jwks);
        }
    }

    pub(super) fn check(&self, development: bool) -> Result<(), ConfigError> {
        spans(&[("[identity] timeout", self.timeout)])?;
        if self.development_issuer.is_some() && !development {
            return Err(ConfigError(
                "[identity] development_issuer takes tokens of a key that is on this machine: it \
                 runs in the development profile only. Remove it, and let a real issuer of the \
                 policy sign; or, on a workstation, set `[profile] development = true`"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: &String| {
        text.parse().map_err(|_| {
            let what = format!(
                "`{text}` is no network: write an address and a length of prefix, \
                                as in `10.1.0.0/16`"
            );
            serde::de::Error::custom(what)
        })
    };
    texts.iter().map(read).collect()
}
