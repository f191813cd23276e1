//! A scope map that leaves out a value which the schema allows.

use super::Facts;
use crate::{
    diag::{Diagnostic, codes},
    model::{ScopeSource, Surface},
};

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Diagnostic>) {
    for server in facts.model.servers.values() {
        for (name, surface) in &server.surfaces {
            let missing = unmapped(surface);
            if let (false, ScopeSource::Map { argument, .. }) = (missing.is_empty(), &surface.scope)
            {
                let message = format!("no scope for {} of `{name}`", missing.join(", "));
                found.push(
                    Diagnostic::new(&codes::SCOPE_MAP_INCOMPLETE, argument.span, message)
                        .also(surface.span, "its schema allows the value")
                        .note("such a call is always refused: `scope_invalid`")
                        .help("add the value to the map, or take it out of the schema"),
                );
            }
        }
    }
}

fn unmapped(surface: &Surface) -> Vec<String> {
    let (
        Some(schema),
        ScopeSource::Map {
            argument,
            exact,
            prefixes,
        },
    ) = (&surface.schema, &surface.scope)
    else {
        return Vec::new();
    };
    let mut shape = Some(&*schema.shape);
    for segment in &argument.value {
        shape = shape.and_then(|it| it.fields.get(segment));
    }
    // A list argument gives the scope of each of its elements.
    let shape = shape.and_then(|it| it.items.as_deref().or(Some(it)));
    let mapped = |value: &&String| {
        exact.contains_key(value.as_str())
            || prefixes.keys().any(|it| value.starts_with(it.as_str()))
    };
    let values = shape.iter().flat_map(|it| &it.values);
    values
        .filter(|value| !mapped(value))
        .map(|value| format!("`{value}`"))
        .collect()
}
