//! The schema of `latchkey diff --format json`.

use serde_json::{Value as Json, json};

/// What `latchkey diff --format json` prints.
pub(super) fn report() -> Json {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let count = json!({"type": "integer", "minimum": 0});
    let digest = json!({
        "type": "object",
        "required": ["digest"],
        "properties": {"digest": {"type": "string", "description": "SHA-256 of the bundle, in hex"}},
        "additionalProperties": false,
    });
    let state = json!({
        "type": "object",
        "required": ["decision", "reason", "obligations"],
        "properties": {
            "decision": {"enum": ["allow", "deny"]},
            "reason": text,
            "obligations": {"type": "object", "additionalProperties": texts},
        },
        "additionalProperties": false,
    });
    let kinds = ["widened", "narrowed", "loosened", "tightened", "reason"];
    let counts: serde_json::Map<_, _> = kinds
        .iter()
        .chain(&["undecided"])
        .map(|kind| ((*kind).to_owned(), count.clone()))
        .collect();
    let required: Vec<_> = counts.keys().cloned().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Output of latchkey diff --format json",
        "type": "object",
        "required": ["version", "from", "to", "findings", "undecided", "summary"],
        "properties": {
            "version": {"const": 1},
            "from": digest,
            "to": digest,
            "findings": {"type": "array", "items": finding(&kinds, &state)},
            "undecided": {"type": "array", "items": {
                "type": "object",
                "required": ["surface", "place", "why"],
                "properties": {
                    "surface": {"type": "string", "description": "server/name, or * for all"},
                    "place": {"type": ["string", "null"]},
                    "why": text,
                },
                "additionalProperties": false,
            }},
            "summary": {
                "type": "object",
                "required": required,
                "properties": counts,
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
    })
}

fn finding(kinds: &[&str], state: &Json) -> Json {
    let text = json!({"type": "string"});
    let subjects = "names of principals, group:<name>, undeclared:<issuer>, anonymous";
    let sections = [
        "bindings",
        "groups",
        "principals",
        "roles",
        "rules",
        "schedules",
        "servers",
        "surfaces",
    ];
    let cause = json!({
        "type": "object",
        "required": ["section", "name", "how"],
        "properties": {
            "section": {"enum": sections},
            "name": text,
            "how": {"enum": ["added", "removed", "changed"]},
        },
        "additionalProperties": false,
    });
    let place = json!({
        "type": "object",
        "required": ["side", "place"],
        "properties": {
            "side": {"enum": ["from", "to"]},
            "place": {"type": "string", "description": "file:line:column"},
        },
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "required": [
            "change", "subjects", "surface", "operation", "risk", "scope", "region", "before",
            "after", "causes", "places", "witness",
        ],
        "properties": {
            "change": {"enum": kinds},
            "subjects": {
                "type": "array", "items": {"type": "string"}, "description": subjects,
            },
            "surface": {"type": "string", "description": "server/name"},
            "operation": {"type": ["string", "null"]},
            "risk": {"enum": ["read", "write", "destructive"]},
            "scope": {"type": "string", "description": "the widest that the finding holds for"},
            "region": {"type": "string", "description": "which calls, in words; empty is all"},
            "before": state,
            "after": state,
            "causes": {"type": "array", "items": cause},
            "places": {"type": "array", "items": place},
            "witness": {
                "type": "object",
                "description": "a call that shows it, as a line for latchkey eval",
                "required": ["id", "server", "at"],
            },
        },
        "additionalProperties": false,
    })
}
