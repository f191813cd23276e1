//! Envoy's external authorization, over HTTP and over gRPC.
//!
//! What Envoy tells of a request becomes the gate's [`Inbound`], with the caller's own token. Only
//! a decision comes of it: an answer that would have to be filtered, or an argument that would have
//! to be forced, is refused, since Envoy does neither.

mod protobuf;

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use latchkey_engine::{reason::Reason, time::Time};
use latchkey_gate::{
    admit::{self, Body as Sent, Facts, Outcome, Permit},
    event::EventOutcome,
    filter::FilterKind,
    inbound::Inbound,
    wire::{self, Refusal},
};

use super::{Body, Point, full, read, unrecorded};
use crate::{identity::Asking, pins::patience, supply::Active};

/// Where Envoy's gRPC service is asked.
pub(super) const GRPC: &str = "/envoy.service.auth.v3.Authorization/Check";
/// The path prefix that Envoy's HTTP service is configured with.
const PREFIX: &str = "/ext_authz";
/// Set by Envoy where it sends bodies: whether this is only the beginning of one.
const PARTIAL: HeaderName = HeaderName::from_static("x-envoy-auth-partial-body");
/// Headers of the question that are none of the request's.
const OWN: [HeaderName; 3] = [
    super::POINT_TOKEN,
    PARTIAL,
    HeaderName::from_static("x-envoy-internal"),
];

