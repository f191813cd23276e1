//! What passes the sidecar unread: bodies of routes, and every WebSocket.

use latchkey_engine::index::ArgumentPath;
use latchkey_gate::settings::{Streamed, SurfaceSettings};

use super::{Resolver, servers::Written};
use crate::{
    diag::{Diagnostic, codes},
    model::{ScopeSource, Server, Surface},
};

/// The settings of a surface that say what passes unread.
pub(super) fn settings(written: &Written<'_>, server: &Server) -> SurfaceSettings {
    let body = written.route.and_then(|it| it.body.as_ref());
    SurfaceSettings {
        pin: None,
        body: body.map(|body| {
            let mut stream: Vec<String> =
                body.stream.iter().map(|it| it.value.to_string()).collect();
            stream.sort_unstable();
            let limit = body
                .limit
                .map_or(u64::from(server.max_body), |it| it.value.0);
            Streamed { limit, stream }
        }),
        web_socket: written
            .route
            .and_then(|it| it.web_socket)
            .is_some_and(|it| it.value),
    }
}

impl Resolver<'_> {
    /// Reports a route that passes bodies unread, and has something that reads them.
    pub(super) fn unread_body(&mut self, written: &Written<'_>, surface: &Surface) {
        let Some(body) = written.route.and_then(|it| it.body.as_ref()) else {
            return;
        };
        let Some(place) = body.stream.first().map(|it| it.span) else {
            return;
        };
        let in_body = |path: &ArgumentPath| path.first().is_some_and(|it| it == "body");
        let fact = surface.arguments.iter().find(|(path, _)| in_body(path));
        let operations = surface.operations.iter().map(|it| &it.argument);
        let scope = match &surface.scope {
            ScopeSource::Map { argument, .. } | ScopeSource::Force { argument, .. } => {
                Some(argument)
            }
            ScopeSource::Server | ScopeSource::Principal | ScopeSource::Unscoped => None,
        };
        let argument = operations.chain(scope).find(|it| in_body(&it.value));
        let schema = surface.schema.as_ref();
        let schema = schema.filter(|it| it.text.contains("\"body\""));
        let (span, what) = match (fact, argument, schema) {
            (Some((_, fact)), ..) => (fact.span, "this fact is about the body"),
            (_, Some(argument), _) => (argument.span, "this argument is in the body"),
            (.., Some(schema)) => (schema.span, "this schema speaks of `body`"),
            (None, None, None) => return,
        };
        let message = format!(
            "`{}` passes bodies unread, and something reads them",
            written.name.value
        );
        self.report(
            Diagnostic::new(&codes::CONFLICTING_KEYS, place, message)
                .also(span, what)
                .help("remove `body.stream`, or let nothing read the body of this route"),
        );
    }
}
