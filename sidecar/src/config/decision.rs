//! `[decision]`: where other enforcement points ask.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer};

/// Where other enforcement points ask for decisions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionConfig {
    /// The listener for `AuthZEN` and Envoy: `host:port`, or `unix:` and a path.
    pub address: Option<Door>,
    /// The Unix socket that answers JSON lines.
    pub lines: Option<PathBuf>,
    /// The file with the bearer token that enforcement points present. Without one, only a
    /// loopback address or a Unix socket is served.
    pub token_file: Option<PathBuf>,
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

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("`unix:` is followed by the path of a socket".to_owned()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!("`{text}` is neither an address such as `127.0.0.1:9400` nor `unix:PATH`")
            }),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl DecisionConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        let paths = [&mut self.lines, &mut self.token_file];
        for path in paths.into_iter().flatten() {
            *path = base.join(&*path);
        }
        if let Some(Door::Unix(path)) = &mut self.address {
            *path = base.join(&*path);
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let fault = |what: &str| Err(what.to_owned());
        match &self.address {
            None if self.lines.is_none() => {
                return fault("[decision] has neither `address` nor `lines`: set one of them");
            }
            Some(Door::Tcp(address))
                if !address.ip().is_loopback() && self.token_file.is_none() =>
            {
                return fault(
                    "[decision] address is not a loopback address: name the file with the \
                     enforcement points' token in `token_file`, or use a Unix socket",
                );
            }
            None if self.token_file.is_some() || self.url.is_some() => {
                return fault(
                    "[decision] token_file and url belong to `address`, which is not set: \
                     set it, or remove them",
                );
            }
            _ => {}
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

const fn one_mebibyte() -> usize {
    1 << 20
}
const fn two_hundred() -> usize {
    200
}
