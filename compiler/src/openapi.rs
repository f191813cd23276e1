//! What an OpenAPI document (3.0 or 3.1) says that requests may be: routes and the schemas of their
//! arguments.
//!
//! Nothing is dropped silently. What the sidecar cannot check is a note, and a route that it could
//! not check as the document means it is left out, with the reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use latchkey_gate::{check_route, upstream::UpstreamUrl};
use serde_json::{Map, Value as Json, json};

use crate::{
    resolve,
    syntax::{
        lock::{self, Routes},
        yaml::foreign,
    },
};

mod overlap;
mod parameters;
mod refs;
mod schema;

use refs::Refs;
use schema::Schemas;

/// The methods of a path item, as routes spell them.
const METHODS: [(&str, &str); 7] = [
    ("get", "GET"),
    ("head", "HEAD"),
    ("post", "POST"),
    ("put", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
];
/// How many paths a document may have.
const MOST_PATHS: usize = 20_000;
/// The other members of a path item.
const BESIDE: [&str; 5] = ["$ref", "summary", "description", "servers", "parameters"];

/// What a document says.
#[derive(Debug, Default)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// The version of OpenAPI.
    pub version: String,
    /// The address of the API, where the document has one that is whole.
    pub upstream: Option<String>,
    /// The routes by method and path, as a lock holds them.
    pub routes: Routes,
    /// Routes that are left out, and why.
    pub left_out: Vec<(String, String)>,
    /// What nobody checks, each with the routes that it is said of; none where it is said of all.
    pub notes: Notes,
}

/// Notes, each with the routes that it is about.
pub type Notes = BTreeMap<String, BTreeSet<String>>;

/// Why a text is no document that can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenApiError {
    /// It is neither YAML nor JSON: the line, from 1, and what is wrong there.
    Unreadable(usize, String),
    /// It is a document of another kind or version.
    Other(String),
    /// It describes no path.
    NoPaths,
}

impl fmt::Display for OpenApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(line, what) => write!(f, "line {line}: {what}"),
            Self::Other(what) => f.write_str(what),
            Self::NoPaths => f.write_str("the document describes no path that could be called"),
        }
    }
}

impl std::error::Error for OpenApiError {}

/// Reads a document.
///
/// # Errors
/// It is not an OpenAPI document of version 3.0 or 3.1, or has no paths.
pub fn read(text: &str) -> Result<Document, OpenApiError> {
    let documents = foreign::read(text);
    let mut documents =
        documents.map_err(|error| OpenApiError::Unreadable(error.line, error.what))?;
    let root = match (documents.pop(), documents.is_empty()) {
        (Some(root), true) => root,
        (None, _) => return Err(OpenApiError::Other("the file is empty".to_owned())),
        (Some(_), false) => {
            let what = "the file has several YAML documents; an OpenAPI document is one";
            return Err(OpenApiError::Other(what.to_owned()));
        }
    };
    let version = version(&root)?;
    let paths = root.get("paths").and_then(Json::as_object);
    let paths = paths.filter(|paths| !paths.is_empty());
    let paths = paths.ok_or(OpenApiError::NoPaths)?;
    if paths.len() > MOST_PATHS {
        let what = format!("the document has more than {MOST_PATHS} paths");
        return Err(OpenApiError::Other(what));
    }
    let text = |pointer: &str| root.pointer(pointer).and_then(Json::as_str);
    let title = text("/info/title").unwrap_or_default().to_owned();
    let mut reading = Reading {
        refs: Refs::new(&root),
        old: version.starts_with("3.0."),
        document: Document {
            upstream: address(root.get("servers")),
            title,
            version,
            ..Document::default()
        },
    };
    reading.beside_paths(&root);
    for (path, item) in paths.iter().filter(|(path, _)| !path.starts_with("x-")) {
        reading.path(path, item);
    }
    overlap::check(&mut reading.document);
    Ok(reading.document)
}

