//! A tool server that takes down every byte it is sent, and what its callers may ask of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{bytes::find, strict::Strict};

/// What no caller may see: it stands in what the policy hides.
pub(crate) const HIDDEN: &str = "hidden-0d6fa1";

/// The tool server: it answers everybody, and remembers who came.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) seen: Mutex<Vec<Request>>,
    pub(crate) faults: Mutex<Vec<String>>,
    /// What it answers instead of all else, before it closes the connection.
    pub(crate) answer: Mutex<Option<Vec<u8>>>,
    /// How often something moved.
    pub(crate) steps: AtomicU64,
}

/// A request as the tool server reads it.
#[derive(Debug)]
pub(crate) struct Request {
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Serves for as long as the runtime runs.
pub(crate) async fn serve(server: Arc<Server>, listener: UnixListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        server.steps.fetch_add(1, Relaxed);
        tokio::spawn(converse(Arc::clone(&server), stream));
    }
}

async fn converse(server: Arc<Server>, mut stream: UnixStream) {
    let mut read = Vec::new();
    let mut block = vec![0; 1 << 14];
    loop {
        let request = loop {
            match Request::read(&mut read) {
                Ok(Some(request)) => break request,
                Ok(None) => {}
                Err(fault) => {
                    let text = String::from_utf8_lossy(&read);
                    let fault = format!("{fault}: {text}");
                    server.faults.lock().unwrap().push(fault);
                    return;
                }
            }
            match stream.read(&mut block).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&block[..count]),
            }
            server.steps.fetch_add(1, Relaxed);
        };
        let given = server.answer.lock().unwrap().clone();
        let last = given.is_some();
        let answer = given.unwrap_or_else(|| request.answer());
        server.seen.lock().unwrap().push(request);
        let written = stream.write_all(&answer).await;
        server.steps.fetch_add(1, Relaxed);
        if last || written.is_err() {
            return;
        }
    }
}

