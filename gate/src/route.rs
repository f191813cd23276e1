//! From names, URIs and paths to surfaces.
//!
//! A path or URI that two servers could resolve differently matches nothing: it is refused as
//! malformed before any template is tried.

mod path;
mod template;

use latchkey_engine::{
    id::{ServerId, SurfaceId},
    index::{Index, SurfaceKind},
};

pub(crate) use path::{query, segments, uri_segments};
pub(crate) use template::Variables;

use self::template::Template;
use crate::gate::GateError;

/// The look-up tables of one slice.
#[derive(Debug)]
pub(crate) struct Routes {
    /// By server; each server's most literal template first.
    http: Vec<Vec<Route>>,
    resources: Vec<Vec<Route>>,
}

#[derive(Debug)]
struct Route {
    /// Upper case; empty for a resource.
    method: String,
    template: Template,
    surface: SurfaceId,
}

impl Routes {
    /// Builds the tables; fails on a template that cannot be matched.
    pub(crate) fn build(index: &Index) -> Result<Self, GateError> {
        let mut http: Vec<Vec<Route>> = index.servers.iter().map(|_| Vec::new()).collect();
        let mut resources: Vec<Vec<Route>> = index.servers.iter().map(|_| Vec::new()).collect();
        for (surface, at) in index.surfaces.iter().zip(0..) {
            let (table, method, text) = match &surface.kind {
                SurfaceKind::Route { method, path } => (&mut http, method.as_str(), path),
                SurfaceKind::Resource { uri } => (&mut resources, "", uri),
                SurfaceKind::Tool | SurfaceKind::Prompt => continue,
            };
            let template = Template::parse(text)
                .map_err(|what| GateError::Surface(surface.name.clone(), what))?;
            if let Some(routes) = table.get_mut(surface.server.index()) {
                routes.push(Route {
                    method: method.to_owned(),
                    template,
                    surface: SurfaceId(at),
                });
            }
        }
        for routes in http.iter_mut().chain(&mut resources) {
            routes.sort_by_key(|route| route.template.rank());
        }
        Ok(Self { http, resources })
    }

    /// The route that a request takes, with the variables of its path.
    pub(crate) fn http(
        &self,
        server: ServerId,
        method: &str,
        segments: &[String],
    ) -> Option<(SurfaceId, Variables<'_>)> {
        let routes = self.http.get(server.index())?;
        find(routes, method, segments)
    }

    /// The resource pattern that a URI matches, with its variables.
    pub(crate) fn resource(
        &self,
        server: ServerId,
        segments: &[String],
    ) -> Option<(SurfaceId, Variables<'_>)> {
        find(self.resources.get(server.index())?, "", segments)
    }

    /// The resource pattern that is written exactly like this.
    pub(crate) fn resource_template(
        &self,
        index: &Index,
        server: ServerId,
        text: &str,
    ) -> Option<SurfaceId> {
        let routes = self.resources.get(server.index())?;
        let found = routes.iter().find(|route| {
            let surface = index.surfaces.get(route.surface.index());
            surface
                .is_some_and(|it| matches!(&it.kind, SurfaceKind::Resource { uri } if uri == text))
        });
        found.map(|route| route.surface)
    }
}

/// Whether the URI of a resource, or the pattern of several, can be matched.
///
/// # Errors
/// Why not.
pub fn check_resource(uri: &str) -> Result<(), &'static str> {
    Template::parse(uri)?;
    if uri.contains(['{', '}']) {
        return Ok(());
    }
    uri_segments(uri).map_err(|_| "it can be read in more than one way")?;
    Ok(())
}

/// Whether the path of a route can be matched.
///
/// # Errors
/// Why not.
pub fn check_route(path: &str) -> Result<(), &'static str> {
    Template::parse(path)?;
    let (inner, last) = path.split_at(path.len().saturating_sub(1));
    if !path.starts_with('/') {
        return Err("it does not start with `/`");
    }
    if inner.contains("//") || (inner.ends_with('/') && last == "/") {
        return Err("it has an empty part between two slashes");
    }
    if path.contains([';', '\\', '#', '?', '%', ' ']) {
        return Err("it has characters that stand in no path, or are written in two ways");
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("it has a dot segment");
    }
    Ok(())
}

fn find<'a>(
    routes: &'a [Route],
    method: &str,
    segments: &[String],
) -> Option<(SurfaceId, Variables<'a>)> {
    let routes = || routes.iter().filter(|route| route.method == method);
    let (found, variables) =
        routes().find_map(|route| Some((route, route.template.matches(segments)?)))?;
    // Many upstreams ignore case or a last slash, and would take it for the more literal one: what
    // two sides could resolve differently matches nothing.
    let mistakable = routes().any(|other| {
        other.template.could_match(segments) && other.template.is_more_literal(&found.template)
    });
    (!mistakable).then_some((found.surface, variables))
}

#[cfg(test)]
mod tests;
