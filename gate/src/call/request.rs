//! The request bytes of a stated call.

use serde_json::value::RawValue;

use super::{Stated, StatedError};

/// The HTTP request of a stated call.
#[derive(Debug)]
pub struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target: String,
    pub(super) body: String,
}

impl<'a> Request<'a> {
    /// What a client would send.
    ///
    /// # Errors
    /// Not exactly one thing is called, or not in the way that it is called.
    pub fn of(stated: &'a Stated) -> Result<Self, StatedError> {
        build(stated)
    }
}

fn build(stated: &Stated) -> Result<Request<'_>, StatedError> {
    let fault = |what: &str| Err(StatedError(what.to_owned()));
    let called = [
        stated.tool.is_some(),
        stated.prompt.is_some(),
        stated.resource.is_some(),
        stated.method.is_some() || stated.path.is_some(),
    ];
    if called.into_iter().filter(|it| *it).count() != 1 {
        return fault("state one of `tool`, `prompt`, `resource`, or `method` with `path`");
    }
    if let (Some(method), Some(path)) = (&stated.method, &stated.path) {
        if stated.arguments.is_some() {
            return fault("a route has `body` and a query in `path`, not `arguments`");
        }
        let body = stated.body.as_deref().map_or("", RawValue::get);
        return Ok(Request {
            method,
            target: path.clone(),
            body: body.to_owned(),
        });
    }
    if stated.method.is_some() || stated.path.is_some() {
        return fault("a route is called by `method` and `path`");
    }
    if stated.body.is_some() {
        return fault("`body` belongs to a route; a tool has `arguments`");
    }
    let (method, key, name) = match (&stated.tool, &stated.prompt, &stated.resource) {
        (Some(tool), ..) => ("tools/call", "name", tool),
        (_, Some(prompt), _) => ("prompts/get", "name", prompt),
        (_, _, Some(uri)) => ("resources/read", "uri", uri),
        _ => return fault("nothing is called"),
    };
    if stated.resource.is_some() && stated.arguments.is_some() {
        return fault("a resource has no `arguments`");
    }
    let name = serde_json::Value::from(name.as_str());
    let arguments = stated.arguments.as_deref();
    let arguments = arguments.map_or(String::new(), |it| format!(",\"arguments\":{}", it.get()));
    Ok(Request {
        method: "POST",
        target: "/mcp".to_owned(),
        body: format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\
             \"params\":{{\"{key}\":{name}{arguments}}}}}"
        ),
    })
}
