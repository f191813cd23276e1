//! What is in force for one server.

use std::{
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use latchkey_engine::{
    bundle::places::PlaceKind,
    id::ServerId,
    index::{Server as ServerEntry, Transport},
    time::Time,
};
use latchkey_gate::{
    gate::Gate,
    settings::ServerSettings,
    supply::Digest,
    token::{ProofRule, resource},
};

use super::{SupplyError, offered::Package};
use crate::{config::Config, metadata, stdio::Launch, upstream::Target};

/// A bundle in force for one server, with everything that serving it needs.
#[derive(Debug)]
pub struct Active {
    /// The policy.
    pub gate: Gate,
    /// The server that this sidecar stands in front of.
    pub server: ServerId,
    /// How the server is reached.
    pub way: Way,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// What the release says of itself.
    pub release: Release,
    /// Where it came from.
    pub origin: Origin,
    /// What the tokens of callers are for, where that is clear; in canonical form.
    pub resource: Option<String>,
    /// The RFC 9728 document, where the tokens' resource is clear.
    pub metadata: Option<String>,
    /// The URL of that document.
    pub resource_metadata: Option<String>,
    /// Whether the server or an issuer asks for tokens with proofs, or takes them for enough.
    pub proofs: bool,
    /// Counts the bundles that this process has put in force.
    pub generation: u64,
    /// When it was put in force.
    pub since: Instant,
    /// The first instant at which calls are served under it no more.
    ends: Option<Time>,
}

/// How a server is reached.
#[derive(Debug)]
pub enum Way {
    /// Over the network.
    Connect(Target),
    /// Through the standard input and output of a child.
    Run(Box<Launch>),
}

/// What a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The project.
    pub project: String,
    /// The channel.
    pub channel: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its version; never goes down within an epoch.
    pub version: u64,
    /// The first instant at which it is no longer in force.
    pub not_after: Option<Time>,
    /// The commit that it was built from.
    pub commit: Option<String>,
    /// The digest of its statement.
    pub statement: Digest,
    /// The names of the trusted keys and identities that have signed it; none when unsigned.
    pub signers: Vec<String>,
}

/// Where a bundle came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The source.
    Source,
    /// The copy of what was good last.
    LastGood,
}

impl Active {
    /// Opens a verified slice and builds everything that serving it needs. On a thread of its own:
    /// what opening needed beside the policy is given back when the thread ends.
    pub(super) fn build(
        config: &Config,
        package: &Package,
        release: Release,
        origin: Origin,
        generation: u64,
    ) -> Result<Self, SupplyError> {
        let open = || Self::open(config, package, release, origin, generation);
        let opened = std::thread::scope(|scope| {
            let opener = std::thread::Builder::new().name("opener".to_owned());
            let opener = opener.spawn_scoped(scope, open);
            opener.map(ScopedJoinHandle::join)
        });
        match opened {
            Ok(Ok(active)) => active,
            Ok(Err(_)) => Err(SupplyError::refused("bad_slice", "it cannot be opened")),
            Err(error) => {
                let what = format!("no thread to open it with: {error}");
                Err(SupplyError::refused("bad_slice", what))
            }
        }
    }

