//! One request as a hash: what a token that is bound to it is compared with.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::json;

/// The largest whole number that every reader of JSON holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The hash of a tool call: SHA-256 of the RFC 8785 text of `{"arguments", "server", "tool"}`, in
/// base64url. Ids and `_meta` do not count: they change when a call is repeated. `None` for
/// whatever is no tool call, or has a number that readers could hold differently.
#[must_use]
pub fn request_hash(server: &str, body: &[u8]) -> Option<String> {
    let document = json::parse(body).ok()?;
    let message = document.root().as_object()?;
    if message.get("method")?.as_text()? != "tools/call" {
        return None;
    }
    let params = message.get("params")?.as_object()?;
    let tool = params.get("name")?.as_text()?;
    let arguments: Value = match params.get("arguments") {
        Some(arguments) => serde_json::from_str(arguments.raw()).ok()?,
        None => json!({}),
    };
    if !is_exact(&arguments) {
        return None;
    }
    let request = json!({"arguments": arguments, "server": server, "tool": tool});
    let text = serde_json_canonicalizer::to_string(&request).ok()?;
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
}

/// Whether a text has the form of such a hash.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|it| it.len() == 32)
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|it| it.abs() < EXACT),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(body: &str) -> Option<String> {
        request_hash("github", body.as_bytes())
    }

    #[test]
    fn what_is_asked_counts_and_how_it_is_written_does_not() {
        let one = hash(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"b":1.0,"a":"x"}}}"#,
        );
        let same = hash(
            r#"{"params":{"_meta":{},"arguments":{"a":"\u0078","b":1},"name":"t"},"method":"tools/call","id":2,"jsonrpc":"2.0"}"#,
        );
        assert!(one.is_some());
        assert_eq!(one, same);
        assert!(is_hash(&one.clone().unwrap()));
        for other in [
            r#"{"method":"tools/call","params":{"name":"u","arguments":{"b":1,"a":"x"}}}"#,
            r#"{"method":"tools/call","params":{"name":"t","arguments":{"b":2,"a":"x"}}}"#,
            r#"{"method":"tools/call","params":{"name":"t","arguments":{"b":1,"a":"x","c":null}}}"#,
            r#"{"method":"tools/call","params":{"name":"t"}}"#,
        ] {
            assert_ne!(hash(other), one, "{other}");
        }
    }

    #[test]
    fn what_could_be_read_differently_has_no_hash() {
        for body in [
            r#"{"method":"tools/list"}"#,
            r#"{"method":"tools/call","params":{"name":"t","arguments":{"n":9007199254740993}}}"#,
            r#"{"method":"tools/call","params":{"name":"t","arguments":{"n":1e300}}}"#,
            r#"{"method":"tools/call","params":{"name":"t","arguments":{"n":1,"n":2}}}"#,
            "[]",
            "{",
        ] {
            assert_eq!(hash(body), None, "{body}");
        }
    }
}
