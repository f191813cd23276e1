//! What can be called.

use std::{collections::BTreeMap, sync::Arc};

use latchkey_engine::{
    id::{ScopeId, ServerId},
    index::{ArgumentFact, Operations, ScopeSource, Surface},
};

use super::{
    Unresolved,
    ids::{self, Ids},
    select::Selection,
};
use crate::model;
use crate::text::Text;

pub(super) fn surfaces(
    selection: &Selection<'_>,
    ids: &Ids<'_>,
) -> Result<Vec<Surface>, Unresolved> {
    let mut surfaces = Vec::new();
    for (server, facts) in &selection.servers {
        let server = ids.server(server)?;
        for (name, facts) in &facts.surfaces {
            surfaces.push(surface(server, name, facts, ids)?);
        }
    }
    Ok(surfaces)
}

fn surface(
    server: ServerId,
    name: &str,
    facts: &model::Surface,
    ids: &Ids<'_>,
) -> Result<Surface, Unresolved> {
    let schema = match &facts.schema {
        None => None,
        Some(schema) => Some(ids.schema(&schema.text)?),
    };
    Ok(Surface {
        server,
        name: name.to_owned(),
        kind: facts.kind.clone(),
        risk: facts.risk,
        unlock: facts.unlock,
        access: facts.access,
        operations: facts.operations.as_ref().map(operations),
        scope: scope(&facts.scope, ids)?,
        arguments: facts
            .arguments
            .iter()
            .map(|(path, fact)| argument(path, fact))
            .collect(),
        schema,
        obligations: facts.obligations.iter().copied().collect(),
        audit: facts.audit.iter().cloned().collect(),
        settings: ids::settings(name, &facts.settings)?,
    })
}

fn operations(facts: &model::Operations) -> Operations {
    let values = facts.values.iter();
    Operations {
        argument: facts.argument.value.clone(),
        values: values
            .map(|(value, operation)| (value.to_string(), operation.risk))
            .collect(),
    }
}

fn argument(path: &[String], fact: &model::Fact) -> ArgumentFact {
    ArgumentFact {
        argument: path.to_vec(),
        fold: fact.fold,
        only: fact.only.iter().cloned().collect(),
        force: fact.force.clone(),
        forbid: fact.forbid,
    }
}

fn scope(source: &model::ScopeSource, ids: &Ids<'_>) -> Result<ScopeSource, Unresolved> {
    Ok(match source {
        model::ScopeSource::Server => ScopeSource::Server,
        model::ScopeSource::Principal => ScopeSource::Principal,
        model::ScopeSource::Unscoped => ScopeSource::Unscoped,
        model::ScopeSource::Force { argument, team } => ScopeSource::Force {
            argument: argument.value.clone(),
            team: *team,
        },
        model::ScopeSource::Map {
            argument,
            exact,
            prefixes,
        } => {
            let mut prefixes = resolved(prefixes, ids)?;
            // Longest first; the sort is stable, so equal lengths stay in text order.
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            ScopeSource::Map {
                argument: argument.value.clone(),
                exact: resolved(exact, ids)?.into_iter().collect(),
                prefixes: prefixes.into_iter().collect(),
            }
        }
    })
}

fn resolved<'m>(
    map: &'m BTreeMap<Text, Arc<model::Scope>>,
    ids: &Ids<'_>,
) -> Result<Vec<(&'m str, ScopeId)>, Unresolved> {
    map.iter()
        .map(|(value, scope)| Ok((&**value, ids.scope(scope)?)))
        .collect()
}
