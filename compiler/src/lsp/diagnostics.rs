//! What is found, told to the editor file by file.

use serde_json::{Value as Json, json};

use super::{wire, world::World};
use crate::diag::{Diagnostic, Severity};

/// The protocol's mark for what could be removed.
const UNNECESSARY: u32 = 1;

/// The parameters of a `textDocument/publishDiagnostics` for each file whose findings changed.
pub(super) fn publish(world: &mut World) -> Vec<Json> {
    let mut told = Vec::new();
    let mut kept = Vec::new();
    for (file, found) in world.spoken_of() {
        let found: Vec<Json> = found.into_iter().map(|it| diagnostic(world, it)).collect();
        let version = world.versions.get(&file).copied().flatten();
        let nothing = found.is_empty() && version.is_none();
        let mut params = json!({"uri": world.uri(&file), "diagnostics": found});
        if let (Some(version), Some(object)) = (version, params.as_object_mut()) {
            object.insert("version".to_owned(), json!(version));
        }
        let before = world.told.get(&file);
        if before != Some(&params) && !(nothing && before.is_none()) {
            told.push(params.clone());
        }
        // Once it was told that there is nothing left, there is nothing to remember.
        kept.push((file, (!nothing).then_some(params)));
    }
    for (file, params) in kept {
        match params {
            Some(params) => world.told.insert(file, params),
            None => world.told.remove(&file),
        };
    }
    told
}

/// A finding in the form of the protocol.
pub(super) fn diagnostic(world: &World, found: &Diagnostic) -> Json {
    let severity = match found.severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Note => 3,
    };
    let mut message = found.message.clone();
    for more in found.notes.iter().chain(&found.help) {
        message.push('\n');
        message.push_str(more);
    }
    let start = json!({"line": 0, "character": 0});
    let range = found.primary().map_or_else(
        || json!({"start": start, "end": start}),
        |span| wire::range(&world.sources, span),
    );
    let related: Vec<Json> = found
        .labels
        .iter()
        .filter(|it| !it.primary)
        .map(|it| json!({"location": world.location(it.span), "message": it.text}))
        .collect();
    let mut written = json!({
        "range": range,
        "severity": severity,
        "code": found.code.id,
        "source": "latchkey",
        "message": message,
        "relatedInformation": related,
        "data": {"slug": found.code.slug},
    });
    let unused = found.code.slug.starts_with("unused-") || found.code.slug.starts_with("repeated-");
    if let (true, Some(object)) = (unused, written.as_object_mut()) {
        object.insert("tags".to_owned(), json!([UNNECESSARY]));
    }
    written
}