fn version(root: &Json) -> Result<String, OpenApiError> {
    let other = |what: String| Err(OpenApiError::Other(what));
    let said = |key: &str| {
        let value = root.get(key)?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    if let Some(swagger) = said("swagger") {
        return other(format!(
            "this is a Swagger {swagger} document, and versions 3.0 and 3.1 of OpenAPI are read"
        ));
    }
    match said("openapi") {
        Some(version) if version.starts_with("3.0.") || version.starts_with("3.1.") => Ok(version),
        Some(version) => other(format!(
            "this is OpenAPI {version}, and versions 3.0 and 3.1 are read"
        )),
        None if said("asyncapi").is_some() => {
            other("this is an AsyncAPI document: it describes messages, not routes".to_owned())
        }
        None => other("this is no OpenAPI document: it has no `openapi` with its version".into()),
    }
}

/// The first address, with the defaults of its variables, where it is a whole one.
fn address(servers: Option<&Json>) -> Option<String> {
    let server = servers?.as_array()?.first()?;
    let mut url = server.get("url")?.as_str()?.to_owned();
    for (name, variable) in server
        .get("variables")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
    {
        let default = variable.get("default").and_then(Json::as_str)?;
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let url = url.trim_end_matches('/').to_owned();
    (!url.contains(['{', '}']) && UpstreamUrl::parse(&url).is_ok()).then_some(url)
}

/// A document that is being read.
struct Reading<'d> {
    refs: Refs<'d>,
    /// Whether its version is 3.0, whose schemas are a dialect of their own.
    old: bool,
    document: Document,
}

impl<'d> Reading<'d> {
    /// What stands beside the paths and is no route.
    fn beside_paths(&mut self, root: &'d Json) {
        let webhooks = root.get("webhooks").and_then(Json::as_object);
        if let Some(webhooks) = webhooks.filter(|it| !it.is_empty()) {
            let names: Vec<_> = webhooks.keys().map(|it| format!("webhook {it}")).collect();
            let what = "the API makes these calls, so they do not pass the sidecar";
            self.document
                .notes
                .entry(what.to_owned())
                .or_default()
                .extend(names);
        }
        let servers = root.get("servers").and_then(Json::as_array);
        if servers.is_some_and(|it| it.len() > 1) {
            let what = "the document names several addresses; the first is the upstream";
            self.document.notes.entry(what.to_owned()).or_default();
        }
    }

    fn path(&mut self, path: &str, item: &'d Json) {
        let followed = self.refs.follow(item);
        let Ok(item) = followed else {
            let why = followed.err().unwrap_or_default();
            self.document.left_out.push((path.to_owned(), why));
            return;
        };
        let Some(members) = item.as_object() else {
            let why = "it is no map of operations".to_owned();
            self.document.left_out.push((path.to_owned(), why));
            return;
        };
        for (key, operation) in members {
            if BESIDE.contains(&key.as_str()) || key.starts_with("x-") {
                continue;
            }
            let method = METHODS.iter().find(|(name, _)| name == key);
            let Some((_, method)) = method else {
                let name = format!("{} {path}", key.to_uppercase());
                let why = format!("the sidecar passes no method `{}`", key.to_uppercase());
                self.document.left_out.push((name, why));
                continue;
            };
            let key = lock::route_key(method, path);
            match self.operation(&key, (method, path), members, operation) {
                Ok(definition) => {
                    self.document.routes.insert(key, definition);
                }
                Err(why) => self.document.left_out.push((key, why)),
            }
        }
    }

    /// The definition of one route, or why it is left out.
    fn operation(
        &mut self,
        key: &str,
        (method, path): (&str, &str),
        item: &'d Map<String, Json>,
        operation: &'d Json,
    ) -> Result<Json, String> {
        let operation = operation.as_object().ok_or("it is no map")?;
        if !path.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err("its path has characters other than ASCII".to_owned());
        }
        check_route(path).map_err(|why| format!("its path cannot be matched: {why}"))?;
        let own = operation.get("servers").or_else(|| item.get("servers"));
        if let Some(own) = own {
            let address = address(Some(own));
            if address.is_none() || address != self.document.upstream {
                let other = address.unwrap_or_else(|| "another address".to_owned());
                return Err(format!(
                    "it is served at {other}: give that server an entry of its own"
                ));
            }
        }
        let mut notes = BTreeSet::new();
        let mut schemas = Schemas::new(self.refs, self.old);
        let listed = parameters::merged(self.refs, item, operation)?;
        let (path_schema, query_schema) = schemas.parameters(path, &listed, &mut notes)?;
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, schema) in [("path", path_schema), ("query", query_schema)] {
            if schema.get("required").is_some() {
                required.push(name);
            }
            properties.insert(name.to_owned(), schema);
        }
        if let Some(body) = operation.get("requestBody") {
            let body = self.refs.follow(body)?;
            let needed = body.get("required").and_then(Json::as_bool) == Some(true);
            if let Some(schema) = schemas.body(method, body, &mut notes)? {
                properties.insert("body".to_owned(), schema);
                if needed {
                    required.push("body");
                }
            }
        }
        if operation.contains_key("callbacks") {
            notes.insert("the API makes the callbacks, so they do not pass the sidecar".to_owned());
        }
        let mut input = json!({
            "type": "object", "properties": properties, "additionalProperties": false,
        });
        let shared = schemas.shared(&mut notes)?;
        if let Some(members) = input.as_object_mut() {
            if !required.is_empty() {
                members.insert("required".to_owned(), json!(required));
            }
            if !shared.is_empty() {
                members.insert("$defs".to_owned(), Json::Object(shared));
            }
        }
        resolve::locked_is_enforceable(&input)
            .map_err(|why| format!("its schema cannot be enforced ({why})"))?;
        for note in notes {
            let routes = self.document.notes.entry(note).or_default();
            routes.insert(key.to_owned());
        }
        let mut definition = json!({"method": method, "path": path, "input": input});
        for kept in ["operationId", "summary", "deprecated"] {
            if let (Some(value), Some(members)) = (operation.get(kept), definition.as_object_mut())
            {
                members.insert(kept.to_owned(), value.clone());
            }
        }
        Ok(definition)
    }
}

#[cfg(test)]
mod tests;
