//! Servers and what can be called of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use latchkey_engine::index::{Access, Disclose, Obligation, Risk, SurfaceKind, Transport, Unlock};

use latchkey_gate::{
    settings::{Era, PinMode, ServerSettings, SurfaceSettings},
    token::resource,
};

use super::{Resolver, counting, issuers, passage};
use crate::{
    diag::{Diagnostic, codes},
    model::{ByName, Operation, Operations, Scope, ScopeSource, Server, Surface},
    source::{Span, Spanned},
    syntax::{
        self, issuer,
        limit::{self, Holder},
        scalar::{ByteSize, Millis},
        server::{self as written, ServerLimits},
        surface as surfaces,
    },
    text::Text,
};

/// The largest request body when a server does not say one: 1 MiB.
const DEFAULT_BODY: u32 = 1 << 20;
/// The time for a client's headers when a server does not say one, in milliseconds.
const DEFAULT_HEADER_TIMEOUT: u32 = 10_000;
/// The time for an answer to begin when a server does not say one, in milliseconds.
const DEFAULT_TIMEOUT: u32 = 60_000;

/// A surface as written, whatever its kind.
pub(super) struct Written<'s> {
    /// Its name where it is declared.
    pub(super) name: &'s Spanned<Text>,
    /// What it says.
    pub(super) surface: &'s syntax::Surface,
    /// How a request names it.
    pub(super) kind: SurfaceKind,
    /// What else a route says.
    pub(super) route: Option<&'s surfaces::Route>,
}