    fn open(
        config: &Config,
        package: &Package,
        release: Release,
        origin: Origin,
        generation: u64,
    ) -> Result<Self, SupplyError> {
        let name = &config.bundle.server;
        let fault = |what: String| SupplyError::refused("bad_slice", what);
        let gate = Gate::open_keeping(&package.slice, package.places.as_deref(), places(config))
            .map_err(|error| fault(format!("{name}.lkb: {error}")))?;
        let lacks = || fault(format!("the slice does not hold the server `{name}`"));
        let server = gate.server(name).ok_or_else(lacks)?;
        let index = gate.policy().index();
        let entry = index.servers.get(server.index()).ok_or_else(lacks)?;
        let settings = gate.server_settings(server).ok_or_else(lacks)?;
        let way =
            Way::new(config, entry, settings).map_err(|what| fault(format!("{name}: {what}")))?;
        if settings.shared_store && config.store.is_none() {
            let text = format!(
                "the policy says that the sidecars of `{name}` share a store: name it with \
                 `[store] redis = \"redis://host:port\"`"
            );
            return Err(SupplyError::refused("store_missing", text));
        }
        let issuers = index.issuers.iter();
        let audiences = issuers.flat_map(|issuer| issuer.audiences.iter().map(String::as_str));
        let resource = resource::of_server(settings.audience.as_deref(), audiences, name);
        let bound = Some(settings.proof);
        let proofs = asks_for_proofs(&gate, settings);
        let grace = i64::try_from(config.bundle.serve_expired_for.0.as_secs()).unwrap_or(0);
        Ok(Self {
            server,
            way,
            max_body: entry.max_body as usize,
            metadata: resource
                .as_deref()
                .map(|resource| metadata::describe(gate.policy(), server, resource, bound)),
            resource_metadata: resource.as_deref().and_then(metadata::location),
            proofs,
            resource,
            ends: release
                .not_after
                .map(|end| Time(end.0.saturating_add(grace))),
            gate,
            release,
            origin,
            generation,
            since: Instant::now(),
        })
    }

    /// The URLs that a request with this path may have been sent to, in canonical form: what the
    /// policy says is the server's own, and its path.
    #[must_use]
    pub fn urls(&self, path: &str) -> Vec<String> {
        let entry = self.gate.policy().server_entry(self.server);
        let transport = entry.map_or(Transport::Http, |entry| entry.transport);
        metadata::urls(self.resource.as_deref(), transport, path)
    }

    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        let entry = self.gate.policy().server_entry(self.server);
        entry.map_or("", |entry| entry.name.as_str())
    }

    /// What capability tokens of this server name: `<project>/<server>`.
    #[must_use]
    pub fn audience(&self) -> String {
        [&self.release.project, "/", self.name()].concat()
    }

    /// Whether calls are served under it no more.
    #[must_use]
    pub fn has_ended(&self, now: Time) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }
}

/// Whether the policy has a caller prove that a token is its own by a key (RFC 9449).
fn asks_for_proofs(gate: &Gate, server: &ServerSettings) -> bool {
    let issuers = gate.issuers().iter().map(|issuer| issuer.proof);
    let mut rules = issuers.chain([server.proof]);
    rules.any(|rule| matches!(rule, ProofRule::Dpop | ProofRule::Bound))
}

/// The places that are asked for. A refusal names its rule; only where others ask for decisions is
/// it told which binding allowed, and there are as many of these as of anything.
fn places(config: &Config) -> &'static [PlaceKind] {
    match config.decision {
        Some(_) => &[PlaceKind::Rule, PlaceKind::Binding],
        None => &[PlaceKind::Rule],
    }
}

impl Way {
    /// How long the server may take until its answer begins, and to go on with it.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Connect(target) => target.timeout(),
            Self::Run(launch) => launch.timeout,
        }
    }

    /// Whether it leads to the same server.
    #[must_use]
    pub fn leads_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect(this), Self::Connect(that)) => this.is_same(that),
            (Self::Run(this), Self::Run(that)) => this == that,
            _ => false,
        }
    }

    fn new(
        config: &Config,
        entry: &ServerEntry,
        settings: &ServerSettings,
    ) -> Result<Self, String> {
        let timeout = Duration::from_millis(u64::from(entry.timeout));
        if settings.command.is_empty() {
            let target = Target::new(&entry.upstream, entry.transport, timeout);
            return target.map(Self::Connect).map_err(|error| error.to_string());
        }
        if entry.transport != Transport::Mcp || !entry.upstream.is_empty() {
            return Err("a server with a `command` speaks MCP and has no upstream".to_owned());
        }
        let environment = settings.environment.clone().into_iter().collect();
        Ok(Self::Run(Box::new(Launch {
            command: settings.command.clone(),
            environment,
            message: config.stdio.message.max(entry.max_body as usize),
            within: config.stdio.clone(),
            timeout,
        })))
    }
}

impl Origin {
    /// A word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::LastGood => "last_good",
        }
    }
}
