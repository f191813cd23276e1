//! Section `servers`.

use latchkey_gate::capability::MAX_TTL;

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::collection::{List, Names};
use crate::syntax::command::{Command, Variable};
use crate::syntax::issuer::Proof;
use crate::syntax::limit::Limit;
use crate::syntax::reference::ScopePath;
use crate::syntax::scalar::{
    ArgumentName, ByteSize, Count, Literal, Millis, Rate, SurfaceName, choice,
};
use crate::syntax::scope_source::ScopeSource;
use crate::syntax::server_requests::ServerRequests;
use crate::syntax::shape::{Map, Reader, record};
use crate::syntax::surface::{Prompt, Resource, Route, Tool};
use crate::text::Text;
use latchkey_gate::upstream::UpstreamUrl;

record! {
    /// An MCP server or HTTP API that a sidecar stands in front of.
    pub struct Server: "server" {
        /// Where it belongs: `platform`, an organization or a team.
        within "in": Spanned<ScopePath>;
        /// What it speaks; `mcp` if absent.
        transport "transport": Option<Spanned<Transport>>;
        /// Its address, `http://...` or `https://...`.
        upstream "upstream": Option<Spanned<Text>>;
        /// The program and its arguments, for `transport: mcp-stdio`: the sidecar starts it. No shell
        /// reads them.
        command "command": Option<Command>;
        /// All variables that the program gets: `NAME` with the sidecar's own value, or `NAME=value`.
        environment "environment": Option<List<Spanned<Variable>>>;
        /// The lock file, relative to the file that names it, ending in `.lock.json`.
        lock "lock": Option<Spanned<Text>>;
        /// What becomes of calls whose definition the sidecar has not compared with the lock;
        /// `enforce` if absent. One that differs is refused in any case.
        pins "pins": Option<Spanned<Pins>>;
        /// Facts about arguments, for every surface that has an argument of that name.
        arguments "arguments": Names<Argument, ArgumentName>;
        /// What the scope of a call is; `server` if absent.
        scopes "scopes": Option<ScopeSource>;
        /// Its tools.
        tools "tools": Names<Tool, SurfaceName>;
        /// Its prompts.
        prompts "prompts": Names<Prompt, SurfaceName>;
        /// Its resources.
        resources "resources": Names<Resource, SurfaceName>;
        /// Its routes.
        routes "routes": Names<Route, SurfaceName>;
        /// Its limits.
        limits "limits": Option<ServerLimits>;
        /// How many sidecars stand before it at a time; one if absent.
        replicas "replicas": Option<Spanned<Count>>;
        /// Whether they count limits and used tokens together, in the store of their settings.
        shared_store "sharedStore": Option<Spanned<bool>>;
        /// What a sidecar gives in exchange for access tokens; nothing if absent.
        token "token": Option<TokenExchange>;
        /// The audience that tokens for it name, one of those of their issuer; any of them if absent.
        audience "audience": Option<Spanned<Text>>;
        /// What the tokens of its callers must be bound to, besides what their issuer asks for.
        proof "proof": Option<Spanned<Proof>>;
        /// The era of MCP that it speaks, to serve callers of the other one, too; requests pass as they
        /// are, if absent.
        era "era": Option<Spanned<Era>>;
        /// What a denied caller is told; `code` if absent.
        disclose "disclose": Option<Spanned<Disclose>>;
        /// What it may ask its clients for; nothing if absent.
        server_requests "serverRequests": Option<ServerRequests>;
    }
    check check_server;
}

impl Server {
    /// The schema that stands at a tool, prompt, resource or route of this name.
    pub fn input(&self, name: &str) -> Option<&super::Node> {
        let surface = (self.tools.get(name).map(|it| &it.surface))
            .or_else(|| self.prompts.get(name).map(|it| &it.surface))
            .or_else(|| self.resources.get(name).map(|it| &it.surface))
            .or_else(|| self.routes.get(name).map(|it| &it.surface));
        surface?.input.as_ref()
    }
}

