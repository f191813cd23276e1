//! How a request ends that is not answered by the server.

use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::{
    event::EventOutcome,
    wire::{self, Refusal},
};

use crate::{answer::Answer, exchange::Exchange, limit::Told, run::Worker};

/// A refusal, and what only this side knows about it.
pub(super) struct Refused {
    pub(super) refusal: Box<Refusal>,
    pub(super) retry_after: Option<u32>,
    pub(super) told: Told,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal: Box::new(refusal),
            retry_after: None,
            told: Told::default(),
        }
    }
}

/// Answers with a refusal, once its event is recorded.
pub(super) fn refuse(
    worker: &Worker,
    mut exchange: Box<Exchange>,
    refused: &Refused,
) -> Response<Answer> {
    let active = worker.shared.active();
    let active = active.as_deref();
    let response = refused.refusal.response(&wire::Exchange {
        request_id: exchange.request_id(),
        resource_metadata: active.and_then(|active| active.resource_metadata.as_deref()),
        proofs: active.is_some_and(|active| active.proofs),
        retry_after: refused.retry_after,
    });
    exchange.status = response.status;
    exchange.bytes_out = response.body.len() as u64;
    if exchange
        .close(outcome_of(refused.refusal.reason()))
        .is_err()
    {
        return unrecorded();
    }
    let mut response = build(response);
    refused.told.write(response.headers_mut());
    response
}

/// The answer when the event cannot be recorded: all that may leave then.
pub(crate) fn unrecorded() -> Response<Answer> {
    build(Refusal::http(Reason::AuditUnavailable).response(&wire::Exchange::default()))
}

/// The answer when a stage has panicked. Its event was recorded as the exchange was dropped; what is
/// left of the request on this connection is unknown.
pub(super) fn broken() -> Response<Answer> {
    let mut response = build(Refusal::http(Reason::Internal).response(&wire::Exchange::default()));
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn build(response: wire::Response) -> Response<Answer> {
    let mut built = Response::new(Answer::whole(response.body.into()));
    *built.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            built.headers_mut().append(name, value);
        }
    }
    built
}

fn outcome_of(reason: Reason) -> EventOutcome {
    match reason {
        Reason::UpstreamTimeout => EventOutcome::Timeout,
        Reason::UpstreamUnavailable | Reason::ResponseTooLarge => EventOutcome::UpstreamError,
        Reason::MalformedRequest | Reason::PayloadTooLarge => EventOutcome::ClientError,
        Reason::AuditUnavailable | Reason::Internal => EventOutcome::Internal,
        _ => EventOutcome::Denied,
    }
}
