//! The schema of each surface's arguments: inline, or from the lock.

use latchkey_engine::index::SurfaceKind;
use latchkey_gate::pin::{ListKind, Pin};
use serde_json::Value as Json;

use super::{Resolver, servers::Written, shapes};
use crate::{
    diag::{Diagnostic, codes},
    model::Schema,
    source::Span,
    syntax::{self, Lock},
};

mod dialect;

impl<'s> Resolver<'s> {
    /// The schema of a surface; none where none is written. Reports one that cannot be enforced.
    pub(super) fn schema(
        &mut self,
        entry: &syntax::Server,
        written: &Written<'_>,
    ) -> Option<Schema> {
        let input = written.surface.input.as_ref();
        let locked = self.locked_schema(entry, written);
        let (json, span) = match (input, locked) {
            // What cannot be enforced is replaced by one that can.
            (Some(input), Some((json, lock))) if enforceable(&json) => {
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
            (Some(input), _) => (serde_json::from_str(&input.to_json()?).ok()?, input.blame),
            (None, Some(locked)) => locked,
            (None, None) => return None,
        };
        self.compiled(json, span, written)
    }

    /// What else holds for a surface: the pin of its definition.
    pub(super) fn pin(&self, entry: &syntax::Server, written: &Written<'_>) -> Option<Pin> {
        let lock = self.lock(entry)?;
        let name = match &written.kind {
            SurfaceKind::Resource { uri } => uri.as_str(),
            _ => written.name.value.as_str(),
        };
        let locked = lock.get(ListKind::of(&written.kind)?, name)?;
        Some(locked.pin.clone())
    }

    /// The lock that a server names.
    pub(super) fn lock(&self, entry: &syntax::Server) -> Option<&'s Lock> {
        let syntax = self.syntax;
        let span = entry.lock.as_ref()?.span;
        let named = |it: &syntax::Server| it.lock.as_ref().is_some_and(|lock| lock.span == span);
        let (name, _) = syntax.servers.iter().find(|(_, it)| named(it))?;
        syntax.locks.get(name)
    }

    /// The schema that the server's lock has for a tool; reports what the lock does not have.
    fn locked_schema(
        &mut self,
        entry: &syntax::Server,
        written: &Written<'_>,
    ) -> Option<(Json, Span)> {
        let lock = self.lock(entry)?;
        let span = entry.lock.as_ref()?.span;
        let kind = match &written.kind {
            SurfaceKind::Route { method, path } => {
                return self.locked_route((lock, span), (method, path), written);
            }
            SurfaceKind::Tool => ListKind::Tools,
            // Resources may be declared by wider patterns than the server lists.
            SurfaceKind::Prompt if lock.definitions.contains_key(&ListKind::Prompts) => {
                ListKind::Prompts
            }
            _ => return None,
        };
        let Some(locked) = lock.get(kind, &written.name.value) else {
            if written.surface.input.is_none() {
                let noun = kind.noun();
                let message = format!("the lock has no {noun} `{}`", written.name.value);
                let known = lock.names(kind);
                self.report(
                    Diagnostic::new(&codes::NOT_IN_LOCK, written.name.span, message)
                        .also(span, "the lock is named here")
                        .help(format!("import the server again, or remove the {noun}"))
                        .did_you_mean(&written.name.value, written.name.span, known),
                );
            }
            return None;
        };
        let schema = locked.input().filter(|_| kind == ListKind::Tools)?;
        Some((dialect::current(schema), span))
    }

    /// The schema that the server's lock has for a route; reports a route that it does not have.
    fn locked_route(
        &mut self,
        (lock, span): (&Lock, Span),
        (method, path): (&str, &str),
        written: &Written<'_>,
    ) -> Option<(Json, Span)> {
        let Some(definition) = lock.route(method, path) else {
            if written.surface.input.is_none() {
                let place = written.route.map_or(written.name.span, |it| it.path.span);
                let message = format!("the lock has no route `{method} {path}`");
                self.report(
                    Diagnostic::new(&codes::NOT_IN_LOCK, place, message)
                        .also(span, "the lock is named here")
                        .help("import the document again, remove the route, or give it an `input`"),
                );
            }
            return None;
        };
        let schema = definition.get("input").filter(|it| it.is_object())?;
        Some((schema.clone(), span))
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
            shape: shape.into(),
        })
    }

    fn bad_schema(&mut self, span: Span, message: String) {
        self.report(
            Diagnostic::new(&codes::BAD_SCHEMA, span, message)
                .help("schemas are draft 2020-12 and refer to nothing outside themselves"),
        );
    }
}

/// Whether the schema of a lock's tool can be enforced as it stands.
pub(crate) fn locked_is_enforceable(schema: &Json) -> Result<(), String> {
    let schema = dialect::current(schema);
    let text = serde_json_canonicalizer::to_string(&schema)
        .map_err(|_| "it has a number that JSON cannot hold".to_owned())?;
    latchkey_gate::schema::compile(&text).map_err(|error| error.to_string())?;
    if schema.get("type").and_then(Json::as_str) != Some("object") {
        return Err("it does not say `type: object`".to_owned());
    }
    Ok(())
}

fn enforceable(schema: &Json) -> bool {
    locked_is_enforceable(schema).is_ok()
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