record! {
    /// A fact about the arguments of one name.
    pub struct Argument: "argument" {
        /// How the upstream folds its values.
        fold "fold": Option<Spanned<Fold>>;
        /// The only values that are accepted, after folding.
        only "only": Option<List<Spanned<Literal>>>;
        /// The value that the sidecar writes, whatever the caller sent. Where an open schema does not
        /// declare the argument, nothing is written and a call that sends it is refused.
        force "force": Option<Spanned<Literal>>;
        /// Whether a call with this argument is refused.
        forbid "forbid": Option<Spanned<bool>>;
    }
    check check_argument;
}

record! {
    /// Limits of a server.
    pub struct ServerLimits: "server limits" {
        /// The largest request body.
        body "body": Option<Spanned<ByteSize>>;
        /// How long the headers of a request may take to arrive.
        header_timeout "headerTimeout": Option<Spanned<Millis>>;
        /// How long an answer may take to begin.
        timeout "timeout": Option<Spanned<Millis>>;
        /// How many calls a caller may make in a period, of all that the server offers; or so for
        /// each pool: `caller`, `team`, `organization`, `source`, `surface`, `server`.
        rate "rate": Option<Limit<Rate>>;
        /// How many calls a caller may have open at a time, or so for each pool.
        concurrency "concurrency": Option<Limit<Count>>;
        /// How sidecars that share a store count rates; `exact` if absent.
        sharing "sharing": Option<Spanned<Sharing>>;
        /// What becomes of calls while the shared store does not answer.
        on_store_loss "onStoreLoss": Option<StoreLoss>;
        /// When the server is left alone because it does not answer; never if absent.
        breaker "breaker": Option<Breaker>;
        /// How many event streams a caller may keep open; any number if absent.
        streams "streams": Option<Spanned<Count>>;
        /// How long an event stream or a WebSocket may last; for ever if absent.
        stream_duration "streamDuration": Option<Spanned<Millis>>;
        /// The largest answer, and of an MCP event stream the longest line; any size if absent.
        response "response": Option<Spanned<ByteSize>>;
    }
}

record! {
    /// What a sidecar gives in exchange for access tokens.
    pub struct TokenExchange: "token" {
        /// Whether tokens are exchanged.
        exchange "exchange": Spanned<bool>;
        /// How long such a token lives, at most `2m`; `90s` if absent.
        ttl "ttl": Option<Spanned<Millis>>;
        /// Whether it is taken once; `true` if absent.
        single_use "singleUse": Option<Spanned<bool>>;
        /// What it is bound to; `none` if absent.
        binding "binding": Option<Spanned<Binding>>;
    }
    check check_token;
}

choice! {
    /// What a capability token is bound to.
    pub enum Binding: "binding" {
        /// Nothing: whoever has it may use it.
        None = "none",
        /// One tool call.
        Request = "request",
    }
}

record! {
    /// What becomes of calls while the shared store does not answer, by the kind of their limits.
    pub struct StoreLoss: "store loss" {
        /// Of calls with a rate; `deny` if absent.
        rate "rate": Option<Spanned<OnLoss>>;
        /// Of calls with a limit on concurrency; `deny` if absent.
        concurrency "concurrency": Option<Spanned<OnLoss>>;
    }
}

record! {
    /// When a server that does not answer is left alone.
    pub struct Breaker: "breaker" {
        /// After how many calls in a row that it did not answer.
        failures "failures": Spanned<Count>;
        /// For how long; then one call tries.
        pause "pause": Spanned<Millis>;
    }
}

choice! {
    /// How sidecars that share a store count rates.
    pub enum Sharing: "sharing" {
        /// Every call is counted in the store before it goes on.
        Exact = "exact",
        /// A sidecar draws some calls ahead.
        Lease = "lease",
    }
}

