//! Schemas of what is signed: the release statement, the freshness pointer, the trust root.

use serde_json::{Value as Json, json};

/// The payload of `release.dsse.json`.
pub(super) fn statement() -> Json {
    let subject = object(
        &["digest", "name"],
        &json!({
            "name": {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$"},
            "digest": object(&["sha256"], &json!({"sha256": digest()})),
        }),
    );
    let source = object(
        &["commit", "tree_sha256"],
        &json!({
            "commit": {"type": "string", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"},
            "tree_sha256": digest(),
        }),
    );
    let engine = object(
        &["format", "min"],
        &json!({
            "min": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
            "format": counted(0),
        }),
    );
    let required = [
        "channel", "compiler", "engine", "epoch", "project", "sizes", "version",
    ];
    let predicate = object(
        &required,
        &json!({
            "project": name(),
            "channel": name(),
            "epoch": counted(0),
            "version": counted(1),
            "previous": describe(digest(), "of the statement before this one"),
            "issued_at": moment(),
            "not_after": describe(moment(), "the first instant at which it is not in force"),
            "source": source,
            "compiler": name(),
            "engine": engine,
            "tests": describe(digest(), "of the test result in canonical JSON"),
            "sizes": {"type": "object", "additionalProperties": counted(0)},
        }),
    );
    titled(
        "Latchkey release statement",
        object(
            &["_type", "predicate", "predicateType", "subject"],
            &json!({
                "_type": {"const": "https://in-toto.io/Statement/v1"},
                "predicateType": {"const": latchkey_gate::supply::PREDICATE_TYPE},
                "subject": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": subject},
                "predicate": predicate,
            }),
        ),
    )
}

/// The payload of `pointer.dsse.json`.
pub(super) fn pointer() -> Json {
    let most = latchkey_gate::supply::MAX_URGENT;
    let list = json!({
        "type": "array", "minItems": 1, "maxItems": most, "uniqueItems": true,
        "items": {"type": "string"},
    });
    let deny = object(
        &[],
        &json!({
            "revoked_tokens": list,
            "suspended": list,
            "denied": describe(list.clone(), "surfaces, as server/name"),
        }),
    );
    let required = [
        "channel",
        "epoch",
        "expires",
        "issued_at",
        "pointer_version",
        "project",
        "statement",
        "trust_version",
        "version",
    ];
    let spread = latchkey_gate::supply::MAX_SPREAD;
    titled(
        "Latchkey freshness pointer",
        object(
            &required,
            &json!({
                "project": name(),
                "channel": name(),
                "trust_version": counted(1),
                "epoch": counted(0),
                "version": counted(1),
                "statement": digest(),
                "pointer_version": counted(1),
                "issued_at": moment(),
                "expires": moment(),
                "min_version": counted(1),
                "spread_seconds": {"type": "integer", "minimum": 1, "maximum": spread},
                "urgent_deny": deny,
            }),
        ),
    )
}

/// A trust file, and the payload of `trust.<N>.dsse.json`.
pub(super) fn trust() -> Json {
    let key = object(
        &["algorithm", "spki"],
        &json!({
            "algorithm": {"const": "ed25519"},
            "spki": {"type": "string", "contentEncoding": "base64"},
            "not_before": moment(),
            "not_after": moment(),
        }),
    );
    let identity = object(
        &["issuer", "kind", "subject", "trusted_root_sha256"],
        &json!({
            "kind": {"const": "sigstore"},
            "issuer": name(),
            "subject": name(),
            "trusted_root_sha256": digest(),
        }),
    );
    let role = object(
        &["members", "threshold"],
        &json!({
            "threshold": counted(1),
            "members": {
                "type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string"},
            },
        }),
    );
    let by_channel = json!({"type": "object", "additionalProperties": role});
    let roles = object(
        &["release"],
        &json!({"root": role, "release": by_channel, "freshness": by_channel}),
    );
    titled(
        "Latchkey trust root",
        object(
            &["epoch", "keys", "project", "roles", "version"],
            &json!({
                "version": counted(1),
                "project": name(),
                "epoch": counted(0),
                "expires": moment(),
                "keys": {"type": "object", "additionalProperties": key},
                "identities": {"type": "object", "additionalProperties": identity},
                "roles": roles,
                "min_version": {"type": "object", "additionalProperties": counted(0)},
                "revoked": {"type": "array", "uniqueItems": true, "items": digest()},
            }),
        ),
    )
}

fn titled(title: &str, mut schema: Json) -> Json {
    if let Some(map) = schema.as_object_mut() {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        map.insert("$schema".to_owned(), json!(draft));
        map.insert("title".to_owned(), json!(title));
    }
    schema
}

fn object(required: &[&str], properties: &Json) -> Json {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn describe(mut schema: Json, text: &str) -> Json {
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), json!(text));
    }
    schema
}

fn name() -> Json {
    json!({"type": "string", "minLength": 1})
}

fn digest() -> Json {
    json!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
}

fn moment() -> Json {
    let pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$";
    json!({"type": "string", "pattern": pattern})
}

fn counted(from: u64) -> Json {
    json!({"type": "integer", "minimum": from, "maximum": (1_u64 << 53) - 1})
}
