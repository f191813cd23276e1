//! The answer of an exchange, and the one event that it leaves.

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use latchkey_engine::reason::Reason;
use latchkey_gate::event::EventOutcome;
use serde_json::json;

use super::{
    PATH,
    ask::{self, Given},
};
use crate::{answer::Answer, exchange::Exchange, pipeline, run::Worker};

/// Why there is no token: the words of RFC 6749, and the reason for audit.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: &'static str,
    pub(super) says: String,
    pub(super) reason: Reason,
}

impl Fault {
    pub(super) fn new(error: &'static str, reason: Reason, says: impl Into<String>) -> Self {
        Self {
            error,
            says: says.into(),
            reason,
        }
    }

    /// What came is not a request for a token.
    pub(super) fn request(says: impl Into<String>) -> Self {
        Self::new("invalid_request", Reason::MalformedRequest, says)
    }

    fn status(&self) -> StatusCode {
        match self.error {
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Serves one exchange.
pub(crate) async fn serve(
    worker: &Worker,
    mut exchange: Box<Exchange>,
    on_loopback: bool,
    request: Request<Incoming>,
) -> Response<Answer> {
    "POST".clone_into(&mut exchange.facts.method);
    PATH.clone_into(&mut exchange.facts.path);
    let (status, outcome, body) =
        match ask::exchange(worker, &mut exchange, on_loopback, request).await {
            Ok(given) => {
                exchange.facts.reason = Reason::Ok;
                (StatusCode::OK, EventOutcome::Success, told(&given))
            }
            Err(fault) => {
                exchange.facts.reason = fault.reason;
                exchange.facts.detail = Some(fault.says.clone());
                let outcome = match fault.reason {
                    Reason::MalformedRequest | Reason::PayloadTooLarge => EventOutcome::ClientError,
                    _ => EventOutcome::Denied,
                };
                let body = json!({"error": fault.error, "error_description": fault.says});
                (fault.status(), outcome, body.to_string())
            }
        };
    exchange.status = status.as_u16();
    exchange.bytes_out = body.len() as u64;
    if exchange.close_together(outcome).await.is_err() {
        return pipeline::unrecorded();
    }
    let mut response = Response::new(Answer::whole(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn told(given: &Given) -> String {
    json!({
        "access_token": given.token,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": given.expires_in,
        "scope": given.permissions.join(" "),
    })
    .to_string()
}
