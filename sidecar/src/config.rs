//! The local settings, read and checked before any port is bound.
//!
//! Nothing here grants or enforces: that all comes from the bundle. The settings say where the
//! bundle is, whom to trust for it, where to listen, and where to keep state and audit lines.

mod decision;
mod handles;
mod identity;
mod listen;
mod sources;
mod stdio;
mod store;
mod telemetry;
mod token;
mod upstream;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use latchkey_carrier::{Location, Token, pace};
use serde::{Deserialize, Deserializer};

pub use decision::DecisionConfig;
pub use handles::HandlesConfig;
pub use identity::{DevelopmentIssuer, IdentityConfig};
pub use listen::{ClientAuth, Http2Config, ListenConfig, TlsConfig};
pub use sources::Sources;
pub use stdio::StdioConfig;
pub use store::{StoreAddress, StoreConfig};
pub use telemetry::{LogConfig, LogFormat, TelemetryConfig, log_filter_of};
pub use token::TokenConfig;
pub use upstream::UpstreamConfig;

/// All settings of one sidecar.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Config {
    /// Where policy comes from.
    pub bundle: BundleConfig,
    /// Whose signatures count; absent only in the development profile.
    pub trust: Option<TrustConfig>,
    /// Where callers are served.
    pub listen: ListenConfig,
    /// Where operators are served.
    pub admin: AdminConfig,
    /// What outlives a restart.
    pub state: StateConfig,
    /// Where audit events go.
    pub audit: AuditConfig,
    /// Run-time facts that only subtract.
    pub overlay: Option<OverlayConfig>,
    /// Connections to the tool server.
    #[serde(default)]
    pub upstream: UpstreamConfig,
    /// What sessions and other handles are sealed with.
    #[serde(default)]
    pub handles: HandlesConfig,
    /// A tool server that the sidecar runs itself.
    #[serde(default)]
    pub stdio: StdioConfig,
    /// How the keys of issuers are reached.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// The store that the sidecars of the server share.
    pub store: Option<StoreConfig>,
    /// What capability tokens are signed with.
    #[serde(default)]
    pub token: TokenConfig,
    /// Bounds of what is kept in memory.
    #[serde(default)]
    pub bounds: BoundsConfig,
    /// Departures from the safe defaults.
    #[serde(default)]
    pub profile: ProfileConfig,
    /// Where other enforcement points ask for decisions.
    pub decision: Option<DecisionConfig>,
    /// Traces of requests.
    pub telemetry: Option<TelemetryConfig>,
    /// The log for operators.
    #[serde(default)]
    pub log: LogConfig,
}

/// Where policy comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleConfig {
    /// The folder, `http(s)://` or `oci://` location that holds the release.
    #[serde(deserialize_with = "location")]
    pub source: Location,
    /// The server that this sidecar stands in front of.
    pub server: String,
    /// The channel that is followed; absent means the only one of the trust root.
    pub channel: Option<String>,
    /// How often the source is asked; absent means 1 s for a folder and 30 s elsewhere.
    pub poll: Option<Span>,
    /// Whether a web server is asked to hold each poll until something changes.
    #[serde(default)]
    pub long_poll: bool,
    /// How long the transfer of one file may take.
    #[serde(default = "two_minutes")]
    pub timeout: Span,
    /// The file with the bearer token for a web server or registry, read for each request.
    pub token_file: Option<PathBuf>,
    /// The environment variable with that token.
    pub token_env: Option<String>,
    /// Whether a release must name the one before it that was accepted here.
    #[serde(default)]
    pub strict_chain: bool,
    /// A version that nothing below is taken of.
    #[serde(default)]
    pub min_version: u64,
    /// What happens to calls when the freshness pointer is past its end.
    #[serde(default)]
    pub on_stale: OnStale,
    /// For how long calls are still served under a release that is past its end.
    #[serde(default)]
    pub serve_expired_for: Span,
}

/// What happens to calls when the freshness pointer is past its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStale {
    /// They are served under what is in force, and operators are told.
    #[default]
    Serve,
    /// They are refused.
    Deny,
}

/// Whose signatures count.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfig {
    /// The trust file: the first trust root, or a later one.
    pub file: PathBuf,
    /// Sigstore's own roots (`trusted_root.json`), where the trust root names identities.
    pub sigstore_root: Option<PathBuf>,
}

/// Where operators are served.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
}

/// What outlives a restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateConfig {
    /// The directory for the version floor, the last good bundle and the audit journal.
    pub directory: PathBuf,
    /// Whether nothing new is taken where the version floor was lost or cannot be written.
    #[serde(default)]
    pub required: bool,
}

/// Where audit events go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// A file, or `-` for standard output.
    pub file: PathBuf,
}

/// Run-time facts that only subtract.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayConfig {
    /// The overlay file, read again whenever it changes.
    pub file: PathBuf,
}

