//! The sidecar as a decision point for enforcement points of others: `AuthZEN` 1.0, Envoy's
//! `ext_authz` over HTTP and gRPC, and JSON lines on a Unix socket.
//!
//! Every question is turned into the request that it is about and goes through the same
//! [`admit`](latchkey_gate::admit::admit) as a request off the wire. Every decision leaves one
//! event, whoever enforces it.

mod authzen;
mod decide;
mod entities;
mod ext_authz;
mod lines;
mod search;

use std::{convert::Infallible, net::IpAddr, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use latchkey_engine::reason::Reason;
use latchkey_gate::event::DigestKey;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};

use crate::{
    config::{DecisionConfig, Door},
    identity::Callers,
    ids,
    run::Shared,
};

/// The body of an answer.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How long an enforcement point may take to send a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most connections at a time, on each of the listeners.
const CONNECTIONS: usize = 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where an enforcement point presents its token when `Authorization` is its caller's.
const POINT_TOKEN: HeaderName = HeaderName::from_static("x-latchkey-point-token");

/// The decision point of one sidecar.
#[derive(Debug)]
pub struct Point {
    shared: Arc<Shared>,
    config: DecisionConfig,
    /// The callers that were verified here.
    callers: Callers,
    /// Seals the tokens of pages; new with each start.
    seal: DigestKey,
}

/// The listeners of a decision point, bound.
#[derive(Debug)]
pub struct Listeners {
    calls: Option<Listening>,
    lines: Option<std::os::unix::net::UnixListener>,
}

#[derive(Debug)]
enum Listening {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Listeners {
    /// Binds what the settings name. The error names the key and says what to do.
    pub fn bind(config: &DecisionConfig) -> Result<Self, String> {
        let calls = match &config.address {
            None => None,
            Some(Door::Tcp(address)) => {
                let listener = std::net::TcpListener::bind(address)
                    .and_then(|it| it.set_nonblocking(true).map(|()| it));
                Some(Listening::Tcp(listener.map_err(|error| {
                    format!(
                        "[decision] address = \"{address}\": {error}: choose a free address of \
                         this machine"
                    )
                })?))
            }
            Some(Door::Unix(path)) => Some(Listening::Unix(socket(path, "address")?)),
        };
        let lines = config.lines.as_deref();
        let lines = lines.map(|path| socket(path, "lines")).transpose()?;
        Ok(Self { calls, lines })
    }

    /// Where enforcement points are served over TCP.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        match &self.calls {
            Some(Listening::Tcp(listener)) => listener.local_addr().ok(),
            _ => None,
        }
    }
}

/// A socket that only its owner can connect to. One that a dead process left is replaced.
fn socket(path: &Path, key: &str) -> Result<std::os::unix::net::UnixListener, String> {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener, net::UnixStream};
    let fault = |error: std::io::Error| {
        format!(
            "[decision] {key}: {}: {error}: name a path in a folder that this user may write to",
            path.display()
        )
    };
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(format!(
                "[decision] {key}: {}: another process listens there: stop it, or choose another \
                 path",
                path.display()
            ));
        }
        std::fs::remove_file(path).map_err(fault)?;
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    Ok(listener)
}

impl Point {
    /// A decision point; fails where the operating system has no randomness.
    pub fn new(shared: Arc<Shared>, config: DecisionConfig) -> std::io::Result<Self> {
        Ok(Self {
            callers: Callers::new(shared.config.bounds.tokens),
            seal: DigestKey::new(&ids::key()?),
            shared,
            config,
        })
    }

