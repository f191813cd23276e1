//! Arguments that the registry speaks of: folds, operations, scopes, what may be logged.

use std::{collections::BTreeSet, sync::Arc};

use latchkey_engine::{
    condition::Shape,
    index::{ArgumentPath, Fold, SurfaceKind, Transport},
};

use super::{
    Resolver,
    servers::Written,
    shapes::{self, Found},
};
use crate::{
    diag::{Diagnostic, codes},
    model::{Fact, ScopeSource, Server, Surface},
    source::{Span, Spanned},
    syntax::{
        self,
        scalar::{ArgumentName, Literal},
        server::{self as written, Argument},
    },
};

impl Resolver<'_> {
    /// The path of an argument: its name, or for a route `path.x`, `query.x`, `body.x`.
    pub(super) fn argument_path(
        &mut self,
        name: &Spanned<ArgumentName>,
        server: &Server,
    ) -> Spanned<ArgumentPath> {
        if server.transport == Transport::Mcp {
            return Spanned::new(vec![name.value.to_string()], name.span);
        }
        let path: ArgumentPath = name.value.split('.').map(str::to_owned).collect();
        let rooted = matches!(
            path.first().map(String::as_str),
            Some("path" | "query" | "body")
        );
        if !rooted || path.len() < 2 || path.iter().any(String::is_empty) {
            let message = format!("`{}` is not an argument of a route", name.value);
            self.report(
                Diagnostic::new(&codes::BAD_VALUE, name.span, message)
                    .help("write `path.name`, `query.name` or `body.name`"),
            );
        }
        Spanned::new(path, name.span)
    }

    /// Fills in the facts about a surface's arguments and checks everything that reads one.
    pub(super) fn arguments(
        &mut self,
        entry: &syntax::Server,
        server: &Server,
        written: &Written<'_>,
        surface: &mut Surface,
    ) {
        for fact in entry.arguments.values() {
            let name = Spanned::new(fact.name.value.clone(), fact.name.span);
            let Ok(parsed) = <ArgumentName as syntax::scalar::Scalar>::parse(&name.value) else {
                continue;
            };
            let path = self.argument_path(&Spanned::new(parsed, name.span), server);
            if applies(surface, &path.value) {
                let fact = self.fact(fact, surface, &path.value);
                refine(surface, &path.value, &fact);
                surface.arguments.insert(path.value, fact);
            }
        }
        self.operation_argument(surface, written);
        self.scope_argument(surface, written);
        for name in written.surface.audit.iter().flat_map(|list| list.iter()) {
            let path = self.argument_path(name, server);
            if self.declared(surface, written, &path, "logging").is_some() {
                surface.audit.insert(name.value.to_string());
            }
        }
    }

    /// Reports facts about arguments that no surface has.
    pub(super) fn unused_facts(&mut self, entry: &syntax::Server, server: &Server) {
        for fact in entry.arguments.values() {
            let name = &fact.name;
            let path: ArgumentPath = match server.transport {
                Transport::Mcp => vec![name.value.to_string()],
                Transport::Http => name.value.split('.').map(str::to_owned).collect(),
            };
            // A schema that could not be read is no proof that the argument does not exist.
            let unsure = server
                .surfaces
                .values()
                .any(|surface| surface.schema.is_none());
            let used = server
                .surfaces
                .values()
                .any(|it| it.arguments.contains_key(&path));
            if used || unsure || self.holed(server.span) {
                continue;
            }
            let known: BTreeSet<&str> = server
                .surfaces
                .values()
                .filter_map(|surface| surface.schema.as_ref())
                .flat_map(|schema| schema.shape.fields.keys().map(String::as_str))
                .collect();
            let message = format!("no surface of this server has an argument `{}`", name.value);
            self.report(
                Diagnostic::new(&codes::UNKNOWN_ARGUMENT, name.span, message)
                    .help("remove the fact, or correct the name")
                    .did_you_mean(&name.value, name.span, known),
            );
        }
    }

    fn fact(
        &mut self,
        entry: &syntax::Entry<Argument>,
        surface: &Surface,
        path: &[String],
    ) -> Fact {
        let fold = entry.fold.as_ref().map(|it| match it.value {
            written::Fold::AsciiLower => Fold::AsciiLower,
            written::Fold::PosixPath => Fold::PosixPath,
        });
        let shape = surface
            .schema
            .as_ref()
            .map(|schema| shapes::find(&schema.shape, path));
        let declared = match shape {
            Some(Found::Declared(shape, _)) => Some(shape),
            _ => None,
        };
        if let (Some(written), Some(shape)) = (entry.fold.as_ref(), declared)
            && !shapes::is_text(shape)
        {
            let message = format!(
                "`{}` is not text, so there is nothing to fold",
                path.join(".")
            );
            self.bad_fact(
                written.span,
                message,
                "remove the fold, or correct the schema",
            );
        }
        let mut only = BTreeSet::new();
        for literal in entry.only.iter().flat_map(|list| list.iter()) {
            match &literal.value {
                Literal::Text(text) => {
                    self.folded(fold, text, literal.span);
                    only.insert(text.to_string());
                }
                Literal::Bool(_) | Literal::Number(_) => {
                    let help = "quote it if it is text; numbers belong into the schema's `enum`";
                    self.bad_fact(literal.span, "`only` lists texts".to_owned(), help);
                }
            }
        }
        let mut forbid = entry.forbid.as_ref().is_some_and(|it| it.value);
        let mut force = None;
        if let Some(literal) = &entry.force {
            // Where the schema is open and does not know the argument, the upstream may not know it
            // either: nothing is written, and the caller's own value is refused.
            forbid = matches!(shape, Some(Found::Open));
            if !forbid {
                force = json(&literal.value);
                self.force_fits(force.as_deref(), literal.span, surface, path);
            }
        }
        Fact {
            span: entry.name.span,
            fold,
            only,
            force,
            forbid,
        }
    }

    fn bad_fact(&mut self, span: Span, message: String, help: &str) {
        self.report(Diagnostic::new(&codes::BAD_FACT, span, message).help(help));
    }

    /// A value that is compared after a fold must be in its folded form.
    fn folded(&mut self, fold: Option<Fold>, text: &str, span: Span) {
        let Some(fold) = fold else { return };
        if is_folded(fold, text) {
            return;
        }
        let message = format!("`{text}` never occurs, because the argument is folded first");
        let help = match fold {
            Fold::AsciiLower => "write it in lower case, with ASCII letters only",
            Fold::PosixPath => "write the path without `.`, `..`, `//`",
        };
        self.report(Diagnostic::new(&codes::NEVER_FOLDED, span, message).help(help));
    }

    /// A forced value must be one that the schema accepts, or every call fails.
    fn force_fits(&mut self, text: Option<&str>, span: Span, surface: &Surface, path: &[String]) {
        let (Some(text), Some(schema)) = (text, &surface.schema) else {
            return;
        };
        let mut property = &schema.json;
        for name in path {
            match property.get("properties").and_then(|it| it.get(name)) {
                Some(next) => property = next,
                None => return,
            }
        }
        // A property that refers to other parts of the schema cannot be judged by itself.
        let own = property.to_string();
        if own.contains("\"$ref\"") {
            return;
        }
        let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
            return;
        };
        let fits = latchkey_gate::schema::compile(&own).is_ok_and(|it| it.is_valid(&value));
        if !fits {
            let message = format!("the schema of `{}` refuses {text}", path.join("."));
            self.bad_fact(span, message, "every call would be a `schema_violation`");
        }
    }

    fn operation_argument(&mut self, surface: &mut Surface, written: &Written<'_>) {
        let Some(operations) = surface.operations.clone() else {
            return;
        };
        let Some(shape) = self.declared(surface, written, &operations.argument, "operations")
        else {
            return;
        };
        let path = operations.argument.value.join(".");
        self.text_and_required(surface, &shape, &operations.argument, "an operation");
        let fold = surface
            .arguments
            .get(&operations.argument.value)
            .and_then(|fact| fact.fold);
        let allowed = &shape.1.values;
        for (value, operation) in &operations.values {
            self.folded(fold, value, operation.span);
            if !allowed.is_empty() && !allowed.iter().any(|it| it == value) {
                let message = format!("the schema never lets `{path}` be `{value}`");
                let known = allowed.iter().map(String::as_str);
                self.report(
                    Diagnostic::new(&codes::OPERATION_NOT_IN_SCHEMA, operation.span, message)
                        .help(format!("it can be {}", allowed.join(", ")))
                        .did_you_mean(value, operation.span, known),
                );
            }
        }
    }

    fn scope_argument(&mut self, surface: &mut Surface, written: &Written<'_>) {
        match surface.scope.clone() {
            ScopeSource::Server | ScopeSource::Principal | ScopeSource::Unscoped => {}
            ScopeSource::Force { argument, .. } => {
                self.declared(surface, written, &argument, "its scope");
            }
            ScopeSource::Map {
                argument,
                exact,
                prefixes,
            } => {
                let Some(shape) = self.declared(surface, written, &argument, "its scope") else {
                    return;
                };
                self.text_and_required(surface, &shape, &argument, "a scope");
                let fold = surface
                    .arguments
                    .get(&argument.value)
                    .and_then(|fact| fact.fold);
                // Half a path is not in the form that a fold gives, so only whole values are judged.
                for value in exact.keys() {
                    self.folded(fold, value, argument.span);
                }
                if fold == Some(Fold::AsciiLower) {
                    for prefix in prefixes.keys() {
                        self.folded(fold, prefix, argument.span);
                    }
                }
            }
        }
    }

    /// The shape of an argument that something reads, and whether it is always there; reports a
    /// surface without a schema, and an argument that the schema does not have.
    fn declared(
        &mut self,
        surface: &Surface,
        written: &Written<'_>,
        path: &Spanned<ArgumentPath>,
        what: &str,
    ) -> Option<(bool, Shape)> {
        let (surface_name, argument) = (&written.name.value, path.value.join("."));
        let Some(schema) = &surface.schema else {
            // A schema that is there and refused was reported already.
            let locked = written.surface.input.is_some();
            if !locked && !self.has_locked_schema(written) {
                let message =
                    format!("`{surface_name}` has no schema, and {what} reads `{argument}`");
                self.report(
                    Diagnostic::new(&codes::MISSING_SCHEMA, written.name.span, message)
                        .also(path.span, "the argument is named here")
                        .help("give the surface an `input` schema, or the server a lock"),
                );
            }
            return None;
        };
        match shapes::find(&schema.shape, &path.value) {
            Found::Declared(shape, required) => Some((required, shape.clone())),
            Found::Open | Found::Closed(..) => {
                let known = schema.shape.fields.keys().map(String::as_str);
                let message = format!("`{surface_name}` has no argument `{argument}`");
                self.report(
                    Diagnostic::new(&codes::UNKNOWN_ARGUMENT, written.name.span, message)
                        .also(path.span, format!("{what} reads it"))
                        .help(help(&argument, known, what)),
                );
                None
            }
        }
    }

    fn has_locked_schema(&self, written: &Written<'_>) -> bool {
        let name = &written.name;
        let servers = self.syntax.servers.iter();
        let own = servers.filter(|(_, it)| {
            it.tools
                .get(&name.value)
                .is_some_and(|tool| tool.name.span == name.span)
        });
        own.filter_map(|(server, _)| self.syntax.locks.get(server))
            .any(|lock| {
                lock.tool(&name.value)
                    .is_none_or(|tool| tool.input().is_some())
            })
    }

    fn text_and_required(
        &mut self,
        surface: &Surface,
        (required, shape): &(bool, Shape),
        path: &Spanned<ArgumentPath>,
        what: &str,
    ) {
        let argument = path.value.join(".");
        let forced = surface
            .arguments
            .get(&path.value)
            .is_some_and(|it| it.force.is_some());
        if !shapes::is_text(shape) {
            let message = format!("`{argument}` is not text, and only text names {what}");
            self.report(
                Diagnostic::new(&codes::ARGUMENT_NOT_TEXT, path.span, message)
                    .also(surface.span, "this surface reads it")
                    .help("name another argument, or say `type: string` in the schema"),
            );
        } else if !required && !forced {
            let message = format!("`{argument}` may be absent, and it names {what}");
            self.report(
                Diagnostic::new(&codes::ARGUMENT_OPTIONAL, path.span, message)
                    .also(
                        surface.span,
                        "the schema of this surface does not require it",
                    )
                    .help(format!("add `{argument}` to `required` in its schema")),
            );
        }
    }
}

