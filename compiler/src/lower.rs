//! Lowering: the resolved project to the engine's flat tables, whole or one slice of it.
//!
//! A slice holds every issuer and every principal, so that each reason is exact on it, and of all
//! else only what its server can observe: its surfaces, the roles that hold something there, the
//! bindings that give such a role, the rules that speak of such a surface, and the groups, tags and
//! scopes that these name. The same call is decided alike on a slice and on the whole.

use std::fmt;

use latchkey_engine::{
    index::{Bindings, Index, Server},
    strings::Strings,
};

use crate::model::Model;

mod callers;
mod grants;
mod ids;
mod select;
mod surfaces;

use ids::Ids;
use select::Selection;

/// A name that the resolved project uses and does not have: a defect of the compiler, never of a
/// policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the resolved project names the {} `{}` and has none",
            self.kind, self.name
        )
    }
}

impl std::error::Error for Unresolved {}

/// The index of the whole project.
pub fn lower(model: &Model) -> Result<Index, Unresolved> {
    lower_selection(model, Selection::whole(model))
}

/// The index of what one server needs.
pub fn lower_slice(model: &Model, server: &str) -> Result<Index, Unresolved> {
    lower_selection(model, Selection::of_server(model, server))
}

fn lower_selection(model: &Model, selection: Selection<'_>) -> Result<Index, Unresolved> {
    let mut ids = Ids::new(model, &selection);
    let conditions = grants::conditions(&selection);
    let role_sets = grants::role_sets(&selection, &ids)?;
    let columns = grants::bindings(&selection, &ids, &conditions, &role_sets)?;
    let mut index = Index {
        project: model.project.clone(),
        issuers: callers::issuers(model, &ids)?,
        groups: callers::groups(model, &selection, &ids)?,
        tags: selection.tags.iter().collect(),
        principals: callers::principals(model, &selection, &ids)?,
        servers: servers(&selection, &ids)?,
        surfaces: surfaces::surfaces(&selection, &ids)?,
        roles: grants::roles(&selection, &ids)?,
        bindings: Bindings::default(),
        rules: grants::rules(&selection, &ids, &conditions)?,
        role_sets: role_sets.into_iter().collect(),
        attributes: conditions.attributes(),
        formulas: conditions.formulas(),
        schemas: ids.take_schemas(),
        scopes: ids.take_scopes(),
    };
    // Laying out the bindings takes the most memory of all: what is done with goes before.
    drop((ids, conditions, selection));
    let bindings = Bindings::new(columns, index.bounds());
    index.bindings = bindings.map_err(|why| Unresolved {
        kind: "bindings",
        name: why.to_owned(),
    })?;
    Ok(index)
}

fn servers(selection: &Selection<'_>, ids: &Ids<'_>) -> Result<Vec<Server>, Unresolved> {
    let mut servers = Vec::with_capacity(selection.servers.len());
    for (name, server) in &selection.servers {
        servers.push(Server {
            name: (*name).to_owned(),
            scope: ids.scope(&server.scope.value)?,
            transport: server.transport,
            upstream: server.upstream.clone(),
            disclose: server.disclose,
            max_body: server.max_body,
            header_timeout: server.header_timeout,
            timeout: server.timeout,
            settings: ids::settings(name, &server.settings)?,
        });
    }
    Ok(servers)
}

/// Texts as a table without slack.
fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Strings {
    let mut strings: Strings = texts.into_iter().collect();
    strings.shrink_to_fit();
    strings
}

/// The ids `0..` of sorted names.
fn numbered<'m>(names: impl IntoIterator<Item = &'m str>) -> hashbrown::HashMap<&'m str, u32> {
    names.into_iter().zip(0..).collect()
}
