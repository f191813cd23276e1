//! A schema that lets arguments pass which it does not know.

use latchkey_engine::index::SurfaceKind;
use serde_json::Value as Json;

use super::Facts;
use crate::diag::{Diagnostic, codes};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.model.servers.values() {
        for (name, surface) in &server.surfaces {
            let tool = matches!(surface.kind, SurfaceKind::Tool);
            let Some(schema) = surface.schema.as_ref().filter(|_| tool) else {
                continue;
            };
            let shut = |key: &str| schema.json.get(key) == Some(&Json::Bool(false));
            if !shut("additionalProperties") && !shut("unevaluatedProperties") {
                let message = format!("the schema of `{name}` lets unknown arguments pass");
                found.push(
                    Diagnostic::new(&codes::OPEN_SCHEMA, surface.span, message)
                        .also(schema.span, "this schema")
                        .help("add `additionalProperties: false`"),
                );
            }
        }
    }
}
