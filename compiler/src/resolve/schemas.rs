//! The schema of each surface's arguments: inline, or from the lock.

use serde_json::Value as Json;

use super::{Resolver, servers::Written, shapes};
use crate::{
    diag::{Diagnostic, codes},
    model::{Schema, Server},
    source::Span,
    syntax,
};

use latchkey_engine::index::SurfaceKind;

impl Resolver<'_> {
    /// The schema of a surface; none where none is written. Reports one that cannot be enforced.
    pub(super) fn schema(
        &mut self,
        entry: &syntax::Server,
        server: &Server,
        written: &Written<'_>,
    ) -> Option<Schema> {
        let input = written.surface.input.as_ref();
        let locked = self.locked(entry, server, written);
        let (json, span) = match (input, locked) {
            (Some(input), Some((_, lock))) => {
                let message = format!(
                    "the lock has the schema of `{}` as well",
                    written.name.value
                );
                self.report(
                    Diagnostic::new(&codes::SCHEMA_TWICE, input.blame, message)
                        .also(lock, "named here")
                        .help("remove `input`: the lock is what was seen and reviewed"),
                );
                return None;
            }
            (Some(input), None) => (serde_json::from_str(&input.to_json()?).ok()?, input.blame),
            (None, Some(locked)) => locked,
            (None, None) => return None,
        };
        self.compiled(json, span, written)
    }

    /// The schema that the server's lock has for a tool.
    fn locked(
        &mut self,
        entry: &syntax::Server,
        server: &Server,
        written: &Written<'_>,
    ) -> Option<(Json, Span)> {
        let syntax = self.syntax;
        let name = syntax
            .servers
            .iter()
            .find(|(_, it)| it.name.span == server.span)?
            .0;
        let lock = syntax.locks.get(name)?;
        let span = entry.lock.as_ref()?.span;
        if !matches!(written.kind, SurfaceKind::Tool) {
            return None;
        }
        let Some(tool) = lock.tools.get(&written.name.value) else {
            if written.surface.input.is_none() {
                let message = format!("the lock has no tool `{}`", written.name.value);
                let known = lock.tools.keys().map(String::as_str);
                self.report(
                    Diagnostic::new(&codes::NOT_IN_LOCK, written.name.span, message)
                        .also(span, "the lock is named here")
                        .help("import the server again, or remove the tool")
                        .did_you_mean(&written.name.value, written.name.span, known),
                );
            }
            return None;
        };
        tool.input.clone().map(|input| (input, span))
    }

    fn compiled(&mut self, json: Json, span: Span, written: &Written<'_>) -> Option<Schema> {
        let Ok(text) = serde_json_canonicalizer::to_string(&json) else {
            self.bad_schema(
                span,
                "the schema has a number that JSON cannot hold".to_owned(),
            );
            return None;
        };
        if let Err(error) = latchkey_gate::schema::compile(&text) {
            let place = pointed(written, &error.pointer).unwrap_or(span);
            self.bad_schema(place, format!("this schema cannot be enforced: {error}"));
            return None;
        }
        if json.get("type").and_then(Json::as_str) != Some("object") {
            let message = "the schema of arguments must say `type: object`".to_owned();
            self.bad_schema(span, message);
            return None;
        }
        let shape = shapes::shape(&json);
        Some(Schema {
            span,
            json,
            text,
            shape,
        })
    }

    fn bad_schema(&mut self, span: Span, message: String) {
        self.report(
            Diagnostic::new(&codes::BAD_SCHEMA, span, message)
                .help("schemas are draft 2020-12 and refer to nothing outside themselves"),
        );
    }
}

/// The place in an inline schema that a JSON Pointer names.
fn pointed(written: &Written<'_>, pointer: &str) -> Option<Span> {
    let mut node = written.surface.input.as_ref()?;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        node = match &node.value {
            syntax::node::Value::List(items) => items.get(key.parse::<usize>().ok()?)?,
            _ => node.get(&key)?,
        };
    }
    Some(node.span)
}
