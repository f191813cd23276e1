//! A small tool server: it obeys whoever reaches it, and remembers what it saw.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    path::Path,
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
use latchkey_sidecar::socket::{Channel, Socket};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_rustls::TlsAcceptor;

/// What one request looked like.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) request_id: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A tool server on a thread of its own, for as long as the test runs.
pub(crate) struct ToolServer {
    pub(crate) address: SocketAddr,
    tls: bool,
    seen: Mutex<Vec<Seen>>,
    /// Lets a waiting `stream` send its second event.
    pub(crate) go_on: Notify,
    /// What it answers to a method or tool of this name, in place of the usual; a list is a stream.
    script: Mutex<BTreeMap<String, serde_json::Value>>,
    /// Sends lines to every open GET stream.
    pub(crate) lines: broadcast::Sender<String>,
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
        Self::behind(None, None)
    }

    /// A server that is reached under TLS.
    pub(crate) fn start_tls(acceptor: TlsAcceptor) -> Arc<Self> {
        Self::behind(Some(acceptor), None)
    }

    /// A server that is reached over a Unix socket, too.
    pub(crate) fn start_unix(path: &Path) -> Arc<Self> {
        Self::behind(None, Some(path))
    }

    fn behind(acceptor: Option<TlsAcceptor>, path: Option<&Path>) -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let unix = path.map(|path| {
            let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            tls: acceptor.is_some(),
            seen: Mutex::default(),
            go_on: Notify::new(),
            script: Mutex::default(),
            lines: broadcast::channel(16).0,
        });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let unix = unix.map(|unix| tokio::net::UnixListener::from_std(unix).unwrap());
                loop {
                    let socket = if let Some(unix) = &unix {
                        Socket::Unix(unix.accept().await.unwrap().0)
                    } else {
                        let (stream, _) = listener.accept().await.unwrap();
                        stream.set_nodelay(true).unwrap();
                        Socket::Tcp(stream)
                    };
                    let server = Arc::clone(&serving);
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let stream = match acceptor {
                            None => Channel::Plain(socket),
                            Some(acceptor) => match acceptor.accept(socket).await {
                                Ok(stream) => Channel::Tls(Box::new(stream.into())),
                                Err(_) => return,
                            },
                        };
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
        if self.tls {
            return format!("https://localhost:{}/mcp", self.address.port());
        }
        format!("http://{}/mcp", self.address)
    }

    /// Answers a method or tool with this result (`{"result": ...}`, `{"error": ...}`), with a list of
    /// messages as a stream, or with any text of a media type (`{"media": ..., "body": ...,
    /// "status": ...}`).
    pub(crate) fn script(&self, name: &str, answer: serde_json::Value) {
        self.script.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// Answers a method or tool as ever again.
    pub(crate) fn as_usual(&self, name: &str) {
        self.script.lock().unwrap().remove(name);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().to_string();
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
            method: method.clone(),
            request_id: headers.get("x-request-id").cloned().unwrap_or_default(),
            headers: headers.clone(),
            body,
        });
        if method == "GET" {
            return self.listen();
        }
        if let Some(answer) = self.scripted(&message) {
            return answer;
        }
        match message["method"].as_str() {
            _ if message.get("id").is_none() || message.get("method").is_none() => accepted(),
            Some("initialize") => {
                let opened = self
                    .seen()
                    .iter()
                    .filter(|it| it.body.contains("initialize"))
                    .count();
                let mut answer = json(&serde_json::json!({
                    "jsonrpc": "2.0", "id": message["id"],
                    "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}},
                }));
                let session = format!("session-{opened}").parse().unwrap();
                answer.headers_mut().insert("mcp-session-id", session);
                answer
            }
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

    fn scripted(self: &Arc<Self>, message: &serde_json::Value) -> Option<Response<Body>> {
        let named = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (method, tool) = (named(&message["method"]), named(&message["params"]["name"]));
        let script = self.script.lock().unwrap();
        let mut answer = script.get(&tool).or_else(|| script.get(&method))?.clone();
        let complete = |answer: &mut serde_json::Value| {
            answer["jsonrpc"] = "2.0".into();
            if answer.get("method").is_none() {
                answer["id"] = message["id"].clone();
            }
        };
        if let Some(messages) = answer.as_array_mut() {
            messages.iter_mut().for_each(complete);
            return Some(Arc::clone(self).stream(messages.clone()));
        }
        if let (Some(media), Some(body)) = (answer["media"].as_str(), answer["body"].as_str()) {
            let mut response = Response::new(Either::Left(Full::new(body.to_owned().into())));
            let media = media.parse().unwrap();
            response.headers_mut().insert("content-type", media);
            if let Some(status) = answer["status"].as_u64() {
                *response.status_mut() = u16::try_from(status).unwrap().try_into().unwrap();
            }
            return Some(response);
        }
        complete(&mut answer);
        Some(json(&answer))
    }

    /// A GET stream: it sends what the test says for as long as somebody reads.
    fn listen(self: Arc<Self>) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(16);
        let mut lines = self.lines.subscribe();
        tokio::spawn(async move {
            let _ = sender.send(": open\n\n".into()).await;
            loop {
                tokio::select! {
                    line = lines.recv() => {
                        let Ok(line) = line else { return };
                        if sender.send(line.into()).await.is_err() { return }
                    }
                    () = sender.closed() => return,
                }
            }
        });
        event_stream(receiver)
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
        event_stream(receiver)
    }
}

fn event_stream(events: mpsc::Receiver<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Right(StreamBody::new(Events(events))));
    let media = "text/event-stream".parse().unwrap();
    response.headers_mut().insert("content-type", media);
    response
}

fn accepted() -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = hyper::StatusCode::ACCEPTED;
    response
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