impl Request {
    /// Takes one request off what was read, if all of it is there. There is one way to write it;
    /// whatever else comes is a fault.
    fn read(read: &mut Vec<u8>) -> Result<Option<Self>, &'static str> {
        let Some(end) = find(read, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let method = match line.split(' ').collect::<Vec<_>>()[..] {
            [method @ ("POST" | "GET" | "DELETE"), "/mcp", "HTTP/1.1"] => method.to_owned(),
            _ => return Err("the request line"),
        };
        let mut headers = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
                return Err("a line within a header");
            }
            let (name, value) = line.split_once(": ").ok_or("a header without a name")?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        let count = |name| headers.iter().filter(|(it, _)| it == name).count();
        for name in ["transfer-encoding", "authorization", "cookie", "connection"] {
            if count(name) > 0 {
                return Err("a header that ends at the sidecar");
            }
        }
        for name in ["host", "x-request-id"] {
            if count(name) != 1 {
                return Err("not one host and one request id");
            }
        }
        if count("content-length") > 1 {
            return Err("two lengths");
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = match length {
            None => 0,
            Some((_, text)) if text.bytes().all(|it| it.is_ascii_digit()) => {
                text.parse().map_err(|_| "the length")?
            }
            Some(_) => return Err("the length"),
        };
        let body = end + 4;
        if read.len() < body + length {
            return Ok(None);
        }
        let request = Self {
            method,
            headers,
            body: read[body..body + length].to_vec(),
        };
        read.drain(..body + length);
        Ok(Some(request))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(it, _)| it == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body, by another reader than the sidecar's.
    pub(crate) fn message(&self) -> Option<Value> {
        (self.method == "POST").then(|| {
            let read = serde_json::from_slice::<Strict>(&self.body);
            let body = String::from_utf8_lossy(&self.body);
            read.unwrap_or_else(|error| panic!("{error}: {body}")).0
        })
    }

    /// Whether the caller that the event names may ask this.
    pub(crate) fn judge(&self, event: &Value, message: Option<&Value>) {
        let caller = event["principal_id"].as_str().unwrap();
        let tools: &[&str] = match caller.rsplit('/').next().unwrap() {
            "alice" => &ALICE,
            "bob" => &["get_issue"],
            _ => panic!("forwarded for {caller}: {self:?}"),
        };
        let session = self.header("mcp-session-id");
        assert!(session.is_none_or(|it| it == SESSION), "{self:?}");
        let Some(message) = message else {
            assert!(self.body.is_empty() && session.is_some(), "{self:?}");
            return;
        };
        assert_eq!(message["jsonrpc"], "2.0", "{self:?}");
        let named = message["params"]["name"].as_str();
        match message["method"].as_str() {
            Some("tools/call") => {
                let named = named.unwrap_or_else(|| panic!("no name: {self:?}"));
                assert!(tools.contains(&named), "{caller} calls: {self:?}");
                assert_eq!(event["surface_id"], format!("github/{named}"));
            }
            Some(method) => {
                assert!(PROTOCOL.contains(&method), "{caller} asks: {self:?}");
                assert_eq!(event["method"], method);
            }
            None => {
                let answers = message.get("result").is_some() || message.get("error").is_some();
                assert!(answers && session.is_some(), "{self:?}");
            }
        }
    }

    /// What the tool server answers where the test does not say.
    fn answer(&self) -> Vec<u8> {
        let message = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let of = |result: Value| {
            let id = &message["id"];
            serde_json::json!({"jsonrpc": "2.0", "id": id, "result": result})
        };
        let streams = self.header("accept") == Some("text/event-stream");
        match message["method"].as_str() {
            _ if self.method == "GET" => stream(&[notification(), hidden_request()]),
            _ if message.get("id").is_none() || message.get("method").is_none() => {
                b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec()
            }
            Some("initialize") => {
                let result = of(serde_json::json!({
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                }));
                whole(&result, &format!("mcp-session-id: {SESSION}\r\n"))
            }
            Some("tools/list") if streams => stream(&[of(list())]),
            Some("tools/list") => whole(&of(list()), ""),
            Some("tools/call") if message["params"]["name"] == "stream" => {
                stream(&[notification(), hidden_request(), of(done())])
            }
            Some("tools/call") => whole(&of(done()), ""),
            _ => whole(&of(serde_json::json!({})), ""),
        }
    }
}

/// What alice may call.
const ALICE: [&str; 6] = [
    "get_issue",
    "paced",
    "push_files",
    "slow",
    "steady",
    "stream",
];

/// What everybody may ask who may call anything: the policy has tools only.
const PROTOCOL: [&str; 13] = [
    "initialize",
    "notifications/initialized",
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "logging/setLevel",
    "subscriptions/listen",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];

/// The session as the tool server calls it, which callers never see.
const SESSION: &str = "hidden-0d6fa1-session";

fn list() -> Value {
    let tool = |name: &str, description: &str| {
        let schema = serde_json::json!({"type": "object"});
        serde_json::json!({"name": name, "description": description, "inputSchema": schema})
    };
    serde_json::json!({"tools": [
        tool("get_issue", ""), tool("delete_repository", HIDDEN), tool("debug_shell", HIDDEN),
    ]})
}

fn done() -> Value {
    serde_json::json!({"content": [{"type": "text", "text": "done"}]})
}

fn notification() -> Value {
    let params = serde_json::json!({"progressToken": 1, "progress": 1});
    serde_json::json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
}

/// The server asks its client for what the policy does not allow it.
fn hidden_request() -> Value {
    let params = serde_json::json!({"messages": [], "systemPrompt": HIDDEN, "maxTokens": 1});
    serde_json::json!({
        "jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": params,
    })
}

fn whole(message: &Value, more: &str) -> Vec<u8> {
    let body = message.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\
         \r\n{body}"
    )
    .into_bytes()
}

fn stream(messages: &[Value]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let mut text = head.to_owned();
    for message in messages {
        let event = format!("id: 1\nevent: message\ndata: {message}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        text += &chunk;
    }
    text.push_str("0\r\n\r\n");
    text.into_bytes()
}