impl Resolver<'_> {
    pub(super) fn servers(&mut self) -> ByName<Server> {
        let syntax = self.syntax;
        let mut servers = ByName::new();
        for (name, entry) in syntax.servers.iter() {
            // Where its scope does not exist, that was said: every other scope lies within then.
            let scope = self
                .scope(&entry.within)
                .unwrap_or_else(|| Arc::new(Scope::Platform));
            let limits = entry.limits.as_ref();
            let mut server = Server {
                span: entry.name.span,
                scope: Spanned::new(scope, entry.within.span),
                transport: match entry.transport.map(|it| it.value) {
                    Some(written::Transport::Http) => Transport::Http,
                    Some(written::Transport::Mcp | written::Transport::McpStdio) | None => {
                        Transport::Mcp
                    }
                },
                upstream: entry
                    .upstream
                    .as_ref()
                    .map(|it| it.value.clone())
                    .unwrap_or_default()
                    .to_string(),
                disclose: match entry.disclose.map(|it| it.value) {
                    Some(written::Disclose::Hidden) => Disclose::Hidden,
                    Some(written::Disclose::Code) | None => Disclose::Code,
                    Some(written::Disclose::Full) => Disclose::Full,
                },
                max_body: self.bytes(limits.and_then(|it| it.body.as_ref()), DEFAULT_BODY),
                header_timeout: self.millis(
                    limits.and_then(|it| it.header_timeout.as_ref()),
                    DEFAULT_HEADER_TIMEOUT,
                ),
                timeout: self.millis(limits.and_then(|it| it.timeout.as_ref()), DEFAULT_TIMEOUT),
                settings: settings(entry),
                surfaces: ByName::new(),
            };
            let written = written(entry);
            self.shared_patterns(&written);
            let inherit = written.iter().any(|it| it.surface.scope.is_none());
            let source = entry.scopes.as_ref().filter(|_| inherit);
            let scopes = source.map_or(ScopeSource::Server, |it| self.scope_source(it, &server));
            for each in &written {
                let surface = self.surface(entry, (&server, &scopes), each);
                server.surfaces.insert(each.name.value.clone(), surface);
            }
            self.unused_facts(entry, &server);
            self.own_audience(entry);
            self.url_of_proofs(name, entry);
            servers.insert(name.clone(), server);
        }
        servers
    }

    /// The audience of a server is written in its one form, and is one of an issuer's.
    fn own_audience(&mut self, entry: &syntax::Server) {
        let Some(audience) = &entry.audience else {
            return;
        };
        let own = resource::canonical(&audience.value);
        let mut audiences = self.syntax.issuers.values().flat_map(|it| {
            let list = it.audiences.iter().flat_map(|it| it.iter());
            list.map(|it| it.value.as_str())
        });
        let known = audiences.any(|it| resource::canonical(it) == own);
        let (what, help) = if own != audience.value.as_str() {
            let help = format!("write `{own}`");
            ("this is not the one form of the audience", help)
        } else if known || !self.syntax.is_whole("issuers") {
            return;
        } else {
            let help = "add it to the `audiences` of the issuer whose tokens are for this server";
            (
                "no issuer has this audience, so nobody could call",
                help.to_owned(),
            )
        };
        self.report(Diagnostic::new(&codes::BAD_VALUE, audience.span, what).help(help));
    }

    /// A proof names the URL of its request: where proofs are asked for, the policy has one.
    fn url_of_proofs(&mut self, name: &str, entry: &syntax::Server) {
        let issuers = || self.syntax.issuers.values();
        let asks = |proof: &&Spanned<issuer::Proof>| proof.value == issuer::Proof::Dpop;
        let own = entry.proof.as_ref().filter(asks);
        let asked = own.or_else(|| issuers().find_map(|it| it.proof.as_ref().filter(asks)));
        let Some(asked) = asked else {
            return;
        };
        let audiences = issuers().flat_map(|it| it.audiences.iter().flat_map(|it| it.iter()));
        let audiences = audiences.map(|it| it.value.as_str());
        let audience = entry.audience.as_ref().map(|it| it.value.as_str());
        let resource = resource::of_server(audience, audiences, name);
        let unsure = !self.syntax.is_whole("issuers") || self.syntax.holed(asked.span);
        if unsure || resource.as_deref().and_then(resource::split).is_some() {
            return;
        }
        let what = format!("no proof could be for `{name}`: the policy does not say its URL");
        let help = "give the server an `audience` that is an `https://` URL, and add it to the \
                    `audiences` of its issuer: proofs name the URL of their request";
        self.report(Diagnostic::new(&codes::BAD_VALUE, asked.span, what).help(help));
    }

    fn bytes(&mut self, size: Option<&Spanned<ByteSize>>, default: u32) -> u32 {
        let number = size.map(|size| (size.value.0, size.span));
        self.bounded(number, default, "a body is at most 4 GiB")
    }

    fn millis(&mut self, time: Option<&Spanned<Millis>>, default: u32) -> u32 {
        let number = time.map(|time| (time.value.0, time.span));
        self.bounded(number, default, "a timeout is at most 49 days")
    }

    fn bounded(&mut self, number: Option<(u64, Span)>, default: u32, limit: &str) -> u32 {
        let Some((number, span)) = number else {
            return default;
        };
        u32::try_from(number).unwrap_or_else(|_| {
            self.report(Diagnostic::new(&codes::BAD_VALUE, span, "this is too large").help(limit));
            default
        })
    }

    fn surface(
        &mut self,
        entry: &syntax::Server,
        (server, scopes): (&Server, &ScopeSource),
        written: &Written<'_>,
    ) -> Surface {
        let facts = written.surface;
        let schema = self.schema(entry, written);
        let unread = entry.lock.is_some() && self.lock(entry).is_none();
        if schema.is_none() && (facts.input.is_some() || unread) {
            self.flawed.insert(written.name.span);
        }
        let access = access(facts);
        let risk = risk(facts);
        let operations = facts
            .operations
            .as_ref()
            .map(|it| self.operations(it, server));
        let own = facts.scope.as_ref();
        let scope = own.map_or_else(|| scopes.clone(), |it| self.scope_source(it, server));
        let mut surface = Surface {
            span: written.name.span,
            kind: written.kind.clone(),
            risk,
            unlock: self.unlock(facts),
            access,
            operations,
            scope,
            arguments: BTreeMap::new(),
            schema,
            obligations: obligations(entry.limits.as_ref(), facts),
            audit: BTreeSet::new(),
            settings: SurfaceSettings {
                pin: self.pin(entry, written),
                ..passage::settings(written, server)
            },
        };
        if access == Access::Public && risk == Risk::Destructive {
            let message = format!("`{}` is destructive and public", written.name.value);
            let place = facts
                .access
                .as_ref()
                .map_or(written.name.span, |it| it.span);
            self.report(
                Diagnostic::new(&codes::DESTRUCTIVE_PUBLIC, place, message)
                    .help("anybody could destroy something; ask for a permission"),
            );
        }
        self.arguments(entry, server, written, &mut surface);
        self.unread_body(written, &surface);
        surface
    }

    /// The index holds one lock for a surface, so its operations must agree.
    fn unlock(&mut self, facts: &syntax::Surface) -> Unlock {
        let own = facts
            .unlock
            .as_ref()
            .map_or(Unlock::BreakGlass, |it| unlock(it.value));
        let values = facts
            .operations
            .iter()
            .flat_map(|operations| operations.values.values());
        let mut first: Option<(Unlock, Span)> = None;
        for operation in values.filter(|it| it.risk.value == syntax::Risk::Destructive) {
            let wanted = operation.unlock.as_ref().map_or(own, |it| unlock(it.value));
            let span = operation
                .unlock
                .as_ref()
                .map_or(operation.name.span, |it| it.span);
            match first {
                None => first = Some((wanted, span)),
                Some((other, place)) if other != wanted => self.report(
                    Diagnostic::new(
                        &codes::MIXED_UNLOCK,
                        span,
                        "the destructive operations of one surface need different unlocks",
                    )
                    .also(place, "this one differs")
                    .help("this version enforces one `unlock` for a surface; say it there"),
                ),
                Some(_) => {}
            }
        }
        first.map_or(own, |(unlock, _)| unlock)
    }

    fn operations(&mut self, written: &surfaces::Operations, server: &Server) -> Operations {
        let values = written.values.iter().map(|(value, entry)| {
            let operation = Operation {
                span: entry.name.span,
                risk: risk_of(entry.risk.value),
            };
            (value.clone(), operation)
        });
        Operations {
            values: values.collect(),
            argument: self.argument_path(&written.argument, server),
        }
    }

    fn scope_source(&mut self, source: &syntax::ScopeSource, server: &Server) -> ScopeSource {
        match source {
            syntax::ScopeSource::Server(_) => ScopeSource::Server,
            syntax::ScopeSource::Principal(_) => ScopeSource::Principal,
            syntax::ScopeSource::Unscoped(_) => ScopeSource::Unscoped,
            syntax::ScopeSource::Forced(forced) => ScopeSource::Force {
                argument: self.argument_path(&forced.argument, server),
                team: forced.value.value == syntax::scope_source::ForcedValue::Team,
            },
            syntax::ScopeSource::Mapped(mapped) => {
                let (mut exact, mut prefixes) = (BTreeMap::new(), BTreeMap::new());
                for (value, entry) in mapped.map.iter() {
                    let Some(scope) = self.scope(&entry.value) else {
                        continue;
                    };
                    if !server.scope.covers(&scope) {
                        self.scope_outside(
                            &entry.value.value.to_string(),
                            entry.value.span,
                            server,
                        );
                    }
                    match value.strip_suffix('*') {
                        Some(prefix) => prefixes.insert(Text::from(prefix), scope),
                        None => exact.insert(value.clone(), scope),
                    };
                }
                let argument = self.argument_path(&mapped.from.argument, server);
                ScopeSource::Map {
                    argument,
                    exact: Arc::new(exact),
                    prefixes: Arc::new(prefixes),
                }
            }
        }
    }

    fn scope_outside(&mut self, scope: &str, span: Span, server: &Server) {
        let message = format!(
            "`{scope}` lies outside the server's scope, `{}`",
            *server.scope
        );
        self.report(
            Diagnostic::new(&codes::SCOPE_OUTSIDE_SERVER, span, message)
                .also(server.scope.span, "the server belongs here")
                .help("such a call is `scope_invalid`; name a scope inside, or widen the server's"),
        );
    }

    /// Two surfaces that one request could mean would make the decision ambiguous.
    fn shared_patterns(&mut self, written: &[Written<'_>]) {
        let mut patterns: BTreeMap<String, Span> = BTreeMap::new();
        for each in written {
            let pattern = match &each.kind {
                SurfaceKind::Route { method, path } => format!("{method} {}", anonymous(path)),
                SurfaceKind::Resource { uri } => anonymous(uri),
                SurfaceKind::Tool | SurfaceKind::Prompt => continue,
            };
            if let Some(first) = patterns.insert(pattern.clone(), each.name.span) {
                let message = format!("another surface already matches `{pattern}`");
                self.report(
                    Diagnostic::new(&codes::SAME_PATTERN, each.name.span, message)
                        .also(first, "declared here")
                        .help("a request must mean one surface; merge the two"),
                );
            }
        }
    }
}