fn help<'a>(argument: &str, known: impl Iterator<Item = &'a str>, what: &str) -> String {
    match crate::diag::suggest::closest(argument, known) {
        Some(best) => format!("did you mean `{best}`?"),
        None if what == "its scope" => {
            "give this surface a `scope` of its own, such as `server` or `{unscoped: why}`"
                .to_owned()
        }
        None => "name an argument of the schema".to_owned(),
    }
}

/// Whether a fact of the server is about this surface.
fn applies(surface: &Surface, path: &[String]) -> bool {
    let Some(schema) = &surface.schema else {
        // Without a schema every argument may come, but there is none to write one into.
        return !matches!(surface.kind, SurfaceKind::Resource { .. });
    };
    !matches!(shapes::find(&schema.shape, path), Found::Closed(..))
}

/// What a fact says about the values that conditions see.
fn refine(surface: &mut Surface, path: &[String], fact: &Fact) {
    let Some(schema) = &mut surface.schema else {
        return;
    };
    shapes::change(Arc::make_mut(&mut schema.shape), path, &|shape| {
        shape.required |= fact.force.is_some();
        let text = match shape.items.as_deref_mut() {
            Some(items) => items,
            None => shape,
        };
        if fact.fold == Some(Fold::AsciiLower) {
            for value in &mut text.values {
                value.make_ascii_lowercase();
            }
            text.values.sort_unstable();
            text.values.dedup();
        } else if fact.fold == Some(Fold::PosixPath) {
            text.values.clear();
        }
        if !fact.only.is_empty() && text.kind == latchkey_engine::condition::Kind::Text {
            text.values = fact.only.iter().cloned().collect();
        }
    });
}

fn json(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Bool(value) => Some(value.to_string()),
        Literal::Text(text) => serde_json::to_string(text).ok(),
        Literal::Number(number) => {
            let number: serde_json::Value = serde_json::from_str(number).ok()?;
            serde_json_canonicalizer::to_string(&number).ok()
        }
    }
}

fn is_folded(fold: Fold, text: &str) -> bool {
    match fold {
        Fold::AsciiLower => text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_uppercase()),
        Fold::PosixPath => {
            let rest = text.strip_prefix('/').unwrap_or(text);
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            !text.is_empty()
                && (rest.is_empty() || rest.split('/').all(|it| !matches!(it, "" | "." | "..")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_forms_are_fixed_points() {
        assert!(is_folded(Fold::AsciiLower, "ledger-1") && !is_folded(Fold::AsciiLower, "Ledger"));
        assert!(!is_folded(Fold::AsciiLower, "straße"));
        for path in ["/", "/a/b", "a/b/", "a"] {
            assert!(is_folded(Fold::PosixPath, path), "{path}");
        }
        for path in ["", "a//b", "./a", "a/..", "/../a"] {
            assert!(!is_folded(Fold::PosixPath, path), "{path}");
        }
    }
}
