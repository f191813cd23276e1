//! A small tool server: it obeys whoever reaches it, and remembers what it saw.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, mpsc};

/// What one request looked like.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) request_id: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A tool server on a thread of its own, for as long as the test runs.
pub(crate) struct ToolServer {
    pub(crate) address: SocketAddr,
    seen: Mutex<Vec<Seen>>,
    /// Lets a waiting `stream` send its second event.
    pub(crate) go_on: Notify,
}

type Body = Either<Full<Bytes>, StreamBody<Events>>;

/// Events as they come through a channel.
pub(crate) struct Events(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Events {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl ToolServer {
    pub(crate) fn start() -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            seen: Mutex::default(),
            go_on: Notify::new(),
        });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let server = Arc::clone(&serving);
                    tokio::spawn(async move {
                        let service = service_fn(|request| {
                            let server = Arc::clone(&server);
                            async move { Ok::<_, Infallible>(server.answer(request).await) }
                        });
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        server
    }

    pub(crate) fn upstream(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let headers: BTreeMap<String, String> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let body = request.into_body().collect().await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let message: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        self.seen.lock().unwrap().push(Seen {
            request_id: headers.get("x-request-id").cloned().unwrap_or_default(),
            headers: headers.clone(),
            body,
        });
        match message["method"].as_str() {
            Some("tools/list") if headers["accept"].starts_with("text/event-stream") => {
                self.stream(vec![list(&message)])
            }
            Some("tools/list") => json(&list(&message)),
            Some("tools/call") => self.call(&message).await,
            _ => json(&serde_json::json!({"jsonrpc": "2.0", "id": message["id"], "result": {}})),
        }
    }

    async fn call(self: Arc<Self>, message: &serde_json::Value) -> Response<Body> {
        let result = serde_json::json!({
            "jsonrpc": "2.0", "id": message["id"],
            "result": {"content": [{"type": "text", "text": "done"}]},
        });
        match message["params"]["name"].as_str().unwrap() {
            "slow" => tokio::time::sleep(Duration::from_secs(3)).await,
            "steady" => tokio::time::sleep(Duration::from_millis(5)).await,
            "stream" => {
                let progress = serde_json::json!({
                    "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": 1, "progress": 1},
                });
                return self.stream(vec![progress, result]);
            }
            _ => {}
        }
        json(&result)
    }

    /// Sends the first event at once, and each other one when told to go on.
    fn stream(self: Arc<Self>, events: Vec<serde_json::Value>) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for (at, event) in events.iter().enumerate() {
                if at > 0 {
                    self.go_on.notified().await;
                }
                let text = format!("event: message\ndata: {event}\n\n");
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
        });
        let mut response = Response::new(Either::Right(StreamBody::new(Events(receiver))));
        response
            .headers_mut()
            .insert("content-type", "text/event-stream".parse().unwrap());
        response
    }
}

fn list(message: &serde_json::Value) -> serde_json::Value {
    let tool = |name: &str| serde_json::json!({"name": name, "inputSchema": {"type": "object"}});
    let names = [
        "get_issue",
        "push_files",
        "delete_repository",
        "debug_shell",
    ];
    let tools: Vec<_> = names.into_iter().map(tool).collect();
    serde_json::json!({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}})
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(value.to_string().into())));
    response
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    response
}