/// All surfaces of a server, whatever their kind.
pub(super) fn written(server: &syntax::Server) -> Vec<Written<'_>> {
    let tools = server.tools.values().map(|entry| Written {
        name: &entry.name,
        surface: &entry.value.surface,
        kind: SurfaceKind::Tool,
        route: None,
    });
    let prompts = server.prompts.values().map(|entry| Written {
        name: &entry.name,
        surface: &entry.value.surface,
        kind: SurfaceKind::Prompt,
        route: None,
    });
    let resources = server.resources.values().map(|entry| Written {
        name: &entry.name,
        surface: &entry.value.surface,
        kind: SurfaceKind::Resource {
            uri: entry.uri.value.to_string(),
        },
        route: None,
    });
    let routes = server.routes.values().map(|entry| Written {
        name: &entry.name,
        surface: &entry.value.surface,
        kind: SurfaceKind::Route {
            method: entry.method.value.text().to_owned(),
            path: entry.path.value.to_string(),
        },
        route: Some(&entry.value),
    });
    tools
        .chain(prompts)
        .chain(resources)
        .chain(routes)
        .collect()
}

/// A template without the names of its variables: `/v1/tickets/{}`.
fn anonymous(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut inside = false;
    for c in template.chars() {
        match c {
            '{' => {
                inside = true;
                out.push(c);
            }
            '}' => {
                inside = false;
                out.push(c);
            }
            _ if inside => {}
            _ => out.push(c),
        }
    }
    out
}