/// Bounds of what is kept in memory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundsConfig {
    /// The most verified tokens that each worker remembers.
    #[serde(default = "max_tokens")]
    pub tokens: usize,
    /// The most callers whose rate is followed; the others share one allowance.
    #[serde(default = "max_rate_keys")]
    pub rate_keys: usize,
}

/// Departures from the safe defaults.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// Takes unsigned bundles. Anybody who can write to the bundle source then makes policy.
    #[serde(default)]
    pub development: bool,
}

/// A length of time: `500ms`, `1s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Why the settings cannot be used: says what, where, and what to do.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a settings file. Relative paths in it are relative to the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        Sources::file(path)?.read(base)
    }

    /// Reads and checks settings; relative paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        Sources::text(text, "the settings")?.read(base)
    }

    fn resolve(&mut self, base: &Path) {
        let join = &|path: &mut PathBuf| *path = base.join(&*path);
        if let Location::Folder(folder) = &mut self.bundle.source {
            join(folder);
        }
        if let Some(token) = &mut self.bundle.token_file {
            join(token);
        }
        join(&mut self.state.directory);
        self.stdio.resolve(base);
        self.identity.resolve(base);
        if self.audit.file.as_os_str() != "-" {
            join(&mut self.audit.file);
        }
        if let Some(trust) = &mut self.trust {
            join(&mut trust.file);
            if let Some(root) = &mut trust.sigstore_root {
                join(root);
            }
        }
        if let Some(overlay) = &mut self.overlay {
            join(&mut overlay.file);
        }
        if let Some(keys) = &mut self.handles.key_file {
            join(keys);
        }
        if let Some(decision) = &mut self.decision {
            decision.resolve(base);
        }
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.resolve(base);
        }
        self.listen.resolve(join);
        if let Some(keys) = &mut self.token.key_file {
            join(keys);
        }
        if let Some(store) = &mut self.store {
            store.resolve(join);
        }
        self.upstream.resolve(join);
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.trust.is_none() && !self.profile.development {
            return Err(ConfigError(
                "[trust] is missing: name the trust file with `file = \"trust.json\"`; only \
                 `[profile] development = true` runs without signatures"
                    .to_owned(),
            ));
        }
        if self.bundle.server.is_empty() {
            return Err(ConfigError(
                "[bundle] server is empty: name the server as the policy does".to_owned(),
            ));
        }
        self.check_source()?;
        if let Some(decision) = &self.decision {
            decision.check().map_err(ConfigError)?;
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.check().map_err(ConfigError)?;
        }
        self.log.check().map_err(ConfigError)?;
        self.identity.check(self.profile.development)?;
        if let Some(store) = &self.store {
            store.check().map_err(ConfigError)?;
        }
        spans(&[("[bundle] timeout", self.bundle.timeout)])?;
        self.listen.check()?;
        self.upstream.check()?;
        self.stdio.check()?;
        counts(&[
            ("[bounds] tokens", self.bounds.tokens, 16, 1 << 24),
            ("[bounds] rate_keys", self.bounds.rate_keys, 16, 1 << 24),
        ])
    }
}

/// Checks lengths of time that must not be nothing.
fn spans(spans: &[(&str, Span)]) -> Result<(), ConfigError> {
    match spans
        .iter()
        .find(|(_, span)| span.0 < Duration::from_millis(10))
    {
        Some((key, _)) => Err(ConfigError(format!(
            "{key} must be at least 10ms: write a longer time"
        ))),
        None => Ok(()),
    }
}

/// Checks counts against what they may be at least and at most.
fn counts(counts: &[(&str, usize, usize, usize)]) -> Result<(), ConfigError> {
    for (key, value, low, high) in counts {
        if value < low || value > high {
            return Err(ConfigError(format!(
                "{key} is {value}: it must be between {low} and {high}"
            )));
        }
    }
    Ok(())
}

impl Config {
    fn check_source(&self) -> Result<(), ConfigError> {
        let fault = |what: &str| Err(ConfigError(what.to_owned()));
        let bundle = &self.bundle;
        if !(pace::SHORTEST..=pace::LONGEST).contains(&bundle.poll()) {
            return fault("[bundle] poll must be at least 10ms and at most 24h");
        }
        let remote = !matches!(bundle.source, Location::Folder(_));
        if !remote && (bundle.token_file.is_some() || bundle.token_env.is_some()) {
            return fault(
                "[bundle] token_file and token_env have no use with a folder: remove them",
            );
        }
        if bundle.token_file.is_some() && bundle.token_env.is_some() {
            return fault("[bundle] token_file and token_env are both set: keep one");
        }
        if bundle.long_poll && !matches!(bundle.source, Location::Http(_)) {
            return fault("[bundle] long_poll has a use with an http(s) source only: remove it");
        }
        if bundle.serve_expired_for.0 > MOST_EXPIRED {
            return fault("[bundle] serve_expired_for is at most 720h: release more often");
        }
        Ok(())
    }
}

