//! JSON-RPC messages as lines, and the ids that change on their way.
//!
//! One channel is shared by everything that a child is asked, so each request gets an id of the
//! sidecar's on its way to the child and its own one back on the way to its caller. Progress tokens
//! and subscription ids follow the request's id.

use bytes::Bytes;
use latchkey_gate::json::{self, Document, Edit, Kind, Limits, Object, Value, splice};

/// Where a message names the subscription that it belongs to.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
/// Where a request names its revision, from 2026-07-28 on.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// A message, read.
#[derive(Debug)]
pub(super) struct Message<'a>(Document<'a>);

/// What a message is; ids are as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort<'d> {
    /// It wants an answer.
    Request {
        /// Its id.
        id: &'d str,
        /// What it asks for.
        method: &'d str,
    },
    /// It wants none.
    Notification {
        /// What it says.
        method: &'d str,
    },
    /// It is an answer.
    Answer {
        /// The id of its request.
        id: &'d str,
        /// Whether it is an error.
        error: bool,
    },
}

impl<'a> Message<'a> {
    /// Reads a message; `None` for what is not one strict JSON-RPC message.
    #[must_use]
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let limits = Limits {
            nodes: 1_000_000,
            ..Limits::REQUEST
        };
        let document = json::parse_with(text, limits).ok()?;
        let read = Self(document);
        read.sort().is_some().then_some(read)
    }

    /// What it is.
    #[must_use]
    pub(super) fn sort(&self) -> Option<Sort<'_>> {
        let object = self.object()?;
        let envelope = ["jsonrpc", "id", "method", "params", "result", "error"];
        object.refuse_case_variants(&envelope).ok()?;
        if object.get("jsonrpc")?.as_text()? != "2.0" {
            return None;
        }
        let id = match object.get("id") {
            None => None,
            Some(id) if is_id(id) => Some(id.raw()),
            Some(_) => return None,
        };
        let error = object.get("error").is_some();
        let answers = error || object.get("result").is_some();
        Some(match (object.get("method"), id) {
            (Some(_), _) if answers => return None,
            (Some(method), Some(id)) => Sort::Request {
                id,
                method: method.as_text()?,
            },
            (Some(method), None) => Sort::Notification {
                method: method.as_text()?,
            },
            (None, Some(id)) if answers => Sort::Answer { id, error },
            (None, _) => return None,
        })
    }

    /// Whether it names a stateless revision.
    #[must_use]
    pub(super) fn is_modern(&self) -> bool {
        self.meta().is_some_and(|meta| meta.get(REVISION).is_some())
    }

    /// The progress token of a request, as written.
    #[must_use]
    pub(super) fn asked_progress(&self) -> Option<&str> {
        Some(self.meta()?.get("progressToken")?.raw())
    }

    /// The number of the request whose progress a notification tells.
    #[must_use]
    pub(super) fn progress_of(&self) -> Option<u64> {
        number(self.params()?.get("progressToken")?)
    }

    /// The number of the request whose subscription a notification belongs to.
    #[must_use]
    pub(super) fn subscription_of(&self) -> Option<u64> {
        number(self.meta()?.get(SUBSCRIPTION)?)
    }

    /// The id of the request that a notification cancels, as written.
    #[must_use]
    pub(super) fn cancels(&self) -> Option<&str> {
        Some(self.params()?.get("requestId")?.raw())
    }

    /// The line for the child: a request under this number, a cancellation of the request with this
    /// number, anything else as it is.
    #[must_use]
    pub(super) fn to_child(&self, number: Option<u64>) -> Option<Bytes> {
        let mut edits = Vec::new();
        if let Some(number) = number {
            match self.sort()? {
                Sort::Request { .. } => {
                    edits.push(replaced(self.object()?.get("id")?, number.to_string()));
                    if let Some(token) = self.meta().and_then(|meta| meta.get("progressToken")) {
                        edits.push(replaced(token, number.to_string()));
                    }
                }
                Sort::Notification { .. } => {
                    edits.push(replaced(
                        self.params()?.get("requestId")?,
                        number.to_string(),
                    ));
                }
                Sort::Answer { .. } => {}
            }
        }
        self.spliced(edits)
    }

    /// The message for the caller of a request, under the id and the progress token that it chose.
    #[must_use]
    pub(super) fn to_caller(&self, id: &str, token: Option<&str>) -> Option<Bytes> {
        let mut edits = Vec::new();
        let mut replace = |value: Option<Value<'_>>, text: &str| {
            edits.extend(value.map(|value| replaced(value, text.to_owned())));
        };
        match self.sort()? {
            Sort::Answer { .. } => {
                replace(self.object()?.get("id"), id);
                let meta = self.object()?.get("result").and_then(|it| it.get("_meta"));
                replace(meta.and_then(|meta| meta.get(SUBSCRIPTION)), id);
            }
            Sort::Notification { method } => {
                if method == "notifications/progress" {
                    replace(self.params()?.get("progressToken"), token?);
                }
                replace(self.meta().and_then(|meta| meta.get(SUBSCRIPTION)), id);
            }
            Sort::Request { .. } => {}
        }
        self.spliced(edits)
    }

    fn object(&self) -> Option<Object<'_>> {
        self.0.root().as_object()
    }

    fn params(&self) -> Option<Object<'_>> {
        self.object()?.get("params")?.as_object()
    }

    fn meta(&self) -> Option<Object<'_>> {
        self.params()?.get("_meta")?.as_object()
    }

    /// As one line: between its tokens JSON may break lines, inside of them it cannot.
    fn spliced(&self, edits: Vec<Edit>) -> Option<Bytes> {
        let text = splice(self.0.source(), edits)?;
        let broken = text.contains(['\n', '\r']);
        let line = if broken {
            text.replace(['\n', '\r'], " ")
        } else {
            text
        };
        Some(line.into())
    }
}