/// What is enforced of a server around the decision.
fn settings(entry: &syntax::Server) -> ServerSettings {
    let variables = entry.environment.iter().flat_map(|it| it.iter());
    let requests = entry.server_requests.as_ref();
    ServerSettings {
        command: entry
            .command
            .as_ref()
            .map_or_else(Vec::new, |it| it.0.clone()),
        environment: variables
            .map(|it| (it.value.name.clone(), it.value.value.clone()))
            .collect(),
        pins: match entry.pins.map(|it| it.value) {
            Some(written::Pins::List) => PinMode::List,
            Some(written::Pins::Enforce) | None => PinMode::Enforce,
        },
        era: entry.era.map(|it| match it.value {
            written::Era::Legacy => Era::Legacy,
            written::Era::Modern => Era::Modern,
        }),
        audience: entry.audience.as_ref().map(|it| it.value.to_string()),
        proof: issuers::proof(entry.proof.as_ref()),
        server_requests: requests
            .map(syntax::server_requests::ServerRequests::settings)
            .unwrap_or_default(),
        ..counting::settings(entry)
    }
}

fn access(facts: &syntax::Surface) -> Access {
    match facts.access.as_ref().map(|it| it.value) {
        Some(surfaces::Access::Permission) | None => Access::Permission,
        Some(surfaces::Access::Authenticated) => Access::Authenticated,
        Some(surfaces::Access::Public) => Access::Public,
    }
}

/// The risk of a surface: its own, or the highest of its operations.
fn risk(facts: &syntax::Surface) -> Risk {
    let operations = facts
        .operations
        .iter()
        .flat_map(|operations| operations.values.values());
    let risks = facts
        .risk
        .iter()
        .map(|it| it.value)
        .chain(operations.map(|it| it.risk.value));
    // A surface without a risk was refused when it was parsed; the highest is the safe answer.
    risks.map(risk_of).max().unwrap_or(Risk::Destructive)
}

/// A risk as the engine knows it.
pub(super) fn risk_of(risk: syntax::Risk) -> Risk {
    match risk {
        syntax::Risk::Read => Risk::Read,
        syntax::Risk::Write => Risk::Write,
        syntax::Risk::Destructive => Risk::Destructive,
    }
}

fn unlock(unlock: surfaces::Unlock) -> Unlock {
    match unlock {
        surfaces::Unlock::BreakGlass => Unlock::BreakGlass,
        surfaces::Unlock::Grant => Unlock::Grant,
    }
}

fn obligations(server: Option<&ServerLimits>, facts: &syntax::Surface) -> BTreeSet<Obligation> {
    let own = facts.limits.as_ref().map(|it| {
        let (rate, concurrency) = (it.rate.as_ref(), it.concurrency.as_ref());
        limit::obligations(rate, concurrency, Holder::Surface)
    });
    let server = server.map(|it| {
        let (rate, concurrency) = (it.rate.as_ref(), it.concurrency.as_ref());
        limit::obligations(rate, concurrency, Holder::Server)
    });
    let all = own.into_iter().chain(server).flatten();
    all.map(|(_, obligation)| obligation).collect()
}