/// The longest that calls may be served under a release past its end: 30 days.
const MOST_EXPIRED: Duration = Duration::from_hours(720);

impl BundleConfig {
    /// How often the source is asked.
    #[must_use]
    pub fn poll(&self) -> Duration {
        let default = match self.source {
            Location::Folder(_) => Duration::from_secs(1),
            Location::Http(_) | Location::Oci(_) => Duration::from_secs(30),
        };
        self.poll.map_or(default, |poll| poll.0)
    }

    /// Where the bearer token is.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        let file = self.token_file.clone().map(Token::File);
        file.or_else(|| self.token_env.clone().map(Token::Env))
    }
}

fn location<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Location, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Default for BoundsConfig {
    fn default() -> Self {
        Self {
            tokens: max_tokens(),
            rate_keys: max_rate_keys(),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no length of time: write a whole number and ms, s, m or h, as in `30s`"
            ))
        })
    }
}

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// Reads a whole number and a unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (count, unit) = text.split_at_checked(digits)?;
        let count: u64 = count.parse().ok()?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        count
            .checked_mul(milliseconds)
            .map(|total| Self(Duration::from_millis(total)))
    }
}

const fn max_tokens() -> usize {
    10_000
}
const fn max_rate_keys() -> usize {
    100_000
}
const fn two_minutes() -> Span {
    Span(Duration::from_mins(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [bundle]
        source = "bundle"
        server = "github"
        [trust]
        file = "trust.json"
        [listen]
        address = "127.0.0.1:8080"
        [admin]
        address = "127.0.0.1:0"
        [state]
        directory = "/var/lib/latchkey"
        [audit]
        file = "-"
    "#;

    #[test]
    fn reads_settings_and_resolves_paths() {
        let config = Config::parse(GOOD, Path::new("/etc/latchkey")).unwrap();
        let bundle = Location::Folder(PathBuf::from("/etc/latchkey/bundle"));
        assert_eq!(config.bundle.source, bundle);
        assert_eq!(config.state.directory, Path::new("/var/lib/latchkey"));
        assert_eq!(config.audit.file, Path::new("-"));
        assert_eq!(config.bundle.poll(), Duration::from_secs(1));
        let remote = GOOD.replace("\"bundle\"", "\"https://policy.example/acme\"");
        let config = Config::parse(&remote, Path::new("/etc/latchkey")).unwrap();
        assert_eq!(config.bundle.poll(), Duration::from_secs(30));
    }

    #[test]
    fn refuses_what_it_cannot_use_and_says_where() {
        for (from, to, says) in [
            (
                "[trust]\n        file = \"trust.json\"",
                "",
                "[trust] is missing",
            ),
            ("server = \"github\"", "server = \"\"", "server is empty"),
            (
                "server = \"github\"",
                "server = \"github\"\ncolour = 1",
                "colour",
            ),
            (
                "server = \"github\"",
                "server = \"g\"\npoll = \"soon\"",
                "`soon` is no length",
            ),
            (
                "server = \"github\"",
                "server = \"g\"\npoll = \"1ms\"",
                "at least 10ms",
            ),
            ("\"bundle\"", "\"ftp://host/a\"", "the scheme is not"),
            ("\"bundle\"", "\"https://u:p@host/a\"", "no credentials"),
            (
                "server = \"github\"",
                "server = \"g\"\ntoken_env = \"T\"",
                "no use with a folder",
            ),
            (
                "server = \"github\"",
                "server = \"g\"\non_stale = \"ignore\"",
                "ignore",
            ),
            (
                "server = \"github\"",
                "server = \"g\"\nserve_expired_for = \"721h\"",
                "at most 720h",
            ),
            ("127.0.0.1:8080", "localhost", "address"),
            (
                "\"127.0.0.1:8080\"",
                "\"127.0.0.1:8080\"\nworkers = 0",
                "between 1 and 256",
            ),
            ("[audit]", "[audits]", "audit"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Config::parse(&GOOD.replace(from, to), Path::new("")).unwrap_err();
            assert!(error.to_string().contains(says), "{to}: {error}");
        }
    }

    #[test]
    fn only_the_development_profile_runs_without_trust() {
        let text = GOOD.replace(
            "[trust]\n        file = \"trust.json\"",
            "[profile]\ndevelopment = true",
        );
        assert!(Config::parse(&text, Path::new("")).is_ok());
    }

    #[test]
    fn reads_lengths_of_time() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1s", 1000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                Span::parse(text),
                Some(Span(Duration::from_millis(milliseconds)))
            );
        }
        for text in ["", "s", "1", "1 s", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
