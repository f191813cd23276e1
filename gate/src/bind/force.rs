//! Values that the sidecar writes, whatever the client sent.

use latchkey_engine::{
    call::Caller,
    id::ScopeId,
    index::{Index, ScopeSource, Surface, SurfaceKind},
    policy::Policy,
    scope::ScopeTree,
};

use crate::{
    classify::Source,
    gate::GateError,
    json::{Edit, Object, Value, splice},
};

/// Checks that every forced value of a slice can be written: a member of a tool's or prompt's
/// arguments, or of a route's body.
pub(crate) fn check(index: &Index) -> Result<(), GateError> {
    for surface in &index.surfaces {
        let forced = forced_paths(surface);
        for path in forced {
            let writable = match &surface.kind {
                SurfaceKind::Tool | SurfaceKind::Prompt => path.len() == 1,
                SurfaceKind::Route { .. } => {
                    path.len() == 2 && path.first().is_some_and(|it| it == "body")
                }
                SurfaceKind::Resource { .. } => false,
            };
            if !writable {
                let name = surface.name.clone();
                let what = "a value can be forced into an argument or into a route's body only";
                return Err(GateError::Surface(name, what));
            }
        }
    }
    Ok(())
}

/// Whether the registry forces a value into every call of a surface.
pub(crate) fn forces(surface: &Surface) -> bool {
    surface.arguments.iter().any(|fact| fact.force.is_some())
}

fn forced_paths(surface: &Surface) -> impl Iterator<Item = &Vec<String>> {
    let facts = surface.arguments.iter();
    let facts = facts.filter(|fact| fact.force.is_some());
    let scope = match &surface.scope {
        ScopeSource::Force { argument, .. } => Some(argument),
        _ => None,
    };
    facts.map(|fact| &fact.argument).chain(scope)
}

/// The values that a call of a surface is forced to have, by the argument's last name, as JSON
/// text. A scope that the actor does not have forces nothing: the call is refused anyway.
pub(crate) fn force(
    policy: &Policy,
    surface: &Surface,
    callers: &[Caller],
) -> Vec<(String, String)> {
    let mut values = Vec::new();
    let last = |path: &Vec<String>| path.last().cloned().unwrap_or_default();
    for fact in &surface.arguments {
        if let Some(text) = &fact.force {
            values.push((last(&fact.argument), text.clone()));
        }
    }
    if let ScopeSource::Force { argument, team } = &surface.scope {
        let tree = &policy.index().scopes;
        let own = callers.first().and_then(|actor| actor.scope);
        if let Some(scope) = own_scope(tree, own, *team) {
            let name = last(argument);
            values.retain(|(other, _)| *other != name);
            let text = serde_json::Value::from(tree.name(scope)).to_string();
            values.push((name, text));
        }
    }
    values
}

/// The organization or team of the current actor.
pub(super) fn own_scope(tree: &ScopeTree, own: Option<ScopeId>, team: bool) -> Option<ScopeId> {
    own.and_then(|own| {
        if team {
            tree.team(own)
        } else {
            tree.organization(own)
        }
    })
}

/// The body with forced values in place. `None` when there is nowhere to put them.
pub(crate) fn forced_body(
    text: &str,
    source: &Source<'_>,
    values: &[(String, String)],
) -> Option<String> {
    let edits = match source {
        Source::Message(params) => match params.get("arguments") {
            None => params.set([("arguments", object(values))]),
            Some(arguments) => into(arguments, values)?,
        },
        Source::Parts(_, Some(body)) => into(*body, values)?,
        Source::Parts(_, None) => return Some(object(values)),
    };
    splice(text, edits)
}

fn into(target: Value<'_>, values: &[(String, String)]) -> Option<Vec<Edit>> {
    if target.is_null() {
        return Some(vec![Edit {
            at: target.span(),
            text: object(values),
        }]);
    }
    let target: Object<'_> = target.as_object()?;
    let members = values
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()));
    Some(target.set(members))
}

fn object(values: &[(String, String)]) -> String {
    let members: Vec<_> = values
        .iter()
        .map(|(name, text)| format!("{}:{text}", serde_json::Value::from(name.as_str())))
        .collect();
    format!("{{{}}}", members.join(","))
}
