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
mod listeners;
mod search;

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::event::DigestKey;
use serde_json::{Value, json};

pub use listeners::Listeners;

use crate::{config::DecisionConfig, identity::Callers, ids, run::Shared};

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
        listeners::serve(Arc::new(self), listeners).await;
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
        let expected = std::fs::read_to_string(file).inspect_err(|error| {
            let file = file.display();
            tracing::error!(target: "decision", %error, %file, "cannot read the token file");
        });
        let Some(expected) = expected.ok().filter(|it| !it.trim().is_empty()) else {
            return false;
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