choice! {
    /// What becomes of a call while the shared store does not answer.
    pub enum OnLoss: "onStoreLoss" {
        /// It is refused.
        Deny = "deny",
        /// Each sidecar counts by itself, its share of the limit.
        Local = "local",
    }
}

choice! {
    /// What a server speaks.
    pub enum Transport: "transport" {
        /// MCP over HTTP.
        Mcp = "mcp",
        /// MCP over the standard input and output of a program that the sidecar starts.
        McpStdio = "mcp-stdio",
        /// Plain HTTP.
        Http = "http",
    }
}

choice! {
    /// An era of MCP.
    pub enum Era: "era" {
        /// With a handshake: 2024-11-05 to 2025-11-25.
        Legacy = "legacy",
        /// Stateless: from 2026-07-28 on.
        Modern = "modern",
    }
}

choice! {
    /// What becomes of calls whose definition has not been seen.
    pub enum Pins: "pins" {
        /// They are refused.
        Enforce = "enforce",
        /// They pass; lists are compared.
        List = "list",
    }
}

choice! {
    /// How an upstream folds the values of an argument.
    pub enum Fold: "fold" {
        /// Capital and small ASCII letters are the same.
        AsciiLower = "ascii-lower",
        /// `.`, `..` and `//` are resolved as in a path.
        PosixPath = "posix-path",
    }
}

choice! {
    /// What a denied caller is told.
    pub enum Disclose: "disclose" {
        /// That the call was denied.
        Hidden = "hidden",
        /// The code of the reason.
        Code = "code",
        /// The code, the rule, its message and its place.
        Full = "full",
    }
}

fn check_server(server: &Server, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = check_way(server, map, cx) & check_shared_names(server, cx);
    let routes = "`transport: mcp` has tools, prompts and resources; routes are for `http`";
    let tools = "`transport: http` has routes; tools, prompts and resources are for `mcp`";
    if server.pins.is_some() {
        sound &= map.needs("pins", "lock", "definitions are compared with the lock", cx);
    }
    match server.transport.map(|transport| transport.value) {
        Some(Transport::Http) => {
            for key in ["tools", "prompts", "resources"] {
                sound &= map.must_not_have(key, tools, cx);
            }
            let why = "only a server of `transport: mcp` says itself what it has";
            sound &= map.must_not_have("pins", why, cx);
            let why = "only a server of `transport: mcp` asks its clients for anything";
            sound &= map.must_not_have("serverRequests", why, cx);
            let why = "only a server of `transport: mcp` or `mcp-stdio` speaks MCP";
            sound &= map.must_not_have("era", why, cx);
        }
        Some(Transport::Mcp | Transport::McpStdio) | None => {
            sound &= map.must_not_have("routes", routes, cx);
        }
    }
    sound & check_shared(server, cx)
}

fn check_token(token: &TokenExchange, _: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let whole = |ttl: &&Spanned<Millis>| {
        ttl.value.0.is_multiple_of(1000) && ttl.value.0 <= u64::from(MAX_TTL) * 1000
    };
    let Some(ttl) = token.ttl.as_ref().filter(|ttl| !whole(ttl)) else {
        return true;
    };
    let message = "a capability token lives for whole seconds, and 2 minutes at most";
    cx.sink
        .push(Diagnostic::new(&codes::BAD_VALUE, ttl.span, message).help("write `90s`"));
    false
}

/// How a store is shared is said only where there is one.
fn check_shared(server: &Server, cx: &mut Reader<'_>) -> bool {
    let shared = server.shared_store.is_some_and(|shared| shared.value);
    let limits = server.limits.as_ref();
    let sharing = limits.and_then(|it| it.sharing.as_ref()).map(|it| it.span);
    let loss = limits.and_then(|it| it.on_store_loss.as_ref());
    let loss = loss.and_then(|it| it.rate.or(it.concurrency));
    let idle = sharing.or(loss.map(|it| it.span)).filter(|_| !shared);
    if let Some(span) = idle {
        let message = "this says how a shared store is used, and the server has none";
        cx.sink.push(
            Diagnostic::new(&codes::CONFLICTING_KEYS, span, message)
                .help("write `sharedStore: true` on the server, or remove the key"),
        );
    }
    idle.is_none()
}