/// The message that takes a request back.
#[must_use]
pub(super) fn cancellation(number: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
         \"params\":{{\"requestId\":{number},\"reason\":\"nobody waits for the answer\"}}}}"
    )
    .into()
}

/// A request whose answer tells that a child still lives, or which era it speaks.
#[must_use]
pub(super) fn discovery(number: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"server/discover\",\"params\":{{\
         \"_meta\":{{\"{REVISION}\":\"2026-07-28\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}},\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"latchkey-sidecar\",\
         \"version\":\"{}\"}}}}}}}}",
        env!("CARGO_PKG_VERSION")
    )
    .into()
}

/// A request of a session whose answer tells that a child still lives.
#[must_use]
pub(super) fn ping(number: u64) -> Bytes {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"ping\"}}").into()
}

/// An error in answer to the request with this id, which is JSON text.
#[must_use]
pub(super) fn error(id: &str, code: i32, message: &str, data: Option<&str>) -> Bytes {
    let message = serde_json::Value::from(message);
    let data = data.map_or(String::new(), |data| format!(",\"data\":{data}"));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\
         \"error\":{{\"code\":{code},\"message\":{message}{data}}}}}"
    )
    .into()
}

fn is_id(id: Value<'_>) -> bool {
    match id.kind() {
        Kind::Text(text) => text.len() <= 256,
        Kind::Number(_) => id.as_i64().is_some(),
        _ => false,
    }
}

/// A number of the sidecar's: some servers give it back as a text.
fn number(value: Value<'_>) -> Option<u64> {
    match value.as_text() {
        Some(text) => text.parse().ok(),
        None => value.as_number()?.parse().ok(),
    }
}

fn replaced(value: Value<'_>, text: String) -> Edit {
    Edit {
        at: value.span(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, change: impl FnOnce(&Message<'_>) -> Option<Bytes>) -> String {
        let read = Message::read(message.as_bytes()).unwrap();
        String::from_utf8(change(&read).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_request_goes_under_another_number_and_its_answer_comes_back_under_its_own() {
        let asked = r#"{"jsonrpc":"2.0","id":"a\"7","method":"tools/call",
            "params":{"name":"x","_meta":{"progressToken":"t"}}}"#;
        let read = Message::read(asked.as_bytes()).unwrap();
        assert_eq!(read.asked_progress(), Some("\"t\""));
        let sent = line(asked, |it| it.to_child(Some(9)));
        assert!(!sent.contains('\n'), "{sent}");
        assert!(sent.contains("\"id\":9,") && sent.contains("\"progressToken\":9"));
        let answer = line(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#, |it| {
            it.to_caller("\"a\\\"7\"", None)
        });
        assert_eq!(answer, r#"{"jsonrpc":"2.0","id":"a\"7","result":{}}"#);
    }

    #[test]
    fn progress_and_subscriptions_follow_the_request() {
        let progress =
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9}}"#;
        assert_eq!(
            Message::read(progress.as_bytes()).unwrap().progress_of(),
            Some(9)
        );
        assert!(line(progress, |it| it.to_caller("1", Some("\"t\""))).contains(":\"t\""));
        // Nobody asked for it.
        let read = Message::read(progress.as_bytes()).unwrap();
        assert_eq!(read.to_caller("1", None), None);
        let event = r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"_meta":{
            "io.modelcontextprotocol/subscriptionId":"9"}}}"#;
        let read = Message::read(event.as_bytes()).unwrap();
        assert_eq!(read.subscription_of(), Some(9));
        assert!(line(event, |it| it.to_caller("\"s\"", None)).contains("Id\":\"s\""));
    }

    #[test]
    fn what_is_not_one_message_is_not_read() {
        for odd in [
            "",
            "Server running on stdio",
            "[]",
            "{}",
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"Result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#,
            r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        ] {
            assert!(Message::read(odd.as_bytes()).is_none(), "{odd}");
        }
    }

    #[test]
    fn what_the_sidecar_itself_says_can_be_read() {
        for said in [cancellation(3), discovery(3), ping(3)] {
            assert!(Message::read(&said).is_some(), "{said:?}");
        }
        let refusal = error("\"i\"", -32603, "a \"b\"", Some("{}"));
        let read = Message::read(&refusal).unwrap();
        assert_eq!(
            read.sort(),
            Some(Sort::Answer {
                id: "\"i\"",
                error: true
            })
        );
    }
}