/// Whether Envoy asks over HTTP.
pub(super) fn is(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The request that Envoy asks about.
#[derive(Debug, Default)]
struct Asked {
    method: String,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    peer: Option<IpAddr>,
}

/// What Envoy is told.
struct Told {
    /// `None` lets the request through.
    refusal: Option<wire::Response>,
}

/// Answers the HTTP service: 200 lets the request through, everything else is the answer.
pub(super) async fn http(point: &Point, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let target = target.strip_prefix(PREFIX).unwrap_or_default();
    let (body, fault) = match read(body, point.config.max_body).await {
        Ok(body) => (body, None),
        Err(reason) => (Bytes::new(), Some(reason)),
    };
    let asked = Asked {
        method: head.method.as_str().to_owned(),
        target: if target.is_empty() { "/" } else { target }.to_owned(),
        headers: head.headers,
        body,
        peer: None,
    };
    let Some(told) = point.check(&asked, fault).await else {
        return unrecorded();
    };
    let Some(refusal) = told.refusal else {
        return Response::new(full(Bytes::new()));
    };
    // For Envoy 200 is an allow, so a refusal in the form of JSON-RPC cannot have it.
    let status = match StatusCode::from_u16(refusal.status) {
        Ok(status) if !status.is_success() => status,
        _ => StatusCode::FORBIDDEN,
    };
    let mut response = Response::new(full(Bytes::from(refusal.body)));
    *response.status_mut() = status;
    for (name, value) in refusal.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Answers the gRPC service.
pub(super) async fn grpc(point: &Point, request: Request<Incoming>) -> Response<Body> {
    let media = request.headers().get(header::CONTENT_TYPE);
    let is_grpc = media.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"));
    if *request.method() != Method::POST || !is_grpc {
        let what = "this is a gRPC service: send application/grpc over HTTP/2";
        return point.refuse(StatusCode::BAD_REQUEST, Reason::MalformedRequest, what);
    }
    // The frame, and some room for what is said beside the body.
    let most = point.config.max_body.saturating_add(128 << 10);
    let message = match read(request.into_body(), most).await {
        Ok(body) => unframed(&body).and_then(protobuf::read),
        Err(_) => None,
    };
    let told = if let Some(asked) = message {
        point.check(&asked, None).await
    } else {
        let what = "the question is no CheckRequest";
        let noted = point.note_refusal(Reason::MalformedRequest, what, StatusCode::OK);
        noted
            .is_ok()
            .then(|| Told::refused(Reason::MalformedRequest))
    };
    let told = told.unwrap_or_else(|| Told::refused(Reason::AuditUnavailable));
    framed(&protobuf::write(told.refusal.as_ref()))
}

/// The message of a gRPC request: one, not compressed.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_first_chunk::<5>()?;
    let [compressed, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (compressed == 0 && length == message.len()).then_some(message)
}

fn framed(message: &[u8]) -> Response<Body> {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(body.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

impl Told {
    fn refused(reason: Reason) -> Self {
        Self {
            refusal: Some(Refusal::http(reason).response(&wire::Exchange::default())),
        }
    }
}

impl Point {
    /// Decides about a request, and records it; `None` where that cannot be recorded.
    async fn check(&self, asked: &Asked, fault: Option<Reason>) -> Option<Told> {
        let traceparent = asked.headers.get("traceparent");
        let mut exchange = self.open(traceparent.and_then(|it| it.to_str().ok()));
        exchange.bytes_in = asked.body.len() as u64;
        let mut retry_after = None;
        let (mut metadata, mut proofs) = (None, false);
        let refusal = if let Some((active, now)) = self.policy() {
            exchange.under(&active);
            metadata.clone_from(&active.resource_metadata);
            proofs = active.proofs;
            let verdict = self.judge(&active, asked, fault, now).await;
            exchange.facts = verdict.facts;
            match verdict.outcome {
                Outcome::Refuse(refusal) => Some(refusal),
                Outcome::Forward(permit) => {
                    let facts = &mut exchange.facts;
                    retry_after = self.settle(&active, &permit, facts).await;
                    let reason = exchange.facts.reason;
                    (reason != Reason::Ok).then(|| permit.refusal(reason))
                }
            }
        } else {
            exchange.facts.reason = Reason::PolicyUnavailable;
            Some(Refusal::http(Reason::PolicyUnavailable))
        };
        exchange.facts.address = asked.peer;
        PREFIX.clone_into(&mut exchange.facts.path);
        let refusal = refusal.map(|refusal| {
            refusal.response(&wire::Exchange {
                request_id: exchange.request_id(),
                resource_metadata: metadata.as_deref(),
                proofs,
                retry_after,
            })
        });
        exchange.status = refusal.as_ref().map_or(200, |refusal| refusal.status);
        let outcome = match refusal {
            None => EventOutcome::Success,
            Some(_) => EventOutcome::Denied,
        };
        exchange.close(outcome).ok()?;
        Some(Told { refusal })
    }

    /// Whether Envoy can do what an allow asks for, and the pins and limits let it through.
    async fn settle(&self, active: &Active, permit: &Permit, facts: &mut Facts) -> Option<u32> {
        let Some(what) = unenforceable(permit) else {
            return self.charge(active, permit, patience(), facts).await;
        };
        facts.detail = Some(what.to_owned());
        facts.reason = Reason::ScopeInvalid;
        None
    }

    async fn judge(
        &self,
        active: &Active,
        asked: &Asked,
        fault: Option<Reason>,
        now: Time,
    ) -> admit::Verdict {
        let path = asked.target.split('?').next().unwrap_or_default();
        let identity = if let Some(reason) = fault.or_else(|| asked.cut_off()) {
            Err(reason.into())
        } else {
            let asking = Asking {
                active,
                method: &asked.method,
                path,
                headers: &asked.headers,
                certificate: None,
                now,
            };
            self.callers.identify(&self.shared, &asking).await
        };
        let headers: Vec<(&str, &[u8])> = asked
            .headers
            .iter()
            .filter(|(name, _)| !OWN.contains(name))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let inbound = Inbound {
            server: active.server,
            method: &asked.method,
            target: &asked.target,
            headers: &headers,
            body: &asked.body,
            peer: asked.peer,
        };
        match identity {
            Err(error) => {
                let mut verdict = admit::refuse(&active.gate, &inbound, error.reason);
                verdict.facts.detail = error.detail();
                verdict
            }
            Ok(identity) => {
                let overlay = self.shared.overlay();
                admit::admit(&active.gate, &overlay, &inbound, identity.as_deref(), now)
            }
        }
    }
}

impl Asked {
    /// Whether Envoy has not sent the whole body: what was not seen cannot be allowed.
    fn cut_off(&self) -> Option<Reason> {
        let mut partial = self.headers.get_all(PARTIAL).iter();
        let says = partial.next().map(HeaderValue::as_bytes);
        let length = self.headers.get(header::CONTENT_LENGTH);
        let length = length.map(|it| it.to_str().ok().and_then(|it| it.parse::<usize>().ok()));
        let whole = match says {
            Some(b"false") => partial.next().is_none(),
            Some(_) => false,
            // Without the header Envoy sends no bodies, or there is none.
            None => {
                self.body.is_empty() && !self.headers.contains_key(header::TRANSFER_ENCODING)
                    || length == Some(Some(self.body.len()))
            }
        };
        let fits = length.is_none_or(|length| length.is_some_and(|it| it == self.body.len()));
        (!whole || !fits).then_some(Reason::PayloadTooLarge)
    }
}

/// What a permit asks for that Envoy cannot do.
fn unenforceable(permit: &Permit) -> Option<&'static str> {
    if let Sent::Rewritten(_) = permit.body() {
        return Some("the policy forces an argument, which Envoy cannot write: send its value");
    }
    let kind = permit.filter().map(|filter| filter.kind);
    let filtered = kind.is_some_and(|kind| {
        !matches!(
            kind,
            FilterKind::Answer | FilterKind::Call | FilterKind::Handshake
        )
    });
    filtered.then_some("Envoy cannot filter a list: put the sidecar itself in the way of lists")
}
