//! What can be called of a server: tools, prompts, resources, routes.

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::collection::{List, Names};
use crate::syntax::limit::Limit;
use crate::syntax::node::Node;
use crate::syntax::reference::Risk;
use crate::syntax::scalar::{ArgumentName, ByteSize, Count, Rate, choice};
use crate::syntax::scope_source::ScopeSource;
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;
use latchkey_gate::settings::is_media_range;

record! {
    /// A tool, prompt, resource or route of a server.
    pub struct Surface: "tool" {
        /// What a call can do.
        risk "risk": Option<Spanned<Risk>>;
        /// The operations that one argument chooses between, instead of one risk.
        operations "operations": Option<Operations>;
        /// What the scope of a call is; the server's `scopes` if absent.
        scope "scope": Option<ScopeSource>;
        /// The JSON Schema of the arguments, when it is not in the lock.
        input "input": Option<Node>;
        /// Who may call; `permission` if absent.
        access "access": Option<Spanned<Access>>;
        /// Why it is public.
        reason "reason": Option<Spanned<Text>>;
        /// What nobody has looked at yet; `check` warns until a person has removed the key.
        review "review": Option<Spanned<Text>>;
        /// What a destructive call needs besides a grant; `break_glass` if absent.
        unlock "unlock": Option<Spanned<Unlock>>;
        /// Its limits.
        limits "limits": Option<SurfaceLimits>;
        /// Arguments whose values may be logged.
        audit "audit": Option<List<Spanned<ArgumentName>>>;
    }
    check check_surface;
}

record! {
    /// A tool, as MCP names it.
    pub struct Tool: "tool" {
        ..surface: Surface;
    }
    check check_tool;
}

record! {
    /// A prompt, as MCP names it.
    pub struct Prompt: "prompt" {
        ..surface: Surface;
    }
    check check_prompt;
}

record! {
    /// Resources of one pattern.
    pub struct Resource: "resource" {
        ..surface: Surface;
        /// The URI, with `{name}` for what may vary.
        uri "uri": Spanned<Text>;
    }
    check check_resource;
}

record! {
    /// A route of an HTTP API.
    pub struct Route: "route" {
        ..surface: Surface;
        /// The method, in capitals.
        method "method": Spanned<Method>;
        /// The path, with `{name}` for what may vary.
        path "path": Spanned<Text>;
        /// Bodies that pass as they come, unread. All others are JSON, and read.
        body "body": Option<RouteBody>;
        /// Whether it may become a WebSocket; `false` if absent.
        web_socket "webSocket": Option<Spanned<bool>>;
    }
    check check_route;
}

record! {
    /// Bodies of a route that pass as they come, unread.
    pub struct RouteBody: "route body" {
        /// Their media types: `application/octet-stream`, `image/*`, or `*/*`.
        stream "stream": List<Spanned<Text>>;
        /// The largest of them; the server's `limits.body` if absent.
        limit "limit": Option<Spanned<ByteSize>>;
    }
    check check_body;
}

record! {
    /// Operations that one argument chooses between.
    pub struct Operations: "operations" {
        /// The argument whose value is the operation.
        argument "argument": Spanned<ArgumentName>;
        /// The operations, by that value; any other value is refused.
        values "values": Names<Operation, ArgumentName>;
    }
    check check_operations;
}

record! {
    /// One operation.
    pub struct Operation: "operation" {
        /// What it can do.
        risk "risk": Spanned<Risk>;
        /// What a destructive one needs besides a grant; the surface's if absent.
        unlock "unlock": Option<Spanned<Unlock>>;
    }
    check check_operation;
}

record! {
    /// Limits of one surface.
    pub struct SurfaceLimits: "surface limits" {
        /// How many calls a caller may make in a period; or so for each pool: `caller`, `team`,
        /// `organization`, `source`, `surface`.
        rate "rate": Option<Limit<Rate>>;
        /// How many calls a caller may have open at a time, or so for each pool.
        concurrency "concurrency": Option<Limit<Count>>;
    }
    check check_limits;
}

choice! {
    /// Who may call a surface.
    pub enum Access: "access" {
        /// Callers with a grant.
        Permission = "permission",
        /// Every caller that is known.
        Authenticated = "authenticated",
        /// Anybody.
        Public = "public",
    }
}