    /// Serves until the sidecar drains, and then what is open.
    pub async fn serve(self, listeners: Listeners) {
        let point = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        if let Some(socket) = listeners.lines
            && let Ok(listener) = UnixListener::from_std(socket)
        {
            tokio::spawn(lines::accept(Arc::clone(&point), listener));
        }
        match listeners.calls {
            None => {
                let mut draining = point.shared.draining();
                let _ = draining.wait_for(|draining| *draining).await;
            }
            Some(Listening::Tcp(listener)) => {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                accept(
                    &point,
                    async || listener.accept().await.map(|it| it.0),
                    &places,
                )
                .await;
            }
            Some(Listening::Unix(listener)) => {
                let Ok(listener) = UnixListener::from_std(listener) else {
                    return;
                };
                accept(
                    &point,
                    async || listener.accept().await.map(|it| it.0),
                    &places,
                )
                .await;
            }
        }
        // Each connection ends with the question that it is at.
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(PATIENCE, places.acquire_many(all)).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let id = request.headers().get(REQUEST_ID).cloned();
        let mut response = self.route(request).await;
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if request.headers().contains_key(header::ORIGIN) && !ext_authz::is(path) {
            let what = "a page in a browser is no enforcement point";
            return self.refuse(StatusCode::FORBIDDEN, Reason::MalformedRequest, what);
        }
        if !self.knows(request.headers()) {
            let what = "the enforcement point's token is missing or wrong";
            let mut refused = self.refuse(StatusCode::UNAUTHORIZED, Reason::Unauthenticated, what);
            let challenge = HeaderValue::from_static("Bearer");
            refused
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            return refused;
        }
        if path == ext_authz::GRPC {
            return ext_authz::grpc(self, request).await;
        }
        if ext_authz::is(path) {
            return ext_authz::http(self, request).await;
        }
        if let Some(metadata) = authzen::metadata(self, path) {
            return metadata;
        }
        let Some(endpoint) = authzen::Endpoint::at(path) else {
            let what = "served are /access/v1/..., /.well-known/authzen-configuration, /ext_authz \
                        and Envoy's gRPC service";
            return self.refuse(StatusCode::NOT_FOUND, Reason::SurfaceUnmatched, what);
        };
        if *request.method() != Method::POST {
            let what = "send POST";
            return self.refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                Reason::MalformedRequest,
                what,
            );
        }
        let (head, body) = request.into_parts();
        match read(body, self.config.max_body).await {
            Ok(body) => authzen::answer(self, endpoint, &head.headers, &body).await,
            Err(reason) => {
                let what = format!("a question is at most {} bytes", self.config.max_body);
                self.refuse(StatusCode::BAD_REQUEST, reason, &what)
            }
        }
    }

    /// Whether an enforcement point may ask.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(file) = &self.config.token_file else {
            return true;
        };
        let expected = match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => text,
            Ok(_) => return false,
            Err(error) => {
                let file = file.display();
                tracing::error!(target: "decision", %error, %file, "cannot read the token file");
                return false;
            }
        };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_first_chunk::<7>()?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        let own = headers.get(POINT_TOKEN).map(HeaderValue::as_bytes);
        let presented = own.or(bearer).unwrap_or_default();
        // Digests under a secret key tell nothing by how long their comparison takes.
        let digest = |text: &str| self.seal.digest(text);
        std::str::from_utf8(presented)
            .is_ok_and(|presented| digest(presented.trim()) == digest(expected.trim()))
    }

    /// Refuses a request that asks for no decision that can be taken; it leaves an event, too.
    fn refuse(&self, status: StatusCode, reason: Reason, what: &str) -> Response<Body> {
        match self.note_refusal(reason, what, status) {
            Ok(()) => fault(status, what),
            Err(_) => unrecorded(),
        }
    }
}

/// Accepts connections until the sidecar drains.
async fn accept<S>(
    point: &Arc<Point>,
    mut next: impl AsyncFnMut() -> std::io::Result<S>,
    places: &Arc<Semaphore>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut draining = point.shared.draining();
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = next() => accepted,
        };
        let Ok(stream) = stream else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let point = Arc::clone(point);
        tokio::spawn(async move {
            connection(point, stream).await;
            drop(place);
        });
    }
}

async fn connection<S>(point: Arc<Point>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut draining = point.shared.draining();
    let service = service_fn(|request| {
        let point = Arc::clone(&point);
        async move { Ok::<_, Infallible>(point.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    // An enforcement point that breaks off harms nobody.
    let _ = connection.await;
}

/// Reads a question of at most `most` bytes.
async fn read(mut body: Incoming, most: usize) -> Result<Bytes, Reason> {
    let reading = async {
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Reason::MalformedRequest)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if all.len() + data.len() > most {
                return Err(Reason::PayloadTooLarge);
            }
            all.extend_from_slice(&data);
            if body.is_end_stream() {
                break;
            }
        }
        Ok(all.freeze())
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or(Err(Reason::MalformedRequest))
}

fn typed(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// An error of the question itself.
fn fault(status: StatusCode, what: &str) -> Response<Body> {
    typed(
        status,
        &json!({"error": {"status": status.as_u16(), "message": what}}),
    )
}

/// The answer when an event cannot be recorded: no decision may leave then.
fn unrecorded() -> Response<Body> {
    let reason = Reason::AuditUnavailable;
    fault(StatusCode::SERVICE_UNAVAILABLE, reason.title())
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

/// The address that a question says the call came from.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}