/// A server has an address, or a command: which one, its transport says.
fn check_way(server: &Server, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    if server.transport.map(|transport| transport.value) == Some(Transport::McpStdio) {
        let command = "say what the sidecar starts: `command: [node, server.js]`";
        let upstream = "the sidecar starts this server and speaks with it over a pipe";
        return map.must_have("command", command, cx)
            & map.must_not_have("upstream", upstream, cx)
            & check_variables(server, cx);
    }
    let mut sound = true;
    for key in ["command", "environment"] {
        let why = "the sidecar starts only servers with `transport: mcp-stdio`";
        sound &= map.must_not_have(key, why, cx);
    }
    let why = "say where it is: `upstream: http://host:port/path`";
    // Where another key was refused already, its fix may well be the transport.
    sound = sound && map.must_have("upstream", why, cx);
    sound
        & server
            .upstream
            .as_ref()
            .is_none_or(|it| check_upstream(it, cx))
}

fn check_variables(server: &Server, cx: &mut Reader<'_>) -> bool {
    let mut seen = std::collections::BTreeMap::new();
    let mut sound = true;
    for variable in server.environment.iter().flat_map(|it| it.iter()) {
        let name = &variable.value.name;
        if let Some(first) = seen.insert(name, variable.span) {
            let message = format!("the variable `{name}` is already listed");
            cx.sink.push(
                Diagnostic::new(&codes::REPEATED_ITEM, variable.span, message)
                    .also(first, "first listed here")
                    .help("remove one of them"),
            );
            sound = false;
        }
    }
    sound
}

fn check_upstream(address: &Spanned<Text>, cx: &mut Reader<'_>) -> bool {
    let Err(fault) = UpstreamUrl::parse(address) else {
        return true;
    };
    let message = format!("`{}` is not the address of an upstream", address.value);
    cx.sink.push(
        Diagnostic::new(&codes::BAD_VALUE, address.span, message)
            .note(format!("it {fault}"))
            .help(
                "write `http://host:port/path`, `https://host:port/path` or \
                 `unix:/path/of.sock:/path`, without user, query or fragment",
            ),
    );
    false
}

/// Tools, prompts, resources and routes of one server share one name space.
fn check_shared_names(server: &Server, cx: &mut Reader<'_>) -> bool {
    let names = server.tools.values().map(|entry| &entry.name);
    let names = names.chain(server.prompts.values().map(|entry| &entry.name));
    let names = names.chain(server.resources.values().map(|entry| &entry.name));
    let names = names.chain(server.routes.values().map(|entry| &entry.name));
    let mut seen = std::collections::BTreeMap::new();
    let mut sound = true;
    for name in names {
        if let Some(first) = seen.insert(&name.value, name.span) {
            let message = format!("the server already has a surface `{}`", name.value);
            cx.sink.push(
                Diagnostic::new(&codes::DUPLICATE_ENTRY, name.span, message)
                    .also(first, "first declared here")
                    .help("tools, prompts, resources and routes of a server share one name space"),
            );
            sound = false;
        }
    }
    sound
}

fn check_argument(argument: &Argument, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = true;
    if let Some(forbid) = argument.forbid {
        for key in ["fold", "only", "force"] {
            sound &= map.exclusive("forbid", key, "a forbidden argument has no value", cx);
        }
        if !forbid.value {
            let message = "`forbid: false` says nothing";
            cx.sink.push(
                Diagnostic::new(&codes::BAD_VALUE, forbid.span, message).help("remove the key"),
            );
            sound = false;
        }
    }
    let why = "a forced argument has one value, whatever the caller sent";
    sound && map.exclusive("only", "force", why, cx)
}