choice! {
    /// What a destructive call needs besides a grant.
    pub enum Unlock: "unlock" {
        /// An activation of break-glass.
        BreakGlass = "break_glass",
        /// Nothing: the grant names the surface.
        Grant = "grant",
    }
}

choice! {
    /// A method of HTTP.
    pub enum Method: "method" {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
        /// DELETE.
        Delete = "DELETE",
        /// OPTIONS.
        Options = "OPTIONS",
    }
}

fn check_tool(tool: &Tool, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    check_surface(&tool.surface, map, cx)
}

fn check_prompt(prompt: &Prompt, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    check_surface(&prompt.surface, map, cx)
}

fn check_resource(resource: &Resource, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    check_surface(&resource.surface, map, cx)
}

fn check_route(route: &Route, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let path = &route.path;
    let rooted = path.starts_with('/') && !path.contains(['?', '#', ' ']);
    if !rooted {
        let message = format!("`{}` is not the path of a route", path.value);
        cx.sink.push(
            Diagnostic::new(&codes::BAD_VALUE, path.span, message)
                .help("start it with `/` and leave out the query and the fragment"),
        );
    }
    let bodiless = "a body comes with POST, PUT, PATCH or DELETE";
    let handshake = "a WebSocket begins with GET";
    let passes = match route.method.value {
        Method::Get => map.must_not_have("body", bodiless, cx),
        Method::Head | Method::Options => {
            map.must_not_have("body", bodiless, cx) & map.must_not_have("webSocket", handshake, cx)
        }
        Method::Post | Method::Put | Method::Patch | Method::Delete => {
            map.must_not_have("webSocket", handshake, cx)
        }
    };
    check_surface(&route.surface, map, cx) && rooted && passes
}

fn check_body(body: &RouteBody, _: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = true;
    for media in body.stream.iter().filter(|it| !is_media_range(&it.value)) {
        let message = format!("`{}` is not a media type", media.value);
        cx.sink.push(
            Diagnostic::new(&codes::BAD_VALUE, media.span, message).help(
                "write it in lower case and without parameters: `image/png`, `image/*` or `*/*`",
            ),
        );
        sound = false;
    }
    sound
}

fn check_limits(limits: &SurfaceLimits, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let rate = limits.rate.as_ref().is_none_or(|it| it.check_surface(cx));
    let concurrency = limits.concurrency.as_ref();
    let concurrency = concurrency.is_none_or(|it| it.check_surface(cx));
    map.either("rate", "concurrency", cx) && rate && concurrency
}

fn check_surface(surface: &Surface, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = map.either("risk", "operations", cx)
        && map.exclusive("risk", "operations", "each operation says its own risk", cx);
    match surface.access.map(|access| access.value) {
        Some(Access::Public) => {
            sound &= map.needs(
                "access",
                "reason",
                "public access is reviewed by its reason",
                cx,
            );
        }
        Some(Access::Authenticated | Access::Permission) | None => {
            let why = "the reason is for `access: public`";
            sound &= map.must_not_have("reason", why, cx);
        }
    }
    let mut risks: Vec<_> = surface.risk.iter().map(|risk| risk.value).collect();
    if let Some(operations) = &surface.operations {
        risks.extend(
            operations
                .values
                .values()
                .map(|operation| operation.risk.value),
        );
    }
    if !risks.contains(&Risk::Destructive) {
        let why = "only destructive surfaces are locked";
        sound &= map.must_not_have("unlock", why, cx);
    }
    if let Some(input) = &surface.input
        && input.as_map().is_none()
    {
        let message = format!("expected a JSON Schema (a map), found {}", input.kind());
        cx.sink
            .push(Diagnostic::new(&codes::WRONG_TYPE, input.span, message));
        sound = false;
    }
    sound
}

fn check_operations(operations: &Operations, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let named = !operations.values.is_empty();
    if !named {
        let message = "these operations name no value";
        cx.sink.push(
            Diagnostic::new(&codes::MISSING_KEY, map.blame, message)
                .help("list each value of the argument under `values`, with its risk"),
        );
    }
    named
}

fn check_operation(operation: &Operation, map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let destructive = operation.risk.value == Risk::Destructive;
    destructive || map.must_not_have("unlock", "only destructive operations are locked", cx)
}
